import pytest

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, SequenceNumber, WriteBatch
from raftgroups.acquaintances import ACQUAINTANCES, Acquaintances
from raftgroups.directory import IDENTITY, DataDirectory
from raftgroups.host import HostOptions
from raftgroups.ids import PartitionId
from raftgroups.nodelog import HardState, NodeLog
from raftgroups.verify import verify_node


@pytest.fixture
def disk() -> MemoryFileSystem:
    """A node's directory with a log of two segments and an engine with a table."""
    disk = MemoryFileSystem()
    directory = DataDirectory.open(disk, HostOptions("n1", "/data/n1", "127.0.0.1:9001", "127.0.0.1:8001"))
    for term in (1, 2):
        log = NodeLog(disk, directory.log_path)
        log.add(HardState(1, term, "n1"))
        log.close()
    path = directory.replica_path(PartitionId(0))
    engine = Engine.open(path, Options(own_log=False), file_system=disk, executor=InlineExecutor())
    batch = WriteBatch()
    batch.put(b"key", b"value" * 100)
    engine.write(batch, sequence=SequenceNumber(1))
    engine.flush()
    engine.close()
    Acquaintances(disk, "/data/n1").meet("n2", "its incarnation")
    directory.close()
    return disk


def test_a_sound_directory_has_no_problems(disk: MemoryFileSystem) -> None:
    assert verify_node(disk, "/data/n1") == []


@pytest.mark.parametrize("suffix", [IDENTITY, ACQUAINTANCES, "000001.log", ".sst"])
def test_damage_anywhere_is_named(disk: MemoryFileSystem, suffix: str) -> None:
    path = next(path for path in disk._names if path.endswith(suffix))
    data = bytearray(disk.content(path))
    data[len(data) // 3] ^= 0xFF
    disk.replace(path, bytes(data))

    problems = verify_node(disk, "/data/n1")

    assert [problem for problem in problems if path in problem]
