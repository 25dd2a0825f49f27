"""Disk pace: whether a node's disk is much slower than those of the other nodes.

Slow is slower than disks should be, and several times slower than the others': where all are alike nobody is slow,
and nothing would be won by moving. Quick again is less than half of that, for a while: a disk in between stays what
it was.
"""

from collections.abc import Sequence
from statistics import median_low

SLOW_SECONDS = 0.1
SLOW_RATIO = 4.0
QUICK_SECONDS = SLOW_SECONDS / 2
QUICK_RATIO = SLOW_RATIO / 2
# For so long it must look slow: the others' medians may follow a little later. And for so long quick: a disk that is
# slow now and then stays slow.
SLOW_FOR_SECONDS = 3.0
QUICK_FOR_SECONDS = 10.0


class DiskPace:
    """Judges one disk by the median time of its syncs, in seconds, and by the others'."""

    def __init__(self) -> None:
        self.is_slow = False
        self._other_since: float | None = None

    def judge(self, mine: float | None, others: Sequence[float], now: float) -> bool:
        """Whether the disk is slow. Where `mine` is not known it is what it was."""
        # Of two others the quicker one counts: a leadership can go there.
        usual = median_low(others) if others else None
        looks_other = mine is not None and (_is_quick if self.is_slow else _is_slow)(mine, usual)
        if not looks_other:
            self._other_since = None
            return self.is_slow
        if self._other_since is None:
            self._other_since = now
        if now - self._other_since >= (QUICK_FOR_SECONDS if self.is_slow else SLOW_FOR_SECONDS):
            self.is_slow, self._other_since = not self.is_slow, None
        return self.is_slow


def _is_slow(mine: float, usual: float | None) -> bool:
    return usual is not None and mine > max(SLOW_SECONDS, SLOW_RATIO * usual)


def _is_quick(mine: float, usual: float | None) -> bool:
    return mine < QUICK_SECONDS or (usual is not None and mine < QUICK_RATIO * usual)
