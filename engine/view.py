"""What a reader pins: the memtables and tables of one moment, which no writer changes any more.

Only the active memtable still grows; whoever needs it to stand still copies it. Tables that
compaction replaced stay readable as long as a View refers to them.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

from engine import forks
from engine.bloom import PATTERN_SHIFT, PATTERNS, hash_key
from engine.errors import ClosedError
from engine.lookups import Lookups
from engine.memtable import Memtable
from engine.merge import clip, merge, without_ranges
from engine.record import ABSENT, KEY_BYTES_MAX, Found, Run, check_key, is_covered, unless_expired
from engine.rowcache import NO_ROWS, RowCache
from engine.sstable import SSTableReader
from engine.version import NOTHING, Version


class Levels:
    """The open tables of a Version; empty levels are left out.

    level0    newest first
    deeper    the tables of every other level
    ladder    for gets, per level of these: the largest keys; the tables they are of, and one more for what is
              above them; how many tables a get has asked once it has asked here
    depth     how many tables the longest get asks
    """

    __slots__ = ("deeper", "depth", "ladder", "level0")

    def __init__(self, version: Version, readers: Mapping[int, SSTableReader]) -> None:
        self.level0 = [readers[table.number] for table in version.levels[0]]
        filled = [number for number, tables in enumerate(version.levels) if tables and number]
        self.deeper = [[readers[table.number] for table in version.levels[number]] for number in filled]
        self.depth = len(self.level0) + len(filled)
        self.ladder: list[tuple[list[bytes], list[SSTableReader | _NoTable], int]] = [
            (list(version.largest_keys[number]), [*tables, _NO_TABLE], depth)
            for depth, (number, tables) in enumerate(zip(filled, self.deeper, strict=True), len(self.level0) + 1)
        ]


class _NoTable:
    """What a get finds above the last table of a level: quicker than asking whether it is above."""

    words = array("Q", [(1 << 64) - 1])
    word_count = 1

    def get(self, key: bytes, spot: int, bits: int, wait: bool) -> Found:  # noqa: ARG002  # as a table has it
        raise AssertionError("no key passes the filter of no table")


_NO_TABLE = _NoTable()


class View:
    """Answers gets and scans.

    records   those of the active memtable
    rows      what may answer a get that they cannot, before `find` is called
    """

    __slots__ = (
        "_gap", "_is_layered", "_ladder", "_level0", "_lookups", "_rows", "active", "levels", "records", "rows",
        "sealed",
    )  # fmt: skip

    def __init__(
        self,
        active: Memtable,
        sealed: tuple[Memtable, ...],
        levels: Levels,
        rows: RowCache = NO_ROWS,
        lookups: Lookups | None = None,
    ) -> None:
        """`sealed` has the newest first. A View that is kept has no `rows`: they follow the tables."""
        self.active = active
        self.records = active.records
        self.sealed = sealed
        self.levels = levels
        self._level0 = levels.level0
        self._ladder = levels.ladder
        self._rows = rows
        # What is sealed, or a deleted range, comes before what is in tables.
        self._is_layered = bool(sealed or active.ranges)
        self.rows = NO_ROWS if self._is_layered else rows
        self._lookups = lookups or Lookups(levels.depth)
        # From the first to the second key nothing was there, when it was last looked at.
        self._gap: tuple[bytes, bytes] | None = None

    def find(self, key: bytes, wait: bool) -> bytes | None:
        """Look up a key that is not in the active memtable.

        Raises: InvalidKeyError; WouldBlockError, if not `wait` and the disk is needed.
        """
        if self._is_layered:
            value = self._find_in_layers(key)
            if value is not ABSENT:
                return value
        if key.__class__ is not bytes:
            check_key(key)
        spot = hash_key(key)
        bits = PATTERNS[spot >> PATTERN_SHIFT]
        value = None
        # The filters are asked here: a call for each would cost as much again.
        for table in self._level0:
            if not table.words[spot % table.word_count] & bits and key <= table.largest:
                value = (
                    table.get(key, spot, bits, wait)
                    if self._rows is NO_ROWS
                    else self._find_row(table, key, spot, bits, wait)
                )
                if value is not ABSENT:
                    self._lookups.answered[self._level0.index(table) + 1] += 1
                    return value
                self._lookups.false_positives += 1
        for largest_keys, tables, depth in self._ladder:
            lower = tables[bisect_left(largest_keys, key)]
            if not lower.words[spot % lower.word_count] & bits:
                value = (
                    lower.get(key, spot, bits, wait)
                    if self._rows is NO_ROWS
                    else self._find_row(lower, key, spot, bits, wait)
                )
                if value is not ABSENT:
                    self._lookups.answered[depth] += 1
                    return value
                self._lookups.false_positives += 1
        # Not before: what is in a table has the length of a key.
        if not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        self._lookups.unanswered += 1
        if value is ABSENT and self._rows is not NO_ROWS:
            # The next get need not look in vain.
            self._rows.add(key, None, self.levels)
        return None

    def _find_in_layers(self, key: bytes) -> Found:
        """What the memtables and their ranges say of a key, and then the rows."""
        check_key(key)
        for memtable in (self.active, *self.sealed):
            value = memtable.records.get(key, ABSENT)
            if value is not ABSENT:
                return value
            if memtable.ranges and is_covered(key, memtable.ranges):
                return None
        value = self._rows.young.get(key, ABSENT)
        if value is not ABSENT:
            self._rows.hits += 1
        return value

    def _find_row(self, table: SSTableReader | _NoTable, key: bytes, spot: int, bits: int, wait: bool) -> Found:
        """The row of an earlier look, or what a table that may have the key says of it, kept as a row."""
        rows = self._rows
        value = rows.find(key)
        if value is ABSENT:
            value = table.get(key, spot, bits, wait)
            if value is not ABSENT:
                rows.add(key, value, self.levels)
        return value

    def multi_get(self, keys: Iterable[bytes], clock_ms: int) -> list[bytes | None]:
        """Look up many keys, at a time on the clock of the store. Raises: InvalidKeyError."""
        recent, row, find = self.records.get, self.rows.young.get, self.find
        values = []
        rows_found = 0
        for key in keys:
            value = recent(key, ABSENT)
            if value is ABSENT:
                value = row(key, ABSENT)
                if value is ABSENT:
                    value = find(key, True)
                else:
                    rows_found += 1
            values.append(value)
        self.rows.hits += rows_found
        return values if all(values) else [unless_expired(value, clock_ms) for value in values]

    def frozen(self) -> "View | None":
        """One that nobody writes to; None while a write is halfway in."""
        copied = self.active.copy()
        return None if copied is None else View(copied, self.sealed, self.levels, lookups=self._lookups)

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False, limit: int | None = None, clock_ms: int = 0
    ) -> Iterator[tuple[bytes, bytes]]:
        """The newest value of every key with start <= key < end, of no more than `limit`, as of now."""
        asked = start
        if limit is not None and not reverse:
            start = self._behind_gap(start, end)
        streams = [self.active.runs_now(start, end, reverse=reverse, limit=limit)]
        streams += [memtable.runs(start, end, reverse=reverse) for memtable in self.sealed]
        streams += [_table_runs([table], start, end, reverse) for table in self._level0]
        streams += [_table_runs(tables, start, end, reverse) for tables in self.levels.deeper]
        for number, memtable in enumerate((self.active, *self.sealed)):
            if memtable.ranges:
                older = [without_ranges(stream, memtable.ranges) for stream in streams[number + 1 :]]
                streams[number + 1 :] = older
        # All of it runs in C but for a step per run: that halves the price of handing out a pair.
        pairs = chain.from_iterable(_present(merge(streams, reverse=reverse), reverse, clock_ms, forks.generation))
        if limit is None:
            return pairs
        return islice(pairs, limit) if reverse else self._noting_gap(islice(pairs, limit), asked)

    def _behind_gap(self, start: bytes, end: bytes | None) -> bytes:
        """Where to begin: whoever takes from the front, and deletes, need not pass again all that is gone.

        What is sealed or in tables does not change, nor does what hides it, but for puts that came since.
        """
        if self._gap is None:
            return start
        first, last = self._gap
        if first <= start < last and (end is None or last < end) and self.active.has_only_deletes(start, last):
            return last
        return start

    def _noting_gap(self, pairs: Iterator[tuple[bytes, bytes]], start: bytes) -> Iterator[tuple[bytes, bytes]]:
        for pair in pairs:
            self._gap = start, pair[0]
            yield pair
            break
        yield from pairs


class ClosedView(View):
    """What readers find once the engine, or their snapshot, is closed."""

    __slots__ = ("_reason",)

    def __init__(self, reason: str) -> None:
        super().__init__(Memtable(NOTHING), (), Levels(Version(), {}))
        self._reason = reason

    def find(self, key: bytes, wait: bool) -> bytes | None:  # noqa: ARG002  # as a View has it
        raise ClosedError(self._reason)

    def frozen(self) -> View | None:
        raise ClosedError(self._reason)

    def scan(
        self,
        start: bytes,  # noqa: ARG002  # as a View has it
        end: bytes | None,  # noqa: ARG002
        *,
        reverse: bool = False,  # noqa: ARG002
        limit: int | None = None,  # noqa: ARG002
        clock_ms: int = 0,  # noqa: ARG002
    ) -> Iterator[tuple[bytes, bytes]]:
        raise ClosedError(self._reason)


def _table_runs(tables: list[SSTableReader], start: bytes, end: bytes | None, reverse: bool) -> Iterator[Run]:
    first = bisect_left(tables, start, key=lambda table: table.largest)
    last = len(tables) if end is None else bisect_left(tables, end, key=lambda table: table.smallest)
    within = tables[first:last]
    if reverse:
        within.reverse()
    keep = True
    for table in within:
        yield from clip(table.runs(start, end, reverse=reverse, keep=keep), start, end, reverse=reverse)
        # A scan that has come this far is a long one.
        keep = False


def _present(
    runs: Iterator[Run], reverse: bool, clock_ms: int, generation: int
) -> Iterator[Iterable[tuple[bytes, bytes]]]:
    for keys, values in runs:
        if generation != forks.generation:
            raise ClosedError(f"the scan was begun before a fork: {forks.FORKED}")
        pairs = zip(reversed(keys), reversed(values), strict=True) if reverse else zip(keys, values, strict=True)
        # Nothing else finds tombstones and what expires as quickly, and hardly any other value is empty.
        if all(values):
            yield pairs  # type: ignore[misc]  # there is no None among them
        else:
            there = [(key, unless_expired(value, clock_ms)) for key, value in pairs]
            yield [(key, value) for key, value in there if value is not None]
