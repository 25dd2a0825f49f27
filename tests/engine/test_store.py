"""The store: what its manifest speaks of is there, and nothing else stays."""

import pytest

from engine import (
    BlockCache,
    CorruptionError,
    Fault,
    ForeignDirectoryError,
    LockedError,
    MemoryFileSystem,
    Options,
    SequenceNumber,
    StorageError,
    StorageFullError,
)
from engine.files import join, table_name
from engine.sstable import SSTableReader, SSTableWriter
from engine.store import Store
from engine.version import VersionEdit
from engine.view import Levels


def open_store(disk: MemoryFileSystem, directory: str = "/db", manifest_bytes_max: int = 1 << 20) -> Store:
    return Store(disk, directory, BlockCache(1 << 20), manifest_bytes_max)


def add_table(disk: MemoryFileSystem, store: Store, key: bytes, level: int = 0) -> SSTableReader:
    number = store.next_number()
    writer = SSTableWriter(disk, join("/db", table_name(number)), number, Options())
    writer.add([key], [b"value"])
    reader = writer.finish(BlockCache(0))
    disk.sync_directory("/db")
    edit = VersionEdit(added=((level, reader.table),), flushed_sequence=SequenceNumber(number))
    store.install(edit, [reader])
    return reader


def test_what_was_installed_is_there_again(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    reader = add_table(disk, store, b"a")
    store.close()
    disk.restart()

    again = open_store(disk)

    assert again.version.levels == store.version.levels
    assert list(again.tables[1]) == [reader.table.number]
    assert again.next_number() > reader.table.number


def test_readers_learn_of_an_edit_before_the_old_files_go(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    old = add_table(disk, store, b"a")
    seen: list[tuple[int, bool]] = []

    def publish(levels: Levels) -> None:
        seen.append((len(levels.level0), disk.exists(old.path)))

    store.install(VersionEdit(removed=((0, old.table.number),)), publish=publish)

    assert seen == [(0, True)]
    assert not disk.exists(old.path)


def test_a_directory_is_opened_once(disk: MemoryFileSystem) -> None:
    store = open_store(disk)

    with pytest.raises(LockedError):
        open_store(disk)

    store.close()
    open_store(disk).close()


def test_leftovers_of_a_crash_are_removed(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    add_table(disk, store, b"a")
    store.close()
    for name in ("000090.sst", "000091.log", "MANIFEST-000092", "CURRENT.tmp", "notes.txt"):
        disk.open_append(f"/db/{name}").close()

    store = open_store(disk)

    assert disk.list_directory("/db") == ["000002.sst", "CURRENT", "MANIFEST-000001", "notes.txt"]
    assert store.next_number() == 93


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("holiday.jpg", ForeignDirectoryError),
        ("000001.sst", CorruptionError),
        ("000001.log", CorruptionError),
    ],
)
def test_a_directory_that_holds_something_else_is_left_alone(
    disk: MemoryFileSystem, name: str, error: type[Exception]
) -> None:
    disk.create_directory("/db")
    disk.open_append(f"/db/{name}").close()

    with pytest.raises(error):
        open_store(disk)

    assert disk.list_directory("/db") == [name]


def test_a_store_whose_making_was_cut_short_is_made_again(disk: MemoryFileSystem) -> None:
    disk.create_directory("/db")
    for name in ("LOCK", "MANIFEST-000001", "CURRENT.tmp"):
        disk.open_append(f"/db/{name}").close()

    open_store(disk)

    assert disk.list_directory("/db") == ["CURRENT", "LOCK", "MANIFEST-000002"]


def test_a_missing_table_keeps_the_store_closed(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    reader = add_table(disk, store, b"a")
    store.close()
    disk.remove(reader.path)
    disk.open_append("/db/000099.sst").close()

    for _ in range(2):
        with pytest.raises(CorruptionError, match="missing"):
            open_store(disk)

    assert disk.exists("/db/000099.sst")  # nothing is removed from a store that is not whole


def test_a_long_manifest_is_written_anew(disk: MemoryFileSystem) -> None:
    store = open_store(disk, manifest_bytes_max=1000)
    for number in range(30):
        add_table(disk, store, b"%d" % number)
    version = store.version
    store.close()

    again = open_store(disk)

    assert again.version.levels == version.levels
    manifests = [name for name in disk.list_directory("/db") if name.startswith("MANIFEST")]
    assert len(manifests) == 1
    assert manifests != ["MANIFEST-000001"]


def test_a_power_loss_after_a_crash_takes_back_nothing_that_was_relied_on(disk: MemoryFileSystem) -> None:
    """A killed process leaves what it wrote for the next one to read, on disk or not: also a failed sync does.

    Here an edit replaces a table. Who reads it removes the old one, which the machine must not want back.
    """
    for forgets in (False, True):
        disk = MemoryFileSystem()
        store = open_store(disk)
        old = add_table(disk, store, b"a")
        number = store.next_number()
        new = SSTableWriter(disk, join("/db", table_name(number)), number, Options())
        new.add([b"a"], [b"new"])
        reader = new.finish(BlockCache(0))
        disk.sync_directory("/db")
        failed = StorageError("/db", 5, "Input/output error")
        disk.faults.append(Fault("sync", failed, suffix="MANIFEST-000001", forgets=forgets))
        with pytest.raises(StorageError):
            store.install(VersionEdit(((0, reader.table),), ((0, old.table.number),)), [reader])
        disk.kill()

        found = open_store(disk).version
        disk.restart(names=True)

        assert [table.number for table in found.tables()] == [number]
        assert open_store(disk).version.levels == found.levels


def test_a_power_loss_after_a_crash_does_not_bring_an_old_manifest_back(disk: MemoryFileSystem) -> None:
    store = open_store(disk, manifest_bytes_max=1)
    failed = StorageError("/db", 5, "Input/output error")
    # The name of the new table, and that of the new manifest, are durable; CURRENT is not.
    disk.faults.append(Fault("sync_directory", failed, skip=2))
    with pytest.raises(StorageError):
        add_table(disk, store, b"a")
    disk.kill()
    store = open_store(disk)
    add_table(disk, store, b"b")

    disk.restart()

    assert open_store(disk).version.levels == store.version.levels


@pytest.mark.parametrize("operation", ["list_directory", "remove", "sync_directory", "open_read", "size"])
def test_a_store_that_cannot_be_opened_is_let_go(disk: MemoryFileSystem, operation: str) -> None:
    store = open_store(disk)
    add_table(disk, store, b"a")
    store.close()
    disk.open_append("/db/000090.sst").close()
    skip = 0
    while True:
        fault = Fault(operation, StorageError("/db", 5, "Input/output error"), skip=skip)
        disk.faults = [fault]
        try:
            open_store(disk).close()
        except StorageError:
            assert disk.appending == 0
        if not fault.struck:
            break
        skip += 1
    assert skip > 0


@pytest.mark.parametrize("operation", ["open_append", "write", "rename"])
def test_a_full_disk_can_be_read_after_a_crash(disk: MemoryFileSystem, operation: str) -> None:
    """There is no room for the new manifest that the end of the old one calls for."""
    store = open_store(disk)
    add_table(disk, store, b"a")
    # A crash tore the mark behind the last edit.
    disk.replace("/db/MANIFEST-000001", disk.content("/db/MANIFEST-000001")[:-3])
    disk.kill()
    disk.faults.append(Fault(operation, StorageFullError("/db", 28, "No space left on device")))

    again = open_store(disk)

    assert not disk.faults[0].times
    assert again.version.levels == store.version.levels
    assert disk.list_directory("/db") == ["000002.sst", "CURRENT", "MANIFEST-000001"]
    again.close()
    disk.restart()
    assert open_store(disk).version.levels == store.version.levels


def test_a_leftover_that_a_full_disk_keeps_is_no_harm(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    store.close()
    disk.open_append("/db/000090.sst").close()
    full = StorageFullError("/db/000090.sst", 28, "No space left on device")
    disk.faults.append(Fault("remove", full))

    open_store(disk).close()

    assert disk.exists("/db/000090.sst")
    open_store(disk).close()
    assert not disk.exists("/db/000090.sst")


def test_a_manifest_that_does_not_fit_the_disk_stays_the_old_one(disk: MemoryFileSystem) -> None:
    store = open_store(disk, manifest_bytes_max=1)
    disk.faults.append(Fault("rename", StorageFullError("/db/CURRENT", 28, "No space left on device")))

    add_table(disk, store, b"a")
    add_table(disk, store, b"b")
    store.close()

    assert len(open_store(disk).tables[1]) == 2


def test_a_checkpoint_has_the_tables_and_nothing_else(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    first = add_table(disk, store, b"a")
    second = add_table(disk, store, b"b")

    sequence = store.checkpoint("/copy/here")
    store.install(VersionEdit(removed=((0, first.table.number),)))
    store.close()
    disk.restart()

    copy = open_store(disk, "/copy/here")
    assert set(copy.tables[1]) == {first.table.number, second.table.number}
    assert copy.version.flushed_sequence == sequence == second.table.number
    assert copy.next_number() > second.table.number


def test_a_checkpoint_goes_to_an_empty_directory_or_nowhere(disk: MemoryFileSystem) -> None:
    store = open_store(disk)
    add_table(disk, store, b"a")
    disk.create_directory("/copy")
    disk.open_append("/copy/x").close()
    with pytest.raises(ForeignDirectoryError):
        store.checkpoint("/copy")

    disk.faults.append(Fault("rename", StorageError("/other/CURRENT", 5, "Input/output error")))
    with pytest.raises(StorageError):
        store.checkpoint("/other")

    assert disk.list_directory("/other") == []
    store.checkpoint("/other")
