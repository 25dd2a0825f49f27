"""What is closed is closed: at once, and all of it."""

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import ClosedError, Engine, LockedError, MemoryFileSystem, Options
from tests.engine.test_delegate import fill, start_compaction
from tests.engine.test_delegate import options as large
from tests.engine.test_paths import SMALL, write


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Nothing here is to wait for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def opened(path: Path) -> list[str]:
    """The files in a directory that this process has open."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            # The listing itself.
            pass
    return [name for name in names if name.startswith(str(path))]


@pytest.mark.parametrize("own_cache", [True, False])
def test_a_closed_store_has_no_file_open(tmp_path: Path, own_cache: bool) -> None:
    engine = Engine.open(tmp_path / "db", SMALL)
    rows = write(engine, b"w")
    assert dict(engine.scan()) == rows
    assert [engine.get(key) for key in rows] == list(rows.values())
    assert engine.multi_get(rows) == list(rows.values())
    with engine.snapshot() as snapshot:
        next(snapshot.scan())
    engine.checkpoint(tmp_path / "copy")
    assert opened(tmp_path)

    engine.close()

    assert opened(tmp_path) == []
    engine.close()


def test_a_store_that_cannot_be_opened_has_no_file_open(tmp_path: Path) -> None:
    with Engine.open(tmp_path / "db", SMALL) as engine:
        write(engine, b"w")
        with pytest.raises(LockedError):
            Engine.open(tmp_path / "db")
        held = len(opened(tmp_path))
    (tmp_path / "db" / "CURRENT").write_text("nonsense")
    with pytest.raises(Exception, match="damaged"):
        Engine.open(tmp_path / "db")

    assert held
    assert opened(tmp_path) == []


def test_what_outlives_a_store_keeps_what_it_needs_and_no_more(tmp_path: Path) -> None:
    """Neither lock nor log nor directory, and of tables those of its own; others may compact them away."""
    engine = Engine.open(tmp_path / "db", SMALL)
    rows = write(engine, b"w")
    snapshot, scan = engine.snapshot(), engine.scan()
    engine.ingest(sorted({b"x%d" % number: b"later" for number in range(9)}.items()))
    engine.close()

    left = opened(tmp_path)
    with Engine.open(tmp_path / "db", SMALL) as after:
        write(after, b"o")

    assert left
    assert all(".sst" in name for name in left)
    assert dict(snapshot.scan()) == dict(scan) == rows
    del scan
    snapshot.close()
    assert opened(tmp_path) == []


def test_what_outlives_a_store_without_a_descriptor_says_so(tmp_path: Path) -> None:
    """Where more tables are needed than may be open."""
    options = Options(memtable_bytes_max=8 << 10, table_bytes_max=4096, open_files_max=2)
    engine = Engine.open(tmp_path / "db", options)
    for number in range(2000):
        engine.put(b"%04d" % number, os.urandom(50), sync=False)
    engine.compact()
    snapshot = engine.snapshot()
    assert len(list(snapshot.scan())) == 2000

    engine.close()

    with pytest.raises(ClosedError, match="closed"):
        list(snapshot.scan())
    snapshot.close()
    assert opened(tmp_path) == []


@pytest.mark.parametrize("is_cycle", [False, True])
def test_a_store_that_nobody_has_gives_its_lock_back(tmp_path: Path, is_cycle: bool) -> None:
    engine = Engine.open(tmp_path / "db", SMALL)
    rows = write(engine, b"w")
    holder = [engine]
    if is_cycle:
        holder.append(holder)  # type: ignore[arg-type]

    del engine, holder
    if is_cycle:
        gc.collect()

    assert opened(tmp_path) == []
    with Engine.open(tmp_path / "db", SMALL) as again:
        assert dict(again.scan()) == rows


def test_a_store_that_nobody_has_ends_what_it_does(tmp_path: Path) -> None:
    """A compaction in the worker, which would take hours."""
    engine = start_compaction(str(tmp_path / "db"))

    del engine

    with Engine.open(tmp_path / "db", large()) as again:
        assert again.get(b"000001") == b"2" * 100


def test_a_store_may_be_collected_by_its_own_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection comes in any thread, also in one that the end would have to wait for."""
    dropped = threading.Event()
    engines = [Engine.open(tmp_path / "db", large(worker_process=False))]
    upkeep = engines[0]._upkeep
    flush = upkeep._flush

    def drop() -> None:
        engines.clear()
        dropped.set()
        flush()

    monkeypatch.setattr(upkeep, "_flush", drop)
    fill(engines[0], b"1")
    threads = set(threading.enumerate()) - {threading.current_thread()}
    engines[0].request_flush()
    assert dropped.wait(10)
    for thread in threads | set(threading.enumerate()) - {threading.current_thread()}:
        if thread.name.startswith("engine"):
            thread.join(10)

    with Engine.open(tmp_path / "db", large()) as again:
        assert again.get(b"000001") == b"1" * 100


def test_with_closes(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Engine.open(tmp_path / "db") as engine:
        raise KeyError
    with pytest.raises(ClosedError):
        engine.put(b"a", b"1")
    Engine.open(tmp_path / "db").close()


def test_nobody_having_a_store_writes_nothing() -> None:
    disk = MemoryFileSystem()
    engine = Engine.open("/db", file_system=disk)
    engine.put(b"a", b"1", sync=False)
    before = disk.changes

    del engine

    assert disk.changes == before
    assert disk.appending == 0
    Engine.open("/db", file_system=disk).close()


def test_two_that_close_a_store_both_return_when_it_is_closed(tmp_path: Path) -> None:
    engine = Engine.open(tmp_path / "db", SMALL)
    write(engine, b"w")
    left: list[list[str]] = []

    def close() -> None:
        engine.close()
        left.append(opened(tmp_path))

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert left == [[]] * 4
