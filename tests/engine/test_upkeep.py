"""Upkeep: a job works on what it finds, and leaves all of its work or nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import Engine, MemoryFileSystem, Options
from engine.compaction import Compaction
from engine.jobs import JobStoppedError
from engine.upkeep import Job, Upkeep
from engine.version import Version
from tests.engine.small import batch, open_engine


def test_a_compaction_that_a_flush_overtakes_merges_tables_it_has_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it begins, and before it has chosen, another table is installed."""
    executor = ThreadPoolExecutor(2)
    options = Options(level0_tables_compact=2)
    engine = Engine.open("/db", options, file_system=MemoryFileSystem(), executor=executor)
    original = Upkeep._pick
    is_overtaken = threading.Event()

    def overtaken(upkeep: Upkeep, *version: Version) -> Compaction | None:
        if Job.COMPACT in engine._background._running and not is_overtaken.is_set():
            engine.write(batch((b"a", b"3")))
            engine.flush()
            is_overtaken.set()
        return original(upkeep, *version)

    monkeypatch.setattr(Upkeep, "_pick", overtaken)
    for value in (b"1", b"2"):
        engine.write(batch((b"a", value)))
        engine.flush()
    assert is_overtaken.wait(10)

    engine.compact()

    assert list(engine.scan()) == [(b"a", b"3")]
    engine.close()
    executor.shutdown()


def test_a_compaction_that_is_stopped_leaves_no_table() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    for value in (b"1", b"2"):
        engine.write(batch((b"a", value)))
        engine.flush()
    before = disk.list_directory("/db")
    upkeep = engine._upkeep
    upkeep.wants_one_level = True
    upkeep.stop()

    with pytest.raises(JobStoppedError):
        upkeep.run(Job.COMPACT)

    assert disk.list_directory("/db") == before
    assert upkeep.tallies[Job.COMPACT].count == 0
    assert list(engine.scan()) == [(b"a", b"2")]
    engine.close()
