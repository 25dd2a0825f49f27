"""Sync times: how long the newest syncs of a disk took."""

from statistics import median

SYNCS = 16
SYNCS_NEEDED = 6
AGE_SECONDS_MAX = 30.0
# A sync that has been under way for so long tells more than those that ended.
HANG_SECONDS = 2.0


class SyncTimes:
    """Told of each sync by whoever syncs, on any thread; asked on the event loop. All in seconds of one clock.

    ended_at    when the newest sync ended; None, before the first
    """

    def __init__(self) -> None:
        self.ended_at: float | None = None
        self._began_at: float | None = None
        # Replaced as a whole, so that no thread sees half of a change.
        self._newest: tuple[tuple[float, float], ...] = ()

    def began(self, now: float) -> None:
        self._began_at = now

    def ended(self, now: float) -> float:
        """How long it took."""
        began_at = now if self._began_at is None else self._began_at
        self._newest = (*self._newest[1 - SYNCS :], (now, now - began_at))
        self._began_at, self.ended_at = None, now
        return now - began_at

    def median(self, now: float) -> float | None:
        """Of the newest syncs, None if there were few lately; or how long one has hung, if that is longer."""
        began_at = self._began_at
        hung = 0.0 if began_at is None else now - began_at
        recent = [seconds for at, seconds in self._newest if now - at <= AGE_SECONDS_MAX]
        usual = median(recent) if len(recent) >= SYNCS_NEEDED else None
        return usual if hung < HANG_SECONDS else max(hung, usual or 0.0)
