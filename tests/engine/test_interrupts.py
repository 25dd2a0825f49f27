"""An interrupt in the middle of a write leaves it done or undone, and the engine takes others."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any

import pytest

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, WriteBatch, verify_engine


def struck(act: Callable[[], object], number: int) -> bool | None:
    """Whether an act was ended at its n-th moment by an interrupt; None, if it was over before.

    The interpreter looks for signals where a function begins, and where a call of one in C has ended.
    """
    left = number

    def strike(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event in {"call", "c_return"} and "/engine/" in frame.f_code.co_filename:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(strike)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    # One that comes while a generator is collected is heard of by nobody.
    return None if left >= 0 else False


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("is_batch", [True, False])
@pytest.mark.parametrize("seals", [True, False])
def test_a_write_that_is_interrupted_anywhere_is_done_or_undone(sync: bool, is_batch: bool, seals: bool) -> None:
    number = 0
    while True:
        disk = MemoryFileSystem()
        options = Options(memtable_bytes_max=4096 if seals else 1 << 20)
        engine = Engine.open("/db", options, file_system=disk, executor=InlineExecutor())
        # Jobs run in threads, where no interrupt comes.
        engine._background.request = lambda: None  # type: ignore[method-assign]
        engine.put(b"before", b"1" * 5000)
        batch = WriteBatch({b"a": b"1", b"b": b"2"})

        def act(engine: Engine = engine, batch: WriteBatch = batch) -> object:
            return engine.write(batch, sync=sync) if is_batch else engine.put(b"a", b"1", sync=sync)

        outcome = struck(act, number)

        engine.put(b"after", b"1")
        expected = [{b"before", b"after", b"a"} | ({b"b"} if is_batch else set())]
        expected += [{b"before", b"after"}] * bool(outcome)
        found = {key for key, _ in engine.scan()}
        assert found in expected, number
        engine.close()
        with Engine.open("/db", file_system=disk, executor=InlineExecutor()) as again:
            assert {key for key, _ in again.scan()} == found, number
        if outcome is None:
            break
        number += 1
    assert number > 10


PAIRS = [(b"%03d" % number, b"new" * 20) for number in range(60)]
OPTIONS = Options(memtable_bytes_max=4096, table_bytes_max=4096, block_bytes=256)
Content = dict[bytes, bytes]


def with_every_part(disk: MemoryFileSystem, executor: ThreadPoolExecutor) -> tuple[Engine, Content]:
    """Records in tables of two levels, in level 0 and in the active memtable; and what they come to."""
    engine = Engine.open("/db", OPTIONS, file_system=disk, executor=executor)
    expected: Content = {}
    for part in range(4):
        added = {b"%03d" % number: b"%d" % part for number in range(part, 70, 4)}
        engine.write(WriteBatch(added))
        expected |= added
        if part == 1:
            engine.compact()
        if part == 2:
            engine.flush()
    return engine, expected


def copied(engine: Engine) -> None:
    engine.checkpoint("/copy")


def deleted(engine: Engine) -> None:
    batch = WriteBatch()
    batch.delete_range(b"010", b"030")
    engine.write(batch)


def seen(engine: Engine) -> None:
    with engine.snapshot() as snapshot:
        assert len(list(snapshot.scan())) == 70


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("act", "change"),
    [
        (lambda engine: engine.ingest(PAIRS), dict(PAIRS)),
        (deleted, None),
        (Engine.flush, {}),
        (Engine.request_flush, {}),
        (Engine.compact, {}),
        (Engine.retry, {}),
        (lambda engine: engine.advance_clock(engine.clock_ms + 1), {}),
        (copied, {}),
        (seen, {}),
        (Engine.stats, {}),
        (Engine.close, {}),
    ],
    ids=["ingest", "ranges", "flush", "request_flush", "compact", "retry", "clock", "checkpoint", "snapshot", "stats",
         "close"],
)  # fmt: skip
def test_a_call_that_is_interrupted_anywhere_leaves_the_store_whole(
    act: Callable[[Engine], object], change: Content | None
) -> None:
    """All of what it was to change is changed, or nothing; no job is lost, no lock held, no file left."""
    number = 0
    with ThreadPoolExecutor(2) as executor:
        while True:
            disk = MemoryFileSystem()
            engine, before = with_every_part(disk, executor)
            after = (
                before | change if change is not None else {k: before[k] for k in before if not b"010" <= k < b"030"}
            )

            outcome = struck(partial(act, engine), number)

            if act is not Engine.close:
                engine.put(b"later", b"1")
                engine.flush()
                engine.compact()
                found = dict(engine.scan())
                assert found.pop(b"later") == b"1"
                assert found in ([before, after] if outcome else [after]), number
                before = after = found | {b"later": b"1"}
            engine.close()
            assert verify_engine("/db", file_system=disk) == [], number
            tables = [name for name in disk.list_directory("/db") if name.endswith(".sst")]
            with Engine.open("/db", OPTIONS, file_system=disk, executor=executor) as again:
                assert dict(again.scan()) == after, number
                assert len(tables) == sum(level.tables for level in again.stats().levels), number
                again.ingest([(b"last", b"1")])
            if outcome is None:
                break
            number += 1
