"""WriteQueue: whoever comes while another one writes, and is then written for together with all who came.

One log write and one sync serve them all. Source: LevelDB, DBImpl::BuildBatchGroup.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from engine.errors import EngineError, StorageFullError
from engine.record import SequenceNumber, WriteBatch

# A group takes no further batch once it has so many bytes.
GROUP_BYTES_MAX = 1 << 20

# Logs batches, with a sync or without, and makes them visible: the sequence of the first, and whether
# a memtable was sealed.
Commit = Callable[[list[WriteBatch], bool], tuple[SequenceNumber, bool]]


class _Write:
    """A write that waits to be part of a group."""

    __slots__ = ("batch", "error", "sequence", "sync")

    def __init__(self, batch: WriteBatch, sync: bool) -> None:
        self.batch = batch
        self.sync = sync
        self.sequence: SequenceNumber | None = None
        self.error: EngineError | None = None


class WriteQueue:
    """The writes that wait for the lock.

    waiting   the oldest first; while there are any, nobody may write without having queued
    """

    def __init__(self, lock: threading.Lock, commit: Commit, sealed: Callable[[], None]) -> None:
        """`commit` is called with the lock held; `sealed` without it, after a memtable was."""
        self.waiting: deque[_Write] = deque()
        self._lock = lock
        self._commit = commit
        self._sealed = sealed

    def write(self, batch: WriteBatch, sync: bool) -> SequenceNumber:
        """Return once the batch is written, by whomever. Raises: what `commit` does."""
        write = _Write(batch, sync)
        is_full = False
        try:
            self.waiting.append(write)
            with self._lock:
                # Whoever gets the lock first writes for all who wait; the others find it done.
                while write.sequence is None and write.error is None:
                    is_full |= self._write_group()
        except BaseException:
            # What its caller was interrupted in is not written later on.
            self._forget([write])
            raise
        if is_full:
            self._sealed()
        if write.error is not None:
            raise write.error
        assert write.sequence is not None, "a write ends with a sequence or an error"
        return write.sequence

    def _write_group(self) -> bool:
        """Write for everybody who waits, up to a bound; whether a memtable was sealed."""
        group: list[_Write] = []
        size = 0
        try:
            while self.waiting and size < GROUP_BYTES_MAX:
                # In the group before it leaves the queue: wherever an interrupt comes, somebody hears of it.
                group.append(self.waiting[0])
                size += self.waiting.popleft().batch.byte_size
            return self._write_all(group)
        except BaseException as error:
            self._forget(group)
            told = error if isinstance(error, EngineError) else EngineError(f"it was cut short: {error!r}")
            for write in group:
                if write.sequence is None and write.error is None:
                    write.error = told
            if told is not error:
                # An interrupt, say, which is this thread's alone.
                raise
            return False

    def _forget(self, writes: list[_Write]) -> None:
        for write in writes:
            with suppress(ValueError):
                self.waiting.remove(write)

    def _write_all(self, group: list[_Write]) -> bool:
        try:
            first, is_full = self._commit([write.batch for write in group], any(write.sync for write in group))
        except StorageFullError:
            # What frees space need not fail with what needs it.
            return self._write_each(group)
        for number, write in enumerate(group, first):
            write.sequence = SequenceNumber(number)
        return is_full

    def _write_each(self, group: list[_Write]) -> bool:
        sealed = False
        for write in group:
            try:
                write.sequence, is_full = self._commit([write.batch], write.sync)
            except EngineError as error:
                write.error = error
            else:
                sealed |= is_full
        return sealed
