"""verify_engine finds every damage there is, and no other."""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from engine import (
    CommitLogReader,
    CommitLogWriter,
    CorruptionError,
    Engine,
    Fault,
    ForeignDirectoryError,
    LockedError,
    MemoryFileSystem,
    StorageError,
    WriteBatch,
    verify_engine,
)
from engine.files import RESERVE
from engine.footer import FOOTER_BYTES, Footer
from engine.manifest import ManifestReader, ManifestWriter
from engine.version import Version, VersionEdit
from tests.engine.contents import documents
from tests.engine.small import batch, open_engine


def made(*, own_log: bool = True) -> MemoryFileSystem:
    """A small closed store with a table of several blocks, and one more write in the log."""
    disk = MemoryFileSystem()
    engine = open_engine(disk, own_log=own_log, block_bytes=64)
    content = WriteBatch()
    for number in range(8):
        content.put(b"key%d" % number, b"value%d" % number * 4)
    content.delete(b"key3")
    engine.write(content, sequence=None if own_log else engine.applied_sequence)
    engine.flush()
    if own_log:
        engine.write(batch((b"key9", b"in the log")))
    engine.close()
    return disk


def test_a_whole_store_has_no_problems(tmp_path: Path) -> None:
    engine = Engine.open(str(tmp_path / "db"))
    engine.write(batch((b"a", b"1")))
    engine.flush()
    with pytest.raises(LockedError):
        verify_engine(str(tmp_path / "db"))
    engine.close()

    assert verify_engine(str(tmp_path / "db")) == []


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(ForeignDirectoryError):
        verify_engine(str(tmp_path))
    with pytest.raises(StorageError):
        verify_engine(str(tmp_path / "missing"))


def test_every_flipped_bit_of_every_file_is_named() -> None:
    """All but those of the marks that end logs and manifests, and of the reserve, which hold nothing."""
    disk = made()
    expected = {b"key%d" % i: b"value%d" % i * 4 for i in range(8) if i != 3} | {b"key9": b"in the log"}
    for name in disk.list_directory("/db"):
        if name == RESERVE:
            continue
        path = f"/db/{name}"
        whole = disk.content(path)
        ends_with_mark = name.endswith(".log") or name.startswith("MANIFEST")
        for position in range(0, len(whole) * 8, 3):
            damaged = bytearray(whole)
            damaged[position // 8] ^= 1 << (position % 8)
            disk.replace(path, bytes(damaged))
            problems = verify_engine("/db", file_system=disk)
            if ends_with_mark and position // 8 >= len(whole) - 16:
                assert problems == []
            else:
                assert [problem.path for problem in problems] == [path], position
            assert disk.content(path) == damaged
        disk.replace(path, whole)
    assert dict(open_engine(disk).scan()) == expected


def test_damage_to_a_table_with_a_dictionary_is_named() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk, zstd_from_level=1, dictionary_bytes=1024, block_bytes=1024, table_bytes_max=1 << 20)
    for number, value in enumerate(documents(1000)):
        engine.write(batch((b"key%03d" % (number * 7 % 1000), value)))
    engine.compact()
    engine.close()
    (name,) = [name for name in disk.list_directory("/db") if name.endswith(".sst")]
    path = f"/db/{name}"
    whole = disk.content(path)
    footer = Footer.decode(whole[-FOOTER_BYTES:])
    starts = [0, footer.dictionary_start, footer.filter_start, footer.index_start, len(whole) - FOOTER_BYTES]
    assert starts[1] < starts[2], "it has a dictionary"
    assert verify_engine("/db", file_system=disk) == []
    rng = random.Random(1)
    for start, end in pairwise([*starts, len(whole)]):
        for position in rng.sample(range(start, end), 10):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << rng.randrange(8)
            disk.replace(path, bytes(damaged))
            assert [problem.path for problem in verify_engine("/db", file_system=disk)] == [path], position


@pytest.mark.parametrize("suffix", [".sst", ".log", "CURRENT", "MANIFEST-000001"])
def test_a_missing_file_is_named(suffix: str) -> None:
    disk = made()
    path = next(f"/db/{name}" for name in disk.list_directory("/db") if name.endswith(suffix))
    disk.remove(path)

    assert [problem.path for problem in verify_engine("/db", file_system=disk)] == [path]


def test_every_damaged_block_is_named() -> None:
    disk = made(own_log=False)
    path = next(f"/db/{name}" for name in disk.list_directory("/db") if name.endswith(".sst"))
    data = bytearray(disk.content(path))
    data[0] ^= 1
    data[150] ^= 1
    disk.replace(path, bytes(data))

    offsets = [problem.offset for problem in verify_engine("/db", file_system=disk)]

    assert len(offsets) == 2
    assert offsets[0] == 0 < offsets[1] <= 150


def table_of(disk: MemoryFileSystem) -> str:
    return next(path for path in disk.paths if path.endswith(".sst"))


def test_damage_behind_damage_is_named() -> None:
    """Without its index, a table's other blocks are read all the same."""
    disk = made(own_log=False)
    path = table_of(disk)
    data = bytearray(disk.content(path))
    index_start = Footer.decode(bytes(data[-FOOTER_BYTES:])).index_start
    data[0] ^= 1
    data[index_start] ^= 1
    disk.replace(path, bytes(data))

    assert [problem.offset for problem in verify_engine("/db", file_system=disk)] == [0, index_start]


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-000001"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_without_a_manifest_every_file_is_judged_by_itself(name: str, is_gone: bool) -> None:
    disk = made()
    log = next(path for path in disk.paths if path.endswith(".log"))
    for path in (table_of(disk), log, f"/db/{name}"):
        data = bytearray(disk.content(path))
        data[5] ^= 1
        disk.replace(path, bytes(data))
    if is_gone:
        disk.remove(f"/db/{name}")

    paths = [problem.path for problem in verify_engine("/db", file_system=disk)]

    assert paths == [f"/db/{name}", table_of(disk), log]


def test_a_table_that_contradicts_the_manifest_is_named() -> None:
    disk = made(own_log=False)
    described = ManifestReader(disk, "/db").version
    (table,) = described.tables()
    wrong = replace(table, records=table.records + 1, smallest=b"a", tombstones=0)
    disk.remove("/db/MANIFEST-000001")
    version = Version().apply(VersionEdit(((1, wrong),)))
    ManifestWriter.create(disk, "/db", 1, version).close()

    problems = verify_engine("/db", file_system=disk)

    assert [problem.reason for problem in problems] == [
        "it does not begin with the smallest key",
        "the manifest speaks of 9 records, 0 of them tombstones; there are 8, and 1",
    ]


def test_a_file_that_cannot_be_read_is_a_problem() -> None:
    disk = made()
    disk.faults.append(Fault("read", StorageError("/db/x", 5, "Input/output error"), suffix=".sst", times=None))

    assert [problem.reason for problem in verify_engine("/db", file_system=disk)] == ["Input/output error"]


def logged(*, flushed: bool) -> tuple[MemoryFileSystem, str]:
    """A closed store with eight writes in its log, each synced, behind one in a table or none."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    if flushed:
        engine.write(batch((b"a", b"0")))
        engine.flush()
    for number in range(8):
        engine.write(batch((b"key%d" % number, b"value")))
    engine.close()
    return disk, next(path for path in disk.paths if path.endswith(".log"))


def test_every_damaged_part_of_a_log_is_named() -> None:
    disk, path = logged(flushed=False)
    frames = list(CommitLogReader(disk, path).parts())
    data = bytearray(disk.content(path))
    for number in (1, 2, 5):
        data[frames[number].start + 20] ^= 1
    disk.replace(path, bytes(data))

    problems = verify_engine("/db", file_system=disk)

    # Two in a row are one.
    assert [problem.offset for problem in problems] == [frames[1].start, frames[5].start]


def test_writes_that_are_missing_behind_the_tables_are_named() -> None:
    """A log that begins too late: what it lacks is in no table."""
    disk, path = logged(flushed=True)
    payloads = list(CommitLogReader(disk, path))
    disk.remove(path)
    log = CommitLogWriter(disk, path)
    for payload in payloads[1:]:
        log.append(payload)
    log.close()

    problems = verify_engine("/db", file_system=disk)

    assert [problem.reason for problem in problems] == ["writes are missing before 3"]
    with pytest.raises(CorruptionError, match="writes are missing before 3"):
        open_engine(disk)


def test_a_torn_tail_of_the_newest_log_is_no_damage() -> None:
    disk = made()
    path = next(f"/db/{name}" for name in disk.list_directory("/db") if name.endswith(".log"))
    whole = disk.content(path)
    for length in range(len(whole)):
        disk.replace(path, whole[:length])
        assert verify_engine("/db", file_system=disk) == []
