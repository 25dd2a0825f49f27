"""Power fails at every change that a node makes to its disk; what it had promised is there when it is back.

The story has appends, votes, a flush, a compaction, new segments and dropped ones, new manifests,
a truncation, a snapshot, and a clean stop.
"""

import random
from collections.abc import Callable
from functools import cache

import pytest

from engine import EngineError, MemoryFileSystem, PowerLostError
from raftgroups.ids import LogIndex, Term
from raftgroups.layout import Layout
from raftgroups.messages import Heartbeat, SnapshotChunk, SnapshotOffer, VoteReply, VoteRequest
from raftgroups.sending import _take_checkpoint
from raftgroups.verify import verify_node
from tests.raftgroups.onenode import OneNode, Promises, StoredEntry, entry, expected_states, open_engine

# The log that is committed in the end: term 1 to 20, term 2 to 60, term 3 to 66.
COMMITTED: dict[int, StoredEntry] = {
    index: entry(index, 1 if index <= 20 else 2 if index <= 60 else 3) for index in range(1, 67)
}
# Leader a of term 1 has three more entries, which only this node has seen: they are lost.
LOST: dict[int, StoredEntry] = {**{i: COMMITTED[i] for i in range(1, 21)}, **{i: entry(i, 1) for i in range(21, 24)}}
SNAPSHOT_AT = 48
SLICES = 12

Step = Callable[[OneNode], object]


@cache
def snapshot() -> tuple[MemoryFileSystem, Layout]:
    """What a leader would send of its state at SNAPSHOT_AT."""
    disk = MemoryFileSystem()
    machine = open_engine(disk, "/source")
    for index in range(1, SNAPSHOT_AT + 1):
        machine.apply(LogIndex(index), Term(COMMITTED[index][0]), COMMITTED[index][1])
    _, layout = _take_checkpoint(machine.engine, disk, "/checkpoint")
    return disk, layout


def vote(node: OneNode, candidate: str, term: int, last_index: int, last_term: int) -> None:
    reply = node.ask(candidate, VoteRequest(0, term, last_index, last_term, probe=False, transfer=False))
    assert isinstance(reply, VoteReply)
    assert reply.granted


def flush(node: OneNode) -> None:
    node.group.machine.engine.flush()


def compact(node: OneNode) -> None:
    node.group.machine.engine.compact()


def drop(node: OneNode) -> None:
    """What the host does once in a while."""
    node.group.forget_flushed()
    flushed = min(node.group.machine.engine.flushed_sequence, node.snapshots.floor(node.group.partition))
    node.node_log.drop_flushed({node.group.partition: flushed}, 0)


def overwrite(node: OneNode) -> None:
    """Leader c of term 2 has other entries where this node has those of a."""
    # What it had acknowledged to a was never committed, and c's word is the newer one.
    node.promises.acknowledged = {i: stored for i, stored in node.promises.acknowledged.items() if i <= 20}
    node.append("c", 2, COMMITTED, 21, 24, 20)


def install(node: OneNode) -> None:
    disk, layout = snapshot()
    node.log_of_leader = COMMITTED
    node.snapshots.received(node.group, "c", SnapshotOffer(0, 2, 7, SNAPSHOT_AT, layout.files))
    node.commit()
    offset = 0
    for name, size in layout.files:
        content = disk.content(f"/checkpoint/{name}")
        for at in range(0, size, 1500):
            data = content[at : at + 1500]
            node.snapshots.received(node.group, "c", SnapshotChunk(0, 7, offset, data))
            node.commit()
            offset += len(data)
    assert node.group.machine.applied_index == SNAPSHOT_AT


STORY: list[Step] = [
    lambda node: vote(node, "a", 1, 0, 0),
    lambda node: node.append("a", 1, COMMITTED, 1, 5, 0),
    lambda node: node.append("a", 1, COMMITTED, 6, 10, 8),
    flush,
    lambda node: node.append("a", 1, COMMITTED, 11, 15, 15),
    flush,
    lambda node: node.append("a", 1, COMMITTED, 16, 20, 20),
    compact,
    drop,
    lambda node: node.append("a", 1, LOST, 21, 23, 20),
    lambda node: node.ask("c", Heartbeat(0, 2, 20, 0)),
    overwrite,
    lambda node: node.append("c", 2, COMMITTED, 25, 30, 30),
    drop,
    install,
    lambda node: node.append("c", 2, COMMITTED, 49, 60, 55),
    flush,
    drop,
    lambda node: setattr(node, "now", 10.0),
    lambda node: vote(node, "a", 3, 60, 2),
    lambda node: node.append("a", 3, COMMITTED, 61, 66, 66),
    OneNode.close,
]
EXPECTED = expected_states(COMMITTED)


def tell(disk: MemoryFileSystem, promises: Promises) -> None:
    node = OneNode(disk, promises)
    for step in STORY:
        step(node)


@cache
def changes() -> int:
    """How many there are in the whole story."""
    disk = MemoryFileSystem()
    tell(disk, Promises())
    return disk.changes


def test_the_story_has_everything_in_it() -> None:
    disk = MemoryFileSystem()
    done: list[str] = []
    original = disk._change

    def record(operation: str, path: str) -> None:
        done.append(f"{operation} {path}")
        original(operation, path)

    disk._change = record  # type: ignore[method-assign]  # to look on
    tell(disk, Promises())

    assert len([line for line in done if line.startswith("create") and line.endswith(".log")]) >= 4, "segments"
    assert [line for line in done if line.startswith("remove") and line.endswith(".log")], "dropped ones"
    assert done.count("rename /b/p0000-0001/CURRENT") >= 2, "a manifest in the place of a full one"
    assert len([line for line in done if line.startswith("create") and line.endswith(".sst")]) >= 5, "tables"
    assert [line for line in done if "p0000-0002" in line], "a snapshot"
    assert OneNode(disk, Promises()).log.last_index == 66


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("chance", [None, 1, 2])
def test_power_may_fail_at_any_change(part: int, chance: int | None) -> None:
    """Without chance nothing unsynced is left; with it any part of it may be."""
    for at in range(part, changes(), SLICES):
        disk, promises = MemoryFileSystem(), Promises()
        disk.power_lost_at = at
        # An engine's background tells of it as an error of its own.
        with pytest.raises((PowerLostError, EngineError)):
            tell(disk, promises)
        assert disk.changes > at
        disk.restart(None if chance is None else random.Random(at * 10 + chance))

        node = OneNode(disk, promises)
        node.check(EXPECTED)

        node.now = 100.0
        node.catch_up("a", 4, COMMITTED)
        assert node.group.machine.applied_index == 66, f"at change {at}"
        node.check(EXPECTED)
        node.close()
        assert verify_node(disk, "/b") == []
