"""The manifest: an edit counts once it is on disk, and no damage passes for a torn edit."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import CorruptionError, Fault, MemoryFileSystem, SequenceNumber, StorageError, StorageFullError
from engine.coding import DecodeError
from engine.files import manifest_name
from engine.manifest import ManifestReader, ManifestWriter, decode_edit, encode_edit
from engine.version import LEVELS, Table, Version, VersionEdit
from tests.engine.test_version import table

numbers = st.integers(0, 1 << 50)
tables = st.builds(Table, numbers, numbers, st.binary(max_size=9), st.binary(max_size=9), numbers, numbers)
edits = st.builds(
    VersionEdit,
    st.lists(st.tuples(st.integers(0, LEVELS - 1), tables), max_size=4).map(tuple),
    st.lists(st.tuples(st.integers(0, LEVELS - 1), numbers), max_size=4).map(tuple),
    st.none() | numbers.map(SequenceNumber),
    st.none() | numbers,
    st.none() | numbers,
)


@pytest.fixture
def disk() -> MemoryFileSystem:
    return make_disk()


def make_disk() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    return disk


def edit(number: int) -> VersionEdit:
    return VersionEdit(added=((0, table(number, b"a", b"z")),), flushed_sequence=SequenceNumber(number))


def path(number: int) -> str:
    return f"/db/{manifest_name(number)}"


@given(edits)
def test_an_edit_is_decoded_as_encoded(one: VersionEdit) -> None:
    assert decode_edit(encode_edit(one)) == one


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_an_edit_or_refused(data: bytes) -> None:
    try:
        decode_edit(data)
    except DecodeError:
        pass


def test_a_manifest_adds_up_and_is_continued(disk: MemoryFileSystem) -> None:
    first = ManifestWriter.create(disk, "/db", 1, Version().apply(edit(7)))
    first.append(edit(8))
    first.close()
    second = ManifestWriter(disk, "/db", 1)
    second.append(edit(9))
    second.close()

    found = ManifestReader(disk, "/db")

    assert found.number == 1
    assert found.damage is None
    assert found.version == Version().apply(edit(7)).apply(edit(8)).apply(edit(9))


@pytest.mark.parametrize("seed", range(20))
def test_an_edit_that_was_appended_survives_the_loss_of_power(disk: MemoryFileSystem, seed: int) -> None:
    writer = ManifestWriter.create(disk, "/db", 1, Version())
    writer.append(edit(8))
    disk.faults.append(Fault("sync", StorageError(path(1), 5, "Input/output error")))
    with pytest.raises(StorageError):
        writer.append(edit(9))

    disk.restart(random.Random(seed))

    found = ManifestReader(disk, "/db")
    assert found.version in {Version().apply(edit(8)), Version().apply(edit(8)).apply(edit(9))}
    assert found.damage is None or found.is_torn
    found.cut()
    ManifestWriter(disk, "/db", 1).append(edit(10))
    assert ManifestReader(disk, "/db").version == found.version.apply(edit(10))


def test_a_manifest_is_closed_without_a_sync(disk: MemoryFileSystem) -> None:
    """Only a mark is left. If a sync of it failed, what follows it later would follow a hole."""
    writer = ManifestWriter.create(disk, "/db", 1, Version())
    writer.append(edit(8))
    disk.faults.append(Fault("sync", StorageError(path(1), 5, "Input/output error"), forgets=True))

    writer.close()

    assert disk.appending == 0
    assert disk.faults[0].struck == 0
    disk.restart(random.Random(1))
    assert ManifestReader(disk, "/db").version == Version().apply(edit(8))


def test_a_new_manifest_takes_the_place_of_the_old_one_in_one_step(disk: MemoryFileSystem) -> None:
    """Whenever the power goes, one of the two is in force, and whole."""
    old, new = Version().apply(edit(1)), Version().apply(edit(2))
    for moment in range(20):
        disk = make_disk()
        ManifestWriter.create(disk, "/db", 1, old)
        disk.power_lost_at = disk.changes + moment
        try:
            ManifestWriter.create(disk, "/db", 2, new)
            done = True
        except Exception:
            done = False
        disk.restart(random.Random(moment))

        found = ManifestReader(disk, "/db")
        assert found.version == (new if found.number == 2 else old)
        if done:
            assert found.number == 2
            return
    pytest.fail("it never came to an end")


def test_every_flipped_bit_is_found(disk: MemoryFileSystem) -> None:
    """In CURRENT as well; only the mark at the end holds nothing that could be lost."""
    writer = ManifestWriter.create(disk, "/db", 1, Version().apply(edit(1)))
    writer.append(edit(2))
    expected = Version().apply(edit(1)).apply(edit(2))
    for name in ("/db/CURRENT", path(1)):
        whole = disk.content(name)
        for position in range(len(whole) * 8):
            damaged = bytearray(whole)
            damaged[position // 8] ^= 1 << (position % 8)
            disk.replace(name, bytes(damaged))
            if name == path(1) and position // 8 >= len(whole) - 16:
                found = ManifestReader(disk, "/db")
                assert (found.version, found.is_torn) == (expected, True)
                continue
            with pytest.raises(CorruptionError):
                ManifestReader(disk, "/db").cut()
            assert disk.content(name) == damaged
        disk.replace(name, whole)


def test_a_missing_or_empty_manifest_is_damage(disk: MemoryFileSystem) -> None:
    ManifestWriter.create(disk, "/db", 1, Version()).close()
    disk.replace(path(1), b"")
    with pytest.raises(CorruptionError, match="empty"):
        ManifestReader(disk, "/db")
    disk.remove(path(1))
    with pytest.raises(CorruptionError, match="missing"):
        ManifestReader(disk, "/db")


@pytest.mark.parametrize("content", [b"MANIFEST-000001\n", b"", b"MANIFEST-000001", b"x" * 1000])
def test_a_current_file_of_another_database_is_refused(disk: MemoryFileSystem, content: bytes) -> None:
    ManifestWriter.create(disk, "/db", 1, Version()).close()
    disk.replace("/db/CURRENT", content)

    with pytest.raises(CorruptionError, match="CURRENT"):
        ManifestReader(disk, "/db")


def test_an_edit_that_does_not_fit_is_damage(disk: MemoryFileSystem) -> None:
    writer = ManifestWriter.create(disk, "/db", 1, Version())
    writer.append(VersionEdit(removed=((1, 5),)))

    with pytest.raises(CorruptionError, match="not in level"):
        ManifestReader(disk, "/db")


def test_a_full_disk_leaves_the_manifest_as_it_was(disk: MemoryFileSystem) -> None:
    writer = ManifestWriter.create(disk, "/db", 1, Version())
    disk.faults.append(Fault("write", StorageFullError(path(1), 28, "No space left on device")))

    with pytest.raises(StorageFullError):
        writer.append(edit(1))

    writer.append(edit(2))
    assert ManifestReader(disk, "/db").version == Version().apply(edit(2))
