"""A node's two clocks: one that only runs, at a rate of its own, and the time of day, which may also jump."""

WALL_MILLISECONDS = 1_700_000_000_000


class NodeClock:
    """How a node sees simulated time.

    rate            seconds on the node's clocks in a second of simulated time
    wall_offset     seconds by which its time of day is ahead
    """

    def __init__(self, offset: float = 0.0, rate: float = 1.0, wall_offset: float = 0.0) -> None:
        self.rate = rate
        self.wall_offset = wall_offset
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

    def drift(self, time: float, rate: float) -> None:
        """From `time` on the clocks run at another rate."""
        self._local_base = self.local(time)
        self._base = time
        self.rate = rate
