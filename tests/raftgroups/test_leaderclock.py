import random

import pytest

from raftgroups.leaderclock import FASTEST, LEAP_SECONDS, SLOWEST, LeaderClock, begin_reign, time_since
from raftgroups.wallclocks import UNKNOWN, TimeOfDay

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
GRACE = 60.0


def exactly(ms: float) -> TimeOfDay:
    return TimeOfDay(ms, ms)


def test_without_other_clocks_it_runs_with_the_leaders_own() -> None:
    clock = LeaderClock(NOW_MS, 10.0)

    assert [clock.advance(at, UNKNOWN) for at in (10.0, 10.5, 3_610.5)] == [NOW_MS, NOW_MS + 500, NOW_MS + 3_600_500]


def test_it_never_goes_back() -> None:
    clock = LeaderClock(NOW_MS, 10.0)

    assert clock.advance(9.0, exactly(NOW_MS - DAY_MS)) == NOW_MS
    assert clock.advance(10.0, exactly(NOW_MS - DAY_MS)) == NOW_MS


def test_ahead_it_runs_slower_until_they_meet() -> None:
    clock = LeaderClock(NOW_MS + 1_000, 0.0)

    told = [clock.advance(float(at), exactly(NOW_MS + at * 1_000)) for at in range(1, 15)]

    assert told[0] == NOW_MS + 1_000 + SLOWEST * 1_000
    assert told[:9] == [NOW_MS + 1_000 + int(at * SLOWEST * 1_000) for at in range(1, 10)]
    assert told[9:] == [NOW_MS + at * 1_000 for at in range(10, 15)]


def test_behind_it_runs_faster_until_they_meet() -> None:
    clock = LeaderClock(NOW_MS - 1_000, 0.0)

    told = [clock.advance(float(at), exactly(NOW_MS + at * 1_000)) for at in range(1, 15)]

    assert told[:9] == [pytest.approx(NOW_MS - 1_000 + at * FASTEST * 1_000, abs=1) for at in range(1, 10)]
    assert told[10:] == [NOW_MS + at * 1_000 for at in range(11, 15)]


def test_far_behind_it_leaps_and_far_ahead_it_does_not() -> None:
    late, early = LeaderClock(NOW_MS, 0.0), LeaderClock(NOW_MS + DAY_MS, 0.0)
    middle = exactly(NOW_MS + LEAP_SECONDS * 1_000 + 1_001)

    assert late.advance(1.0, middle) == int(middle.low)
    assert early.advance(1.0, middle) == NOW_MS + DAY_MS + SLOWEST * 1_000


def test_between_what_is_known_it_is_left_alone() -> None:
    clock = LeaderClock(NOW_MS, 0.0)

    assert clock.advance(1.0, TimeOfDay(NOW_MS - DAY_MS, NOW_MS + DAY_MS)) == NOW_MS + 1_000


@pytest.mark.parametrize("rate", [0.92, 0.97, 1.0, 1.03, 1.08])
def test_a_leader_whose_clock_runs_fast_or_slow_tells_a_right_time(rate: float) -> None:
    """However often it is asked; a clock that is off by less than 10 % is steered to within what is known of others."""
    rng = random.Random(1)
    clock, true = LeaderClock(NOW_MS, 0.0), 0.0
    for _ in range(2_000):
        true += rng.expovariate(10.0)
        told = clock.advance(true * rate, exactly(NOW_MS + true * 1_000))
        assert abs(told - (NOW_MS + true * 1_000)) <= 2


def test_a_reign_goes_on_from_where_the_one_before_it_ended() -> None:
    assert begin_reign(NOW_MS, 2.0, exactly(NOW_MS + 2_000), 0.0, GRACE) == (NOW_MS + 2_000, 0)
    assert begin_reign(NOW_MS, 2.0, UNKNOWN, 0.0, GRACE) == (NOW_MS + 2_000, 0)


def test_a_group_that_was_off_goes_on_with_the_time_of_day() -> None:
    week_ms = 7 * DAY_MS

    assert begin_reign(NOW_MS, 0.5, exactly(NOW_MS + week_ms), None, 0.0) == (NOW_MS + week_ms, 0)
    assert begin_reign(NOW_MS, 0.5, exactly(NOW_MS + week_ms), None, GRACE) == (NOW_MS + week_ms - 60_000, 60_000)


@pytest.mark.parametrize(
    ("passed", "absence", "grace"),
    [(8.0, 5.0, 5.0), (8.0, None, 8.0), (3.0, 5.0, 3.0), (300.0, 200.0, 60.0), (300.0, None, 60.0), (8.0, 0.0, 0.0)],
)
def test_time_stands_still_while_nobody_leads_up_to_a_bound(passed: float, absence: float | None, grace: float) -> None:
    """Nor for longer than since the newest entry, of which it is certain when it was told."""
    ms, given = begin_reign(NOW_MS, passed, exactly(NOW_MS + passed * 1_000), absence, GRACE)

    assert (ms, given) == (NOW_MS + (passed - grace) * 1_000, grace * 1_000)


def test_what_a_reign_is_behind_by_at_its_beginning_is_steered_away() -> None:
    """A key may have been written under the time that was behind: its TTL is not to be over sooner."""
    behind = exactly(NOW_MS + 5_000)

    assert begin_reign(NOW_MS, 2.0, behind, 0.0, 0.0) == (NOW_MS + 2_000 * FASTEST, 0)
    assert begin_reign(NOW_MS, 2.0, behind, 3.0, 0.0) == (NOW_MS + 3_000 * FASTEST, 0)


def test_an_entry_that_was_on_its_way_while_nobody_led_is_as_old_as_that() -> None:
    """Whoever stood still for so long is told of it late."""
    assert begin_reign(NOW_MS, 0.0, exactly(NOW_MS + 5_000), 5.0, 0.0) == (NOW_MS + 5_000, 0)
    assert begin_reign(NOW_MS, 0.0, exactly(NOW_MS + 3_000), 5.0, 0.0) == (NOW_MS + 3_000, 0)


def test_who_was_not_there_when_the_newest_entry_came_goes_by_the_clocks() -> None:
    assert begin_reign(NOW_MS, None, exactly(NOW_MS + 5_000), None, 0.0) == (NOW_MS + 5_000, 0)
    assert begin_reign(NOW_MS, None, UNKNOWN, 2.0, 0.0) == (NOW_MS + 2_000, 0)


def test_the_first_reign_begins_with_the_time_of_day() -> None:
    assert begin_reign(0, 5.0, exactly(NOW_MS), None, GRACE) == (NOW_MS, 0)


@pytest.mark.parametrize("absence", [None, 0.0, 5.0])
def test_a_reign_never_begins_before_the_newest_entry(absence: float | None) -> None:
    """It was told when clocks were wrong; from there on time runs slower."""
    ms, grace_ms = begin_reign(NOW_MS + DAY_MS, 10.0, exactly(NOW_MS), absence, GRACE)

    assert ms >= NOW_MS + DAY_MS
    assert ms + grace_ms == NOW_MS + DAY_MS + SLOWEST * 10_000


def test_a_long_time_by_a_bad_clock_is_put_right() -> None:
    """A follower counted a day for what was half of one."""
    assert time_since(NOW_MS, DAY_MS / 1_000, exactly(NOW_MS + DAY_MS * 0.95)) == NOW_MS + DAY_MS * 0.95
    assert time_since(NOW_MS, DAY_MS / 1_000, exactly(NOW_MS + 2 * DAY_MS)) == NOW_MS + 2 * DAY_MS
