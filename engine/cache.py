"""A cache of blocks, bounded in bytes, that many engines and threads may share.

A table has a list with a place for each of its blocks; the cache fills and clears these places. A hit is
one look into that list and one count in the block, without a lock. What is dropped is the oldest block
that has not been hit since it was last looked at (the CLOCK algorithm, Corbato 1968).
"""

import threading
from collections import deque

from engine.block import Block

Places = list[Block | None]


class BlockCache:
    """Decides which blocks stay where their tables look for them.

    misses   blocks that were read from a file and handed to the cache

    Invariant: the blocks in it take no more than `bytes_max`.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.misses = 0
        self._byte_size = 0
        # Of blocks that were dropped, and of others before they were last looked at.
        self._hits = 0
        self._queue: deque[tuple[Places, int]] = deque()
        self._lock = threading.Lock()

    @property
    def byte_size(self) -> int:
        return self._byte_size

    @property
    def hits(self) -> int:
        """How often a block was found in its place. Cost: a look at every block, 50 ns each."""
        with self._lock:
            return self._hits + sum(block.hits for places, number in self._queue if (block := places[number]))

    def add(self, places: Places, number: int, block: Block) -> None:
        """Put a block in its place, until others need the memory more."""
        with self._lock:
            self.misses += 1
            if block.byte_size > self.bytes_max or places[number] is not None:
                return
            places[number] = block
            self._queue.append((places, number))
            self._byte_size += block.byte_size
            while self._byte_size > self.bytes_max:
                self._drop_one()

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
