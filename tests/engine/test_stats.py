"""Stats: what an engine tells about itself is what was done to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine import (
    BlockCache,
    Engine,
    Fault,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    SequenceNumber,
    StorageError,
    WriteBatch,
)

KEYS = [b"key%05d" % number for number in range(100)]


@pytest.fixture
def engine(disk: MemoryFileSystem) -> Iterator[Engine]:
    engine = open_engine(disk)
    yield engine
    engine.close()


def open_engine(disk: MemoryFileSystem, **options: Any) -> Engine:
    return Engine.open("/db", Options(block_bytes=256, **options), file_system=disk, executor=InlineExecutor())


def write(engine: Engine, keys: list[bytes], value: bytes = b"v" * 20) -> None:
    batch = WriteBatch()
    for key in keys:
        batch.put(key, value)
    engine.write(batch)


def test_written_bytes_are_those_of_keys_and_values(engine: Engine, disk: MemoryFileSystem) -> None:
    write(engine, KEYS)
    batch = WriteBatch()
    batch.delete(KEYS[0])
    engine.write(batch)

    stats = engine.stats()
    assert stats.written_bytes == 100 * (8 + 20) + 8
    (log,) = [path for path in disk.paths if path.endswith(".log")]
    assert stats.logged_bytes == len(disk.content(log))


def test_bytes_of_logs_that_are_gone_stay_counted(engine: Engine) -> None:
    write(engine, KEYS)
    before = engine.stats().logged_bytes
    engine.flush()

    assert before <= engine.stats().logged_bytes < before + 100
    write(engine, KEYS)
    assert engine.stats().logged_bytes > 2 * before - 100


def test_an_engine_without_a_log_logs_nothing(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk, own_log=False)
    engine.write(WriteBatch([(b"k", b"v")]), sequence=SequenceNumber(1))

    assert (engine.stats().written_bytes, engine.stats().logged_bytes) == (2, 0)


def test_what_is_replayed_counts_as_written_but_not_as_logged(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    write(engine, KEYS)
    engine.close()
    engine = open_engine(disk)

    assert (engine.stats().written_bytes, engine.stats().logged_bytes) == (2800, 0)


def test_write_amplification_is_what_went_to_disk_for_what_was_written(engine: Engine, disk: MemoryFileSystem) -> None:
    assert engine.stats().write_amplification == 0
    for _ in range(2):
        write(engine, KEYS)
        engine.flush()
    flushed = engine.stats()
    engine.compact()
    stats = engine.stats()

    (table,) = [path for path in disk.paths if path.endswith(".sst")]
    assert stats.table_bytes == stats.compacted_bytes == disk.size(table)
    assert stats.flushed_bytes == flushed.table_bytes
    assert (stats.flushes, stats.compactions) == (2, 1)
    to_disk = stats.logged_bytes + stats.flushed_bytes + stats.compacted_bytes
    assert stats.write_amplification == to_disk / 5600


def test_space_amplification_is_one_when_everything_is_in_one_level(engine: Engine) -> None:
    assert engine.stats().space_amplification == 1
    write(engine, KEYS)
    engine.compact()
    assert engine.stats().space_amplification == 1

    write(engine, KEYS)
    engine.flush()

    assert engine.stats().space_amplification == pytest.approx(2, rel=0.01)
    engine.compact()
    assert engine.stats().space_amplification == 1
    assert engine.stats().tables == 1


def test_levels_tell_their_tombstones(engine: Engine) -> None:
    write(engine, KEYS)
    engine.compact()
    batch = WriteBatch()
    batch.delete(KEYS[0])
    engine.write(batch)
    engine.flush()

    level0, level1, *_ = engine.stats().levels
    assert (level0.records, level0.tombstones) == (1, 1)
    assert (level1.records, level1.tombstones) == (100, 0)


@pytest.mark.parametrize("row_cache_bytes_max", [0, 1 << 20])
def test_gets_are_counted_once_where_they_are_answered(disk: MemoryFileSystem, row_cache_bytes_max: int) -> None:
    """100 keys in tables, of which each is read three times, and one in the memtable."""
    engine = open_engine(disk, row_cache_bytes_max=row_cache_bytes_max)
    write(engine, KEYS[:50])
    engine.compact()
    write(engine, KEYS[50:])
    engine.flush()
    write(engine, [b"recent"])
    for _ in range(2):
        for key in KEYS:
            engine.get(key)
    engine.multi_get(KEYS)
    engine.get(b"recent")

    stats = engine.stats()
    rows = row_cache_bytes_max > 0
    assert (stats.row_cache.hits, stats.row_cache.misses) == ((200, stats.lookups.filters_passed) if rows else (0, 0))
    assert stats.lookups.gets == (100 if rows else 300)
    # The newer half is found by the first filter, the older one by the second.
    assert stats.lookups.filters_asked == stats.lookups.gets * 3 / 2
    assert stats.lookups.filters_passed == stats.lookups.gets + stats.lookups.false_positives < 310
    blocks = stats.block_cache
    assert blocks is not None
    assert blocks.hits + blocks.misses == stats.lookups.filters_passed
    assert 0 < blocks.misses < 30
    assert blocks.hit_share == blocks.hits / stats.lookups.filters_passed


def test_absent_keys_are_kept_out_by_filters(engine: Engine) -> None:
    write(engine, KEYS)
    engine.flush()
    for number in range(1000):
        assert engine.get(b"key%05dx%d" % (number % 99, number)) is None

    lookups = engine.stats().lookups
    in_vain = lookups.false_positives
    assert lookups.gets == lookups.filters_asked == 1000
    assert lookups.filters_passed == in_vain
    assert lookups.false_positive_share == in_vain / 1000 < 0.05


def test_lookups_stay_counted_when_tables_change(engine: Engine) -> None:
    for _ in range(3):
        write(engine, KEYS)
        engine.flush()
        engine.get(b"key00000x")
    engine.compact()
    engine.get(b"key00000x")

    assert engine.stats().lookups.gets == 4
    assert engine.stats().lookups.filters_asked == 1 + 2 + 3 + 1


def test_a_cache_that_others_may_share_tells_of_itself(disk: MemoryFileSystem) -> None:
    cache = BlockCache(1 << 20)
    engines = [
        Engine.open(f"/db{number}", file_system=disk, executor=InlineExecutor(), cache=cache) for number in range(2)
    ]
    for engine in engines:
        write(engine, KEYS)
        engine.flush()
        engine.get(KEYS[0])

    assert engines[0].stats().block_cache is None
    assert "block cache" not in str(engines[0].stats())
    stats = cache.stats()
    assert (stats.misses, stats.index_loads, stats.bytes_max) == (2, 2, 1 << 20)
    assert stats.index_bytes > 0 < stats.byte_size


def test_a_snapshot_counts_too(engine: Engine) -> None:
    write(engine, KEYS)
    engine.flush()
    with engine.snapshot() as snapshot:
        assert engine.stats().snapshots == 1
        snapshot.get(KEYS[0])

    assert engine.stats().lookups.gets == 1


def test_it_is_one_screen_for_a_human(engine: Engine, disk: MemoryFileSystem) -> None:
    for _ in range(2):
        write(engine, KEYS)
        engine.flush()
        engine.compact()
    write(engine, KEYS)
    engine.flush()
    engine.multi_get(KEYS)
    engine.multi_get(KEYS)
    text = str(engine.stats())
    lines = text.splitlines()

    assert len(lines) <= 24
    assert max(map(len, lines)) <= 120
    assert lines[0] == "sequence    3 applied, 3 flushed"
    assert [line.split()[1] for line in lines if line.startswith("level")] == ["0", "1"]
    assert "100 hits, " in text
    assert "CLOSED" not in text
    disk.faults.append(Fault("write", StorageError("/db/x", 5, "Input/output error")))
    with pytest.raises(StorageError):
        write(engine, KEYS)
    assert str(engine.stats()).startswith("CLOSED      to writes: /db/x: Input/output error")
