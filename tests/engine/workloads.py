"""Short lives of a store, and what each of them must end with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from engine import Engine, EngineError, InlineExecutor, verify_engine
from tests.engine.life import DIRECTORY, OPTIONS, Life

# Few steps each, as every moment of them is tried.
WORKLOADS = {
    "writes": "put put! batch delete! large put large! delete",
    "flushes": "put! flush put flush delete! batch flush put",
    "levels": "fill put fill delete compact put! compact",
    "reopens": "put close open put! close open large close open delete! flush close open put",
    "manifests": "put! renew put renew delete!",
    "copies": "batch! checkpoint put! checkpoint delete compact checkpoint",
    "ranges": "batch ranges flush batch! compact ranges! put flush ranges",
    "times": "expire put tick flush expire! flush tick compact expire",
    "ingests": "put! ingest put flush ingest delete! compact ingest",
}
AFTER = "put! put"
SETTINGS = {
    "own log": (OPTIONS, OPTIONS),
    "own log, then smaller memtables": (replace(OPTIONS, memtable_bytes_max=16384), OPTIONS),
    "no log": (replace(OPTIONS, own_log=False), replace(OPTIONS, own_log=False)),
}


@contextmanager
def told(where: str) -> Iterator[None]:
    """Let a failure say where it happened."""
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise


def check_disk(life: Life) -> None:
    """A crash leaves no damage, and of each checkpoint all or what says that it is none."""
    if life.disk.exists(f"{DIRECTORY}/CURRENT"):
        assert verify_engine(DIRECTORY, file_system=life.disk) == []
    for directory, known in life.copies.items():
        # On another machine, as this one is to stay as it is.
        disk = life.disk.twin()
        if known is None and not disk.exists(directory):
            continue
        try:
            engine = Engine.open(directory, life.options, file_system=disk, executor=InlineExecutor())
        except EngineError:
            assert known is None
            continue
        life.find(engine, range(len(life.changes) + 1) if known is None else range(known, known + 1))
        engine.close()


def finish(life: Life) -> None:
    """What was promised is there after another loss of power, and can be worked with."""
    life.disk.restart()
    life.crash(has_lost_power=True)
    for step in ["open", "put!", "compact", "close", "open"]:
        life.take(step)
    life.check_reads()
    life.take("close")
    check_disk(life)
