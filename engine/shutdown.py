"""Shutdown: how an engine ends, by `close` or because nobody has it any more."""

import threading
from concurrent.futures import Executor

from engine.background import Background
from engine.files import FileSystem
from engine.ownlog import OwnLog
from engine.store import Store
from engine.tree import Tree


class Shutdown:
    """Closes everything that one engine has open, once; what was interrupted is gone on with.

    is_done   whether nothing is left to be closed
    """

    def __init__(
        self,
        file_system: FileSystem,
        store: Store,
        tree: Tree,
        log: OwnLog | None,
        background: Background,
        executor: Executor | None,
    ) -> None:
        """`executor` is the engine's own, if it has one."""
        self.is_done = False
        self._file_system = file_system
        self._store = store
        self._tree = tree
        self._log = log
        self._background = background
        self._executor = executor
        self._lock = threading.RLock()

    def finish(self) -> None:
        """Return once nothing runs any more, and the log is durable. Raises: StorageError, with all of it closed."""
        with self._lock:
            if self.is_done:
                return
            self._background.close()
            self._tree.close()
            try:
                if self._log is not None:
                    self._log.close()
            finally:
                self._release(wait=True)

    def abandon(self) -> None:
        """The same as if the process had been killed: nothing more is written."""
        if not self.is_done:
            self._background.abandon(self._let_go)

    def _let_go(self) -> None:
        with self._lock:
            if self.is_done:
                return
            self._tree.close()
            if self._log is not None:
                self._log.release()
            # This may be one of its threads.
            self._release(wait=False)

    def _release(self, *, wait: bool) -> None:
        try:
            self._store.close()
        finally:
            self._file_system.release()
            if self._executor is not None:
                self._executor.shutdown(wait=wait)
        # Only now: an interrupt, wherever it comes, leaves the rest to whoever closes it again.
        self.is_done = True
