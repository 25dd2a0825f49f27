"""The engine's own logs: a gap is noticed, and the newest alone may be torn."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import (
    CorruptionError,
    Fault,
    InvalidBatchError,
    MemoryFileSystem,
    SequenceNumber,
    StorageError,
    StorageFullError,
    WriteBatch,
)
from engine.coding import DecodeError
from engine.ownlog import OwnLog, check_batch, replay
from engine.record import Expiring, decode_batch, encode_batch
from tests.strategies import ranges, records

NONE = SequenceNumber(0)


@pytest.fixture
def disk() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    return disk


def batch(key: bytes) -> WriteBatch:
    made = WriteBatch()
    made.put(key, b"v")
    return made


def fill(disk: MemoryFileSystem, logs: dict[int, list[int]]) -> OwnLog:
    """Logs with one batch per sequence."""
    first, *others = logs
    log = OwnLog(disk, "/db", first)
    for number in [first, *others]:
        if number != first:
            log.begin(number)
        for sequence in logs[number]:
            log.write(sequence, [batch(b"%d" % sequence)])
        log.sync()
    return log


def sequences(disk: MemoryFileSystem, oldest: int, flushed: int = 0) -> list[tuple[int, int]]:
    return [(number, sequence) for number, sequence, _ in replay(disk, "/db", oldest, SequenceNumber(flushed))]


@given(st.integers(0, 1 << 60), records, st.lists(ranges, max_size=3))
def test_a_batch_is_decoded_as_encoded(
    sequence: int, content: dict[bytes, bytes | None], deleted: list[tuple[bytes, bytes | None]]
) -> None:
    written = WriteBatch()
    for start, end in deleted:
        written.delete_range(start, end)
    written.records = content

    number, read = decode_batch(encode_batch(sequence, written))

    assert (number, read.records, read.ranges) == (sequence, content, written.ranges)
    assert [expiry_of(value) for value in read.records.values()] == [expiry_of(value) for value in content.values()]


def expiry_of(value: bytes | None) -> int | None:
    return value.expires_ms if isinstance(value, Expiring) else None


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_batch_or_refused(data: bytes) -> None:
    try:
        decode_batch(data)
    except DecodeError:
        pass


def test_everything_after_what_was_flushed_is_replayed(disk: MemoryFileSystem) -> None:
    fill(disk, {3: [1, 2], 5: [3], 8: [], 9: [4]})

    assert sequences(disk, 3) == [(3, 1), (3, 2), (5, 3), (9, 4)]
    assert sequences(disk, 3, 2) == [(5, 3), (9, 4)]
    assert sequences(disk, 3, 9) == []


@pytest.mark.parametrize(
    ("logs", "missing", "reason"),
    [
        ({3: [1, 2], 5: [3], 9: [4]}, 3, "the log is missing"),
        ({3: [1, 2], 5: [3], 9: [4]}, 5, "writes are missing before 4"),
        ({3: [5, 6]}, None, "writes are missing before 5"),
        ({3: [1, 3]}, None, "writes are missing before 3"),
        ({3: [1, 1]}, None, "writes are missing before 1"),
    ],
)
def test_a_gap_is_damage(disk: MemoryFileSystem, logs: dict[int, list[int]], missing: int | None, reason: str) -> None:
    fill(disk, logs)
    if missing:
        disk.remove(f"/db/{missing:06}.log")

    with pytest.raises(CorruptionError, match=reason):
        sequences(disk, 3)


def test_a_log_is_on_disk_before_the_next_one_is_there(disk: MemoryFileSystem) -> None:
    log = OwnLog(disk, "/db", 3)
    log.write(1, [batch(b"a")])

    log.begin(5)
    disk.restart()

    assert sequences(disk, 3) == [(3, 1)]


def test_a_log_that_a_full_disk_did_not_let_go_of_is_not_read(disk: MemoryFileSystem) -> None:
    """The one after it is gone, but that is no gap."""
    log = fill(disk, {3: [1], 4: [2], 5: [3]})
    full = StorageFullError("/db/000003.log", 28, "No space left on device")
    disk.faults.append(Fault("remove", full, suffix="000003.log"))

    log.drop_before(5)

    assert disk.list_directory("/db") == ["000003.log", "000005.log"]
    assert sequences(disk, 5, 2) == [(5, 3)]


def test_a_log_that_is_continued_is_on_disk(disk: MemoryFileSystem) -> None:
    """A killed process may have written it without a sync, and the next one has read it."""
    log = OwnLog(disk, "/db", 3)
    log.write(1, [batch(b"a")])
    disk.kill()

    OwnLog(disk, "/db", 3)
    disk.restart()

    assert sequences(disk, 3) == [(3, 1)]


def test_a_log_whose_sync_failed_is_on_disk_before_it_is_continued(disk: MemoryFileSystem) -> None:
    """The kernel takes pages it could not write for written, so that syncing them again does nothing."""
    log = fill(disk, {3: [1, 2]})
    log.write(3, [batch(b"lost")])
    failed = StorageError("/db/000003.log", 5, "Input/output error")
    disk.faults.append(Fault("sync", failed, forgets=True))
    with pytest.raises(StorageError):
        log.sync()
    disk.kill()

    assert sequences(disk, 3) == [(3, 1), (3, 2), (3, 3)]
    log = OwnLog(disk, "/db", 3)
    log.write(4, [batch(b"acknowledged")])
    log.sync()
    disk.restart()

    assert sequences(disk, 3) == [(3, 1), (3, 2), (3, 3), (3, 4)]


def test_a_log_that_cannot_be_made_durable_is_not_continued(disk: MemoryFileSystem) -> None:
    log = OwnLog(disk, "/db", 3)
    log.write(1, [batch(b"a")])
    disk.kill()
    disk.faults.append(Fault("sync", StorageError("/db/000003.log", 5, "Input/output error")))

    with pytest.raises(StorageError):
        OwnLog(disk, "/db", 3)

    assert sequences(disk, 3) == [(3, 1)]


def test_a_log_that_cannot_be_begun_leaves_the_present_one(disk: MemoryFileSystem) -> None:
    log = fill(disk, {3: [1]})
    for operation in ("open_append", "sync_directory"):
        disk.faults.append(Fault(operation, StorageFullError("/db/000005.log", 28, "No space left on device")))
        with pytest.raises(StorageFullError):
            log.begin(5)

    log.write(2, [batch(b"b")])

    assert sequences(disk, 3) == [(3, 1), (3, 2)]


def test_a_log_that_cannot_be_synced_is_not_followed_by_another(disk: MemoryFileSystem) -> None:
    """Whatever the reason: it is not the full disk that a write can recover from."""
    log = fill(disk, {3: [1]})
    log.write(2, [batch(b"2")])
    disk.faults.append(Fault("sync", StorageFullError("/db/000003.log", 28, "No space left on device")))

    with pytest.raises(StorageError) as caught:
        log.begin(5)

    assert not isinstance(caught.value, StorageFullError)
    assert disk.list_directory("/db") == ["000003.log"]


def test_a_log_is_complete_before_the_next_has_anything(disk: MemoryFileSystem) -> None:
    """Of what was not synced the older part is never lost without the newer one."""
    log = fill(disk, {3: [1]})
    log.write(2, [batch(b"2")])
    log.begin(5)
    log.write(3, [batch(b"3")])
    disk.restart()

    assert sequences(disk, 3) == [(3, 1), (3, 2)]


def test_the_first_sync_of_a_log_makes_its_name_durable(disk: MemoryFileSystem) -> None:
    log = fill(disk, {3: [1]})
    log.write(2, [batch(b"2")])
    log.begin(5)
    log.write(3, [batch(b"3")])
    log.sync()
    disk.restart()

    assert sequences(disk, 3) == [(3, 1), (3, 2), (5, 3)]


def test_who_syncs_every_write_has_no_name_left_to_sync(disk: MemoryFileSystem) -> None:
    """What can fail fails where nothing was written yet."""
    log = fill(disk, {3: [1]})
    disk.faults.append(Fault("sync_directory", StorageError("/db", 5, "Input/output error")))

    with pytest.raises(StorageError):
        log.begin(5)

    assert sequences(disk, 3) == [(3, 1)]


def test_a_log_may_be_synced_ahead_by_another_thread_while_it_is_replaced(disk: MemoryFileSystem) -> None:
    """It is not closed under the sync."""
    log = fill(disk, {3: [1]})
    log.write(2, [batch(b"2")])
    syncing, may_go_on = threading.Event(), threading.Event()

    def pause(path: str) -> None:
        syncing.set()
        may_go_on.wait()

    disk.on_sync = pause
    with ThreadPoolExecutor(2) as threads:
        ahead = threads.submit(log.sync_ahead)
        syncing.wait()
        begun = threads.submit(log.begin, 5)
        was_begun = begun.done()
        may_go_on.set()
        ahead.result()
        begun.result()

    assert not was_begun
    assert sequences(disk, 3) == [(3, 1), (3, 2)]


def test_needless_logs_are_dropped(disk: MemoryFileSystem) -> None:
    log = fill(disk, {3: [1], 5: [2], 9: [3]})

    log.drop_before(9)

    assert disk.list_directory("/db") == ["000009.log"]


def test_a_batch_must_fit_a_frame() -> None:
    large = WriteBatch()
    for number in range(3):
        large.put(b"%d" % number, bytes(22 << 20))

    with pytest.raises(InvalidBatchError):
        check_batch(large)
