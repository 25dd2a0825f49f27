"""State-machine time: what a leader says that the time is.

It goes on from the time of the newest entry with the leader's monotonic clock, and is steered towards the middle of
the wall clocks of the group's voters (wallclocks.py): a little slower while it is ahead of that, a little faster while
it is behind. It leaps where it is far behind, because the group was off, and never goes back. So a clock that is wrong
moves nothing as long as most are right, and one that is set moves nothing at once.

A reign begins as if the one before it had gone on: what it finds the time to be behind by is steered away too, for a
key may have been written under the time that was behind. Only for a time without a leader it leaps, as
nobody wrote, and where the leader was started after the newest entry came, so that clocks alone can tell how old it is.

While there is no leader nobody can renew what is about to expire. So when a reign begins, time goes on from where it
was when there was a leader last, up to a bound: that is the grace. From then on the group's time is behind the time of
day by all the grace that was ever given, which is part of its state.

Promise: if the clocks of a majority are right and the leader's monotonic clock is wrong by less than 10 %, a second of
state-machine time is a second, but for SLOWEST to FASTEST while it is steered.
"""

from raftgroups.wallclocks import TimeOfDay

SLOWEST, FASTEST = 0.9, 1.1
# Behind by more, time leaps. Less is made up for by steering, which takes ten times as long.
LEAP_SECONDS = 10.0


class LeaderClock:
    """State-machine time during one reign.

    ms       at `at` on the leader's monotonic clock
    """

    def __init__(self, ms: float, at: float) -> None:
        self._ms = ms
        self._at = at

    def advance(self, at: float, middle: TimeOfDay) -> int:
        """The time at `at`, in milliseconds; `middle` is where the voters' clocks say that it should be."""
        passed = max(0.0, at - self._at) * 1000
        self._at = max(self._at, at)
        ms = self._ms + passed
        if ms < middle.low:
            is_far = middle.low - ms > LEAP_SECONDS * 1000
            ms = middle.low if is_far else min(middle.low, self._ms + passed * FASTEST)
        elif ms > middle.high:
            ms = max(middle.high, self._ms + passed * SLOWEST)
        self._ms = ms
        return int(ms)


def time_since(newest_ms: int, passed_seconds: float, middle: TimeOfDay) -> float:
    """State-machine time so long after an entry told it, in milliseconds, if somebody led all the while."""
    passed = max(0.0, passed_seconds) * 1000
    return max(middle.low, newest_ms + passed * SLOWEST, min(newest_ms + passed, middle.high))


def begin_reign(
    newest_ms: int,
    passed_seconds: float | None,
    middle: TimeOfDay,
    absence_seconds: float | None,
    grace_seconds: float,
) -> tuple[int, int]:
    """The time at the beginning of a reign, and the grace that is given, both in milliseconds.

    newest_ms         told by the newest entry; 0: this is the first
    passed_seconds    since that came; None: it came before this leader was there, so clocks alone can tell
    absence_seconds   for how long there was no leader; None if nobody knows, then since the newest entry
    grace_seconds     that is given at most
    """
    if passed_seconds is None or not newest_ms:
        now_ms = time_since(newest_ms, absence_seconds or 0.0, middle)
    else:
        # It may have been on its way for long, but was told while there was a leader.
        absent_seconds = min(absence_seconds or 0.0, (middle.low - newest_ms) / 1000)
        now_ms = LeaderClock(newest_ms, 0.0).advance(max(passed_seconds, absent_seconds), middle)
    if not newest_ms:
        return int(now_ms), 0
    absence = grace_seconds if absence_seconds is None else min(absence_seconds, grace_seconds)
    grace_ms = int(min(absence * 1000, now_ms - newest_ms))
    return int(now_ms) - grace_ms, grace_ms
