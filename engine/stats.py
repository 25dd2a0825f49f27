"""What an engine tells about itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.record import SequenceNumber


@dataclass(frozen=True, slots=True)
class LevelStats:
    """One level: its tables, their bytes on disk, their records with tombstones, and the tombstones alone."""

    tables: int
    byte_size: int
    records: int
    tombstones: int


@dataclass(frozen=True, slots=True)
class CacheStats:
    """A cache: what it takes, what it may take, and how often it had what was asked for, or had not."""

    byte_size: int
    bytes_max: int
    hits: int
    misses: int

    @property
    def hit_share(self) -> float:
        """From 0 to 1."""
        return self.hits / max(self.hits + self.misses, 1)


@dataclass(frozen=True, slots=True)
class BlockCacheStats(CacheStats):
    """A cache of blocks; its misses are blocks that were read from a file.

    index_bytes   memory of indexes and filters, beside `byte_size`
    index_loads   how often a table brought them in; beyond the first times they had been dropped
    """

    index_bytes: int
    index_loads: int


@dataclass(frozen=True, slots=True)
class LookupStats:
    """Gets that neither memtables nor the row cache could answer.

    filters_asked     or the bounds of a table, where those were enough to tell
    filters_passed    that let the key through, so that the table was looked into
    false_positives   of those: in vain; the first look into a table counts, whose filter was not in memory yet
    """

    gets: int
    filters_asked: int
    filters_passed: int
    false_positives: int

    @property
    def tables_per_get(self) -> float:
        """How many tables a get looked into: the read amplification, in blocks."""
        return self.filters_passed / max(self.gets, 1)

    @property
    def false_positive_share(self) -> float:
        """Of the tables without a record of the key, how many were looked into: from 0 to 1."""
        without = self.filters_asked - self.filters_passed + self.false_positives
        return self.false_positives / max(without, 1)


@dataclass(frozen=True, slots=True)
class Stats:
    """The state of an engine, and what it has done since it was opened. `str()` of it is for a human.

    memtable_bytes     memory of the active memtable and the sealed ones
    memtable_records   in them, with tombstones
    written_bytes      of keys and values written, those replayed from the log included
    logged_bytes       written to the log for them, 0 without a log
    flushed_bytes      of tables written by flushes
    compacted_bytes    of tables written by compactions
    ingested_bytes     of tables made of sorted pairs
    row_cache          its misses are looks into a table
    block_cache        None if other engines may share it: then ask BlockCache.stats
    snapshots          that are open
    stalls             writes that had to stop until flush or compaction made room, ...
    stalled_seconds    ... and for how long altogether
    slowdowns          writes that were held back a little so that they need not stop, ...
    slowed_seconds     ... and for how long altogether
    debt_bytes         what levels hold beyond their limits, for compaction to work off
    pressure           0: writes are as quick as they can be; then they become slower; 1: they stop
    stall_reason       why writes stop now, "" if they do not
    failure            why the engine is closed to writes, "" if it is not
    """

    applied_sequence: SequenceNumber
    flushed_sequence: SequenceNumber
    memtable_bytes: int
    memtable_records: int
    sealed_memtables: int
    levels: tuple[LevelStats, ...]
    written_bytes: int
    logged_bytes: int
    flushes: int
    flushed_bytes: int
    compactions: int
    compacted_bytes: int
    ingested_bytes: int
    row_cache: CacheStats
    block_cache: BlockCacheStats | None
    lookups: LookupStats
    snapshots: int
    stalls: int
    stalled_seconds: float
    slowdowns: int
    slowed_seconds: float
    debt_bytes: int
    pressure: float
    is_stalled: bool
    stall_reason: str
    failure: str

    @property
    def tables(self) -> int:
        return sum(level.tables for level in self.levels)

    @property
    def table_bytes(self) -> int:
        """On disk, not counting tables that only readers still hold."""
        return sum(level.byte_size for level in self.levels)

    @property
    def lowest_level_bytes(self) -> int:
        """Of the lowest level that has tables."""
        return next((level.byte_size for level in reversed(self.levels) if level.tables), 0)

    @property
    def space_amplification(self) -> float:
        """At most how many times the space that the visible records alone would take.

        An estimate: as if everything above the lowest level replaced records in it.
        """
        return self.table_bytes / self.lowest_level_bytes if self.lowest_level_bytes else 1.0

    @property
    def write_amplification(self) -> float:
        """How many bytes went to log and tables for each byte of a key or value that was written."""
        to_disk = self.logged_bytes + self.flushed_bytes + self.compacted_bytes
        return to_disk / self.written_bytes if self.written_bytes else 0.0

    def __str__(self) -> str:
        return "\n".join(f"{name:12}{text}" for name, text in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        if self.failure:
            yield "CLOSED", f"to writes: {self.failure}"
        yield "sequence", f"{self.applied_sequence:,} applied, {self.flushed_sequence:,} flushed"
        yield "memtables", f"{_mib(self.memtable_bytes)}, {self.sealed_memtables} sealed"
        for number, level in enumerate(self.levels):
            if level.tables:
                records = f"{level.records:14,} records {level.tombstones:11,} tombstones"
                yield f"level {number}", f"{_mib(level.byte_size)} {level.tables:6,} tables {records}"
        space = f"{self.tables:6,} tables, up to {self.space_amplification:.2f} times what is live"
        yield "space", f"{_mib(self.table_bytes)} {space}"
        yield (
            "written",
            f"{_mib(self.written_bytes)} of keys and values, {self.write_amplification:.2f} times that to disk:",
        )
        yield "  log", _mib(self.logged_bytes)
        yield "  flush", f"{_mib(self.flushed_bytes)} in {self.flushes:,}"
        yield "  compaction", f"{_mib(self.compacted_bytes)} in {self.compactions:,}"
        yield "ingested", _mib(self.ingested_bytes)
        yield "row cache", _cache(self.row_cache)
        blocks = self.block_cache
        if blocks is not None:
            yield "block cache", _cache(blocks)
            yield "indexes", f"{_mib(blocks.index_bytes)} with filters, brought in {blocks.index_loads:,} times"
        lookups = self.lookups
        yield (
            "gets",
            (
                f"{lookups.gets:,} asked {lookups.filters_asked:,} filters, "
                f"and then looked into {lookups.filters_passed:,} tables, {lookups.tables_per_get:.2f} each"
            ),
        )
        yield "filters", f"{lookups.false_positives:,} false positives, {lookups.false_positive_share:.2%}"
        yield "snapshots", f"{self.snapshots}"
        yield "debt", f"{_mib(self.debt_bytes)}, pressure {self.pressure:.2f}"
        yield "slowdowns", f"{self.slowdowns:,} in {self.slowed_seconds:.1f} s"
        now = f", and now: {self.stall_reason}" if self.is_stalled else ""
        yield "stalls", f"{self.stalls:,} in {self.stalled_seconds:.1f} s{now}"


def _mib(byte_size: int) -> str:
    return f"{byte_size / (1 << 20):12,.1f} MiB"


def _cache(cache: CacheStats) -> str:
    share = f"{cache.hits:,} hits, {cache.misses:,} misses ({cache.hit_share:.1%})"
    return f"{_mib(cache.byte_size)} of {cache.bytes_max / (1 << 20):,.0f} MiB, {share}"
