"""A cache of blocks, and of indexes, bounded in bytes, that many engines and threads may share.

A table has a list with a place for each of its blocks; the cache fills and clears these places. A hit is
one look into that list and one count in the block, without a lock. What is dropped is the oldest block
that has not been hit since it was last looked at (the CLOCK algorithm, Corbato 1968). As long as there is
room to spare, blocks that are hit often are opened: they are quicker then, and take more of it.

Indexes and filters grow with the data. They may be part of what is bounded: then they come first, up to
three quarters of it, as a get without them reads them all, and blocks have the rest.
"""

import threading
from collections import deque
from collections.abc import Callable

from engine.block import Block
from engine.forks import register
from engine.indexes import IndexedTable, Indexes
from engine.openblock import OpenBlock, open_bytes_max
from engine.stats import BlockCacheStats

Places = list[Block | OpenBlock | None]

_INDEXES_SHARE = 0.75
_GROWTH_MAX = 3  # of many small records an open block would take more than that, and stays as it is


class BlockCache:
    """Decides which blocks stay where their tables look for them, and which tables keep their index.

    holds_indexes   whether indexes, filters and dictionaries are part of `bytes_max`; else they are only counted

    Invariant: the blocks in it take no more than `bytes_max`; if it holds indexes, both together.
    """

    def __init__(self, bytes_max: int, *, holds_indexes: bool = False) -> None:
        self.bytes_max = bytes_max
        self.holds_indexes = holds_indexes
        self.misses = 0
        self._indexes = self._no_indexes()
        self._room = bytes_max
        self._byte_size = 0
        # Of blocks that were dropped, and of others before they were last looked at.
        self._hits = 0
        self._queue: deque[tuple[Places, int]] = deque()
        self._lock = threading.Lock()
        register(self)

    @property
    def byte_size(self) -> int:
        """Of blocks."""
        return self._byte_size

    def stats(self) -> BlockCacheStats:
        """Cost: a look at every block, 50 ns each."""
        with self._lock:
            hits = self._hits + sum(block.hits for places, number in self._queue if (block := places[number]))
            indexes = self._indexes
            return BlockCacheStats(self._byte_size, self.bytes_max, hits, self.misses, indexes.byte_size, indexes.loads)

    def add(self, places: Places, number: int, block: Block) -> None:
        """Put a block in its place, until others need the memory more."""
        with self._lock:
            self.misses += 1
            self._measure()
            if block.byte_size > self._room or places[number] is not None:
                return
            places[number] = block
            self._queue.append((places, number))
            self._byte_size += block.byte_size
            self._make_room()

    def add_index(self, table: IndexedTable, byte_size: int, keep: Callable[[], None]) -> None:
        """Have a table keep its index, which takes so many bytes, until others need the memory more."""
        with self._lock:
            self._indexes.add(table, byte_size, keep)
            self._measure()
            self._make_room()

    def forget(self) -> None:
        """In the child of a fork: begin anew, as another thread may have been halfway through a change."""
        self._lock = threading.Lock()
        self._queue = deque()
        self._byte_size = 0
        self._indexes = self._no_indexes()
        self._room = self.bytes_max

    def _no_indexes(self) -> Indexes:
        return Indexes(int(_INDEXES_SHARE * self.bytes_max) if self.holds_indexes else None)

    def _measure(self) -> None:
        if self.holds_indexes:
            self._room = self.bytes_max - self._indexes.byte_size

    def _make_room(self) -> None:
        while self._byte_size > self._room:
            self._drop_one()

    def open(self, places: Places, number: int, block: Block) -> None:
        """Make a block quicker, if there is room for it, and it needs not too much."""
        grown = open_bytes_max(block) - block.byte_size
        if self._byte_size + grown > self._room or grown > (_GROWTH_MAX - 1) * block.byte_size:
            return
        opened = OpenBlock(block)
        with self._lock:
            grown = opened.byte_size - block.byte_size
            if places[number] is block and self._byte_size + grown <= self._room:
                places[number] = opened
                self._byte_size += grown

    def _drop_one(self) -> None:
        oldest = self._queue.popleft()
        places, number = oldest
        block = places[number]
        assert block is not None, "nobody else clears a place"
        if block.hits:
            self._hits += block.hits
            block.hits = 0
            self._queue.append(oldest)
        else:
            places[number] = None
            self._byte_size -= block.byte_size
