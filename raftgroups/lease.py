"""The leader's lease: for how long no other can have been elected, by the clock alone.

A voter that answers a heartbeat with a promise votes for nobody, itself included, until the
shortest election timeout has passed on its clock, whatever happens to its link and also after a
restart. So a leader that a majority has promised to, at a heartbeat sent at `t`, is the only
leader until `t + seconds` on its own clock.

Assumption: over that time the rates of any two nodes' monotonic clocks differ by less than
10 %, and `seconds` is at most 0.8 of the shortest election timeout. Jumps of the wall clock
do not matter; a clock that runs faster than that can break it.

Source: Ongaro 2014, section 6.4.1.
"""

from collections.abc import Sequence

NEVER = float("-inf")
LEASE_SHARE_MAX = 0.8


class Lease:
    """The promises to one leader in one reign. `seconds` 0: there never is a lease."""

    def __init__(self, leader: str, seconds: float) -> None:
        self._leader = leader
        self._seconds = seconds
        self._sent_at: dict[int, float] = {}
        self._promised: dict[str, float] = {}

    @property
    def is_wanted(self) -> bool:
        return self._seconds > 0

    def sent(self, heartbeat_round: int, now: float) -> None:
        """The heartbeats of a round leave."""
        if not self.is_wanted:
            return
        for old in [number for number, at in self._sent_at.items() if at <= now - self._seconds]:
            del self._sent_at[old]
        self._sent_at.setdefault(heartbeat_round, now)

    def promised(self, voter: str, heartbeat_round: int) -> None:
        """`voter` promised when it met the heartbeat of a round; it counts from when that was sent."""
        self.promised_since(voter, self._sent_at.get(heartbeat_round, NEVER))

    def promised_since(self, voter: str, at: float) -> None:
        """`voter` promised when it met what was sent to it at a time."""
        self._promised[voter] = max(self._promised.get(voter, NEVER), at)

    def is_valid(self, voters: Sequence[str], now: float) -> bool:
        """Whether a majority of `voters`, the configuration in force, keeps its promise for certain."""
        if not self.is_wanted:
            return False
        times = sorted(now if voter == self._leader else self._promised.get(voter, NEVER) for voter in voters)
        return now < times[(len(times) - 1) // 2] + self._seconds

    def forfeit(self) -> None:
        """Another may be elected from now on at this leader's own request; there is no lease in this reign any more."""
        self._seconds = 0.0
