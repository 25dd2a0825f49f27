"""The tree as it is now: one View, replaced whole whenever memtables or tables change."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from engine.lookups import Lookups
from engine.memtable import Memtable
from engine.record import SequenceNumber, WriteBatch
from engine.rowcache import NO_ROWS, RowCache
from engine.stats import LookupStats
from engine.view import ClosedView, Levels, View


class Tree:
    """Holds the View that readers take; they need no lock to do so."""

    def __init__(self, active: Memtable, levels: Levels, row_cache_bytes_max: int = 0) -> None:
        """Of what gets find in tables up to `row_cache_bytes_max` are kept at hand."""
        self.rows = RowCache(row_cache_bytes_max, levels) if row_cache_bytes_max else NO_ROWS
        self._lookups: dict[int, Lookups] = {}
        self.view = self._view(active, (), levels)
        self._lock = threading.Lock()

    def _view(self, active: Memtable, sealed: tuple[Memtable, ...], levels: Levels) -> View:
        lookups = self._lookups.setdefault(levels.depth, Lookups(levels.depth))
        return View(active, sealed, levels, self.rows, lookups)

    @property
    def lookups(self) -> LookupStats:
        return Lookups.total(list(self._lookups.values()))

    def seal(self, next_log: int) -> Memtable:
        """Replace the active memtable by an empty one, which is returned."""
        with self._lock:
            view = self.view
            view.active.next_log = next_log
            active = Memtable(view.active.sequence)
            self.view = self._view(active, (view.active, *view.sealed), view.levels)
        return active

    def apply(self, batch: WriteBatch, sequence: SequenceNumber) -> Memtable:
        """Let readers see a batch, all of it in one step; the memtable that is active now."""
        active = self.view.active
        if not batch.ranges:
            active.write(batch.records, batch.byte_size, sequence)
            return active
        active = active.after(batch, sequence)
        with self._lock:
            view = self.view
            self.view = self._view(active, view.sealed, view.levels)
        return active

    @property
    def sealed_sequence(self) -> SequenceNumber:
        """Every write up to it is in sealed memtables or in tables."""
        return self.view.active.first_sequence

    def oldest_sealed(self) -> Memtable | None:
        """The memtable to flush next."""
        sealed = self.view.sealed
        return sealed[-1] if sealed else None

    def publisher(self, flushed: Sequence[Memtable] = (), *, is_same: bool = False) -> Callable[[Levels], None]:
        """What shows new levels to readers, and in the same step drops the memtables now in them.

        is_same   they hold what those before them did, as after a compaction
        """

        def publish(levels: Levels) -> None:
            # The rows first, as they may take a while, which a writer that seals a memtable does not have.
            with self._changing_rows(levels, flushed, is_same), self._lock:
                view = self.view
                sealed = tuple(memtable for memtable in view.sealed if memtable not in flushed)
                self.view = self._view(view.active, sealed, levels)

        return publish

    def _changing_rows(
        self, levels: Levels, flushed: Sequence[Memtable], is_same: bool
    ) -> AbstractContextManager[None]:
        if self.rows is NO_ROWS:
            return nullcontext()
        if is_same:
            return self.rows.changing(levels, {})
        is_known = len(flushed) == 1 and not flushed[0].ranges
        return self.rows.changing(levels, flushed[0].records if is_known else None)

    def close(self) -> None:
        """Let go of every table; who reads on has a View of his own."""
        with self._lock:
            self.view = ClosedView("the engine is closed")
            self.rows.let_go()
