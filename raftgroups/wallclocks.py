"""Wall clocks: what time of day the nodes have, as one of them knows it.

A node asks each peer over their link, again and again, and the answer comes back with what the question carried:

    ask  := at              the asker's monotonic clock
    tell := at, wall_ms     the same, and the peer's time of day

The peer has read its clock at some moment between question and answer. So its time of day is known up to the round
trip, and goes on from there with this node's monotonic clock. No word of it depends on this node's own time of day,
which may be the wrong one.

Source: Cristian 1989 (round trips); Marzullo and Owicki 1983 (intervals, and the middle of many).
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

ASK_SECONDS = 1.0
# What was told so long ago says nothing any more: the peer may have had its clock set since.
AGE_SECONDS_MAX = 10.0
OFF_SECONDS = 0.5
_SAMPLES = 8
# By so much of a sample's age the two monotonic clocks may have grown apart.
_DRIFT = 0.01
# A clock is read at one moment if its two readings are no further apart.
_MOMENT_SECONDS = 0.01
# Clocks are told in whole milliseconds.
_RESOLUTION_MS = 1


class TimeOfDay(NamedTuple):
    """A time of day, in milliseconds since the epoch, as far as it is known: between these two."""

    low: float
    high: float


UNKNOWN = TimeOfDay(-math.inf, math.inf)


class _Sample(NamedTuple):
    asked_at: float
    told_at: float
    wall_ms: int

    def at(self, at: float) -> TimeOfDay:
        slack = (at - self.told_at) * 1000 * _DRIFT
        low = self.wall_ms + (at - self.told_at) * 1000 - slack
        high = self.wall_ms + (at - self.asked_at) * 1000 + slack + _RESOLUTION_MS
        return TimeOfDay(low, high)


class WallClocks:
    """The clocks of all nodes, as `name` knows them.

    monotonic   this node's clock that only runs, in seconds
    wall_ms     its time of day, in milliseconds since the epoch
    """

    def __init__(self, name: str, monotonic: Callable[[], float], wall_ms: Callable[[], int]) -> None:
        self.name = name
        self.monotonic = monotonic
        self.wall_ms = wall_ms
        self._samples: dict[str, deque[_Sample]] = {}
        at, here = self._read()
        self._epoch_ms = here - at * 1000

    def told(self, peer: str, asked_at: float, wall_ms: int) -> None:
        """An answer of `peer` has come."""
        now = self.monotonic()
        if not 0 <= now - asked_at <= AGE_SECONDS_MAX:
            # This node asked it in an earlier life, or has stood still.
            return
        sample = _Sample(asked_at, now, wall_ms)
        samples = self._samples.setdefault(peer, deque(maxlen=_SAMPLES))
        new = sample.at(now)
        if any(old.high < new.low or new.high < old.low for old in (older.at(now) for older in samples)):
            # Its clock has been set, or this node's machine was asleep.
            samples.clear()
        samples.append(sample)

    def forget(self, peer: str) -> None:
        """What `peer` told is of an earlier life of it."""
        self._samples.pop(peer, None)

    def has_leapt(self) -> bool:
        """Whether this node's time of day has gone another way than its monotonic clock since this was asked last.

        It was set, or the machine was asleep: then what peers told before is too old, whatever this clock says.
        """
        at, here = self._read()
        epoch_ms = here - at * 1000
        has_leapt = abs(epoch_ms - self._epoch_ms) > OFF_SECONDS * 1000
        self._epoch_ms = epoch_ms
        return has_leapt

    def of(self, name: str) -> TimeOfDay:
        """The time of day that `name` has now."""
        if name == self.name:
            here = self._read()[1]
            return TimeOfDay(here, here)
        now = self.monotonic()
        found = [sample.at(now) for sample in self._samples.get(name, ()) if now - sample.told_at <= AGE_SECONDS_MAX]
        return min(found, key=lambda time: time.high - time.low, default=UNKNOWN)

    def middle(self, voters: Sequence[str]) -> TimeOfDay:
        """Between what the middle one of these clocks must lie, whatever those show that are not known.

        So a minority of clocks that are wrong, by however much, moves neither end beyond one that is right; and
        where a majority is not known, nothing is.
        """
        return _middle([self.of(voter) for voter in voters])

    def offsets(self) -> Mapping[str, float]:
        """By how many seconds each peer's clock is ahead of this node's, for those that are known."""
        here = self.of(self.name).low
        return {peer: (sum(there) / 2 - here) / 1000 for peer, there in self._known().items()}

    def off(self, nodes: Sequence[str]) -> Mapping[str, float]:
        """By how many seconds the clocks are off, of all these nodes', that are off by more than OFF_SECONDS.

        That is against the middle one, if most agree where that is; this node's own may be among them. Else it is
        against this node's.
        """
        right = self.middle(nodes) if self.agree(nodes) else self.of(self.name)
        found = {}
        for name in nodes:
            there = self.of(name)
            ahead_ms = max(there.low - right.high, 0) + min(there.high - right.low, 0)
            if abs(ahead_ms) > OFF_SECONDS * 1000 and there != UNKNOWN:
                found[name] = ahead_ms / 1000
        return found

    def agree(self, nodes: Sequence[str]) -> bool:
        """Whether so many of these clocks are known, and alike, that it is known where the middle one is."""
        middle = self.middle(nodes)
        return middle.high - middle.low <= 2 * OFF_SECONDS * 1000

    def _known(self) -> dict[str, TimeOfDay]:
        found = {peer: self.of(peer) for peer in sorted(self._samples)}
        return {peer: there for peer, there in found.items() if there != UNKNOWN}

    def _read(self) -> tuple[float, int]:
        """Both clocks at one moment: this node may be made to stand still between two readings."""
        before = self.monotonic()
        while True:
            wall_ms, after = self.wall_ms(), self.monotonic()
            if after - before <= _MOMENT_SECONDS:
                return after, wall_ms
            before = after


def _middle(clocks: Sequence[TimeOfDay]) -> TimeOfDay:
    count = len(clocks)
    if not count:
        return UNKNOWN
    lows = sorted(clock.low for clock in clocks)
    highs = sorted(clock.high for clock in clocks)
    return TimeOfDay(lows[(count - 1) // 2], highs[count // 2])
