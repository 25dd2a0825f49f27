"""Totals over engines: sums of what is held now, and counters that never fall."""

from engine import BlockCache, Engine, InlineExecutor, MemoryFileSystem, Options, SequenceNumber, WriteBatch
from raftgroups.enginetotals import EngineTotals, cache_statistics


def open_engine(disk: MemoryFileSystem, name: str, cache: BlockCache) -> Engine:
    return Engine.open(name, Options(own_log=False), file_system=disk, cache=cache, executor=InlineExecutor())


def fill(engine: Engine, count: int) -> None:
    """Of each pair 105 bytes, in one table."""
    pairs = [(b"%05d" % number, bytes(100)) for number in range(count)]
    engine.write(WriteBatch(pairs), sequence=SequenceNumber(engine.applied_sequence + 1))
    engine.flush()
    engine.multi_get([key for key, _ in pairs])


def test_what_engines_hold_and_did_adds_up() -> None:
    disk, cache = MemoryFileSystem(), BlockCache(1 << 20)
    first, second = open_engine(disk, "/1", cache), open_engine(disk, "/2", cache)
    fill(first, 10)
    fill(second, 20)

    found = EngineTotals().statistics([first, second])

    assert found["engine_tables"] == found["engine_level0_tables"] == found["engine_flushes_total"] == 2
    assert found["engine_records"] == found["engine_lookups_total"] == 30
    assert found["engine_written_bytes_total"] == 30 * 105
    assert found["engine_table_bytes"] == first.stats().table_bytes + second.stats().table_bytes
    assert found["engines_stalled"] == found["engines_closed_to_writes"] == found["engine_pressure_max"] == 0


def test_counters_never_fall() -> None:
    disk, cache = MemoryFileSystem(), BlockCache(1 << 20)
    totals = EngineTotals()
    first, second = open_engine(disk, "/1", cache), open_engine(disk, "/2", cache)
    fill(first, 10)
    fill(second, 20)
    before = totals.statistics([first, second])
    first.close()

    without = totals.statistics([second])
    assert {name: without[name] for name in without if name.endswith("_total")} == {
        name: before[name] for name in before if name.endswith("_total")
    }
    assert without["engine_records"] == 20
    assert totals.statistics([second]) == without
    first = open_engine(disk, "/1", cache)
    fill(first, 5)

    again = totals.statistics([first, second])
    assert again["engine_written_bytes_total"] == 35 * 105
    assert again["engine_flushes_total"] == 3


def test_without_engines_all_is_there_and_nothing() -> None:
    found = EngineTotals().statistics([])

    assert set(found.values()) == {0}
    assert found.keys() == EngineTotals().statistics([open_engine(MemoryFileSystem(), "/1", BlockCache(0))]).keys()


def test_a_shared_cache_is_told_of_once() -> None:
    disk, cache = MemoryFileSystem(), BlockCache(1 << 20)
    first, second = open_engine(disk, "/1", cache), open_engine(disk, "/2", cache)
    fill(first, 10)
    fill(second, 20)

    found = cache_statistics(cache)

    assert found["cache_misses_total"] == 2
    assert found["cache_hits_total"] == 28
    assert found["cache_bytes"] == cache.byte_size
    assert found["cache_bytes_max"] == 1 << 20
    assert found["cache_index_loads_total"] == 2
    assert found["cache_index_bytes"] > 0
