"""A cache of blocks, bounded in bytes, that many engines and threads may share.

A hit is one dict lookup and one flag, without a lock. What is dropped is the oldest block that
was not used since it was last looked at (the CLOCK algorithm, Corbato 1968).
"""

import threading
from collections import deque
from itertools import count

from engine.block import Block


class BlockCache:
    """Blocks by id; `blocks` is there for the lookup in sstable.py.

    Invariant: the blocks in it take no more than `bytes_max`.
    """

    def __init__(self, bytes_max: int) -> None:
        self.blocks: dict[int, Block] = {}
        self._bytes_max = bytes_max
        self._byte_size = 0
        self._queue: deque[int] = deque()
        self._lock = threading.Lock()
        self._ids = count()

    @property
    def byte_size(self) -> int:
        return self._byte_size

    def table_id(self) -> int:
        """A number whose sums with block numbers below 2^32 are ids of nobody else."""
        return next(self._ids) << 32

    def add(self, block_id: int, block: Block) -> None:
        with self._lock:
            if block.byte_size > self._bytes_max or block_id in self.blocks:
                return
            self.blocks[block_id] = block
            self._queue.append(block_id)
            self._byte_size += block.byte_size
            while self._byte_size > self._bytes_max:
                self._drop_one()

    def _drop_one(self) -> None:
        oldest = self._queue.popleft()
        block = self.blocks[oldest]
        if block.referenced:
            block.referenced = False
            self._queue.append(oldest)
        else:
            del self.blocks[oldest]
            self._byte_size -= block.byte_size
