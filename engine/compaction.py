"""What to compact next: leveled, the level furthest over its size first.

Level 0 is bounded in tables, as each one costs every get a look; the levels below are bounded
in bytes, each some times the one above. A tombstone counts as much as what it may hide: else, after
many deletes, a level of them would stay within its bound and keep on disk what is gone. And a table of hardly
anything else goes down at once, as each scan has to pass it. A compaction
takes tables of one level and all they overlap in the next, and puts their merge in the place of the latter.

Source: leveldb impl.md; which table goes first is RocksDB's kMinOverlappingRatio, with its compensated sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from engine.options import Options
from engine.version import LEVELS, Table, Version, VersionEdit

# From so many tombstones on, if they are so much of a table, it does not wait for its level to be full.
_BARREN_TOMBSTONES = 1024
_BARREN_SHARE = 1 / 2


@dataclass(frozen=True, slots=True)
class Compaction:
    """Merge `upper`, of `level`, and `lower`, of the next one, into the next one.

    clock_ms      what expires up to then is dropped
    is_in_place   the result stays in `level`; there is no `lower`
    borders       keys after which another table is begun, whatever the size of the last one
    """

    level: int
    upper: tuple[Table, ...]
    lower: tuple[Table, ...]
    clock_ms: int = 0
    is_in_place: bool = False
    borders: tuple[bytes, ...] = ()

    @property
    def target(self) -> int:
        return self.level if self.is_in_place else self.level + 1

    @property
    def is_move(self) -> bool:
        """Nothing would be merged or dropped: the tables can take their new place as they are."""
        if self.lower or self.is_in_place or any(table.tombstones for table in self.upper):
            return False
        ordered = sorted(self.upper, key=lambda table: table.smallest)
        return all(left.largest < right.smallest for left, right in pairwise(ordered))

    def edit(self, outputs: tuple[Table, ...]) -> VersionEdit:
        removed = [(self.level, table.number) for table in self.upper]
        removed += [(self.level + 1, table.number) for table in self.lower]
        return VersionEdit(
            tuple((self.target, table) for table in outputs), tuple(removed), clock_ms=self.clock_ms or None
        )


def pick(version: Version, options: Options, clock_ms: int = 0) -> Compaction | None:
    """The compaction that is needed most at a time on the caller's clock, None if none is."""
    scores = [len(version.levels[0]) / options.level0_tables_compact]
    limit = options.level1_bytes_max
    weight = _weigher(version)
    for level in range(1, LEVELS - 1):
        scores.append(sum(map(weight, version.levels[level])) / limit)
        limit *= options.level_bytes_ratio
    score = max(scores)
    if score >= 1:
        return _from_level(version, scores.index(score), clock_ms)
    barren = _barren(version, clock_ms)
    if barren is not None:
        return barren
    return _expired(version, clock_ms) if clock_ms >= version.next_expiry_ms else None


def _barren(version: Version, clock_ms: int) -> Compaction | None:
    """Take a table of hardly anything but tombstones nearer to what they hide: every scan has to pass them all."""
    for level, tables in enumerate(version.levels):
        for table in tables:
            if table.tombstones >= max(_BARREN_TOMBSTONES, _BARREN_SHARE * table.records):
                return _hiding(version, level, table, clock_ms)
    return None


def _hiding(version: Version, level: int, table: Table, clock_ms: int) -> Compaction:
    """What brings the tombstones of a table down, or drops them where nothing is below."""
    if level == 0:
        return _from_level(version, 0, clock_ms)
    if version.may_hold_below(level, table.smallest, table.largest):
        return from_table(version, level, table, clock_ms)
    return Compaction(level, (table,), (), clock_ms, is_in_place=True)


def _weigher(version: Version) -> Callable[[Table], float]:
    """How much a table counts, in bytes: each of its tombstones as much again as a record is large."""
    tables = list(version.tables())
    record_bytes = sum(table.byte_size for table in tables) / max(sum(table.records for table in tables), 1)
    return lambda table: table.byte_size + record_bytes * table.tombstones


def debt_bytes(version: Version, options: Options) -> int:
    """What levels hold beyond their limits; of level 0 all, once it is to be compacted."""
    debt = version.level_bytes(0) if len(version.levels[0]) >= options.level0_tables_compact else 0
    limit = options.level1_bytes_max
    for level in range(1, LEVELS - 1):
        debt += max(version.level_bytes(level) - limit, 0)
        limit *= options.level_bytes_ratio
    return debt


def pick_any(version: Version, clock_ms: int = 0) -> Compaction | None:
    """A compaction on the way to a single level that holds nothing needless, None once it is so."""
    filled = [level for level in range(LEVELS) if version.levels[level]]
    if not filled:
        return None
    if filled[0] == 0 or len(filled) > 1:
        return _from_level(version, filled[0], clock_ms)
    hiding = next((table for table in version.levels[filled[0]] if table.tombstones), None)
    if hiding is not None:
        return Compaction(filled[0], (hiding,), (), clock_ms, is_in_place=True)
    return _expired(version, clock_ms)


def pick_freeing(version: Version, clock_ms: int = 0) -> Compaction | None:
    """A compaction that brings tombstones nearer to what they hide, None if there are none."""
    for level, tables in enumerate(version.levels):
        table = next((table for table in tables if table.tombstones), None)
        if table is not None:
            return _hiding(version, level, table, clock_ms)
    return None


def pick_level0(version: Version, clock_ms: int = 0) -> Compaction | None:
    """All of level 0, None if it is empty."""
    return _from_level(version, 0, clock_ms) if version.levels[0] else None


def _expired(version: Version, clock_ms: int) -> Compaction | None:
    """Rewrite a table that is half expired, or take it a level down if there may be older records of its keys."""
    for level, tables in enumerate(version.levels):
        for table in tables:
            if table.expiry_ms and table.expiry_ms <= clock_ms:
                return _hiding(version, level, table, clock_ms)
    return None


def _from_level(version: Version, level: int, clock_ms: int) -> Compaction:
    tables = version.levels[level]
    if level == 0:
        # All of them: they overlap, and an older one must not stay above a newer one.
        smallest = min(table.smallest for table in tables)
        largest = max(table.largest for table in tables)
        return Compaction(0, tables, version.overlapping(1, smallest, largest), clock_ms)

    weight = _weigher(version)

    def cost(table: Table) -> float:
        below = version.overlapping(level + 1, table.smallest, table.largest)
        return sum(other.byte_size for other in below) / weight(table)

    return from_table(version, level, min(tables, key=cost), clock_ms)


def from_table(version: Version, level: int, table: Table, clock_ms: int) -> Compaction:
    """A table of any level below 0, or the oldest one there, and what it overlaps in the next level."""
    lower = version.overlapping(level + 1, table.smallest, table.largest)
    return Compaction(level, (table,), lower, clock_ms)
