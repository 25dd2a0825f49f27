import pytest

from app.simulation.executor import SLOW_SECONDS
from tests.simulation.machines import Machines


@pytest.fixture
def machines() -> Machines:
    return Machines()


def test_a_job_happens_later_and_in_its_turn(machines: Machines) -> None:
    ran = list[int]()
    executor = machines.loop.executor

    futures = [executor.submit(ran.append, number) for number in range(50)]
    assert ran == []
    machines.run(SLOW_SECONDS + 0.1)
    assert ran == list(range(50))
    assert all(future.done() for future in futures)


def test_a_future_tells_the_result_or_the_exception(machines: Machines) -> None:
    good = machines.loop.executor.submit(divmod, 7, 2)
    bad = machines.loop.executor.submit(divmod, 7, 0)

    machines.run(SLOW_SECONDS + 0.1)
    assert good.result(0) == (3, 1)
    assert isinstance(bad.exception(0), ZeroDivisionError)


def test_a_job_that_was_cancelled_does_not_happen(machines: Machines) -> None:
    ran = list[int]()

    assert machines.loop.executor.submit(ran.append, 1).cancel()
    machines.run(SLOW_SECONDS + 0.1)
    assert ran == []


def test_what_waits_its_turn_runs_before_a_job_that_may_wait_for_it(machines: Machines) -> None:
    ran = list[str]()
    executor = machines.loop.executor
    flush = executor.submit(ran.append, "flush")

    def checkpoint() -> str:
        flush.result(0)
        ran.append("checkpoint")
        return "done"

    assert executor.run_waiting(checkpoint) == "done"
    machines.run(SLOW_SECONDS + 0.1)
    assert ran == ["flush", "checkpoint"]


def test_what_such_a_job_submits_runs_at_once(machines: Machines) -> None:
    executor = machines.loop.executor

    assert executor.run_waiting(lambda: executor.submit(divmod, 7, 2).result(0)) == (3, 1)


def test_such_jobs_nest(machines: Machines) -> None:
    executor = machines.loop.executor

    assert executor.run_waiting(lambda: executor.run_waiting(lambda: executor.submit(len, "abc").result(0))) == 3


def test_when_such_a_job_fails_the_next_ones_happen_later_again(machines: Machines) -> None:
    executor = machines.loop.executor
    with pytest.raises(ZeroDivisionError):
        executor.run_waiting(lambda: divmod(7, 0))

    later = executor.submit(len, "abc")
    assert not later.done()
    machines.run(SLOW_SECONDS + 0.1)
    assert later.result(0) == 3


def test_a_paused_node_does_no_job_and_a_dead_one_never_will(machines: Machines) -> None:
    ran = list[int]()
    machines.loop.executor.submit(ran.append, 1)
    machines.loop.pause()
    machines.run(SLOW_SECONDS + 0.1)
    assert ran == []

    machines.loop.resume()
    machines.run(SLOW_SECONDS + 0.1)
    assert ran == [1]
    machines.loop.executor.submit(ran.append, 2)
    machines.loop.kill()
    machines.run(SLOW_SECONDS + 0.1)
    assert ran == [1]


def test_most_jobs_are_quick_and_some_are_slow(machines: Machines) -> None:
    durations = [machines.loop.executor.duration() for _ in range(1000)]

    assert 0 < sum(duration > 0.01 for duration in durations) < 100
    assert max(durations) <= SLOW_SECONDS
