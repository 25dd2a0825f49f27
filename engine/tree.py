"""The tree as it is now: one View, replaced whole whenever memtables or tables change."""

import threading
from collections.abc import Callable

from engine.memtable import Memtable
from engine.record import SequenceNumber
from engine.view import ClosedView, Levels, View


class Tree:
    """Holds the View that readers take; they need no lock to do so."""

    def __init__(self, active: Memtable, levels: Levels) -> None:
        self.view = View(active, (), levels)
        self._lock = threading.Lock()

    def seal(self, next_log: int) -> Memtable:
        """Replace the active memtable by an empty one, which is returned."""
        with self._lock:
            view = self.view
            view.active.next_log = next_log
            active = Memtable(view.active.sequence)
            self.view = View(active, (view.active, *view.sealed), view.levels)
        return active

    @property
    def sealed_sequence(self) -> SequenceNumber:
        """Every write up to it is in sealed memtables or in tables."""
        return self.view.active.first_sequence

    def oldest_sealed(self) -> Memtable | None:
        """The memtable to flush next."""
        sealed = self.view.sealed
        return sealed[-1] if sealed else None

    def publisher(self, flushed: Memtable | None = None) -> Callable[[Levels], None]:
        """What shows new levels to readers, and in the same step drops the memtable now in them."""

        def publish(levels: Levels) -> None:
            with self._lock:
                view = self.view
                sealed = tuple(memtable for memtable in view.sealed if memtable is not flushed)
                self.view = View(view.active, sealed, levels)

        return publish

    def close(self) -> None:
        with self._lock:
            self.view = ClosedView("the engine is closed")
