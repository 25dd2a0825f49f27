"""Syncs the node log in a thread of its own, so that a slow disk never holds up the event loop."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Syncer:
    """One sync at a time, in the order asked for.

    sync    what waits for the disk; called in the thread
    synced  told the generation and the error, if there was one; called on the event loop
    """

    def __init__(self, sync: Callable[[], None], synced: Callable[[int, Exception | None], None]) -> None:
        self._sync = sync
        self._synced = synced
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[int | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="node-log-sync", daemon=True)
        self._thread.start()

    def ask(self, generation: int) -> None:
        self._asked.put(generation)

    def close(self) -> None:
        """Finish what was asked for, then end the thread."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (generation := self._asked.get()) is not None:
            error: Exception | None = None
            try:
                self._sync()
            except Exception as failure:  # noqa: BLE001  # whatever it is, the loop must hear of it
                error = failure
            self._loop.call_soon_threadsafe(self._synced, generation, error)
