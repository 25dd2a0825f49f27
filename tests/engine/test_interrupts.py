"""An interrupt in the middle of a write leaves it done or undone, and the engine takes others."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, WriteBatch


def struck(act: Callable[[], object], number: int) -> bool | None:
    """Whether an act was interrupted at its n-th moment; None, if it ended before.

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
    return None


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
