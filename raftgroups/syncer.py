"""Syncs the node log: at once while the disk is quick, in a thread of its own while it is slow.

A sync of a quick disk takes less time than waking a thread and being woken by it does (both
wait for the interpreter lock), and what it delays is delayed by as much as it takes. A slow one
must not hold up heartbeats, so it moves to the thread, after at most one sync that did.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from raftgroups.synctimes import SyncTimes

SLOW_SECONDS = 0.02
QUICK_SYNCS_NEEDED = 16


class Syncer:
    """One sync at a time, in the order asked for.

    sync    what waits for the disk
    synced  told the generation and the error, if there was one; called on the event loop, and not
            before `ask` has returned
    clock   seconds, to tell a quick sync from a slow one
    times   how long the newest syncs took
    """

    def __init__(
        self,
        sync: Callable[[], object],
        synced: Callable[[int, Exception | None], None],
        clock: Callable[[], float],
    ) -> None:
        self._sync = sync
        self._synced = synced
        self._clock = clock
        self.times = SyncTimes()
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[int | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._quick_syncs = QUICK_SYNCS_NEEDED

    @property
    def is_inline(self) -> bool:
        return self._quick_syncs >= QUICK_SYNCS_NEEDED

    def sync_inline(self) -> None:
        """Sync on the caller's thread. Raises: StorageError; it must not be tried again."""
        self._timed()

    def ask(self, generation: int) -> None:
        """Have the thread sync, and tell `synced`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="node-log-sync", daemon=True)
            self._thread.start()
        self._asked.put(generation)

    def close(self) -> None:
        """Finish what was asked for, then end the thread."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()

    def _timed(self) -> None:
        self.times.began(self._clock())
        try:
            self._sync()
        finally:
            seconds = self.times.ended(self._clock())
            self._took(seconds)

    def _took(self, seconds: float) -> None:
        self._quick_syncs = self._quick_syncs + 1 if seconds < SLOW_SECONDS else 0

    def _run(self) -> None:
        while (generation := self._asked.get()) is not None:
            error: Exception | None = None
            try:
                self._timed()
            except Exception as failure:  # noqa: BLE001  # whatever it is, the loop must hear of it
                error = failure
            self._loop.call_soon_threadsafe(self._synced, generation, error)
