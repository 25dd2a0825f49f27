"""What the engines of a node's replicas hold, and have done, as sums by name: bytes, seconds and counts.

A name that ends in `_total` is a counter: it does not fall when a replica goes, and its engine with it. What that one
did after it was last asked is missing.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from weakref import ref

from engine import BlockCache, Engine, Stats

_GAUGES: dict[str, Callable[[Stats], float]] = {
    "engine_memtable_bytes": attrgetter("memtable_bytes"),
    "engine_memtable_records": attrgetter("memtable_records"),
    "engine_sealed_memtables": attrgetter("sealed_memtables"),
    "engine_tables": attrgetter("tables"),
    "engine_table_bytes": attrgetter("table_bytes"),
    "engine_lowest_level_bytes": attrgetter("lowest_level_bytes"),
    "engine_level0_tables": lambda stats: stats.levels[0].tables,
    "engine_records": lambda stats: sum(level.records for level in stats.levels),
    "engine_tombstones": lambda stats: sum(level.tombstones for level in stats.levels),
    "engine_snapshots": attrgetter("snapshots"),
    "engine_debt_bytes": attrgetter("debt_bytes"),
    "engines_stalled": attrgetter("is_stalled"),
    "engines_closed_to_writes": lambda stats: bool(stats.failure),
}
_COUNTERS: dict[str, Callable[[Stats], float]] = {
    "engine_written_bytes_total": attrgetter("written_bytes"),
    "engine_flushes_total": attrgetter("flushes"),
    "engine_flushed_bytes_total": attrgetter("flushed_bytes"),
    "engine_compactions_total": attrgetter("compactions"),
    "engine_compacted_bytes_total": attrgetter("compacted_bytes"),
    "engine_ingested_bytes_total": attrgetter("ingested_bytes"),
    "engine_lookups_total": attrgetter("lookups.gets"),
    "engine_filters_asked_total": attrgetter("lookups.filters_asked"),
    "engine_filters_passed_total": attrgetter("lookups.filters_passed"),
    "engine_filter_false_positives_total": attrgetter("lookups.false_positives"),
    "engine_stalls_total": attrgetter("stalls"),
    "engine_stalled_seconds_total": attrgetter("stalled_seconds"),
    "engine_slowdowns_total": attrgetter("slowdowns"),
    "engine_slowed_seconds_total": attrgetter("slowed_seconds"),
}


class EngineTotals:
    """Sums over engines that come and go."""

    def __init__(self) -> None:
        self._gone = dict.fromkeys(_COUNTERS, 0.0)
        self._seen: list[tuple[ref[Engine], Stats]] = []

    def statistics(self, engines: Iterable[Engine]) -> dict[str, float]:
        """By name, of these engines; the counters also of those that were asked before."""
        present = [(engine, engine.stats()) for engine in engines]
        stats = [each for _, each in present]
        for known, last in self._seen:
            if all(engine is not known() for engine, _ in present):
                for name, value_of in _COUNTERS.items():
                    self._gone[name] += value_of(last)
        self._seen = [(ref(engine), each) for engine, each in present]
        sums = {name: sum(map(value_of, stats)) for name, value_of in (_GAUGES | _COUNTERS).items()}
        sums["engine_pressure_max"] = max((each.pressure for each in stats), default=0.0)
        return {name: value + self._gone.get(name, 0.0) for name, value in sums.items()}


def cache_statistics(cache: BlockCache) -> dict[str, float]:
    """Of the cache that the engines share."""
    stats = cache.stats()
    return {
        "cache_bytes": stats.byte_size,
        "cache_bytes_max": stats.bytes_max,
        "cache_hits_total": stats.hits,
        "cache_misses_total": stats.misses,
        "cache_index_bytes": stats.index_bytes,
        "cache_index_loads_total": stats.index_loads,
    }
