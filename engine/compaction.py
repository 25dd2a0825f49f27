"""What to compact next: leveled, the level furthest over its size first.

Level 0 is bounded in tables, as each one costs every get a look; the levels below are bounded
in bytes, each some times the one above. A compaction takes tables of one level and all they
overlap in the next, and puts their merge in the place of the latter.

Source: leveldb impl.md; which table goes first is RocksDB's kMinOverlappingRatio.
"""

from dataclasses import dataclass
from itertools import pairwise

from engine.options import Options
from engine.version import LEVELS, Table, Version, VersionEdit


@dataclass(frozen=True, slots=True)
class Compaction:
    """Merge `upper`, of `level`, and `lower`, of the next one, into the next one."""

    level: int
    upper: tuple[Table, ...]
    lower: tuple[Table, ...]

    @property
    def is_move(self) -> bool:
        """Nothing would be merged or dropped: the tables can take their new place as they are."""
        if self.lower or any(table.tombstones for table in self.upper):
            return False
        ordered = sorted(self.upper, key=lambda table: table.smallest)
        return all(left.largest < right.smallest for left, right in pairwise(ordered))

    def edit(self, outputs: tuple[Table, ...]) -> VersionEdit:
        removed = [(self.level, table.number) for table in self.upper]
        removed += [(self.level + 1, table.number) for table in self.lower]
        return VersionEdit(tuple((self.level + 1, table) for table in outputs), tuple(removed))


def pick(version: Version, options: Options) -> Compaction | None:
    """The compaction that is needed most, None if none is."""
    scores = [len(version.levels[0]) / options.level0_tables_compact]
    limit = options.level1_bytes_max
    for level in range(1, LEVELS - 1):
        scores.append(version.level_bytes(level) / limit)
        limit *= options.level_bytes_ratio
    score = max(scores)
    return _from_level(version, scores.index(score)) if score >= 1 else None


def pick_any(version: Version) -> Compaction | None:
    """A compaction on the way to a single level, None once there is only one."""
    filled = [level for level in range(LEVELS) if version.levels[level]]
    if not filled or (filled[0] > 0 and len(filled) == 1):
        return None
    return _from_level(version, filled[0])


def _from_level(version: Version, level: int) -> Compaction:
    tables = version.levels[level]
    if level == 0:
        # All of them: they overlap, and an older one must not stay above a newer one.
        smallest = min(table.smallest for table in tables)
        largest = max(table.largest for table in tables)
        return Compaction(0, tables, version.overlapping(1, smallest, largest))

    def cost(table: Table) -> float:
        below = version.overlapping(level + 1, table.smallest, table.largest)
        return sum(other.byte_size for other in below) / table.byte_size

    chosen = min(tables, key=cost)
    return Compaction(level, (chosen,), version.overlapping(level + 1, chosen.smallest, chosen.largest))
