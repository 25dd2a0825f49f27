import asyncio
import random

import pytest

from app.simulation.loop import TURN_SECONDS
from tests.simulation.machines import Machines


@pytest.fixture
def machines() -> Machines:
    return Machines()


def test_callbacks_run_in_the_order_of_their_making(machines: Machines) -> None:
    ran = list[str]()

    for name in "cab":
        machines.loop.call_soon(ran.append, name)
    machines.run(1.0)
    assert ran == ["c", "a", "b"]


def test_what_a_turn_makes_runs_in_the_next_one(machines: Machines) -> None:
    """A turn costs time, so nothing goes on for ever in no time."""
    times = list[float]()

    def again() -> None:
        times.append(machines.scheduler.now)
        machines.loop.call_soon(again)

    machines.loop.call_soon(again)
    machines.run(10.5 * TURN_SECONDS)
    assert times == [pytest.approx(turn * TURN_SECONDS) for turn in range(1, 11)]
    assert machines.turns == ["n1"] * 10


def test_a_callback_that_was_cancelled_does_not_run(machines: Machines) -> None:
    ran = list[str]()
    machines.loop.call_soon(ran.append, "soon").cancel()
    machines.loop.call_later(0.1, ran.append, "later").cancel()

    machines.run(1.0)
    assert ran == []


def test_timers_strike_in_the_order_of_their_times_then_of_their_making(machines: Machines) -> None:
    ran = list[str]()

    machines.loop.call_later(0.2, ran.append, "last")
    for name in "ba":
        machines.loop.call_later(0.1, ran.append, name)
    machines.run(1.0)
    assert ran == ["b", "a", "last"]


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_timers_strike_by_the_nodes_clock(machines: Machines, rate: float) -> None:
    times = list[float]()
    machines.clocks["n1"].drift(0.0, rate)

    machines.loop.call_later(1.0, lambda: times.append(machines.scheduler.now))
    machines.run(9.0)
    assert times == [pytest.approx(1.0 / rate, abs=1e-4)]


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_timers_strike_by_the_nodes_clock_when_it_changes(machines: Machines, rate: float) -> None:
    times = list[float]()
    machines.loop.call_later(2.0, lambda: times.append(machines.scheduler.now))
    machines.run(1.0)

    machines.clocks["n1"].drift(1.0, rate)
    machines.loop.clock_changed()
    machines.run(9.0)
    assert times == [pytest.approx(1.0 + 1.0 / rate, abs=1e-4)]


def test_a_paused_loop_lets_everything_wait(machines: Machines) -> None:
    ran = list[tuple[str, float]]()

    def run(name: str) -> None:
        ran.append((name, round(machines.scheduler.now, 3)))

    machines.loop.call_soon(run, "soon")
    machines.loop.call_later(0.5, run, "struck meanwhile")
    machines.loop.call_later(7.0, run, "not yet")
    machines.loop.pause()
    machines.run(5.0)
    assert (ran, machines.turns) == ([], [])

    machines.loop.resume()
    machines.run(5.0)
    assert ran == [("soon", 5.0), ("struck meanwhile", 5.0), ("not yet", 7.0)]


def test_what_is_told_to_a_paused_loop_is_there_when_it_goes_on(machines: Machines) -> None:
    ran = list[str]()
    machines.loop.pause()
    machines.loop.call_soon(ran.append, "told")
    machines.run(1.0)

    machines.loop.resume()
    machines.run(1.0)
    assert ran == ["told"]


def test_a_dead_loop_has_forgotten_everything(machines: Machines) -> None:
    ran = list[str]()
    machines.loop.call_soon(ran.append, "soon")
    machines.loop.call_later(0.5, ran.append, "later")

    machines.loop.kill()
    machines.loop.call_soon(ran.append, "after")
    machines.run(9.0)
    assert (ran, machines.turns) == ([], [])
    assert machines.loop.is_closed()
    assert not machines.loop.is_running()


def test_a_kill_ends_what_waits(machines: Machines) -> None:
    """Its coroutines are closed in the order of their making: they leave their blocks, and wait for nothing more."""
    left = list[str]()

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(99.0)
        finally:
            left.append(name)
            await asyncio.sleep(0.1)
            left.append("never")

    for name in "ba":
        machines.loop.create_task(wait(name))
    machines.run(1.0)

    machines.loop.kill()
    machines.run(999.0)
    assert (left, machines.failed) == (["b", "a"], [])


def test_an_exception_that_nothing_caught_is_told(machines: Machines) -> None:
    error = ValueError("of ours")

    def fail() -> None:
        raise error

    machines.loop.call_soon(fail)
    machines.run(1.0)
    assert [context["exception"] for context in machines.failed] == [error]


def test_a_failure_of_a_task_that_nobody_awaits_is_told(machines: Machines) -> None:
    error = ValueError("of ours")

    async def fail() -> None:
        raise error

    machines.loop.create_task(fail())
    machines.run(1.0)
    assert [context["exception"] for context in machines.failed] == [error]


def test_the_loop_is_the_running_one_while_it_runs_and_only_then(machines: Machines) -> None:
    running = list[object]()

    machines.loop.call_soon(lambda: running.append(asyncio.get_running_loop()))
    machines.run(1.0)
    assert running == [machines.loop]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_coroutines_sleep_on_simulated_time(machines: Machines) -> None:
    async def nap() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.gather(asyncio.sleep(30.0), asyncio.sleep(3600.0))
        return asyncio.get_running_loop().time() - before

    assert machines.do("n1", nap(), seconds=4000.0) == pytest.approx(3600.0, abs=0.01)


def test_a_job_for_a_thread_ends_later_with_its_result_or_exception(machines: Machines) -> None:
    async def work() -> list[object]:
        loop = asyncio.get_running_loop()
        good = loop.run_in_executor(None, divmod, 7, 2)
        bad = loop.run_in_executor(None, divmod, 7, 0)
        return [good.done(), *await asyncio.gather(good, bad, return_exceptions=True)]

    was_done, result, error = machines.do("n1", work())
    assert (was_done, result) == (False, (3, 1))
    assert isinstance(error, ZeroDivisionError)


def test_loops_take_turns_as_their_times_come() -> None:
    machines, ran = Machines(2), list[tuple[str, int]]()
    rng = random.Random(1)
    moments = {name: sorted(rng.sample(range(100), 20)) for name in machines.loops}

    for name, loop in machines.loops.items():
        for moment in moments[name]:
            loop.call_later(moment, lambda name=name, moment=moment: ran.append((name, moment)))
    machines.run(100.0)
    assert [moment for _, moment in ran] == sorted([*moments["n1"], *moments["n2"]])
