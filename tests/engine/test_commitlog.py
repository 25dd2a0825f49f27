"""The commit log: what was synced comes back, what was torn is cut, what was damaged is refused."""

import random
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import (
    ClosedError,
    CommitLogReader,
    CommitLogWriter,
    CorruptionError,
    Fault,
    FileSystem,
    Frame,
    Gap,
    MemoryFileSystem,
    OsFileSystem,
    StorageError,
    StorageFullError,
    read_commit_log,
    read_left,
)
from engine.commitlog import FRAME_BYTES_MAX, HEADER_BYTES

LOG = "/db/000001.log"


@pytest.fixture
def disk() -> MemoryFileSystem:
    return make_disk()


def make_disk() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    return disk


def write(file_system: FileSystem, path: str, payloads: list[bytes]) -> CommitLogWriter:
    """A log in which each payload was synced on its own, not closed."""
    log = CommitLogWriter(file_system, path)
    for payload in payloads:
        log.append(payload)
        log.write_out()
        log.sync()
    return log


@given(st.lists(st.binary(min_size=1, max_size=300)), st.booleans())
def test_what_was_appended_is_read_in_order(payloads: list[bytes], newest: bool) -> None:
    disk = make_disk()
    write(disk, LOG, payloads).close()

    assert list(read_commit_log(disk, LOG, newest=newest)) == payloads


def test_a_frame_written_at_once_is_like_one_that_was_appended(disk: MemoryFileSystem) -> None:
    """Also after others that were not written out yet, which it does not overtake."""
    at_once, appended = [CommitLogWriter(disk, path) for path in ("/db/000001.log", "/db/000002.log")]
    for number, payload in enumerate([b"a", b"bc" * 400, b"d", b"e"]):
        if number == 2:
            at_once.append(payload)
        else:
            at_once.write_frame(payload)
            assert at_once.written == at_once.position
        appended.append(payload)
        appended.write_out()
        if number == 1:
            at_once.sync()
            appended.sync()

    assert disk.content("/db/000001.log") == disk.content("/db/000002.log")
    at_once.close()
    appended.close()


def test_a_frame_written_at_once_is_refused_or_fails_as_others_are(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"a"])
    disk.faults.append(Fault("write", StorageFullError(LOG, 28, "No space left on device"), keep=0.5))
    with pytest.raises(StorageFullError):
        log.write_frame(b"b" * 100)
    log.write_frame(b"c")
    disk.faults.append(Fault("write", StorageError(LOG, 5, "Input/output error"), keep=0.5))
    with pytest.raises(StorageError):
        log.write_frame(b"d")

    with pytest.raises(StorageError, match="closed to writes"):
        log.write_frame(b"e")
    log.close()
    with pytest.raises(AssertionError):
        log.write_frame(bytes(FRAME_BYTES_MAX + 1))
    with pytest.raises(StorageError):
        log.write_frame(b"e")
    assert list(read_commit_log(disk, LOG, newest=True)) == [b"a", b"c"]


def test_a_payload_may_have_64_mib(tmp_path: Path) -> None:
    payload = bytes(64 << 20)
    write(OsFileSystem(), str(tmp_path / "log"), [b"a", payload, b"b"]).close()

    assert list(read_commit_log(OsFileSystem(), str(tmp_path / "log"), newest=False)) == [b"a", payload, b"b"]


def test_append_tells_where_the_frame_ends(disk: MemoryFileSystem) -> None:
    log = CommitLogWriter(disk, LOG)

    end = log.append(b"x" * 10)

    assert (end, log.position, log.written, log.synced) == (26, 26, 0, 0)
    log.write_out()
    assert (log.written, log.synced) == (26, 0)
    assert log.sync() == log.synced == 26


def test_a_log_is_continued_where_it_ended(disk: MemoryFileSystem) -> None:
    write(disk, LOG, [b"a"]).close()
    write(disk, LOG, [b"b"]).close()

    assert list(read_commit_log(disk, LOG, newest=False)) == [b"a", b"b"]


def test_a_synced_frame_survives_the_loss_of_power(disk: MemoryFileSystem) -> None:
    """The name of the file survives as well, so its directory was synced."""
    log = write(disk, LOG, [b"a"])
    log.append(b"lost")
    log.write_out()

    disk.restart()

    assert list(read_commit_log(disk, LOG, newest=True)) == [b"a"]


@pytest.mark.parametrize("seed", range(50))
def test_any_remains_of_what_was_not_synced_are_a_torn_tail(disk: MemoryFileSystem, seed: int) -> None:
    """Pages reach the disk in any order: a whole frame may follow a hole, and is dropped with it."""
    log = write(disk, LOG, [b"a" * 700, b"b"])
    unsynced = [bytes([i]) * 400 for i in range(1, 6)]
    for payload in unsynced:
        log.append(payload)
    log.write_out()

    disk.restart(random.Random(seed))

    found = list(read_commit_log(disk, LOG, newest=True))
    assert found[:2] == [b"a" * 700, b"b"]
    assert found[2:] == unsynced[: len(found) - 2]
    # The cut log is whole: it can be read as an old one, and continued.
    write(disk, LOG, [b"c"]).close()
    assert list(read_commit_log(disk, LOG, newest=False)) == [*found, b"c"]


def test_a_tail_torn_at_any_length_is_cut(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"first", b"second"])
    keep = log.position
    log.append(b"the third is torn")
    log.write_out()
    whole = disk.content(LOG)

    for length in range(keep, len(whole)):
        disk.replace(LOG, whole[:length])
        assert list(read_commit_log(disk, LOG, newest=True)) == [b"first", b"second"]
        assert len(disk.content(LOG)) == keep


def test_a_torn_tail_is_damage_in_any_but_the_newest_log(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"first", b"second"])
    disk.replace(LOG, disk.content(LOG)[:-1])
    before = disk.content(LOG)

    with pytest.raises(CorruptionError) as caught:
        list(read_commit_log(disk, LOG, newest=False))

    assert (caught.value.path, caught.value.offset) == (LOG, 21)
    assert disk.content(LOG) == before
    log.close()


def test_every_flipped_bit_of_a_closed_log_is_found(disk: MemoryFileSystem) -> None:
    """All but the mark at its end, which holds nothing and whose loss changes nothing."""
    payloads = [b"first", b"second", b"x" * 40]
    write(disk, LOG, payloads).close()
    whole = disk.content(LOG)

    for position in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << (position % 8)
        disk.replace(LOG, bytes(damaged))
        if position // 8 >= len(whole) - 16:
            assert list(read_commit_log(disk, LOG, newest=True)) == payloads
        else:
            with pytest.raises(CorruptionError):
                list(read_commit_log(disk, LOG, newest=True))
            assert disk.content(LOG) == damaged


def test_a_frame_is_whole_only_where_it_was_written(disk: MemoryFileSystem) -> None:
    """A value that holds a copy of a log cannot be taken for one, nor a frame that was moved."""
    write(disk, "/db/a", [b"inner"]).close()
    inner = disk.content("/db/a")
    log = write(disk, LOG, [b"first"])
    log.append(inner * 3)
    log.write_out()
    disk.replace(LOG, disk.content(LOG)[:-1])

    assert list(read_commit_log(disk, LOG, newest=True)) == [b"first"]
    disk.replace(LOG, disk.content(LOG) + inner)
    assert list(read_commit_log(disk, LOG, newest=True)) == [b"first"]


def test_the_parts_of_a_whole_log_are_its_frames_and_marks(disk: MemoryFileSystem) -> None:
    write(disk, LOG, [b"a", b"bc"]).close()

    reader = CommitLogReader(disk, LOG)

    assert list(reader.parts()) == [Frame(0, b"a", 0), Frame(17, b"bc", 0), Frame(35, b"", 0)]


@given(
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8),
    st.lists(st.integers(0, 1 << 32), min_size=1, max_size=3),
)
def test_what_is_whole_is_found_around_damage(payloads: list[bytes], places: list[int]) -> None:
    """Frames and gaps fill the log; the frames are those that were not hit."""
    disk = make_disk()
    write(disk, LOG, payloads).close()
    whole = list(CommitLogReader(disk, LOG).parts())
    data = bytearray(disk.content(LOG))
    hit = sorted({place % len(data) for place in places})
    for place in hit:
        data[place] ^= 0xFF
    disk.replace(LOG, bytes(data))

    parts = list(CommitLogReader(disk, LOG).parts())

    assert [part for part in parts if isinstance(part, Frame)] == [
        frame for frame in whole if not any(frame.start <= place < frame.end for place in hit)
    ]
    assert [part.start for part in parts] == [0, *[part.end for part in parts[:-1]]]
    assert parts[-1].end == len(data)
    gaps = [part for part in parts if isinstance(part, Gap)]
    # Each frame was synced before the next was appended, so any whole one testifies for all before it.
    assert [gap.is_torn for gap in gaps] == [gap.end == len(data) for gap in gaps]


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_are_damage_and_nothing_else(data: bytes, newest: bool) -> None:
    disk = make_disk()
    disk.open_append(LOG).close()
    disk.replace(LOG, data)
    reader = CommitLogReader(disk, LOG)

    payloads = list(reader)

    assert payloads == []
    assert (reader.damage is None) == (not data)
    reason = str(reader.damage).rpartition(": ")[2]
    assert list(CommitLogReader(disk, LOG).parts()) == ([Gap(0, len(data), reason, True)] if data else [])


def test_a_long_search_for_testimony_crosses_windows(tmp_path: Path) -> None:
    """A bad frame is followed by more than is read at once before a later frame testifies."""
    path = str(tmp_path / "log")
    write(OsFileSystem(), path, [b"a" * 10, b"b" * (3 << 20), b"c"]).close()
    data = bytearray((tmp_path / "log").read_bytes())
    data[20] ^= 1
    (tmp_path / "log").write_bytes(data)

    with pytest.raises(CorruptionError, match="at byte 0"):
        list(read_commit_log(OsFileSystem(), path, newest=True))


def test_a_failed_sync_is_never_tried_again(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"a"])
    disk.faults.append(Fault("sync", StorageError(LOG, 5, "Input/output error")))
    log.append(b"b")
    log.write_out()

    with pytest.raises(StorageError):
        log.sync()

    with pytest.raises(StorageError, match="closed to writes: Input/output error"):
        log.sync()
    log.append(b"c")
    with pytest.raises(StorageError, match="closed to writes: Input/output error"):
        log.write_out()
    log.close()


def test_a_failed_write_closes_the_log(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"a"])
    disk.faults.append(Fault("write", StorageError(LOG, 5, "Input/output error")))
    log.append(b"b")

    with pytest.raises(StorageError):
        log.write_out()

    log.append(b"c")
    with pytest.raises(StorageError, match="closed to writes"):
        log.write_out()
    assert list(read_commit_log(disk, LOG, newest=True)) == [b"a"]


def test_a_full_disk_loses_only_what_did_not_fit(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"a"])
    disk.faults.append(Fault("write", StorageFullError(LOG, 28, "No space left on device")))
    log.append(b"b" * 100)

    with pytest.raises(StorageFullError):
        log.write_out()

    log.append(b"c")
    log.write_out()
    log.close()
    assert list(read_commit_log(disk, LOG, newest=False)) == [b"a", b"c"]


def test_what_a_full_disk_refused_does_not_come_back(disk: MemoryFileSystem) -> None:
    """A frame fitted, and the next did not: whoever appended both was told that neither is there."""
    log = write(disk, LOG, [b"a"])
    disk.faults.append(Fault("write", StorageFullError(LOG, 28, "No space left on device"), keep=0.75))
    log.append(b"b")
    log.append(b"c" * 10)
    with pytest.raises(StorageFullError):
        log.write_out()

    for seed in range(50):
        twin = disk.twin()
        twin.restart(random.Random(seed))
        assert list(read_commit_log(twin, LOG, newest=True)) == [b"a"]


@pytest.mark.parametrize("operation", ["truncate", "sync"])
def test_what_cannot_be_cut_off_again_may_be_there(disk: MemoryFileSystem, operation: str) -> None:
    """So it is not told as refused by a full disk, and nothing follows it."""
    log = write(disk, LOG, [b"a"])
    disk.faults.append(Fault("write", StorageFullError(LOG, 28, "No space left on device"), keep=0.75))
    disk.faults.append(Fault(operation, StorageFullError(LOG, 28, "No space left on device")))
    log.append(b"b")
    log.append(b"c" * 10)

    with pytest.raises(StorageError) as caught:
        log.write_out()

    assert not isinstance(caught.value, StorageFullError)
    with pytest.raises(StorageError, match="closed to writes"):
        log.sync()


def test_a_released_log_promises_nothing(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"a"])
    log.append(b"b")
    log.write_out()

    log.release()
    log.release()

    assert disk.appending == 0
    disk.restart()
    assert list(read_commit_log(disk, LOG, newest=True)) == [b"a"]


def test_a_closed_log_takes_nothing(disk: MemoryFileSystem) -> None:
    log = write(disk, LOG, [b"a"])
    log.close()
    log.close()
    log.append(b"b")

    with pytest.raises(ClosedError):
        log.write_out()
    with pytest.raises(ClosedError):
        log.sync()


def test_another_thread_may_sync_while_this_one_appends(disk: MemoryFileSystem) -> None:
    """The sync promises what was written out before it began, no more."""
    log = CommitLogWriter(disk, LOG)
    log.append(b"a")
    log.write_out()
    before = log.position
    syncing, proceed = threading.Event(), threading.Event()
    synced: list[int] = []

    def pause(path: str) -> None:
        syncing.set()
        proceed.wait(10)

    disk.on_sync = pause
    thread = threading.Thread(target=lambda: synced.append(log.sync()))
    thread.start()
    syncing.wait(10)
    log.append(b"b")
    log.write_out()
    proceed.set()
    thread.join()

    assert synced == [before]
    assert log.position > before


def test_what_is_left_of_a_log_is_its_frames_and_what_damages_them(disk: MemoryFileSystem) -> None:
    """A mark is no news, and a torn tail is damage only where another log follows."""
    log = write(disk, LOG, [b"a", b"b", b"c"])
    log.mark()
    content = bytearray(disk.content(LOG))
    second = HEADER_BYTES + 1
    content[second + 4] ^= 1
    disk.replace(LOG, bytes(content) + b"torn")

    for newest in (True, False):
        parts = list(read_left(disk, LOG, newest=newest))

        assert isinstance(parts[1], Gap)
        assert parts[1].start == second
        assert [part.payload for part in parts if isinstance(part, Frame)] == [b"a", b"c"]
        tail = Gap(len(content), len(content) + 4, "the header of a frame is cut off", True)
        assert parts[3:] == ([] if newest else [tail])
    assert disk.content(LOG) == bytes(content) + b"torn"
