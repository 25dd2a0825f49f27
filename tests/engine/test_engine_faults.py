"""Every crash point and every failing call of a short life of a store, one after the other.

Whatever goes wrong, the store that is found afterwards has a prefix of the writes, each of them whole,
and in it every write that was acknowledged with a sync.
"""

import random

import pytest

from engine import (
    Engine,
    EngineError,
    Fault,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    PowerLostError,
    StorageError,
    StorageFullError,
    WriteBatch,
    verify_engine,
)
from tests.models import ModelMap

OPTIONS = Options(
    memtable_bytes_max=4096,
    table_bytes_max=4096,
    level1_bytes_max=4096,
    level0_tables_compact=2,
    block_bytes=128,
    manifest_bytes_max=512,
)
OPERATIONS = ["open_append", "open_read", "write", "sync", "read", "rename", "link", "remove", "sync_directory"]


class Life:
    """What was tried and what was promised, until something went wrong."""

    def __init__(self, disk: MemoryFileSystem) -> None:
        self.disk = disk
        self.tried: list[dict[bytes, bytes | None]] = []
        self.promised = 0
        self.engine: Engine | None = None

    def live(self) -> None:
        self.engine = engine = Engine.open("/db", OPTIONS, file_system=self.disk, executor=InlineExecutor())
        for number in range(36):
            batch = WriteBatch()
            for part in range(4):
                batch.put(b"%d" % ((number * 5 + part) % 13), b"%d" % number * 40)
            batch.delete(b"%d" % (number % 7))
            self.tried.append(dict(batch.items()))
            engine.write(batch, sync=number % 4 == 0)
            if number % 4 == 0:
                self.promised = len(self.tried)
        engine.compact()
        engine.checkpoint("/copy")
        self.engine = None
        engine.close()
        self.promised = len(self.tried)

    def check(self, *, all_written: bool) -> None:
        """Open what is there; with `all_written` nothing was lost that was acknowledged at all."""
        assert verify_engine("/db", file_system=self.disk) == [] if self.disk.exists("/db/CURRENT") else True
        engine = Engine.open("/db", OPTIONS, file_system=self.disk, executor=InlineExecutor())
        applied = engine.applied_sequence
        assert (len(self.tried) - 1 if all_written else self.promised) <= applied <= len(self.tried)
        model = ModelMap()
        for records in self.tried[:applied]:
            model.apply(records.items())
        assert list(engine.scan()) == model.scan()
        engine.write(WriteBatch())
        engine.compact()
        assert list(engine.scan()) == model.scan()
        engine.close()


def changes_of_a_life() -> int:
    life = Life(MemoryFileSystem())
    life.live()
    return life.disk.changes


def test_the_loss_of_power_at_any_moment() -> None:
    count = changes_of_a_life()
    assert count > 200
    for moment in range(count):
        life = Life(MemoryFileSystem())
        life.disk.power_lost_at = moment
        with pytest.raises((PowerLostError, EngineError)):
            life.live()
        life.disk.restart(random.Random(moment) if moment % 3 else None)
        life.check(all_written=False)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_call_that_fails(operation: str, full: bool) -> None:
    """Each call of a kind in turn: afterwards the store is whole, or closed to writes with a clear error."""
    error = StorageFullError("/db/x", 28, "No space left") if full else StorageError("/db/x", 5, "Input/output error")
    skip = 0
    while True:
        disk = MemoryFileSystem()
        fault = Fault(operation, error, skip=skip)
        disk.faults.append(fault)
        life = Life(disk)
        try:
            life.live()
        except EngineError as caught:
            heard = str(caught)
        else:
            heard = error.reason
        if fault.times:
            break
        assert error.reason in heard
        if life.engine is not None:
            read_to_the_end(life.engine, life.tried)
        life.disk.kill()
        life.check(all_written=True)
        skip += 1
    assert skip > 0


def read_to_the_end(engine: Engine, tried: list[dict[bytes, bytes | None]]) -> None:
    """Reads go on after a failure, and see whole writes only."""
    model = ModelMap()
    for records in tried[: engine.applied_sequence]:
        model.apply(records.items())
    assert list(engine.scan()) == model.scan()
    try:
        engine.close()
    except EngineError:
        pass
