from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from raftgroups.lane import Lane


class Workers:
    """Jobs wait here until a test runs them, in any order."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def __call__(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append(lambda: done(job()))

    def run(self) -> None:
        self.jobs.pop(0)()


def test_one_job_at_a_time_in_the_order_given() -> None:
    workers, outcomes = Workers(), list[object]()
    lane = Lane(workers)
    for number in range(3):
        lane.run(partial(int, number), outcomes.append)

    for number in range(3):
        assert len(workers.jobs) == 1
        workers.run()
        assert outcomes[-1] == number
    assert lane.is_idle


def test_a_job_that_is_given_by_another_comes_after_those_that_wait() -> None:
    workers, order = Workers(), list[str]()
    lane = Lane(workers)

    def first() -> None:
        order.append("first")

    lane.run(first, lambda _: lane.run(lambda: order.append("given by the first"), lambda _: None))
    lane.run(lambda: order.append("second"), lambda _: None)
    while not lane.is_idle:
        workers.run()

    assert order == ["first", "second", "given by the first"]


def test_whoever_is_told_may_fail_without_stopping_the_others() -> None:
    workers, order = Workers(), list[str]()
    lane = Lane(workers)

    def fail(_: object) -> None:
        raise RuntimeError("told in vain")

    lane.run(lambda: None, fail)
    lane.run(lambda: order.append("second"), lambda _: None)
    with pytest.raises(RuntimeError):
        workers.run()
    workers.run()

    assert order == ["second"]


def test_a_closed_lane_begins_nothing_and_tells_nobody() -> None:
    workers, told = Workers(), list[object]()
    lane = Lane(workers)
    lane.run(lambda: 1, told.append)
    lane.run(lambda: 2, told.append)

    lane.close()
    lane.run(lambda: 3, told.append)
    workers.run()

    assert (told, workers.jobs) == ([], [])
