"""Background jobs: what stops them is heard of, and nothing of them is left."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine import (
    Engine,
    EngineError,
    Fault,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    SequenceNumber,
    StallError,
    StorageFullError,
)
from engine.upkeep import Job
from tests.engine.small import batch, open_engine
from tests.engine.test_engine import FULL, fill


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


def bring_down(engine: Engine) -> None:
    """Have a table in level 1, without which those above could be moved there as they are."""
    engine.write(batch((b"a", b"0")))
    engine.compact()


def test_a_compaction_on_a_full_disk_is_tried_again_later() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk, level0_tables_compact=2)
    bring_down(engine)
    # What has a tombstone cannot be moved, as it is.
    engine.write(batch((b"a", b"1"), (b"z", None)))
    engine.flush()
    # The second flush fits, the compaction that follows does not.
    disk.faults.append(Fault("write", FULL, suffix=".sst", skip=1, times=None))
    engine.write(batch((b"a", b"2"), (b"b", b"2")))
    engine.flush()
    assert engine.stats().is_stalled
    # Of what was tried nothing is left.
    left = [name for name in disk.list_directory("/db") if name.endswith(".sst")]
    assert len(left) == sum(level.tables for level in engine.stats().levels)

    disk.faults.clear()
    engine.write(batch((b"c", b"3")))
    engine.flush()

    assert not engine.stats().is_stalled
    assert list(engine.scan()) == [(b"a", b"2"), (b"b", b"2"), (b"c", b"3")]
    engine.close()


def two_tables_on_a_full_disk() -> tuple[MemoryFileSystem, Engine]:
    """No table fits until the faults are cleared."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    bring_down(engine)
    for value in (b"1", b"2"):
        engine.write(batch((b"a", value)))
        engine.flush()
    disk.faults.append(Fault("write", FULL, suffix=".sst", times=None))
    return disk, engine


def test_compacting_to_one_level_says_what_keeps_it_from_it() -> None:
    disk, engine = two_tables_on_a_full_disk()

    with pytest.raises(StorageFullError):
        engine.compact()
    disk.faults.clear()

    engine.compact()
    assert [level.records for level in engine.stats().levels if level.tables] == [1]
    engine.close()


def test_a_disk_is_full_for_nobody_when_nothing_is_left_to_write() -> None:
    """Who wished for the compaction was told that it failed; nothing else needs it."""
    disk, engine = two_tables_on_a_full_disk()
    with pytest.raises(StorageFullError):
        engine.compact()
    was_full = engine.is_full
    disk.faults.clear()

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


class OnlyFlushes(InlineExecutor):
    """Never comes to a compaction, unless it is told to."""

    compacts = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        from concurrent.futures import Future

        return super().submit(fn, *args, **kwargs) if self.compacts or args[0].job is Job.FLUSH else Future()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"level0_tables_max": 7}, "level 0 has 7 tables"),
        ({"debt_bytes_max": 4096}, "compaction is [0-9]+ bytes behind"),
    ],
)
def test_writes_stop_when_compaction_is_behind_and_say_why(options: dict[str, Any], reason: str) -> None:
    engine = Engine.open(
        "/db",
        Options(memtable_bytes_max=8192, stall_seconds_max=0, **options),
        file_system=MemoryFileSystem(),
        executor=OnlyFlushes(),
    )
    with pytest.raises(StallError, match=reason):
        fill(engine, 100_000)

    stats = engine.stats()

    assert re.fullmatch(reason, stats.stall_reason)
    assert (stats.is_stalled, stats.stalls, stats.pressure) == (True, 1, 1)
    assert stats.debt_bytes == stats.levels[0].byte_size
    assert f", and now: {stats.stall_reason}" in str(stats)
    assert engine.get(b"key000000") is not None
    engine.close()


def test_an_engine_without_a_log_shows_that_it_should_get_less() -> None:
    disk, executor = MemoryFileSystem(), OnlyFlushes()
    options = Options(own_log=False, memtable_bytes_max=8192, debt_bytes_max=4096)
    engine = Engine.open("/db", options, file_system=disk, executor=executor)
    sequence = SequenceNumber(0)
    while not engine.is_stalled:
        sequence = SequenceNumber(sequence + 1)
        engine.write(batch((b"%06d" % sequence, b"v" * 100)), sequence=sequence)

    behind = engine.stats()
    executor.compacts = True
    # It was given to the executor, which has lost it: another engine begins anew.
    engine.close()
    engine = Engine.open("/db", options, file_system=disk, executor=executor)

    assert (behind.pressure, behind.stalls, behind.slowdowns) == (1, 0, 0)
    assert (engine.stats().pressure, engine.stats().debt_bytes, engine.is_stalled) == (0, 0, False)
    engine.close()


def test_who_waits_for_one_level_hears_that_nothing_is_left_to_be_done(disk: MemoryFileSystem) -> None:
    """Though it looked just before: only the look for another compaction takes the wish back."""
    engine = open_engine(disk)
    background = engine._background
    changed, request = background._changed, background.request
    waits = threading.Event()

    def wait() -> None:
        background.compact_to_one_level()
        waits.set()

    # As if a job had just ended, that has not asked yet what follows it.
    background.request = lambda: None  # type: ignore[method-assign]
    waiter = threading.Thread(target=wait)
    waiter.start()
    while not changed._waiters:  # type: ignore[attr-defined]
        assert waiter.is_alive()
    request()

    assert waits.wait(10)
    waiter.join()
    engine.close()
