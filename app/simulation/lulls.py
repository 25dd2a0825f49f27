"""Lulls: when hardly any client asks for anything, so that groups sleep, and faults strike those that do."""

import random

GAP_SECONDS = 3.0
SECONDS_MIN = 0.5
SECONDS_MAX = 4.0


class Lulls:
    """One after the other, drawn as time goes on."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._begin = self._end = 0.0
        self._draw()

    def after(self, now: float) -> float:
        """The first moment, from `now` on, that is in no lull. `now` never falls."""
        while self._end <= now:
            self._draw()
        return self._end if self._begin <= now else now

    def _draw(self) -> None:
        self._begin = self._end + self._rng.expovariate(1 / GAP_SECONDS)
        self._end = self._begin + self._rng.uniform(SECONDS_MIN, SECONDS_MAX)
