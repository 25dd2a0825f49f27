"""A pace is kept on average, and nothing is saved up for long."""

import pytest

from engine.pace import Pace


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def test_progress_is_held_back_to_the_rate(time: Time) -> None:
    pace = Pace(1000, time.read, time.sleep)

    for _ in range(50):
        time.now += 0.01  # the work itself
        pace.done(100)

    assert time.now - 100 == pytest.approx(5)


def test_work_slower_than_the_rate_never_waits(time: Time) -> None:
    pace = Pace(1000, time.read, time.sleep)

    for _ in range(10):
        time.now += 0.2
        pace.done(100)

    assert time.waits == []


def test_a_long_rest_is_not_made_up_for(time: Time) -> None:
    pace = Pace(1000, time.read, time.sleep)
    time.now += 3600

    pace.done(1100)

    assert time.waits == [pytest.approx(1)]


def test_without_a_rate_there_is_no_wait(time: Time) -> None:
    Pace(0, time.read, time.sleep).done(1 << 40)

    assert time.waits == []
