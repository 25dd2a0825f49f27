"""Room: what a write needs before it is begun, on the disk and in what flush and compaction have left to do.

On a full disk only deletes are let in, as they are what frees space: in the headroom that flush and
compaction need to give it back, and, when even that is gone, in the space of the reserve.
"""

from collections.abc import Callable, Iterable
from errno import ENOSPC

from engine.background import Background
from engine.errors import StallError, StorageFullError
from engine.memtable import RECORD_BYTES
from engine.record import WriteBatch
from engine.reserve import Reserve
from engine.upkeep import Upkeep

# What deletes have freed is looked for after so many puts that were refused, or so long.
_REFUSALS_MAX = 64
_PAUSE_SECONDS = 1.0


class Room:
    """The room of one engine, asked for by one writer at a time.

    reserve        disk space held back for deletes
    backpressure   how far flush and compaction are behind
    is_open        whether there is room for anything

    `admit` is needed only while it is not open or the backpressure is slowing.
    """

    def __init__(
        self,
        directory: str,
        reserve: Reserve,
        upkeep: Upkeep,
        background: Background,
        stall_seconds_max: float,
        now: Callable[[], float],
    ) -> None:
        self.reserve = reserve
        self.backpressure = upkeep.backpressure
        self.is_open = True
        self._directory = directory
        self._upkeep = upkeep
        self._background = background
        self._stall_seconds_max = stall_seconds_max
        self._now = now
        self._refusals = 0
        self._reclaimed_at = now()

    def look(self) -> bool:
        """See whether there is room for anything, and say so."""
        was_open = self.is_open
        self.is_open = self._upkeep.has_headroom and self.reserve.hold()
        if was_open and not self.is_open:
            # What was deleted up to now is looked for at once.
            self._refusals = _REFUSALS_MAX
        return self.is_open

    def admit(self, batches: Iterable[WriteBatch]) -> None:
        """Let batches in, after a while if need be. Raises: StorageFullError, if there is room for deletes alone."""
        if not (self.is_open or are_frugal(batches) or self.look()):
            self._refusals += 1
            raise StorageFullError(self._directory, ENOSPC, "no space is left for anything but deletes")
        if self.backpressure.is_slowing:
            self.backpressure.slow_down(sum(batch.byte_size + RECORD_BYTES * len(batch) for batch in batches))

    def may_reclaim(self) -> bool:
        """Whether it is time, after a put was refused, to look for what deletes have freed."""
        now = self._now()
        if self._refusals < _REFUSALS_MAX and now < self._reclaimed_at + _PAUSE_SECONDS:
            return False
        self._refusals, self._reclaimed_at = 0, now
        return True

    def once_more(self, batches: Iterable[WriteBatch], refused: StorageFullError, act: Callable[[], object]) -> None:
        """Only for deletes the reserve is given up. Raises: `refused`, if they are none, or it is not held."""
        self.is_open = False
        if not are_frugal(batches):
            raise refused
        self.reserve.once_more(refused, act)

    def wait(self) -> None:
        """Return once a memtable may be sealed.

        Raises: StallError, after a bound; StorageFullError, if that is why; why the engine is closed to writes.
        """
        background, upkeep, seconds = self._background, self._upkeep, self._stall_seconds_max
        if not upkeep.stall_reason:
            return
        # A job that a full disk has stopped gets another chance.
        background.request()
        if not self.backpressure.stop(lambda: background.wait_for_room(seconds)):
            raise StallError(f"flush and compaction were behind for {seconds} seconds: {upkeep.stall_reason}")
        background.check()
        full = background.full
        if full is not None and upkeep.stall_reason:
            self.is_open = False
            raise StorageFullError(full.path, full.number, full.reason)


def are_frugal(batches: Iterable[WriteBatch]) -> bool:
    """Whether they delete, and put nothing."""
    return all(batch.is_frugal for batch in batches)
