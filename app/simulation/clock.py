"""A node's two clocks: one that only runs, at a rate of its own, and the time of day, which may also jump."""

import math

WALL_MILLISECONDS = 1_700_000_000_000


class NodeClock:
    """How a node sees simulated time.

    rate            seconds on the node's clocks in a second of simulated time
    wall_offset     seconds by which its time of day is ahead
    wrongs          from when to when it was set wrong
    """

    def __init__(self, offset: float = 0.0, rate: float = 1.0, wall_offset: float = 0.0) -> None:
        self.rate = rate
        self.wall_offset = wall_offset
        self.wrongs: list[tuple[float, float]] = []
        self._offset = offset
        self._base = 0.0
        self._local_base = offset

    def local(self, time: float) -> float:
        """The node's monotonic clock at a simulated time, not before the last change of rate."""
        return self._local_base + (time - self._base) * self.rate

    def simulated(self, local: float) -> float:
        """When the node's monotonic clock shows `local`, if its rate stays."""
        return self._base + (local - self._local_base) / self.rate

    def wall_ms(self, time: float) -> int:
        """The node's time of day, in milliseconds since the epoch."""
        return WALL_MILLISECONDS + int((self.local(time) - self._offset + self.wall_offset) * 1000)

    def set_wrong(self, time: float, seconds: float) -> None:
        """Somebody sets the time of day, by so much."""
        self.wall_offset += seconds
        self.wrongs.append((time, math.inf))

    def set_right(self, time: float) -> None:
        """It shows the true time of day again, as after NTP has set it."""
        self.wall_offset = time - (self.local(time) - self._offset)
        self.wrongs = [(since, min(until, time)) for since, until in self.wrongs]

    def drift(self, time: float, rate: float) -> None:
        """From `time` on the clocks run at another rate."""
        self._local_base = self.local(time)
        self._base = time
        self.rate = rate
