"""Every tunable of the engine, with its unit, default and bounds."""

from dataclasses import dataclass
from typing import Any, Self

from engine.errors import InvalidOptionError

_KIB = 1 << 10
_MIB = 1 << 20
_GIB = 1 << 30

_BOUNDS: dict[str, tuple[float, float]] = {
    "memtable_bytes_max": (4 * _KIB, _GIB),
    "sealed_memtables_max": (1, 64),
    "cache_bytes_max": (0, 1 << 40),
    "row_cache_bytes_max": (0, 1 << 40),
    "block_bytes": (64, 48 * _KIB),
    "filter_bits_per_key": (1, 64),
    "table_bytes_max": (4 * _KIB, _GIB),
    "zstd_from_level": (0, 7),
    "zstd_compression_level": (-7, 19),
    "dictionary_bytes": (0, 64 * _KIB),
    "level0_tables_compact": (2, 64),
    "level0_tables_max": (2, 256),
    "level1_bytes_max": (4 * _KIB, 1 << 40),
    "level_bytes_ratio": (2, 64),
    "manifest_bytes_max": (256, _GIB),
    "reserve_bytes": (0, _GIB),
    "stall_seconds_max": (0, 3600),
    "debt_bytes_max": (4 * _KIB, 1 << 50),
    "compaction_bytes_per_second": (0, 1 << 40),
    "open_files_max": (0, 1 << 20),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an engine behaves; a store may be reopened with others.

    own_log                 keep a commit log; without it the caller gives sequences and keeps the log
    memtable_bytes_max      memory of one memtable, bookkeeping included; then it is sealed
    sealed_memtables_max    how many may wait for their flush before writes stall
    cache_bytes_max         memory for blocks, where no shared cache is given
    cache_indexes           have indexes and filters in this memory as well, up to three quarters of it: those
                            of tables not used lately are dropped, and read again; False: all are kept
    row_cache_bytes_max     memory for what gets have found in tables; 0: none is kept
    block_bytes             size of a block before compression, at which the next is begun
    filter_bits_per_key     memory and disk for Bloom filters: 12 let 1.2 % of absent keys through
    table_bytes_max         size at which compaction begins its next SSTable; 0: a quarter of level 1,
                            but 1 to 8 MiB
    zstd_from_level         the first level whose SSTables are written with zstd, not with LZ4; 7: none.
                            One that a compaction only moves down stays as it is
    zstd_compression_level  of zstd: a higher one makes smaller SSTables, and takes longer to read them
    dictionary_bytes        size of the dictionary that a compaction makes for zstd, for small values that
                            are alike: 16 KiB will do; 0: none
    level0_tables_compact   SSTables in level 0 from which they are compacted into level 1
    level0_tables_max       SSTables in level 0 from which writes stall; halfway there they become slower
    level1_bytes_max        size of level 1 ...; 0: four memtables
    level_bytes_ratio       ... and how much larger each level below it may be
    debt_bytes_max          what levels may hold beyond their limits, altogether, before writes stall; from
                            half of it on they become slower; 0: 64 memtables
    manifest_bytes_max      size of the manifest from which it is written anew
    reserve_bytes           disk space held back for deletes on a full disk, by an engine with its own log
    stall_seconds_max       how long a write waits for flush and compaction before StallError
    worker_process          flush and compact in a process of its own, which all engines of this one share,
                            where that pays and the store is on a real disk
    compaction_bytes_per_second
                            of tables that compaction writes, at most; 0: as many as it can
    open_files_max          how many tables are open at once; the others are opened when they are read.
                            0: all stores of the process share a quarter of the files it may open
    """

    own_log: bool = True
    memtable_bytes_max: int = 4 * _MIB
    sealed_memtables_max: int = 2
    cache_bytes_max: int = 32 * _MIB
    cache_indexes: bool = False
    row_cache_bytes_max: int = 8 * _MIB
    block_bytes: int = 4 * _KIB
    filter_bits_per_key: int = 12
    table_bytes_max: int = 0
    # Of JSON of 100 bytes zstd takes 9 % less space than LZ4, and 17 % with a dictionary, but 2 us more
    # for each block that is read: worth it where there is too much for the page cache. A level of 1 takes
    # 16 % less space, and 5 us more.
    zstd_from_level: int = 3
    zstd_compression_level: int = -1
    dictionary_bytes: int = 0
    level0_tables_compact: int = 6
    level0_tables_max: int = 18
    level1_bytes_max: int = 0
    level_bytes_ratio: int = 10
    debt_bytes_max: int = 0
    manifest_bytes_max: int = _MIB
    reserve_bytes: int = _MIB
    stall_seconds_max: float = 10.0
    worker_process: bool = True
    compaction_bytes_per_second: int = 0
    open_files_max: int = 0

    @classmethod
    def for_memory(cls, memory_bytes: int, **others: Any) -> Self:
        """Options for an engine that takes no more memory than this, worker process included; others may be given.

            32 MiB   the worker process, if there are 64 MiB or more; with less there is none
             8 MiB   what does not depend on the rest; 12 MiB without a worker

        Of what is left:

            1/4      four memtables, of at most 64 MiB: one active, two sealed, one on its way to the worker
            1/8      rows
            1/2      blocks, indexes and filters; and what memtables leave
            1/8      what is being read and written, and what the allocator loses

        All else follows from the size of a memtable. Not included are what the process takes without an
        engine, snapshots, and scans: at most half a memtable more for all that were begun since a write.
        Indexes and filters take 4 bytes for each record of 100 bytes, and may have three eighths: from
        there on some are dropped and read again. Measured by tests/benchmarks/engine_memory.py.

        Raises: InvalidOptionError, below 32 MiB.
        """
        if memory_bytes < 32 * _MIB:
            raise InvalidOptionError(f"memory_bytes is at least {32 * _MIB}, not {memory_bytes!r}")
        has_worker = memory_bytes >= 64 * _MIB
        left = memory_bytes - (40 if has_worker else 12) * _MIB
        memtable = min(left // 16, 64 * _MIB)
        sizes: dict[str, Any] = {
            "memtable_bytes_max": memtable,
            "cache_bytes_max": left * 3 // 4 - 4 * memtable,
            "cache_indexes": True,
            "row_cache_bytes_max": left // 8,
            "worker_process": has_worker,
        }
        return cls(**{**sizes, **others})

    def __post_init__(self) -> None:
        # Frozen for others; these are only made definite.
        if not self.level1_bytes_max:
            object.__setattr__(self, "level1_bytes_max", 4 * self.memtable_bytes_max)
        if not self.debt_bytes_max:
            object.__setattr__(self, "debt_bytes_max", 64 * self.memtable_bytes_max)
        if not self.table_bytes_max:
            object.__setattr__(self, "table_bytes_max", min(max(self.level1_bytes_max // 4, _MIB), 8 * _MIB))
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidOptionError(f"{name} is {low:g} to {high:g}, not {value!r}")
        if 0 < self.dictionary_bytes < _KIB:
            raise InvalidOptionError(f"dictionary_bytes is 0 or at least {_KIB}, not {self.dictionary_bytes}")
        if self.level0_tables_max < self.level0_tables_compact:
            raise InvalidOptionError("level0_tables_max is not less than level0_tables_compact")
