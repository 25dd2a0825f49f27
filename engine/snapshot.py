"""A snapshot: the store as it was at one moment, read while writes go on."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from engine.bounds import check_limit, intersect
from engine.forks import FORKED, register
from engine.record import ABSENT, SequenceNumber, unless_expired
from engine.view import ClosedView, View


class Snapshot:
    """Answers as the engine did when it was taken, to any thread, until it is closed.

    It outlives flushes, compactions and the engine itself, also once others have the directory open: then it has
    a descriptor for each table that it needs, as many as Options.open_files_max allows, and a get or scan that
    needs another is a ClosedError. In a process that is forked off it is closed.

    sequence   it has every write up to this one, and no later one

    Cost: a copy of the active memtable's hash table (not of keys and values), which snapshots share
    between which nothing was written; and, while it is open, memory for the memtables it was taken of
    and disk for the tables: those that compaction has replaced meanwhile are freed only then. Forgotten
    ones are closed when they are collected.
    """

    __slots__ = ("__weakref__", "_clock_ms", "_open", "_view", "sequence")

    def __init__(self, view: View, opened: set[int], clock_ms: int) -> None:
        """Use `Engine.snapshot`. Nobody writes to the view; `opened` has who is open."""
        self._view = view
        self._clock_ms = clock_ms
        self._open = opened
        self.sequence: SequenceNumber = view.active.sequence
        opened.add(id(self))
        register(self)

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None:
        """The value a key had, None if there was none.

        Raises: ClosedError; WouldBlockError, if not `wait` and the answer is not in memory; CorruptionError.
        """
        view = self._view
        value = view.records.get(key, ABSENT)
        return unless_expired(view.find(key, wait) if value is ABSENT else value, self._clock_ms)

    def multi_get(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values many keys had. Raises: ClosedError, CorruptionError."""
        return self._view.multi_get(keys, self._clock_ms)

    def scan(
        self,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        prefix: bytes = b"",
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """As `Engine.scan`; one that was begun may be read to its end when the snapshot is closed."""
        start, end = intersect(start, end, prefix)
        check_limit(limit)
        return self._view.scan(start, end, reverse=reverse, limit=limit, clock_ms=self._clock_ms)

    def close(self) -> None:
        """Let go of everything; closing it twice is no mistake."""
        self._open.discard(id(self))
        self._view = ClosedView("the snapshot is closed")

    def forget(self) -> None:
        """As forks.Owner has it."""
        self._view = ClosedView(f"the snapshot: {FORKED}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._open.discard(id(self))
