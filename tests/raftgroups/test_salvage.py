"""Entries of the node log become the writes that the state machine would have made."""

import pytest

from engine import CommitLogReader, Engine, InlineExecutor, LockedError, MemoryFileSystem, Options
from raftgroups.command import Delete, Put, encode_command, encode_entry
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.nodelog import Entries, NodeLog
from raftgroups.salvage import logged_writes
from raftgroups.statemachine import StateMachine

NODE = "/data/n1"
ENTRIES = [
    (1, encode_entry(5, [encode_command(Put(b"a", b"1", "text/plain")), encode_command(Delete(b"b"))])),
    (1, encode_entry(9, [])),
    (2, encode_entry(7, [encode_command(Put(b"c", b"2"))])),
]


def logged(*records: Entries) -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory(NODE)
    log = NodeLog(disk, f"{NODE}/log")
    for record in records:
        log.add(record)
        log.commit()
    log.close()
    return disk


def test_the_writes_are_those_of_the_state_machine() -> None:
    disk = logged(Entries(0, 4, ENTRIES[:1]), Entries(1, 8, [(1, encode_entry(0, []))]), Entries(0, 5, ENTRIES[1:]))

    found = logged_writes(disk, NODE, PartitionId(0))

    engine = Engine.open("/db", Options(own_log=False), file_system=disk, executor=InlineExecutor())
    machine = StateMachine(engine)
    assert [index for index, _ in found.writes] == [4, 5, 6]
    for (index, batch), (term, payload) in zip(found.writes, ENTRIES, strict=True):
        machine.apply(LogIndex(index), Term(term), payload)
        assert {key: engine.get(key) for key, _ in batch.items()} == dict(batch.items())
    assert found.problems == []
    engine.close()


def test_a_partition_that_is_not_in_it_has_none() -> None:
    found = logged_writes(logged(Entries(0, 1, ENTRIES)), NODE, PartitionId(3))

    assert (found.writes, found.problems) == ([], [])


def test_damage_ends_it_and_is_told() -> None:
    disk = logged(Entries(0, 1, ENTRIES[:1]), Entries(0, 2, ENTRIES[1:2]), Entries(0, 3, ENTRIES[2:]))
    path = f"{NODE}/log/000001.log"
    data = bytearray(disk.content(path))
    data[list(CommitLogReader(disk, path).parts())[2].end - 1] ^= 1
    disk.replace(path, bytes(data))

    found = logged_writes(disk, NODE, PartitionId(0))

    assert [index for index, _ in found.writes] == [1, 2]
    assert len(found.problems) == 1


def test_what_is_no_entry_ends_it_and_is_told() -> None:
    found = logged_writes(logged(Entries(0, 1, [*ENTRIES[:1], (1, b"nonsense"), *ENTRIES[2:]])), NODE, PartitionId(0))

    assert [index for index, _ in found.writes] == [1]
    assert found.problems[0].startswith("entry 2 of partition 0: ")


def test_a_node_that_runs_is_not_read() -> None:
    disk = logged()
    lock = disk.lock(f"{NODE}/LOCK")

    with pytest.raises(LockedError):
        logged_writes(disk, NODE, PartitionId(0))
    lock.close()
