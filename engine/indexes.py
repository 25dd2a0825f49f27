"""Which tables have their index, filter and dictionary in memory.

A table brings them in at its first use. Where they are bounded, those of the table go that was not used
since it was last looked at, the oldest first (CLOCK), and it reads them again when it is next asked.
A table that nobody refers to any more is forgotten, whoever else still knows of this.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol
from weakref import ReferenceType, ref


class IndexedTable(Protocol):
    """What has an index.

    is_used      set by every look into the table
    is_counted   whether what it holds is part of Indexes.byte_size; nobody else sets it
    """

    is_used: bool
    is_counted: bool

    def forget_index(self) -> None:
        """Let go of index, filter and dictionary."""


class Indexes:
    """Of many tables, bounded in bytes or not; for one thread at a time.

    loads   how often any was brought in
    """

    def __init__(self, bytes_max: int | None) -> None:
        self.loads = 0
        self._bytes_max = bytes_max
        self._byte_size = 0
        self._queue: deque[tuple[ReferenceType[IndexedTable], int]] = deque()
        # Told by whichever thread lets go of a table, wherever it is: so it only leaves a note.
        self._gone: deque[int] = deque()

    @property
    def byte_size(self) -> int:
        self._settle()
        return self._byte_size

    def add(self, table: IndexedTable, byte_size: int, keep: Callable[[], None]) -> None:
        """Have a table keep what it has brought in, unless it did already, or it is more than there may be."""
        self.loads += 1
        if table.is_counted:
            return
        self._settle()
        if self._bytes_max is not None:
            if byte_size > self._bytes_max:
                return
            while self._queue and self._byte_size + byte_size > self._bytes_max:
                self._drop_one()
        table.is_counted = True
        gone = self._gone
        self._queue.append((ref(table, lambda _: gone.append(byte_size)), byte_size))
        self._byte_size += byte_size
        keep()

    def _drop_one(self) -> None:
        oldest = self._queue.popleft()
        table = oldest[0]()
        if table is None:
            return
        if table.is_used:
            table.is_used = False
            self._queue.append(oldest)
        else:
            table.is_counted = False
            table.forget_index()
            self._byte_size -= oldest[1]

    def _settle(self) -> None:
        if not self._gone:
            return
        while self._gone:
            self._byte_size -= self._gone.popleft()
        self._queue = deque(entry for entry in self._queue if entry[0]() is not None)
