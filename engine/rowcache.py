"""A cache of what gets have found in tables, bounded in bytes: of an engine whose tables change under it.

A hit is one dict lookup, 0.15 us with all that is around it; a search in a cached block takes 0.9. Rows are
young or old. All are young at first; when room is needed and none is old, all become old; a hit makes an
old one young again, and the old ones go, the last to come first. On skewed keys that hits as often as an
exact LRU (70.6 % with Zipf 0.99 and room for a tenth of the keys, where an LRU has 70.5 %, FIFO 68.8 %,
halves that take turns 66.3 %), and a hit that is young has nothing to write down for it. A row costs 1 us
and more to keep, memory that is not in the processor's cache above all. So where less than half of the
lookups are hits, seven of eight rows are not kept: what is looked up often comes to be kept all the same,
and more of it hits (14.4 % instead of 11.5 %, with Zipf 0.7, room for a tenth, and as many keys that never
come again).

It is never stale. There are two ways for an old value to be here, and both are closed:

    - A flush puts newer values into tables. Readers find these in the memtable until the tables are
      shown to them, and by then, under the lock, the rows of its keys have taken the new values.
    - A reader looks into tables that are then replaced, and adds what it found too late. It says which
      tables it looked into, and those are not the present ones any more.

Where tables change in another way, as when some are ingested, every row is dropped.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from engine.record import ABSENT, Found

# What a row costs beyond the bytes of key and value: two objects, and a slot in two dicts.
_ROW_BYTES = 180
# A row larger than this share of the cache is not worth what it pushes out.
_LARGEST_SHARE = 8
# While most lookups are misses, the rows of those are kept whose number has none of these bits.
_SPARSE = 7


class RowCache:
    """Values by key; None for a key that is deleted, or that a filter let through in vain.

    young    the rows that were used lately, for the lookup in engine.py
    hits     gets answered by a row
    misses   looks into a table, as there was no row

    Invariant: the rows take no more than `bytes_max`.
    """

    __slots__ = (
        "_byte_size", "_bytes_max", "_lock", "_old", "_sparse", "_tables", "_then", "hits", "misses", "young",
    )  # fmt: skip

    def __init__(self, bytes_max: int, tables: object) -> None:
        """`tables` are those that rows will be of, until they change."""
        self.young: dict[bytes, bytes | None] = {}
        self.hits = 0
        self.misses = 0
        self._old: dict[bytes, bytes | None] = {}
        self._tables = tables
        self._bytes_max = bytes_max
        self._byte_size = 0
        self._sparse = 0
        # Hits and misses when all rows last became old.
        self._then = (0, 0)
        self._lock = threading.Lock()

    @property
    def byte_size(self) -> int:
        return self._byte_size

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def find(self, key: bytes) -> Found:
        """Look up a key, old or young, before a block is asked."""
        value = self._old.get(key, ABSENT)
        if value is not ABSENT:
            self._rejuvenate(key)
        else:
            value = self.young.get(key, ABSENT)
            if value is ABSENT:
                self.misses += 1
                return ABSENT
        self.hits += 1
        return value

    def _rejuvenate(self, key: bytes) -> None:
        # Not worth waiting for: whoever holds the lock makes room, or replaces rows.
        if not self._lock.acquire(False):  # its name would cost 20 ns
            return
        try:
            value = self._old.pop(key, ABSENT)
            if value is not ABSENT:
                self.young[key] = value
        finally:
            self._lock.release()

    def add(self, key: bytes, value: bytes | None, tables: object) -> None:
        """Keep what was found in some tables, if they are still the present ones."""
        if self.misses & self._sparse:
            return
        size = _ROW_BYTES + len(key) + len(value or b"")
        if size * _LARGEST_SHARE > self._bytes_max or not self._lock.acquire(False):  # as above
            return
        try:
            if tables is self._tables and key not in self.young and key not in self._old:
                self.young[key] = value
                self._byte_size += size
                if self._byte_size > self._bytes_max:
                    self._make_room()
        finally:
            self._lock.release()

    def _make_room(self) -> None:
        while self._byte_size > self._bytes_max:
            if not self._old:
                self._old, self.young = self.young, {}
                hits, misses = self._then
                self._sparse = _SPARSE if self.hits - hits < self.misses - misses else 0
                self._then = (self.hits, self.misses)
            self._byte_size -= _row_bytes(*self._old.popitem())

    @contextmanager
    def changing(self, tables: object, flushed: Mapping[bytes, bytes | None] | None) -> Iterator[None]:
        """While tables are shown that hold what those before did, but for the flushed records.

        None, if nobody knows what they hold.
        """
        dropped: tuple[dict[bytes, bytes | None], ...] = ()
        with self._lock:
            if flushed is None:
                dropped = (self.young, self._old)
                self.young, self._old = {}, {}
                self._byte_size = 0
            elif self._byte_size:
                self._replace(flushed)
            self._tables = tables
            yield
        for rows in dropped:
            # One by one: all at once would not let other threads run before the last is gone.
            while rows:
                rows.popitem()

    def let_go(self) -> None:
        """Add no more, nor keep the tables open that rows were of."""
        with self._lock:
            self._tables = None

    def _replace(self, flushed: Mapping[bytes, bytes | None]) -> None:
        # One by one: a set operation would not let other threads run before its end.
        for rows in (self.young, self._old):
            for key, value in flushed.items():
                before = rows.get(key, ABSENT)
                if before is not ABSENT:
                    rows[key] = value
                    self._byte_size += _row_bytes(key, value) - _row_bytes(key, before)
        self._make_room()


# What there is where no rows are kept: nothing is ever added to it.
NO_ROWS = RowCache(0, None)


def _row_bytes(key: bytes, value: bytes | None) -> int:
    return _ROW_BYTES + len(key) + len(value or b"")
