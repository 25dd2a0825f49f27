"""Room: what a write needs before it is begun, on the disk and in what flush and compaction have left to do.

On a full disk only deletes are let in, in the space of the reserve, as they are what frees space.
"""

from collections.abc import Callable, Iterable
from errno import ENOSPC

from engine.background import Background
from engine.errors import StallError, StorageFullError
from engine.memtable import RECORD_BYTES
from engine.record import WriteBatch
from engine.reserve import Reserve
from engine.upkeep import Upkeep


class Room:
    """The room of one engine, asked for by one writer at a time.

    reserve        disk space held back for deletes
    backpressure   how far flush and compaction are behind

    `admit` is needed only while the reserve is not held or the backpressure is slowing.
    """

    def __init__(
        self, directory: str, reserve: Reserve, upkeep: Upkeep, background: Background, stall_seconds_max: float
    ) -> None:
        self.reserve = reserve
        self.backpressure = upkeep.backpressure
        self._directory = directory
        self._upkeep = upkeep
        self._background = background
        self._stall_seconds_max = stall_seconds_max

    def admit(self, batches: Iterable[WriteBatch]) -> None:
        """Let batches in, after a while if need be. Raises: StorageFullError, if there is room for deletes alone."""
        if not (self.reserve.is_held or _are_frugal(batches) or self.reserve.hold()):
            raise StorageFullError(self._directory, ENOSPC, "no space is left for anything but deletes")
        if self.backpressure.is_slowing:
            self.backpressure.slow_down(sum(batch.byte_size + RECORD_BYTES * len(batch) for batch in batches))

    def once_more(self, batches: Iterable[WriteBatch], refused: StorageFullError, act: Callable[[], object]) -> None:
        """Only for deletes the reserve is given up. Raises: `refused`, if they are none, or it is not held."""
        if not _are_frugal(batches):
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
            raise StorageFullError(full.path, full.number, full.reason)


def _are_frugal(batches: Iterable[WriteBatch]) -> bool:
    return all(batch.is_frugal for batch in batches)
