"""A simulated node's disk: the one in memory, with troubles that come and go, and how long its syncs take."""

import random
from collections.abc import Callable

from app.simulation.loop import NodeLoop
from engine import Fault, MemoryFileSystem, StorageError, StorageFullError
from raftgroups import SyncTimes

POWER_IS_OFF = -1
QUICK_SYNC_SECONDS = 0.002


class SimulatedDisk:
    """The disk of one node, across all its lives.

    files          what the node sees of it
    slow_seconds   how long a sync takes at most; 0: it is quick, and waited for
    is_cold        reads have to wait
    is_damaged     a bit of what was on it has been flipped
    """

    def __init__(self, rng: random.Random) -> None:
        self.files = MemoryFileSystem()
        self.slow_seconds = 0.0
        self.is_damaged = False
        self._rng = rng
        self._full: list[Fault] = []

    # Power.

    @property
    def is_off(self) -> bool:
        """The power is gone: at once, or in the middle of the change it was to last for."""
        off_at = self.files.power_lost_at
        return off_at is not None and self.files.changes > off_at

    def lose_power_after(self, changes: int) -> None:
        """Go off in the middle of the change after so many."""
        self.files.power_lost_at = self.files.changes + changes

    def keep_power(self) -> None:
        """Take the last back, if it did not happen yet."""
        if not self.is_off:
            self.files.power_lost_at = None

    def turn_off(self) -> None:
        self.files.power_lost_at = POWER_IS_OFF

    def turn_on(self, *, forgets: bool) -> None:
        """Come back; with what was not synced, if only the process had ended."""
        if forgets:
            self.files.restart(self._rng)
        else:
            self.files.power_lost_at = None
            self.files.kill()

    # Troubles.

    def fill(self) -> None:
        """No room for anything more."""
        full = StorageFullError("the disk", 28, "No space left on device")
        self._full = [Fault(operation, full, times=None, keep=0.3) for operation in ("write", "create_directory")]
        self.files.faults += self._full

    def make_room(self) -> None:
        for fault in self._full:
            self.files.faults.remove(fault)
        self._full = []

    def fail_sync(self) -> Callable[[], None]:
        """The next sync of a log fails, once; gives what takes that back, if it did not happen yet."""
        fault = Fault("sync", StorageError("the disk", 5, "Input/output error"), suffix=".log")
        self.files.faults.append(fault)

        def forget() -> None:
            if fault in self.files.faults:
                self.files.faults.remove(fault)

        return forget

    def set_cold(self, *, is_cold: bool) -> None:
        """Whether reads have to wait."""
        self.files.nowait = not is_cold

    def heal(self) -> None:
        """No more troubles, but for damage that was done."""
        self.make_room()
        self.files.faults.clear()
        self.slow_seconds = 0.0
        self.files.nowait = True
        self.keep_power()

    def flip_bit(self, paths: list[str]) -> str | None:
        """Flip a bit of one of these files; gives its path."""
        paths = [path for path in paths if self.files.exists(path) and self.files.size(path)]
        if not paths:
            return None
        path = self._rng.choice(paths)
        data = bytearray(self.files.content(path))
        at = self._rng.randrange(len(data))
        data[at] ^= 1 << self._rng.randrange(8)
        self.files.replace(path, bytes(data))
        self.is_damaged = True
        return path


class SimulatedSyncer:
    """Syncs the node log at once while the disk is quick, and at the end of the sync's time while it is not."""

    def __init__(
        self,
        disk: SimulatedDisk,
        loop: NodeLoop,
        rng: random.Random,
        sync: Callable[[], object],
        synced: Callable[[int, Exception | None], None],
    ) -> None:
        self.times = SyncTimes()
        self._disk = disk
        self._loop = loop
        self._rng = rng
        self._sync = sync
        self._synced = synced
        self._asked: list[int] = []

    @property
    def is_inline(self) -> bool:
        return not self._disk.slow_seconds

    def sync_inline(self) -> None:
        self.times.began(self._loop.time())
        self._sync()
        self.times.ended(self._loop.time())

    def ask(self, generation: int) -> None:
        self._asked.append(generation)
        self.times.began(self._loop.time())
        seconds = self._rng.random() * self._disk.slow_seconds
        self._loop.call_later(max(seconds, QUICK_SYNC_SECONDS), self._finish)

    def close(self) -> None:
        while self._asked:
            self._finish()

    def _finish(self) -> None:
        if self._asked:
            generation, error = self._asked.pop(0), None
            try:
                self._sync()
            except Exception as failure:  # noqa: BLE001  # whatever it is, the loop must hear of it
                error = failure
            self.times.ended(self._loop.time())
            self._loop.call_soon_threadsafe(self._synced, generation, error)
