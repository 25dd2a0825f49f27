"""Pace: so many bytes a second, and no more.

Source: the token bucket; its depth is what a tenth of a second allows.
"""

from collections.abc import Callable

_SAVED_SECONDS = 0.1


class Pace:
    """Makes whoever reports progress wait until it was due.

    now, sleep   a clock and a wait, both in seconds; a wait may be cut short
    """

    def __init__(self, bytes_per_second: float, now: Callable[[], float], sleep: Callable[[float], object]) -> None:
        """A rate of 0 sets no bound."""
        self._bytes_per_second = bytes_per_second
        self._now = now
        self._sleep = sleep
        self._due = now()

    def done(self, byte_size: int) -> None:
        """Return when these bytes, after all before them, were due."""
        if not self._bytes_per_second:
            return
        now = self._now()
        self._due = max(self._due, now - _SAVED_SECONDS) + byte_size / self._bytes_per_second
        if self._due > now:
            self._sleep(self._due - now)
