"""Background jobs: what stops them is heard of, and nothing of them is left."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine import Engine, EngineError, Fault, InlineExecutor, MemoryFileSystem, Options, StorageFullError
from tests.engine.test_engine import FULL, batch, fill, open_engine


def test_an_executor_that_was_shut_down_closes_the_engine_to_writes() -> None:
    executor = ThreadPoolExecutor(1)
    engine = Engine.open("/db", file_system=MemoryFileSystem(), executor=executor)
    engine.write(batch((b"a", b"1")))
    executor.shutdown()

    with pytest.raises(EngineError, match="flush cannot run"):
        engine.flush()

    with pytest.raises(EngineError, match="closed to writes"):
        engine.write(batch((b"b", b"1")))
    assert engine.get(b"a") == b"1"
    engine.close()


def test_a_compaction_on_a_full_disk_is_tried_again_later() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk, level0_tables_compact=2)
    engine.write(batch((b"a", b"1")))
    engine.flush()
    tables = [name for name in disk.list_directory("/db") if name.endswith(".sst")]
    # The second flush fits, the compaction that follows does not.
    disk.faults.append(Fault("write", FULL, suffix=".sst", skip=1))
    engine.write(batch((b"a", b"2"), (b"b", b"2")))
    engine.flush()
    assert engine.stats().is_stalled
    assert engine.stats().compactions == 0
    assert len([name for name in disk.list_directory("/db") if name.endswith(".sst")]) == len(tables) + 1

    engine.write(batch((b"c", b"3")))
    engine.flush()

    assert engine.stats().compactions == 1
    assert not engine.stats().is_stalled
    assert list(engine.scan()) == [(b"a", b"2"), (b"b", b"2"), (b"c", b"3")]
    engine.close()


def two_tables_on_a_full_disk() -> Engine:
    """The next table does not fit; the one after it does."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    for value in (b"1", b"2"):
        engine.write(batch((b"a", value)))
        engine.flush()
    disk.faults.append(Fault("write", FULL, suffix=".sst"))
    return engine


def test_compacting_to_one_level_says_what_keeps_it_from_it() -> None:
    engine = two_tables_on_a_full_disk()

    with pytest.raises(StorageFullError):
        engine.compact()

    engine.compact()
    assert [level.records for level in engine.stats().levels] == [0, 1, 0, 0, 0, 0, 0]
    engine.close()


def test_a_disk_is_full_for_nobody_when_nothing_is_left_to_write() -> None:
    """Who wished for the compaction was told that it failed; nothing else needs it."""
    engine = two_tables_on_a_full_disk()
    with pytest.raises(StorageFullError):
        engine.compact()
    was_full = engine.is_full

    engine.retry()

    assert (was_full, engine.is_full, engine.is_stalled) == (True, False, False)
    engine.close()


def test_a_job_that_has_not_begun_does_not_keep_the_engine_open() -> None:
    """Its turn may be far away, where the executor serves many engines."""

    class Patient(InlineExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            from concurrent.futures import Future

            return Future()

    engine = Engine.open("/db", Options(memtable_bytes_max=4096), file_system=MemoryFileSystem(), executor=Patient())
    fill(engine, 30)
    assert engine.stats().sealed_memtables

    engine.close()
