"""Backpressure: how far flush and compaction are behind, and what writers are told, or made to wait, for it.

A writer stops while a memtable cannot be sealed, level 0 has too many tables, or the debt is too large:
the bytes that levels hold beyond their limits. Before that it is slowed down, each write by a little, so
that it seldom has to stop: the nearer that is, the less of what compaction was seen to take off level 0
may be written in the same time. Halfway to the stop it is just as much.

Source: RocksDB's write stalls, with a measured rate in the place of its guesses.
"""

from collections.abc import Callable

from engine.compaction import debt_bytes
from engine.options import Options
from engine.pace import Pace
from engine.version import Version

# Of what compaction takes off: even at the brink so much may be written.
_SHARE_MIN = 1 / 8
# By so much of its bound may a debt grow that was there before writes added to it.
_GROWTH_SHARE = 1 / 4
# A single write, however large, is held back no longer.
_SLEEP_SECONDS_MAX = 1.0


class Backpressure:
    """Of one engine.

    debt_bytes        that compaction has to work off
    pressure          0: writes are as quick as they can be; 1: they stop
    is_slowing        whether writes are to be held back by `slow_down`
    slowdowns         writes that were
    slowed_seconds    how long altogether
    stalls            writes that had to stop
    stalled_seconds   how long altogether
    """

    def __init__(self, options: Options, now: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self.debt_bytes = 0
        self.pressure = 0.0
        self.is_slowing = False
        self.slowdowns = 0
        self.slowed_seconds = 0.0
        self.stalls = 0
        self.stalled_seconds = 0.0
        self._options = options
        self._now = now
        self._sleep = sleep
        self._pace = self._new_pace()
        self._level0 = 0
        # What compaction takes off level 0, in bytes of memtables a second; 0 until it was seen.
        self._drained_per_second = 0.0
        self._busy_since: float | None = None
        self._lowest_debt_bytes = 0
        self._has_too_much_debt = False

    def _new_pace(self) -> Pace:
        return Pace(0, self._now, lambda seconds: self._sleep(min(seconds, _SLEEP_SECONDS_MAX)))

    # Told by the jobs, one at a time.

    def changed(self, version: Version, *, by_writes: bool = True) -> None:
        """Take note of the tables there are now.

        A debt that was not brought by writes does not stop them: a store opened with smaller levels than
        it was made with, or one that took tables in.
        """
        debt = debt_bytes(version, self._options)
        level0 = len(version.levels[0])
        self._measure(level0, is_busy=debt > 0)
        self.debt_bytes, self._level0 = debt, level0
        self._lowest_debt_bytes = min(self._lowest_debt_bytes, debt) if by_writes else debt
        of_debt = self._pressure_of_debt()
        self._has_too_much_debt = of_debt >= 1
        self.pressure = min(max(self._pressure_of_level0(), of_debt, 0.0), 1.0)
        is_slowing = self.pressure > 0 and self._drained_per_second > 0
        if is_slowing and not self.is_slowing:
            self._pace = self._new_pace()
        self._pace.bytes_per_second = self._drained_per_second * max(2 * (1 - self.pressure), _SHARE_MIN)
        self.is_slowing = is_slowing

    def _measure(self, level0: int, *, is_busy: bool) -> None:
        now = self._now()
        drained = self._level0 - level0
        if drained > 0 and self._busy_since is not None:
            seen = drained * self._options.memtable_bytes_max / max(now - self._busy_since, 1e-3)
            self._drained_per_second = (self._drained_per_second or seen) / 2 + seen / 2
        if not is_busy:
            # How little it does from now on says nothing about what it could do.
            self._busy_since = None
        elif drained > 0 or self._busy_since is None:
            self._busy_since = now

    def _pressure_of_level0(self) -> float:
        high = self._options.level0_tables_max
        low = min((self._options.level0_tables_compact + high) / 2, high - 1)
        return (self._level0 - low) / (high - low)

    def _pressure_of_debt(self) -> float:
        bound = self._options.debt_bytes_max
        low = max(bound / 2, self._lowest_debt_bytes)
        high = max(bound, self._lowest_debt_bytes + bound * _GROWTH_SHARE)
        return (self.debt_bytes - low) / (high - low)

    # Asked by writers.

    def stall_reason(self, sealed: int, level0: int) -> str:
        """Why a memtable that is full cannot be sealed, "" if it can."""
        options = self._options
        if sealed >= options.sealed_memtables_max:
            return f"{sealed} memtables wait for their flush"
        if level0 >= options.level0_tables_max:
            return f"level 0 has {level0} tables"
        if self._has_too_much_debt:
            return f"compaction is {self.debt_bytes} bytes behind"
        return ""

    def slow_down(self, byte_size: int) -> None:
        """Hold back a write that takes so many bytes of a memtable."""
        waited = self._pace.done(byte_size)
        if waited:
            self.slowdowns += 1
            self.slowed_seconds += waited

    def stop(self, wait: Callable[[], bool]) -> bool:
        """Have a write wait until it may go on; returns what `wait` does."""
        self.stalls += 1
        began = self._now()
        try:
            return wait()
        finally:
            self.stalled_seconds += self._now() - began
