"""Deleted ranges: atomic, durable, newer than all before and older than all after; and the space is given back."""

import random

import pytest

from engine import (
    Engine,
    Fault,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    StorageFullError,
    WriteBatch,
)
from engine.memtable import Memtable
from engine.record import SequenceNumber
from tests.models import ModelMap

OPTIONS = Options(
    memtable_bytes_max=4096, table_bytes_max=4096, level1_bytes_max=8192, level_bytes_ratio=2, level0_tables_compact=2
)
KEYS = [b"%04d" % number for number in range(300)]


def open_engine(disk: MemoryFileSystem, options: Options = OPTIONS) -> Engine:
    return Engine.open("/db", options, file_system=disk, executor=InlineExecutor())


def filled(disk: MemoryFileSystem) -> Engine:
    engine = open_engine(disk)
    for key in KEYS:
        engine.write(WriteBatch([(key, b"v" * 60)]), sync=False)
    return engine


def delete(engine: Engine, start: bytes, end: bytes | None, **after: bytes) -> None:
    batch = WriteBatch()
    batch.delete_range(start, end)
    for key, value in after.items():
        batch.put(key.encode(), value)
    engine.write(batch)


def keys(engine: Engine) -> list[bytes]:
    return [key for key, _ in engine.scan()]


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(
    ("start", "end"),
    [(b"", None), (b"0100", b"0200"), (b"", b"0001"), (b"0299", None), (b"01", b"0100x"), (b"9", None)],
)
def test_what_is_between_the_bounds_is_gone_and_nothing_else(start: bytes, end: bytes | None, settled: bool) -> None:
    engine = filled(MemoryFileSystem())
    delete(engine, start, end)
    if settled:
        engine.flush()

    left = [key for key in KEYS if not (start <= key and (end is None or key < end))]
    assert keys(engine) == left
    assert [key for key, value in zip(KEYS, engine.multi_get(KEYS), strict=True) if value] == left
    assert [key for key in KEYS if engine.get(key)] == left
    assert [key for key, _ in engine.scan(reverse=True)] == left[::-1]


def test_a_flush_gives_the_space_back() -> None:
    engine = filled(MemoryFileSystem())
    engine.compact()
    before = sum(level.byte_size for level in engine.stats().levels)

    delete(engine, b"0003", b"0297")
    engine.flush()

    assert sum(level.records for level in engine.stats().levels) == 6
    assert sum(level.byte_size for level in engine.stats().levels) < before / 5


def test_what_is_put_with_it_or_after_it_stays() -> None:
    engine = filled(MemoryFileSystem())
    delete(engine, b"", None, fresh=b"1")
    engine.write(WriteBatch([(b"0005", b"again")]))
    for _ in range(2):
        assert list(engine.scan()) == [(b"0005", b"again"), (b"fresh", b"1")]
        engine.flush()


def test_a_snapshot_from_before_still_has_it_all() -> None:
    engine = filled(MemoryFileSystem())
    with engine.snapshot() as before:
        delete(engine, b"", None)
        engine.flush()
        with engine.snapshot() as after:
            assert list(after.scan()) == []
        assert [key for key, _ in before.scan()] == KEYS
        assert before.get(KEYS[7]) is not None


@pytest.mark.parametrize("own_log", [True, False])
def test_it_survives_a_crash(own_log: bool) -> None:
    disk = MemoryFileSystem()
    engine = filled(disk)
    engine.compact()
    delete(engine, b"0001", None)
    if not own_log:
        engine.flush()

    disk.restart()

    assert keys(open_engine(disk)) == [b"0000"]


def test_a_cached_row_is_not_seen_behind_it() -> None:
    engine = open_engine(MemoryFileSystem(), Options(memtable_bytes_max=4096, row_cache_bytes_max=1 << 16))
    engine.write(WriteBatch([(b"a", b"1"), (b"b", b"2")]))
    engine.flush()
    assert engine.get(b"a") == b"1"

    delete(engine, b"a", b"b")
    assert engine.get(b"a") is None
    engine.flush()
    assert engine.get(b"a") is None
    assert engine.get(b"b") == b"2"


def test_a_full_disk_only_delays_it() -> None:
    disk = MemoryFileSystem()
    engine = filled(disk)
    engine.compact()
    delete(engine, b"0001", None)
    disk.faults.append(
        Fault("write", StorageFullError("/db", 28, "no space left on device"), suffix=".sst", times=None)
    )
    with pytest.raises(StorageFullError):
        engine.flush()
    assert keys(engine) == [b"0000"]

    disk.faults.clear()
    engine.flush()

    assert keys(engine) == [b"0000"]
    assert sum(level.records for level in engine.stats().levels) == 1


def test_ranges_that_touch_become_one() -> None:
    memtable = Memtable(SequenceNumber(0))
    for number, (start, end) in enumerate(
        [(b"c", b"d"), (b"a", b"b"), (b"b", b"c"), (b"x", None), (b"y", b"z"), (b"e", b"f")]
    ):
        batch = WriteBatch()
        batch.delete_range(start, end)
        memtable = memtable.after(batch, SequenceNumber(number))

    assert memtable.ranges == ((b"a", b"d"), (b"e", b"f"), (b"x", None))


@pytest.mark.parametrize("seed", range(8))
def test_as_a_model_does_with_threads(seed: int) -> None:
    """Flushes and compactions run beside it, in real threads."""
    rng = random.Random(seed)
    model, engine = ModelMap(), Engine.open("/db", OPTIONS, file_system=MemoryFileSystem())
    for step in range(300):
        batch = WriteBatch()
        if rng.random() < 0.1:
            start = rng.choice(KEYS)
            batch.delete_range(start, rng.choice([None, *[key for key in KEYS if key > start]]))
        for key in rng.sample(KEYS, 4):
            batch.put(key, b"%d" % step * 30)
        engine.write(batch, sync=False)
        model.write(batch)
        if step % 50 == 0:
            engine.ingest([(key, b"i%d" % step) for key in KEYS[step % 7 :: 11]])
            model.apply([(key, b"i%d" % step) for key in KEYS[step % 7 :: 11]])
        if step % 17 == 0:
            assert list(engine.scan()) == model.scan()
    engine.compact()
    assert list(engine.scan()) == model.scan()
    engine.close()
