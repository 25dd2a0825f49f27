"""Pace: so many bytes a second, and no more.

Source: the token bucket; its depth is what a tenth of a second allows.
"""

from collections.abc import Callable

_SAVED_SECONDS = 0.1
# Shorter waits are put off until they add up, as each takes some time of its own.
_STEP_SECONDS = 0.001


class Pace:
    """Makes whoever reports progress wait until it was due.

    bytes_per_second   0 sets no bound
    now, sleep         a clock and a wait, both in seconds; a wait may be cut short
    """

    def __init__(self, bytes_per_second: float, now: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self.bytes_per_second = bytes_per_second
        self._now = now
        self._sleep = sleep
        # A clock that nobody needs is not looked at: time may be simulated.
        self._due = now() if bytes_per_second else 0.0

    def done(self, byte_size: int) -> float:
        """Return when these bytes, after all before them, were due: how many seconds that took."""
        if not self.bytes_per_second:
            return 0.0
        now = self._now()
        self._due = max(self._due, now - _SAVED_SECONDS) + byte_size / self.bytes_per_second
        if self._due - now < _STEP_SECONDS:
            return 0.0
        self._sleep(self._due - now)
        return self._now() - now
