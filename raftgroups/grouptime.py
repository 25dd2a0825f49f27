"""Group time: state-machine time of one group, as one of its replicas knows it."""

from collections.abc import Sequence

from raftgroups.leaderclock import LeaderClock, begin_reign, time_since
from raftgroups.wallclocks import UNKNOWN, TimeOfDay, WallClocks

# For so long the voters' clocks are taken to go on as this node's does.
_LOOK_SECONDS = 0.2


class GroupTime:
    """What time it is in a group.

    grace_seconds   that the beginning of a reign gives at most
    """

    def __init__(self, clocks: WallClocks, grace_seconds: float) -> None:
        self._clocks = clocks
        self._grace_seconds = grace_seconds
        self._leading: LeaderClock | None = None
        self._behind_ms = 0
        self._voters: Sequence[str] = ()
        self._middle = UNKNOWN
        self._looked_at = 0.0

    def begin(
        self,
        newest_ms: int,
        newest_at: float | None,
        behind_ms: int,
        voters: Sequence[str],
        absence_seconds: float | None,
    ) -> tuple[int, int]:
        """This replica leads from now on: the time, and the grace that it gives, in milliseconds.

        newest_ms, newest_at   the time that the newest entry told, and when it came; None: before this start
        behind_ms              all the grace that was ever given
        """
        now = self._clocks.monotonic()
        middle = self._look(now, voters)
        if not newest_ms and middle == UNKNOWN:
            middle = self._clocks.of(self._clocks.name)
        passed = None if newest_at is None else now - newest_at
        ms, grace_ms = begin_reign(newest_ms, passed, _before(middle, behind_ms), absence_seconds, self._grace_seconds)
        self._behind_ms = behind_ms + grace_ms
        self._leading = LeaderClock(ms, now)
        return ms, grace_ms

    def tell(self, voters: Sequence[str]) -> int:
        """The time, as the leader that this replica is tells it, in milliseconds."""
        assert self._leading is not None, "a reign has begun"
        now = self._clocks.monotonic()
        return self._leading.advance(now, _before(self._look_now_and_then(now, voters), self._behind_ms))

    def guess(self, newest_ms: int, newest_at: float, behind_ms: int, voters: Sequence[str]) -> int:
        """The time in milliseconds, as near as a replica knows that does not lead: never before `newest_ms`."""
        now = self._clocks.monotonic()
        middle = self._look_now_and_then(now, voters)
        return max(newest_ms, int(time_since(newest_ms, now - newest_at, _before(middle, behind_ms))))

    def age_ms(self, newest_ms: int, behind_ms: int, voters: Sequence[str]) -> int:
        """How old an entry can be, as far as clocks agree; by this node's own, where a majority is not known."""
        latest = self._look_now_and_then(self._clocks.monotonic(), voters).high
        if latest == UNKNOWN.high:
            latest = self._clocks.wall_ms()
        return max(0, int(latest) - behind_ms - newest_ms)

    def _look_now_and_then(self, now: float, voters: Sequence[str]) -> TimeOfDay:
        passed = now - self._looked_at
        if passed > _LOOK_SECONDS or voters != self._voters:
            return self._look(now, voters)
        middle = self._middle
        return TimeOfDay(middle.low + passed * 1000, middle.high + passed * 1000)

    def _look(self, now: float, voters: Sequence[str]) -> TimeOfDay:
        self._looked_at, self._voters = now, voters
        self._middle = self._clocks.middle(voters)
        return self._middle


def _before(middle: TimeOfDay, behind_ms: int) -> TimeOfDay:
    return TimeOfDay(middle.low - behind_ms, middle.high - behind_ms)
