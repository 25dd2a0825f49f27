"""Turns of threads and of tasks: so many at once, and first come, first served."""

import asyncio
import threading

import pytest

from app.asyncturns import AsyncTurn
from app.turns import Turn, Turns
from tests.app.running import eventually


def test_no_more_have_a_turn_than_there_are() -> None:
    turns = Turns(2)
    at_once: list[int] = []
    lock = threading.Lock()
    busy = 0

    def call() -> None:
        nonlocal busy
        for _ in range(50):
            with Turn(turns) as turn:
                with lock:
                    busy += 1
                    at_once.append(busy)
                turn_of = turn
                with lock:
                    busy -= 1
                turn_of.pause(0)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert max(at_once) <= 2
    assert turns._free == 2


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    turns = Turns(1)
    came: list[int] = []

    def call(number: int) -> None:
        with Turn(turns):
            came.append(number)

    turns.take()
    threads = []
    for number in range(20):
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
        eventually(lambda: len(turns._waiting) == len(threads))  # it is called here
    turns.give()
    for thread in threads:
        thread.join(10)

    assert came == list(range(20))


def test_a_pause_lets_another_go_first_and_its_wait_does_not_count() -> None:
    turns = Turns(1)
    came: list[str] = []
    may_end = threading.Event()

    def other() -> None:
        with Turn(turns):
            came.append("other")
            may_end.wait(10)

    with Turn(turns) as turn:
        thread = threading.Thread(target=other)
        thread.start()
        eventually(lambda: bool(turns._waiting))
        threading.Timer(0.05, may_end.set).start()
        turn.pause(0)
        came.append("one")
        thread.join(10)

    assert came == ["other", "one"]
    assert turn.waited > 0
    assert turns._free == 1


def test_who_is_interrupted_while_waiting_gives_its_place_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __init__(self) -> None:
            self._asked = 0

        def acquire(self) -> None:
            self._asked += 1
            if self._asked == 2:
                raise KeyboardInterrupt

        def release(self) -> None:
            pass

    turns = Turns(1)
    turns.take()
    monkeypatch.setattr(threading, "Lock", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        turns.take()

    assert not turns._waiting
    turns.give()
    assert turns._free == 1


def test_a_task_that_is_cancelled_has_no_turn_to_give() -> None:
    async def run() -> None:
        turns = asyncio.Semaphore(1)

        async def call(seconds: float) -> None:
            async with AsyncTurn(turns) as turn:
                await turn.pause(seconds)

        tasks = [asyncio.create_task(call(seconds)) for seconds in (60, 0, 60, 0)]
        waiting = asyncio.create_task(call(0))
        await asyncio.sleep(0)
        for task in (*tasks[::2], waiting):
            task.cancel()
        await asyncio.gather(*tasks, waiting, return_exceptions=True)

        await turns.acquire()
        assert turns.locked()

    asyncio.run(run())
