"""WriteQueue: all who wait are written for at once, and each hears of its own outcome."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from engine import EngineError, SequenceNumber, StorageFullError, WriteBatch
from engine.writequeue import WriteQueue
from tests.engine.small import batch

FULL = StorageFullError("/db/x", 28, "No space left on device")


class Commits:
    """Gives sequences from 1 on; refuses puts while the disk is full, and seals with every delete."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.groups: list[tuple[int, bool]] = []
        self.sealed = 0
        self.is_full = False
        self.queue = WriteQueue(self.lock, self.commit, self._sealed)
        self._sequence = 0

    def commit(self, batches: list[WriteBatch], sync: bool) -> tuple[SequenceNumber, bool]:
        assert self.lock.locked()
        self.groups.append((len(batches), sync))
        if self.is_full and not all(batch.is_frugal for batch in batches):
            raise FULL
        first = self._sequence + 1
        self._sequence += len(batches)
        return SequenceNumber(first), any(batch.is_frugal for batch in batches)

    def _sealed(self) -> None:
        assert not self.lock.locked()
        self.sealed += 1

    def all_at_once(self, *writes: tuple[WriteBatch, bool]) -> list[Future[SequenceNumber]]:
        """Have so many threads come while another one writes."""
        with ThreadPoolExecutor(len(writes)) as pool, self.lock:
            given = []
            for number, write in enumerate(writes, 1):
                given.append(pool.submit(self.queue.write, *write))
                while len(self.queue.waiting) < number:
                    threading.Event().wait(0.001)
        return given


def deletes() -> WriteBatch:
    deleting = WriteBatch()
    deleting.delete(b"a")
    return deleting


def test_who_waits_is_written_for_together_and_synced_if_anyone_asks() -> None:
    commits = Commits()

    given = commits.all_at_once((batch((b"a", b"1")), False), (batch((b"b", b"1")), True), (batch((b"c", b"1")), False))

    assert commits.groups == [(3, True)]
    assert [write.result() for write in given] == [1, 2, 3]
    assert not commits.sealed


def test_on_a_full_disk_each_is_tried_alone() -> None:
    """What frees space need not fail with what needs it, and a memtable that was sealed is told of all the same."""
    commits = Commits()
    commits.is_full = True

    refused, deleted = commits.all_at_once((batch((b"a", b"1")), False), (deletes(), False))

    assert commits.groups == [(2, False), (1, False), (1, False)]
    assert deleted.result() == 1
    assert refused.exception() is FULL
    assert commits.sealed == 1


def test_an_interrupt_is_its_threads_alone() -> None:
    """The others of the group hear that it was cut short."""
    lock = threading.Lock()

    def interrupted(batches: list[WriteBatch], sync: bool) -> tuple[SequenceNumber, bool]:
        raise KeyboardInterrupt

    queue = WriteQueue(lock, interrupted, lambda: None)
    other = WriteQueue(lock, interrupted, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        queue.write(batch((b"a", b"1")), sync=False)
    assert not queue.waiting
    assert not lock.locked()

    errors: list[BaseException] = []

    def write() -> None:
        try:
            other.write(batch((b"a", b"1")), sync=False)
        except BaseException as error:  # an interrupt is what is looked for
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    with lock:
        for thread in threads:
            thread.start()
        while len(other.waiting) < 2:
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()

    assert sorted(type(error).__name__ for error in errors) == [EngineError.__name__, KeyboardInterrupt.__name__]
