import pytest

from engine import Engine, InlineExecutor, LockedError, MemoryFileSystem, Options, SequenceNumber, WriteBatch
from raftgroups.acquaintances import ACQUAINTANCES, Acquaintances
from raftgroups.directory import IDENTITY, DataDirectory
from raftgroups.host import HostOptions
from raftgroups.ids import PartitionId
from raftgroups.nodelog import Entries, HardState, NodeLog
from raftgroups.verify import verify_node

NODE = "/data/n1"


def write_node(disk: MemoryFileSystem) -> None:
    """A node's directory with a log of three segments and an engine with a table and all entries but the last two."""
    directory = DataDirectory.open(disk, HostOptions("n1", NODE, "127.0.0.1:9001", "127.0.0.1:8001"))
    for index in range(1, 6, 2):
        log = NodeLog(disk, directory.log_path)
        log.add(HardState(0, 1, "n1"))
        log.add(Entries(0, index, [(1, b"entry"), (1, b"entry")]))
        log.close()
    path = directory.replica_path(PartitionId(0))
    engine = Engine.open(path, Options(own_log=False), file_system=disk, executor=InlineExecutor())
    batch = WriteBatch()
    batch.put(b"key", b"value" * 100)
    engine.write(batch, sequence=SequenceNumber(4))
    engine.flush()
    engine.close()
    Acquaintances(disk, NODE).meet("n2", "its incarnation")
    directory.close()


@pytest.fixture
def disk() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    write_node(disk)
    return disk


def test_a_sound_directory_has_no_problems(disk: MemoryFileSystem) -> None:
    before = {path: disk.content(path) for path in disk.paths}

    assert verify_node(disk, NODE) == []
    assert {path: disk.content(path) for path in disk.paths} == before


@pytest.mark.parametrize("suffix", [IDENTITY, ACQUAINTANCES, "000001.log", ".sst", "CURRENT"])
def test_damage_anywhere_is_named(disk: MemoryFileSystem, suffix: str) -> None:
    path = next(path for path in disk.paths if path.endswith(suffix))
    data = bytearray(disk.content(path))
    data[len(data) // 3] ^= 0xFF
    disk.replace(path, bytes(data))

    [problem] = verify_node(disk, NODE)

    assert path in problem


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (IDENTITY, "identity is missing"),
        ("000002.log", "000002.log is missing"),
        ("000001.log", None),
        (".sst", "the table is missing"),
        ("CURRENT", "CURRENT is damaged at byte 0: it is missing"),
        ("MANIFEST-000001", "the manifest is missing"),
    ],
)
def test_a_missing_file_is_named(disk: MemoryFileSystem, suffix: str, expected: str | None) -> None:
    """But for a segment that nobody needs any more."""
    disk.remove(next(path for path in disk.paths if path.endswith(suffix)))

    problems = verify_node(disk, NODE)

    if expected is None:
        assert problems == []
    else:
        assert expected in problems[0]


def test_every_damaged_part_of_the_log_is_named(disk: MemoryFileSystem) -> None:
    for path in [path for path in disk.paths if path.endswith(".log")][:2]:
        data = bytearray(disk.content(path))
        data[20] ^= 1
        disk.replace(path, bytes(data))

    problems = verify_node(disk, NODE)

    assert len(problems) == 2
    assert all("the checksum of a frame does not match" in problem for problem in problems)


def test_what_a_crash_tears_off_the_newest_segment_is_no_damage(disk: MemoryFileSystem) -> None:
    path = [path for path in disk.paths if path.endswith(".log")][-1]
    disk.replace(path, disk.content(path)[:-20])

    assert verify_node(disk, NODE) == []


def test_entries_missing_between_tables_and_log_are_named(disk: MemoryFileSystem) -> None:
    """The log begins too late, as when its oldest segments were removed."""
    for path in [path for path in disk.paths if path.endswith(".log")]:
        disk.remove(path)
    log = NodeLog(disk, f"{NODE}/log")
    log.add(Entries(0, 7, [(1, b"entry")]))
    log.close()

    assert verify_node(disk, NODE) == ["partition 0: entries 5 to 6 are missing from the node log"]


def test_a_log_that_is_gone_is_named(disk: MemoryFileSystem) -> None:
    for path in [path for path in disk.paths if path.endswith(".log")]:
        disk.remove(path)

    assert verify_node(disk, NODE) == [
        f"{NODE}/log is missing, and with it the votes and the newest entries of every partition"
    ]


def test_a_replica_that_is_gone_is_named(disk: MemoryFileSystem) -> None:
    for path in [path for path in disk.paths if "/p0000-0001/" in path]:
        disk.remove(path)
    disk.remove_directory(f"{NODE}/p0000-0001")

    assert verify_node(disk, NODE) == [
        f"{NODE} has lost its replica of partition 0",
        "the node log holds entries of partition 0, but its replica's directory is gone",
    ]


def test_a_replica_whose_files_are_gone_is_named(disk: MemoryFileSystem) -> None:
    for path in [path for path in disk.paths if "/p0000-0001/" in path or path.endswith("000001.log")]:
        disk.remove(path)

    assert verify_node(disk, NODE) == ["partition 0: entries 1 to 2 are missing from the node log"]


def test_what_the_next_start_removes_is_not_judged(disk: MemoryFileSystem) -> None:
    """A generation that was being received, and a checkpoint on its way to a peer."""
    for name in ("p0000-0002", "checkpoint-0001"):
        disk.create_directory(f"{NODE}/{name}")
        disk.open_append(f"{NODE}/{name}/000001.sst").close()

    assert verify_node(disk, NODE) == []


def test_a_node_that_runs_is_not_judged(disk: MemoryFileSystem) -> None:
    lock = disk.lock(f"{NODE}/LOCK")

    with pytest.raises(LockedError):
        verify_node(disk, NODE)
    lock.close()
    assert verify_node(disk, NODE) == []
