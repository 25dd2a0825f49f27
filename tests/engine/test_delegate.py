"""An engine's jobs in the worker process: the same tables as here, whatever becomes of the worker."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import (
    BlockCache,
    CorruptionError,
    Engine,
    FileSystem,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    OsFileSystem,
    ReadableFile,
    StorageError,
    StorageFullError,
    WriteBatch,
)
from engine.compaction import Compaction
from engine.delegate import Delegate
from engine.files import is_unfinished, table_name, unfinished_name
from engine.jobs import JobStoppedError, Workshop
from engine.memtable import Memtable
from engine.orders import encode_records
from engine.process import WorkerProcess
from tests.engine.test_engine import FAILED
from tests.engine.test_jobs import content, leveled, memtable
from tests.engine.test_process import DIES, pid, starter

# Large enough to be worth a process, and small enough to be quick.
MEMTABLE_BYTES = 1 << 20
RECORDS = 4000


def options(**others: Any) -> Options:
    return Options(memtable_bytes_max=4 * MEMTABLE_BYTES, table_bytes_max=1 << 16, level0_tables_compact=2, **others)


workers: list[WorkerProcess] = []


@pytest.fixture(autouse=True)
def own_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever engines other tests have left open."""
    workers.append(WorkerProcess())
    monkeypatch.setattr("engine.delegate.SHARED", workers[-1])
    yield
    workers.pop().end()


def shared() -> WorkerProcess:
    return workers[-1]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "db")


def fill(engine: Engine, value: bytes) -> None:
    """A memtable that the worker flushes."""
    batch = WriteBatch()
    for number in range(RECORDS):
        batch.put(b"%06d" % number, value * 100)
    engine.write(batch, sync=False)


def expected(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"%06d" % number, value * 100) for number in range(RECORDS)]


def content_of(path: str) -> list[tuple[bytes, bytes]]:
    engine = Engine.open(path, options(worker_process=False))
    try:
        return list(engine.scan())
    finally:
        engine.close()


def tables(path: str) -> list[str]:
    return [f"{path}/{name}" for name in os.listdir(path) if name.endswith(".sst")]


def unfinished(path: str) -> list[str]:
    return [name for name in os.listdir(path) if is_unfinished(name)]


def until(claim: Callable[[], object]) -> None:
    """Wait for another process; the test's timeout bounds it."""
    while not claim():
        time.sleep(0.005)


def start_compaction(path: str, **others: object) -> Engine:
    """An engine whose worker waits in the middle of a compaction, for hours."""
    engine = Engine.open(path, options(compaction_bytes_per_second=1, **others))
    for value in (b"1", b"2"):
        fill(engine, value)
        engine.flush()
    until(lambda: unfinished(path))
    return engine


@pytest.mark.parametrize("in_worker", [False, True])
def test_flush_and_compaction_keep_everything(path: str, in_worker: bool) -> None:
    engine = Engine.open(path, options(worker_process=in_worker))
    for value in (b"1", b"2"):
        fill(engine, value)
        engine.flush()
    engine.compact()

    assert (shared().pid is not None) == in_worker
    assert list(engine.scan()) == expected(b"2")
    assert engine.get(b"000001", wait=False) == b"2" * 100, "an index is in memory"
    stats = engine.stats()
    assert (stats.flushes, stats.compactions) == (2, 1)
    engine.close()
    assert shared().pid is None
    assert unfinished(path) == []
    assert content_of(path) == expected(b"2")


def test_small_jobs_are_done_here(path: str) -> None:
    engine = Engine.open(path, options())
    for value in (b"1", b"2"):
        batch = WriteBatch()
        batch.put(b"a", value)
        engine.write(batch)
        engine.flush()
    engine.compact()

    assert shared().pid is None
    engine.close()


class OtherFileSystem(OsFileSystem):
    """Whatever it does differently, the worker would not."""


@pytest.mark.parametrize(
    ("file_system", "executor"),
    [(MemoryFileSystem(), None), (OtherFileSystem(), None), (OsFileSystem(), InlineExecutor())],
)
def test_where_the_worker_would_do_something_else_there_is_none(
    path: str, file_system: FileSystem, executor: Executor | None
) -> None:
    engine = Engine.open(path, options(), file_system=file_system, executor=executor)
    for value in (b"1", b"2"):
        fill(engine, value)
        engine.flush()
    engine.compact()

    assert shared().pid is None
    assert list(engine.scan()) == expected(b"2")
    engine.close()


def test_many_engines_share_a_worker(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        engines = [Engine.open(str(tmp_path / f"{n}"), options(own_log=True), executor=executor) for n in range(16)]
        pids = set()
        for number, engine in enumerate(engines):
            fill(engine, b"%d" % (number % 10))
            engine.request_flush()
        for engine in engines:
            engine.flush()
            pids.add(shared().pid)
        for engine in engines:
            engine.close()

    assert len(pids) == 1
    assert pids != {None}
    assert shared().pid is None


def test_a_worker_killed_in_the_middle_does_no_harm(path: str) -> None:
    """Another one begins the compaction again, and what the first has made is gone."""
    engine = start_compaction(path)
    first, (half_made,) = pid(shared()), unfinished(path)

    os.kill(first, signal.SIGKILL)
    until(lambda: unfinished(path) not in ([], [half_made]))

    assert shared().pid != first
    assert len(unfinished(path)) == 1
    assert list(engine.scan()) == expected(b"2")
    engine.close()
    assert unfinished(path) == []
    assert content_of(path) == expected(b"2")


def test_a_flush_whose_worker_is_killed_is_done_again(path: str) -> None:
    engine = Engine.open(path, options())
    fill(engine, b"1")
    engine.flush()
    first = pid(shared())
    os.kill(first, signal.SIGSTOP)
    fill(engine, b"2")
    engine.request_flush()

    os.kill(first, signal.SIGKILL)
    engine.flush()

    assert engine.stats().flushes == 2
    assert shared().pid != first
    assert list(engine.scan()) == expected(b"2")
    engine.close()


def test_an_engine_is_closed_in_the_middle_of_a_compaction(path: str) -> None:
    engine = start_compaction(path)

    engine.close()

    assert shared().pid is None
    assert unfinished(path) == []
    assert content_of(path) == expected(b"2")


def test_the_pace_holds_here_as_well(path: str) -> None:
    """A compaction in this process waits in its thread, and ends when the engine is closed."""
    engine = Engine.open(path, options(compaction_bytes_per_second=1, worker_process=False))
    for value in (b"1", b"2"):
        fill(engine, value)
        engine.flush()
    until(lambda: len(tables(path)) == 3)

    engine.close()

    assert len(tables(path)) == 2
    assert content_of(path) == expected(b"2")


def test_a_full_disk_met_by_the_worker_is_tried_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, as far as the worker can tell: its file is a device that is always full."""
    engine = Engine.open(path, replace(options(), reserve_bytes=0))
    fill(engine, b"1")
    token = "0" * 16
    monkeypatch.setattr(secrets, "token_hex", lambda _: token)
    os.symlink("/dev/full", f"{path}/{unfinished_name(token, 1)}")

    with pytest.raises(StorageFullError):
        engine.flush()

    was_full, left = engine.is_full, unfinished(path)
    engine.flush()
    assert (was_full, left, engine.is_full) == (True, [], False)
    assert list(engine.scan()) == expected(b"1")
    engine.close()


def test_damage_met_by_the_worker_closes_the_engine_to_writes(path: str) -> None:
    engine = Engine.open(path, options())
    fill(engine, b"1")
    engine.flush()
    (table,) = tables(path)
    with open(table, "r+b") as file:
        file.seek(1000)
        file.write(b"damage")

    fill(engine, b"2")
    with pytest.raises(CorruptionError, match=table):
        engine.compact()

    assert shared().pid is not None
    with pytest.raises(CorruptionError, match="closed to writes"):
        fill(engine, b"3")
    assert engine.get(b"000001") == b"2" * 100
    assert unfinished(path) == []
    engine.close()


def make_workshop(path: str, file_system: OsFileSystem) -> Workshop:
    os.makedirs(path)
    numbers = iter(range(1, 1000))
    return Workshop(file_system, path, Options(), BlockCache(0), lambda: next(numbers), lambda: None)


def large_memtable() -> Memtable:
    return memtable({b"%06d" % number: b"v" * 300 for number in range(2 * RECORDS)})


def flush_with(worker: WorkerProcess, path: str, file_system: OsFileSystem) -> dict[bytes, bytes | None]:
    delegate = Delegate(make_workshop(path, file_system), worker)
    try:
        return content(delegate.flush(large_memtable()))
    finally:
        delegate.close()


@pytest.mark.parametrize("command", [DIES, ["/nowhere"]])
def test_without_a_worker_that_lives_jobs_are_done_here(path: str, command: list[str]) -> None:
    started: list[socket.socket] = []

    def start(connection: socket.socket) -> "subprocess.Popen[bytes]":
        started.append(connection)
        return starter(command)(connection)

    assert flush_with(WorkerProcess(start), path, OsFileSystem()) == large_memtable().records
    assert len(started) == 2
    assert os.listdir(path) == [table_name(1)]


class Failing(OsFileSystem):
    """A disk on which one kind of operation fails, in this process alone."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def _fail(self, operation: str) -> None:
        if operation == self.operation:
            raise FAILED

    def rename(self, source: str, target: str) -> None:
        self._fail("rename")
        super().rename(source, target)

    def open_read(self, path: str) -> ReadableFile:
        self._fail("open_read")
        return super().open_read(path)

    def sync_directory(self, path: str) -> None:
        self._fail("sync_directory")
        super().sync_directory(path)


@pytest.mark.parametrize("operation", ["rename", "open_read", "sync_directory"])
def test_tables_that_cannot_be_taken_over_are_removed(path: str, operation: str) -> None:
    with pytest.raises(StorageError):
        flush_with(WorkerProcess(), path, Failing(operation))

    assert os.listdir(path) == []


def test_a_table_that_is_gone_when_it_is_taken_over_is_an_error(path: str) -> None:
    class Losing(OsFileSystem):
        def rename(self, source: str, target: str) -> None:
            self.remove(source)
            super().rename(source, target)

    with pytest.raises(StorageError, match="No such file"):
        flush_with(WorkerProcess(), path, Losing())

    assert os.listdir(path) == []


def test_a_job_is_not_given_to_a_worker_once_it_is_to_stop(path: str) -> None:
    """It may be told so just after it was begun."""

    def stop() -> None:
        raise JobStoppedError

    worker = WorkerProcess()
    delegate = Delegate(replace(make_workshop(path, OsFileSystem()), check=stop), worker)

    with pytest.raises(JobStoppedError):
        delegate.flush(large_memtable())

    delegate.close()
    assert os.listdir(path) == []


def test_a_flush_that_fails_here_is_ended_there(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or compactions would give way to it for ever."""

    def fail(_: Memtable) -> Iterator[bytes]:
        yield from encode_records(memtable({b"a": b"1"}))
        raise MemoryError

    worker = WorkerProcess()
    delegate = Delegate(make_workshop(path, OsFileSystem()), worker)
    tables = delegate.flush(large_memtable()) + delegate.flush(large_memtable())
    monkeypatch.setattr("engine.delegate.encode_records", fail)
    with pytest.raises(MemoryError):
        delegate.flush(large_memtable())
    first = worker.pid

    version = leveled({0: tables})
    readers = {reader.table.number: reader for reader in tables}
    merged = delegate.compact(Compaction(0, version.levels[0], ()), version, readers)

    assert content(merged) == large_memtable().records
    assert worker.pid == first
    delegate.close()


def test_leftovers_of_a_worker_are_removed_by_the_next_open(path: str) -> None:
    Engine.open(path).close()
    leftover = f"{path}/{unfinished_name('0' * 16, 1)}"
    with open(leftover, "wb") as file:
        file.write(b"half a table")

    Engine.open(path).close()

    assert not os.path.exists(leftover)


SLOW_COMPACTION = """
import signal, sys
from tests.engine.test_delegate import start_compaction

signal.signal(signal.SIGINT, signal.SIG_IGN)
engine = start_compaction(sys.argv[1])
print("started", flush=True)
sys.stdin.read()
engine.close()
"""


@pytest.fixture
def child(path: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own group, in the middle of a compaction, which ends when its input does."""
    command = [sys.executable, "-c", SLOW_COMPACTION, path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_worker_ends_when_its_parent_is_killed(path: str, child: "subprocess.Popen[bytes]") -> None:
    """Standard error, which it inherits, ends only when the worker has; its files count for nothing."""
    assert len(unfinished(path)) == 1
    child.kill()

    assert child.communicate()[1] == b""

    assert content_of(path) == expected(b"2")
    assert unfinished(path) == []


def test_an_interrupt_of_the_whole_group_does_not_reach_the_worker(path: str, child: "subprocess.Popen[bytes]") -> None:
    """As a Ctrl-C is one: the parent decides what becomes of it."""
    (half_made,) = unfinished(path)

    os.killpg(child.pid, signal.SIGINT)

    assert unfinished(path) == [half_made]
    assert child.communicate()[1] == b""
    assert child.returncode == 0
    assert unfinished(path) == []


def test_relative_paths_mean_what_they_do_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the working directory is another one than when the worker was started."""
    one = Engine.open(str(tmp_path / "one"), options())
    fill(one, b"1")
    one.flush()
    monkeypatch.chdir(tmp_path)

    two = Engine.open("two", options())
    fill(two, b"2")
    two.flush()

    assert shared().pid is not None
    assert len(tables("two")) == 1
    two.close()
    one.close()
