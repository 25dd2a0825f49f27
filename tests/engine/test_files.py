"""The real file system, and the fake one where both must agree."""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import Fault, FileSystem, LockedError, MemoryFileSystem, OsFileSystem, StorageError, StorageFullError
from engine.files import join, log_name, manifest_name, parent, parse_name, table_name


@pytest.fixture(params=["os", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileSystem, str]:
    if request.param == "os":
        return OsFileSystem(), str(tmp_path)
    memory = MemoryFileSystem()
    memory.create_directory("/db")
    return memory, "/db"


def test_both_file_systems_agree(place: tuple[FileSystem, str]) -> None:
    files, directory = place
    path, other = join(directory, "a"), join(directory, "b")
    writer = files.open_append(path)
    writer.write(b"hello ")
    writer.write(b"world")
    writer.sync()
    reader = files.open_read(path)

    assert reader.read(6, 100) == b"world"
    assert reader.read(100, 5) == b""
    assert files.size(path) == 11
    files.rewrite(path, 4)
    assert reader.read(0, 100) == b"hello world"
    writer.truncate(5)
    assert reader.read(0, 100) == b"hello"
    files.link(path, other)
    with pytest.raises(StorageError):
        files.link(path, other)
    files.rename(path, join(directory, "c"))
    files.sync_directory(directory)
    assert files.list_directory(directory) == ["b", "c"]
    files.remove(other)
    files.remove(join(directory, "c"))
    assert not files.exists(other)
    assert reader.read(0, 5) == b"hello"  # until the last reader lets go
    reader.close()
    writer.close()
    files.create_directory(join(directory, "x/y/z"))
    files.create_directory(join(directory, "x/y"))
    assert files.list_directory(join(directory, "x")) == ["y"]
    acts: list[Callable[[str], object]] = [files.size, files.open_read, files.remove, files.list_directory]
    acts.append(lambda path: files.rewrite(path, 0))
    for act in acts:
        with pytest.raises(StorageError) as caught:
            act(path)
        assert caught.value.number == errno.ENOENT


def test_a_lock_is_held_once(place: tuple[FileSystem, str]) -> None:
    """Also within one process, and until it is closed."""
    files, directory = place
    path = join(directory, "LOCK")
    held = files.lock(path)

    with pytest.raises(LockedError):
        files.lock(path)

    held.close()
    files.lock(path).close()


def test_a_lock_is_held_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only file system: the file that is there is locked, one that is not need not be."""
    (tmp_path / "LOCK").touch()
    opened = os.open

    def refuse(path: str, flags: int, mode: int, dir_fd: int | None) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    held = OsFileSystem().lock(str(tmp_path / "LOCK"))

    with pytest.raises(LockedError):
        OsFileSystem().lock(str(tmp_path / "LOCK"))
    OsFileSystem().lock(str(tmp_path / "OTHER")).close()
    held.close()
    OsFileSystem().lock(str(tmp_path / "LOCK")).close()
    assert os.listdir(tmp_path) == ["LOCK"]


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    file = OsFileSystem().open_append(str(tmp_path / "a"))

    file.write(b"12345678")

    assert (tmp_path / "a").read_bytes() == b"12345678"
    file.close()


def test_a_file_is_rewritten_piece_by_piece_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    done: list[tuple[int, int]] = []
    synced: list[int] = []
    path.write_bytes(bytes(range(256)) * 10_000)
    pwrite = os.pwrite

    def short(descriptor: int, data: bytes, offset: int) -> int:
        done.append((offset, len(data)))
        return pwrite(descriptor, data[:700_000], offset)

    monkeypatch.setattr(os, "pwrite", short)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    OsFileSystem().rewrite(str(path), 1_000_000)

    assert path.read_bytes() == bytes(range(256)) * 10_000
    assert done == [(1_000_000, 1 << 20), (1_700_000, 860_000), (2_400_000, 160_000)]
    assert len(synced) == 1


def test_a_short_read_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12345678")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 3), offset))
    file = OsFileSystem().open_read(str(tmp_path / "a"))

    assert file.read(1, 100) == b"2345678"
    file.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_told_from_a_failing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    file = OsFileSystem().open_append(str(tmp_path / "a"))
    monkeypatch.setattr(os, "write", fail)
    monkeypatch.setattr(os, "fdatasync", fail)

    acts: list[Callable[[], None]] = [lambda: file.write(b"x"), file.sync]
    for act in acts:
        with pytest.raises(StorageError, match=os.strerror(number)) as caught:
            act()
        assert isinstance(caught.value, StorageFullError) == (number != errno.EIO)
    file.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES])
def test_that_no_descriptor_is_left_is_told_from_a_failing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whoever wanted a file has not got it, and may try again: a flush, say, when others have closed theirs."""

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    disk = OsFileSystem()
    monkeypatch.setattr(os, "open", fail)
    acts: list[Callable[[str], object]] = [disk.open_append, disk.open_read, disk.sync_directory]
    for act in acts:
        with pytest.raises(StorageError, match=os.strerror(number)) as caught:
            act(str(tmp_path / "a"))
        assert isinstance(caught.value, StorageFullError) == (number != errno.EACCES)


def test_a_read_without_waiting_finds_what_is_in_memory_or_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"12345678")
    file = OsFileSystem().open_read(str(tmp_path / "a"))

    assert file.read_nowait(2, 3) in {b"345", None}

    def would_wait(*_: Any) -> int:
        raise BlockingIOError(errno.EAGAIN, "")

    monkeypatch.setattr(os, "preadv", would_wait)
    assert file.read_nowait(2, 3) is None
    file.close()


def test_every_name_is_told_by_its_kind_and_number() -> None:
    assert parse_name(log_name(7)) == ("log", 7)
    assert parse_name(table_name(1_234_567)) == ("sst", 1234567)
    assert parse_name(manifest_name(3)) == ("MANIFEST", 3)
    for other in ("CURRENT", "LOCK", "1.log", "000001.sst.tmp", "x000001.log", "MANIFEST-", "000001.log\n"):
        assert parse_name(other) is None


def test_the_parent_of_a_path() -> None:
    assert [parent(p) for p in ("/a/b", "/a", "a/b", "a")] == ["/a", "/", "a", "."]


def names_after_a_crash(seed: int) -> set[str]:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    for name in ("kept", "moved", "gone"):
        disk.open_append(join("/db", name)).close()
    disk.sync_directory("/db")
    disk.rename("/db/moved", "/db/new")
    disk.remove("/db/gone")
    disk.link("/db/kept", "/db/twin")
    disk.restart(random.Random(seed))
    return set(disk.list_directory("/db"))


def test_a_crash_leaves_any_of_a_directorys_changes() -> None:
    """In any order; but a file that is renamed has one of its names, and never both."""
    found = [names_after_a_crash(seed) for seed in range(200)]

    for names in found:
        assert {"kept"} < names
        assert len(names & {"moved", "new"}) == 1
    assert {("new" in names, "gone" in names, "twin" in names) for names in found} == {
        (renamed, there, linked) for renamed in (True, False) for there in (True, False) for linked in (True, False)
    }


@pytest.mark.parametrize(
    ("names", "data", "expected"),
    [
        (False, False, {"old": b"1"}),
        (True, False, {"old": b"1", "new": b""}),
        (False, True, {"old": b"12"}),
        (True, True, {"old": b"12", "new": b"3"}),
    ],
)
def test_a_crash_may_leave_names_and_data_apart(names: bool, data: bool, expected: dict[str, bytes]) -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    old = disk.open_append("/db/old")
    old.write(b"1")
    old.sync()
    disk.sync_directory("/db")
    old.write(b"2")
    disk.open_append("/db/new").write(b"3")

    twin = disk.twin()
    twin.restart(names=names, data=data)

    assert {name: twin.content(join("/db", name)) for name in twin.list_directory("/db")} == expected
    assert disk.content("/db/old") == b"12"


def test_a_twin_forgets_what_its_disk_would_and_changes_nothing_there() -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    lock = disk.lock("/db/LOCK")
    file = disk.open_append("/db/a")
    file.write(b"1")
    disk.link("/db/a", "/db/b")
    twin = disk.twin()

    twin.lock("/db/LOCK")
    twin.open_append("/db/b").write(b"2")

    assert twin.content("/db/a") == b"12"
    assert disk.content("/db/a") == b"1"
    twin.restart()
    assert twin.list_directory("/db") == []
    file.write(b"3")
    assert disk.content("/db/b") == b"13"
    lock.close()


def test_it_is_known_how_many_files_are_written_to() -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    first, second = disk.open_append("/db/a"), disk.open_append("/db/b")
    assert disk.appending == 2

    for _ in range(2):
        first.close()

    assert disk.appending == 1
    disk.kill()
    second.close()
    assert disk.appending == 0


def test_a_file_that_is_there_needs_no_room_to_be_opened() -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    disk.open_append("/db/a").close()
    disk.faults.append(Fault("create", StorageFullError("/db", 28, "No space left on device"), times=None))

    disk.open_append("/db/a").close()

    with pytest.raises(StorageFullError):
        disk.open_append("/db/b")
    assert disk.faults[0].struck == 1
