"""Simulated time: what happens next, on any node or between them."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Scheduler:
    """Runs events one at a time, in the order of their times, and of their making where times are equal.

    now     simulated seconds since the beginning
    steps   how many events have run
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._made = 0

    @property
    def is_empty(self) -> bool:
        return not self._events

    def call_at(self, time: float, event: Callable[..., object], *args: Any) -> None:
        """Have `event` run at `time`, or as the last event of now if that is over."""
        self._made += 1
        heappush(self._events, (max(time, self.now), self._made, event, args))

    def run(self, until: float, steps_max: int) -> None:
        """Run events up to and including the time `until`, while fewer than `steps_max` have run in all."""
        events = self._events
        while events and events[0][0] <= until and self.steps < steps_max:
            self.now, _, event, args = heappop(events)
            self.steps += 1
            event(*args)
        if (not events or events[0][0] > until) and self.now < until and self.steps < steps_max:
            self.now = until
