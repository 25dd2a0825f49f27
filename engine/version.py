"""Which SSTables form which level.

A Version is immutable: readers keep theirs while flush and compaction make the next one. The
difference between two is a VersionEdit, and the manifest is a log of those.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from engine.record import SequenceNumber

LEVELS = 7
NOTHING = SequenceNumber(0)


@dataclass(frozen=True, slots=True)
class Table:
    """One SSTable, as the manifest describes it.

    number       names its file
    byte_size    of the file
    smallest     its first key
    largest      its last key
    records      tombstones included
    expiry_ms    when half of its records have expired; 0: never
    """

    number: int
    byte_size: int
    smallest: bytes
    largest: bytes
    records: int
    tombstones: int
    expiry_ms: int = 0


@dataclass(frozen=True, slots=True)
class VersionEdit:
    """What changes from one Version to the next; None leaves a number as it is, and the clock never goes back."""

    added: tuple[tuple[int, Table], ...] = ()
    removed: tuple[tuple[int, int], ...] = ()
    flushed_sequence: SequenceNumber | None = None
    oldest_log: int | None = None
    next_number: int | None = None
    clock_ms: int | None = None


class InvalidEditError(Exception):
    """The edit does not fit the Version it is applied to."""


@dataclass(frozen=True, slots=True)
class Version:
    """The tables of every level.

    levels             level 0 newest first, its tables overlap; the others sorted by key, disjoint
    flushed_sequence   every write up to it is in these tables
    oldest_log         the first log that holds anything else; 0 if the store has none of its own
    next_expiry_ms     when a table has reached its `expiry_ms`, for which it is compacted
    next_number        no file has this number or a larger one, except leftovers of a crash
    clock_ms           what expired up to then may have been dropped
    """

    levels: tuple[tuple[Table, ...], ...] = ((),) * LEVELS
    flushed_sequence: SequenceNumber = NOTHING
    oldest_log: int = 0
    next_number: int = 1
    clock_ms: int = 0
    largest_keys: tuple[tuple[bytes, ...], ...] = field(init=False, compare=False, repr=False)
    next_expiry_ms: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        due = [table.expiry_ms for table in self.tables() if table.expiry_ms]
        object.__setattr__(self, "next_expiry_ms", min(due, default=inf))
        keys = tuple(tuple(table.largest for table in level) for level in self.levels)
        object.__setattr__(self, "largest_keys", keys)

    def tables(self) -> Iterator[Table]:
        for level in self.levels:
            yield from level

    def level_bytes(self, level: int) -> int:
        return sum(table.byte_size for table in self.levels[level])

    def overlapping(self, level: int, smallest: bytes, largest: bytes) -> tuple[Table, ...]:
        """The tables of a level that may hold a key from smallest to largest, both included."""
        tables = self.levels[level]
        if level == 0:
            return tuple(t for t in tables if t.smallest <= largest and smallest <= t.largest)
        first = bisect_left(self.largest_keys[level], smallest)
        end = bisect_right(tables, largest, key=lambda table: table.smallest)
        return tables[first:end]

    def may_hold_below(self, level: int, smallest: bytes, largest: bytes) -> bool:
        """Whether any level below this one may hold such a key."""
        return any(self.overlapping(below, smallest, largest) for below in range(level + 1, LEVELS))

    def spans_below(self, level: int, smallest: bytes, largest: bytes) -> list[tuple[bytes, bytes]]:
        """Where any level below this one may hold a key from smallest to largest, all of them included.

        Each is a first and a last key, in order and apart; the outermost may reach beyond the keys asked for.
        """
        spans: list[tuple[bytes, bytes]] = []
        tables = [table for below in range(level + 1, LEVELS) for table in self.overlapping(below, smallest, largest)]
        for first, last in sorted((table.smallest, table.largest) for table in tables):
            if spans and first <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(spans[-1][1], last)
            else:
                spans.append((first, last))
        return spans

    def apply(self, edit: VersionEdit) -> "Version":
        """Raises: InvalidEditError."""
        levels = [list(level) for level in self.levels]
        for level, number in edit.removed:
            kept = [table for table in levels[level] if table.number != number]
            if len(kept) != len(levels[level]) - 1:
                raise InvalidEditError(f"table {number} is not in level {level}")
            levels[level] = kept
        for level, table in edit.added:
            levels[level].append(table)
        numbers = [table.number for level in levels for table in level]
        if len(set(numbers)) != len(numbers):
            raise InvalidEditError("a table is there twice")
        levels[0].sort(key=lambda table: -table.number)
        for tables in levels[1:]:
            tables.sort(key=lambda table: table.smallest)
            if any(left.largest >= right.smallest for left, right in pairwise(tables)):
                raise InvalidEditError("two tables of a level overlap")
        return replace(
            self,
            levels=tuple(map(tuple, levels)),
            flushed_sequence=self.flushed_sequence if edit.flushed_sequence is None else edit.flushed_sequence,
            oldest_log=self.oldest_log if edit.oldest_log is None else edit.oldest_log,
            next_number=self.next_number if edit.next_number is None else edit.next_number,
            clock_ms=max(self.clock_ms, edit.clock_ms or 0),
        )

    def as_edit(self) -> VersionEdit:
        """The edit that makes this Version from an empty one."""
        added = tuple((number, table) for number, level in enumerate(self.levels) for table in level)
        return VersionEdit(added, (), self.flushed_sequence, self.oldest_log, self.next_number, self.clock_ms)
