import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import pytest

from engine import CURRENT, Fault, MemoryFileSystem, StorageError
from raftgroups.directory import IDENTITY, DataDirectory
from raftgroups.errors import (
    DamagedDirectoryError,
    DirectoryInUseError,
    ForeignDirectoryError,
    HostError,
)
from raftgroups.ids import PartitionId
from raftgroups.topology import decode_identity, encode_identity

SEEDS = {"n1": "127.0.0.1:9001", "n2": "127.0.0.1:9002"}
P3 = PartitionId(3)


@dataclass(frozen=True)
class Founding:
    name: str = "n1"
    directory: str = "/data/n1"
    peer: str = "127.0.0.1:9001"
    seeds: Mapping[str, str] = field(default_factory=lambda: SEEDS)
    partitions: int = 16
    replication_factor: int = 3


def put_file(disk: MemoryFileSystem, path: str, data: bytes = b"x") -> None:
    disk.create_directory(path.rpartition("/")[0])
    file = disk.open_append(path)
    file.write(data)
    file.sync()
    file.close()
    disk.sync_directory(path.rpartition("/")[0])


def complete(disk: MemoryFileSystem, path: str) -> None:
    put_file(disk, f"{path}/000001.sst")
    put_file(disk, f"{path}/{CURRENT}")


def test_an_empty_directory_becomes_a_nodes() -> None:
    disk = MemoryFileSystem()

    directory = DataDirectory.open(disk, Founding())

    assert [member.name for member in directory.topology.members] == ["n1", "n2"]
    assert directory.topology.partitions == 16


def test_a_node_finds_its_directory_again() -> None:
    disk = MemoryFileSystem()
    first = DataDirectory.open(disk, Founding())
    first.close()
    disk.restart()

    assert DataDirectory.open(disk, Founding()).topology == first.topology
    disk.restart()
    assert DataDirectory.open(disk, Founding(seeds={})).topology == first.topology


def test_a_directory_keeps_the_incarnation_it_was_founded_with() -> None:
    disk = MemoryFileSystem()
    first = DataDirectory.open(disk, Founding(), random.Random(1))
    first.close()
    disk.restart()

    assert DataDirectory.open(disk, Founding(), random.Random(2)).incarnation == first.incarnation
    assert len(first.incarnation) == 32


def test_two_directories_of_one_node_are_not_mistaken_for_each_other() -> None:
    assert (
        DataDirectory.open(MemoryFileSystem(), Founding()).incarnation
        != DataDirectory.open(MemoryFileSystem(), Founding()).incarnation
    )


def test_a_cluster_of_one_needs_no_seeds() -> None:
    directory = DataDirectory.open(MemoryFileSystem(), Founding(seeds={}))

    assert [(member.name, member.peer) for member in directory.topology.members] == [("n1", "127.0.0.1:9001")]


def test_a_directory_serves_one_process_at_a_time() -> None:
    disk = MemoryFileSystem()
    first = DataDirectory.open(disk, Founding())

    with pytest.raises(DirectoryInUseError, match="/data/n1 is in use"):
        DataDirectory.open(disk, Founding())
    first.close()
    DataDirectory.open(disk, Founding()).close()


@pytest.mark.parametrize(
    ("founding", "reason"),
    [
        (Founding(name="n2", peer="127.0.0.1:9002"), "belongs to node n1, not n2"),
        (Founding(seeds={**SEEDS, "n3": "127.0.0.1:9003"}), "belongs to cluster"),
        (Founding(partitions=32), "belongs to cluster"),
        (Founding(replication_factor=1), "belongs to cluster"),
    ],
)
def test_the_directory_of_another_is_refused(founding: Founding, reason: str) -> None:
    disk = MemoryFileSystem()
    DataDirectory.open(disk, Founding()).close()

    for _ in range(2):
        with pytest.raises(ForeignDirectoryError, match=reason):
            DataDirectory.open(disk, founding)
    DataDirectory.open(disk, Founding()).close()


def test_the_addresses_given_today_are_remembered() -> None:
    """Names are identity. A cluster of an earlier version, whose id hashes addresses, keeps its id."""
    disk = MemoryFileSystem()
    first = DataDirectory.open(disk, Founding())
    first.close()
    path = f"/data/n1/{IDENTITY}"
    old = decode_identity(path, disk.content(path))
    old = msgspec.structs.replace(old, topology=msgspec.structs.replace(old.topology, cluster_id="of old"))
    disk.replace(path, encode_identity(old))

    DataDirectory.open(disk, Founding(seeds={"n1": "10.0.0.1:1", "n2": "10.0.0.2:2"})).close()
    disk.restart()
    again = DataDirectory.open(disk, Founding(seeds={}))

    assert [member.peer for member in again.topology.members] == ["10.0.0.1:1", "10.0.0.2:2"]
    assert again.topology.cluster_id == "of old"
    assert again.incarnation == first.incarnation


def test_a_directory_of_something_else_is_refused_untouched() -> None:
    disk = MemoryFileSystem()
    put_file(disk, "/data/n1/holiday.jpg")

    with pytest.raises(ForeignDirectoryError, match=r"holiday\.jpg"):
        DataDirectory.open(disk, Founding())
    assert disk.list_directory("/data/n1") == ["LOCK", "holiday.jpg"] or disk.list_directory("/data/n1") == [
        "holiday.jpg"
    ]


def test_a_damaged_identity_is_refused() -> None:
    disk = MemoryFileSystem()
    DataDirectory.open(disk, Founding()).close()
    disk.replace(f"/data/n1/{IDENTITY}", disk.content(f"/data/n1/{IDENTITY}")[:-3])

    with pytest.raises(DamagedDirectoryError, match="/data/n1/identity"):
        DataDirectory.open(disk, Founding())


def test_a_crash_while_founding_leaves_nothing_or_all() -> None:
    for changes in range(12):
        disk = MemoryFileSystem()
        disk.power_lost_at = changes
        try:
            DataDirectory.open(disk, Founding())
        except Exception:
            pass
        disk.restart()

        assert DataDirectory.open(disk, Founding()).topology.partitions == 16


def test_a_disk_that_fails_is_one_line() -> None:
    disk = MemoryFileSystem()
    disk.faults.append(Fault("write", StorageError("/data/n1/identity.tmp", 5, "input/output error")))

    with pytest.raises(HostError, match="/data/n1 cannot be used"):
        DataDirectory.open(disk, Founding())
    DataDirectory.open(disk, Founding()).close()


# Generations of replicas.


def test_a_new_replica_is_of_the_first_generation() -> None:
    directory = DataDirectory.open(MemoryFileSystem(), Founding())

    assert directory.replica_path(P3) == "/data/n1/p0003-0001"
    assert directory.log_path == "/data/n1/log"


def test_a_snapshot_comes_into_the_next_generation() -> None:
    disk = MemoryFileSystem()
    directory = DataDirectory.open(disk, Founding())
    complete(disk, directory.replica_path(P3))

    incoming = directory.incoming_path(P3)

    assert incoming == "/data/n1/p0003-0002"
    put_file(disk, f"{incoming}/000001.sst")
    assert directory.replica_path(P3) == "/data/n1/p0003-0001", "not complete: not in force"
    complete(disk, incoming)
    assert directory.replica_path(P3) == incoming


def test_a_cut_off_snapshot_makes_room_for_the_next() -> None:
    disk = MemoryFileSystem()
    directory = DataDirectory.open(disk, Founding())
    complete(disk, directory.replica_path(P3))
    put_file(disk, f"{directory.incoming_path(P3)}/000007.sst")

    assert disk.list_directory(directory.incoming_path(P3)) == []


def test_a_start_removes_what_a_crash_left() -> None:
    disk = MemoryFileSystem()
    directory = DataDirectory.open(disk, Founding())
    complete(disk, "/data/n1/p0003-0001")
    complete(disk, "/data/n1/p0003-0002")
    put_file(disk, "/data/n1/p0003-0003/000001.sst")
    complete(disk, "/data/n1/p0004-0001")
    put_file(disk, f"{directory.checkpoint_path()}/000001.sst")
    put_file(disk, "/data/n1/log/000001.log", b"")
    directory.close()

    DataDirectory.open(disk, Founding())

    left = set(disk.list_directory("/data/n1"))
    assert {name for name in left if name.startswith(("p0003", "p0004"))} == {"p0003-0002", "p0004-0001"}
    assert not [name for name in left if name.startswith("checkpoint")]
    assert {IDENTITY, "log"} <= left


def test_a_replica_that_lacks_what_puts_it_in_force_is_not_swept_away() -> None:
    """The generation in force has lost its CURRENT: its tables may yet be of use to who restores it."""
    disk = MemoryFileSystem()
    DataDirectory.open(disk, Founding()).close()
    disk.remove_directory("/data/n1/p0003-0001")
    put_file(disk, "/data/n1/p0003-0002/000007.sst")
    put_file(disk, "/data/n1/p0003-0002/MANIFEST-000001")

    with pytest.raises(DamagedDirectoryError, match="p0003-0002 has lost its CURRENT; restore it"):
        DataDirectory.open(disk, Founding())

    assert set(disk.list_directory("/data/n1/p0003-0002")) == {"000007.sst", "MANIFEST-000001"}
    complete(disk, "/data/n1/p0003-0002")
    assert DataDirectory.open(disk, Founding()).replica_path(P3) == "/data/n1/p0003-0002"


def test_checkpoints_never_share_a_name() -> None:
    directory = DataDirectory.open(MemoryFileSystem(), Founding())

    assert directory.checkpoint_path() != directory.checkpoint_path()
