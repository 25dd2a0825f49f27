"""What an engine tells about itself."""

from dataclasses import dataclass

from engine.record import SequenceNumber


@dataclass(frozen=True, slots=True)
class LevelStats:
    """One level: its tables, their bytes on disk, their records with tombstones."""

    tables: int
    byte_size: int
    records: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The state of an engine, and what it has done since it was opened.

    memtable_bytes     memory of the active memtable and the sealed ones
    cache_bytes        memory of the cache, which other engines may share
    flushed_bytes      of tables written by flushes
    compacted_bytes    of tables written by compactions
    snapshots          that are open
    stalls             writes that had to wait for flush or compaction
    failure            why the engine is closed to writes, "" if it is not
    """

    applied_sequence: SequenceNumber
    flushed_sequence: SequenceNumber
    memtable_bytes: int
    sealed_memtables: int
    levels: tuple[LevelStats, ...]
    cache_bytes: int
    flushes: int
    flushed_bytes: int
    compactions: int
    compacted_bytes: int
    snapshots: int
    stalls: int
    is_stalled: bool
    failure: str
