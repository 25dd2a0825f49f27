import pytest

from app.simulation.clock import WALL_MILLISECONDS, NodeClock


def test_a_clock_shows_its_offset_and_runs_at_its_rate() -> None:
    clock = NodeClock(offset=100.0, rate=1.25)

    assert [clock.local(time) for time in (0.0, 4.0)] == [100.0, 105.0]


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_a_change_of_rate_moves_no_hand(rate: float) -> None:
    clock = NodeClock(offset=100.0)
    shown = clock.local(10.0), clock.wall_ms(10.0)

    clock.drift(10.0, rate)
    assert (clock.local(10.0), clock.wall_ms(10.0)) == shown
    assert clock.local(20.0) - clock.local(10.0) == pytest.approx(10.0 * rate)


def test_a_clock_that_ran_wrong_stays_wrong() -> None:
    clock = NodeClock()
    clock.drift(0.0, 2.0)

    clock.drift(10.0, 1.0)
    assert clock.local(30.0) == 40.0


@pytest.mark.parametrize("time", [10.0, 12.5, 99.0])
def test_simulated_is_the_inverse_of_local(time: float) -> None:
    clock = NodeClock(offset=100.0)
    clock.drift(10.0, 0.8)

    assert clock.simulated(clock.local(time)) == pytest.approx(time)


def test_the_time_of_day_jumps_and_the_monotonic_clock_does_not() -> None:
    clock = NodeClock(offset=100.0)
    local, wall = clock.local(5.0), clock.wall_ms(5.0)

    clock.wall_offset -= 60.0
    assert (clock.local(5.0), clock.wall_ms(5.0)) == (local, wall - 60_000)


def test_nodes_agree_on_the_time_of_day_whatever_their_monotonic_clocks_show() -> None:
    assert NodeClock(offset=1.0).wall_ms(2.5) == NodeClock(offset=9.0).wall_ms(2.5) == WALL_MILLISECONDS + 2500


def test_a_clock_that_is_set_right_shows_the_true_time_of_day_and_remembers_that_it_was_wrong() -> None:
    clock = NodeClock(offset=100.0)
    clock.drift(0.0, 1.25)
    clock.set_wrong(4.0, -60.0)
    clock.set_right(8.0)

    assert clock.wall_ms(8.0) == WALL_MILLISECONDS + 8_000
    assert clock.wrongs == [(4.0, 8.0)]
    clock.set_wrong(9.0, 1.0)
    clock.set_right(10.0)
    assert clock.wrongs == [(4.0, 8.0), (9.0, 10.0)]
