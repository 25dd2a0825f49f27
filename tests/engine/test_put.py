"""Engine.put: a write of one, whether it goes its own short way or is left to `write`."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pytest

from engine import (
    ClosedError,
    Engine,
    EngineError,
    Fault,
    InvalidBatchError,
    MemoryFileSystem,
    Options,
    StallError,
    StorageError,
    StorageFullError,
    WriteBatch,
)
from engine.memtable import RECORD_BYTES, Memtable
from engine.record import Expiring
from engine.writer import Writer
from tests.engine.small import batch, open_engine
from tests.engine.test_background import OnlyFlushes

FULL = StorageFullError("/db/x", 28, "No space left on device")
FAILED = StorageError("/db/x", 5, "Input/output error")


class Put(Protocol):
    def __call__(self, engine: Engine, key: bytes, value: bytes, *, sync: bool = True) -> int: ...


def put_alone(engine: Engine, key: bytes, value: bytes, *, sync: bool = True) -> int:
    return engine.put(key, value, sync=sync)


def put_by_write(engine: Engine, key: bytes, value: bytes, *, sync: bool = True) -> int:
    """What might have to be held back is left to `write`; here nothing is."""
    before, engine._backpressure.is_slowing = engine._backpressure.is_slowing, True
    try:
        return engine.put(key, value, sync=sync)
    finally:
        engine._backpressure.is_slowing = before


@pytest.fixture(params=[put_alone, put_by_write])
def put(request: pytest.FixtureRequest) -> Put:
    """Every promise is kept on both ways."""
    way: Put = request.param
    return way


@pytest.fixture
def engine(disk: MemoryFileSystem) -> Iterator[Engine]:
    engine = open_engine(disk)
    yield engine
    engine.close()


def test_there_are_two_ways(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[list[WriteBatch]] = []
    commit = Writer.commit

    def note(self: Writer, batches: list[WriteBatch], sync: bool) -> Any:
        commits.append(batches)
        return commit(self, batches, sync)

    monkeypatch.setattr(Writer, "commit", note)
    put_alone(engine, b"a", b"1")
    assert not commits
    put_by_write(engine, b"b", b"2")
    assert [dict(batch.items()) for (batch,) in commits] == [{b"b": b"2"}]


def test_a_put_is_a_write_of_one(disk: MemoryFileSystem, put: Put) -> None:
    """Through memtables and tables, in any mixture with batches, and again after it was opened anew."""
    engine = open_engine(disk)
    content = {}
    for number in range(400):
        key, value = b"%03d" % (number * 7 % 200), b"%d" % number * 20
        if number % 3:
            sequence = put(engine, key, value, sync=False)
        else:
            sequence = engine.write(batch((key, value)), sync=False)
        assert sequence == number + 1 == engine.applied_sequence
        content[key] = value
        assert engine.get(key) == value
    assert engine.stats().flushes > 1
    assert engine.stats().written_bytes == sum(3 + 20 * len(b"%d" % number) for number in range(400))
    engine.close()

    reopened = open_engine(disk)
    assert dict(reopened.scan()) == content
    reopened.close()


def test_both_ways_leave_the_same_log() -> None:
    logs = []
    for put in (put_alone, put_by_write):
        disk = MemoryFileSystem()
        engine = open_engine(disk)
        for number in range(20):
            put(engine, b"%d" % number, b"v" * number, sync=number % 5 == 0)
        logs.append({path: disk.content(path) for path in disk.paths if path.endswith(".log")})
        engine.close()

    assert logs[0] == logs[1]
    assert logs[0]


def test_a_synced_put_survives_the_loss_of_power(disk: MemoryFileSystem, put: Put) -> None:
    engine = open_engine(disk)
    put(engine, b"a", b"1")
    put(engine, b"b", b"2", sync=False)

    disk.restart()

    reopened = open_engine(disk)
    assert reopened.get(b"a") == b"1"
    reopened.close()


def test_a_put_is_not_there_before_it_is_durable(disk: MemoryFileSystem, put: Put) -> None:
    engine = open_engine(disk)
    seen: list[bytes | None] = []
    disk.on_sync = lambda path: seen.append(engine.get(b"a"))

    put(engine, b"a", b"1")

    disk.on_sync = lambda path: None
    assert seen == [None]
    assert engine.get(b"a") == b"1"
    engine.close()


def test_a_put_comes_after_a_deleted_range_and_stays_out_of_a_snapshot(engine: Engine, put: Put) -> None:
    put(engine, b"a", b"1")
    engine.flush()
    deleted = WriteBatch()
    deleted.delete_range(b"a", b"z")
    engine.write(deleted)
    put(engine, b"b", b"2")

    with engine.snapshot() as snapshot:
        put(engine, b"a", b"3")
        put(engine, b"b", b"3")
        assert list(snapshot.scan()) == [(b"b", b"2")]

    assert list(engine.scan()) == [(b"a", b"3"), (b"b", b"3")]
    engine.flush()
    assert list(engine.scan()) == [(b"a", b"3"), (b"b", b"3")]


def test_a_put_takes_the_place_of_a_cached_row_and_of_a_value_that_expires(disk: MemoryFileSystem, put: Put) -> None:
    engine = open_engine(disk, row_cache_bytes_max=1 << 20)
    expiring = WriteBatch()
    expiring.put(b"a", b"1")
    expiring.put(b"b", b"1", expires_ms=10)
    engine.write(expiring)
    engine.flush()
    assert (engine.get(b"a"), engine.get(b"b")) == (b"1", b"1")

    put(engine, b"a", b"2")
    put(engine, b"b", b"2")
    engine.advance_clock(20)

    assert engine.multi_get([b"a", b"b"]) == [b"2", b"2"]
    engine.flush()
    assert engine.multi_get([b"a", b"b"]) == [b"2", b"2"]
    engine.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"", b""), ("a", b""), (b"a", "b"), (b"a", None), (b"a" * 65537, b""), (b"a", Expiring.at(1, b""))],
)
def test_a_bad_put_is_refused(engine: Engine, put: Put, key: Any, value: Any) -> None:
    with pytest.raises(EngineError, match=r"a (key|value) "):
        put(engine, key, value)
    assert engine.applied_sequence == 0


def test_a_put_needs_a_log(disk: MemoryFileSystem, put: Put) -> None:
    engine = open_engine(disk, own_log=False)

    with pytest.raises(InvalidBatchError, match="without a log"):
        put(engine, b"a", b"1")

    assert (engine.applied_sequence, engine.get(b"a")) == (0, None)
    engine.close()


def test_a_put_on_a_full_disk_is_refused_and_the_next_is_not(disk: MemoryFileSystem, put: Put) -> None:
    engine = open_engine(disk)
    disk.faults.append(Fault("write", FULL, ".log", keep=0.5))

    with pytest.raises(StorageFullError):
        put(engine, b"a", b"1")

    assert engine.get(b"a") is None
    assert put(engine, b"b", b"2") == 1
    engine.close()
    reopened = open_engine(disk)
    assert list(reopened.scan()) == [(b"b", b"2")]
    reopened.close()


def test_a_put_is_refused_while_space_is_only_for_deletes(disk: MemoryFileSystem, put: Put) -> None:
    engine = open_engine(disk, reserve_bytes=64 << 10)
    put(engine, b"a", b"1")
    disk.faults.append(Fault("write", FULL, ".log"))
    # It gives the reserve up; there is no room to hold it again.
    engine.write(batch((b"a", None)))
    disk.faults.append(Fault("write", FULL, "RESERVE", times=None))

    with pytest.raises(StorageFullError, match="anything but deletes"):
        put(engine, b"b", b"2")
    disk.faults.clear()

    assert put(engine, b"b", b"2") == 3
    engine.close()


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_put_that_fails_closes_the_engine_to_writes(disk: MemoryFileSystem, put: Put, operation: str) -> None:
    engine = open_engine(disk)
    put(engine, b"a", b"1")
    disk.faults.append(Fault(operation, FAILED, ".log"))

    with pytest.raises(StorageError):
        put(engine, b"b", b"2")

    with pytest.raises(EngineError, match="closed to writes"):
        put(engine, b"c", b"3")
    assert (engine.get(b"a"), engine.get(b"b"), engine.get(b"c")) == (b"1", None, None)
    engine.close()
    with pytest.raises(ClosedError):
        put(engine, b"c", b"3")


def test_an_interrupted_put_gives_no_sequence_twice(
    disk: MemoryFileSystem, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes of one sequence in a log are damage."""
    engine = open_engine(disk)
    put(engine, b"a", b"1")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Memtable, "put", interrupt)
        patch.setattr(Memtable, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            put(engine, b"b", b"1")
    assert put(engine, b"c", b"1") == 2
    engine.close()

    engine = open_engine(disk)
    assert list(engine.scan()) == [(b"a", b"1"), (b"c", b"1")]
    assert put(engine, b"c", b"1") == 3
    engine.close()


def test_a_put_is_held_back_as_a_write_is(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(engine._backpressure, "slow_down", held.append)

    put_alone(engine, b"a", b"123")
    put_by_write(engine, b"a", b"123")

    assert held == [4 + RECORD_BYTES]


def test_puts_stop_when_compaction_is_behind(disk: MemoryFileSystem, put: Put) -> None:
    options = Options(memtable_bytes_max=8192, stall_seconds_max=0, level0_tables_max=7)
    engine = Engine.open("/db", options, file_system=disk, executor=OnlyFlushes())

    def put_many() -> None:
        for number in range(100_000):
            put(engine, b"%06d" % number, b"v" * 100, sync=False)

    with pytest.raises(StallError, match="level 0 has 7 tables"):
        put_many()

    assert engine.stats().stalls == 1
    engine.close()


def test_a_put_joins_those_who_write_already(disk: MemoryFileSystem, put: Put) -> None:
    """While one sync runs all that arrive gather for the next one."""
    engine = Engine.open("/db", file_system=disk)
    syncing, proceed = threading.Event(), threading.Event()
    syncs: list[str] = []

    def pause(path: str) -> None:
        syncs.append(path)
        syncing.set()
        assert proceed.wait(30)

    disk.on_sync = pause
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(put, engine, b"first", b"1")
        assert syncing.wait(30)
        others = [pool.submit(put, engine, b"%d" % number, b"1") for number in range(5)]
        while len(engine._waiting) < 5:
            threading.Event().wait(0.001)
        proceed.set()
        sequences = [write.result(30) for write in (first, *others)]

    assert len(syncs) == 2
    assert sorted(sequences) == list(range(1, 7))
    assert len(list(engine.scan())) == 6
    disk.on_sync = lambda path: None
    engine.close()


@pytest.mark.usefixtures("quick_switches")
def test_puts_and_writes_of_many_threads_get_each_their_own_sequence(tmp_path: Path) -> None:
    options = Options(memtable_bytes_max=64 << 10, worker_process=False)
    engine = Engine.open(str(tmp_path), options)

    def write(thread: int) -> list[int]:
        sequences: list[int] = []
        for number in range(300):
            key, value = b"%d-%d" % (thread, number), b"v" * 100
            if thread % 2:
                sequences.append(engine.put(key, value, sync=False))
            else:
                sequences.append(engine.write(batch((key, value)), sync=False))
        return sequences

    with ThreadPoolExecutor(4) as pool:
        given = [result.result(60) for result in [pool.submit(write, thread) for thread in range(4)]]
    expected = sorted(b"%d-%d" % (thread, number) for thread in range(4) for number in range(300))
    assert all(sequences == sorted(sequences) for sequences in given)
    assert sorted(chain.from_iterable(given)) == list(range(1, 1201))
    assert [key for key, _ in engine.scan()] == expected
    engine.close()

    reopened = Engine.open(str(tmp_path), options)
    assert reopened.applied_sequence == 1200
    assert [key for key, _ in reopened.scan()] == expected
    reopened.close()
