import random
from collections import deque

import msgspec
import pytest

from engine import CURRENT, Fault, MemoryFileSystem, PowerLostError, StorageError
from raftgroups import snapshot as snapshot_module
from raftgroups.directory import DataDirectory
from raftgroups.host import HostOptions
from raftgroups.ids import LogIndex, PartitionId
from raftgroups.messages import (
    AnyMessage,
    Heartbeat,
    SnapshotChunk,
    SnapshotOffer,
    SnapshotReply,
    decode_messages,
    encode_messages,
)
from raftgroups.snapshot import Snapshots
from raftgroups.statemachine import StateMachine
from tests.raftgroups.bench import P0, Bench, open_machine

SEEDS = {name: f"127.0.0.1:{port}" for port, name in enumerate("abc", 9001)}


class End:
    """One node of a transfer: its disk, its replica, its Snapshots. What it sends waits in `outbox`."""

    def __init__(self, name: str, disk: MemoryFileSystem | None = None) -> None:
        self.name = name
        self.disk = disk or MemoryFileSystem()
        self.options = HostOptions(name, f"/{name}", SEEDS[name], "127.0.0.1:1", seeds=SEEDS, partitions=1)
        self.directory = DataDirectory.open(self.disk, self.options)
        path = self.directory.replica_path(P0)
        self.bench = Bench("abc", name, self.disk, path, self.directory.log_path)
        self.group = self.bench.group
        self.outbox: deque[tuple[str, bytes]] = deque()
        self.snapshots = Snapshots(
            self.directory,
            lambda peer, message: self.outbox.append((peer, encode_messages([message]))),
            self._open,
            self._elsewhere,
            lambda: self.bench.now,
        )

    def _open(self, partition: PartitionId) -> StateMachine:
        return open_machine(self.disk, self.directory.replica_path(partition))

    def _elsewhere(self, job: object, done: object) -> None:
        self.bench._elsewhere(job, done)  # type: ignore[arg-type]  # whatever the job gives is handed on

    def work(self) -> None:
        """What was given to the workers is done."""
        jobs, self.bench.elsewhere = self.bench.elsewhere, []
        for job in jobs:
            job()

    def take(self) -> list[AnyMessage]:
        messages = [decode_messages(data)[0] for _, data in self.outbox]
        self.outbox.clear()
        return messages

    def receive(self, sender: str, message: AnyMessage) -> None:
        assert isinstance(message, SnapshotOffer | SnapshotChunk | SnapshotReply)
        self.snapshots.received(self.group, sender, message)

    def files(self) -> list[str]:
        return [name for name in self.disk.list_directory(f"/{self.name}") if name[:1] in "pc"]

    def keys(self) -> list[bytes]:
        return [key for key, _ in self.group.machine.engine.scan()]


class Transfer:
    """a leads and has written; b is behind, and knows that a leads."""

    def __init__(self, disk: MemoryFileSystem | None = None, commands: int = 20) -> None:
        self.leader, self.follower = End("a"), End("b", disk)
        self.leader.bench.lead()
        for number in range(commands):
            self.leader.bench.put(b"k%02d" % number, random.Random(number).randbytes(1000))
            self.leader.bench.turn()
        term = self.leader.group.consensus.term
        self.follower.group.consensus.receive("a", Heartbeat(0, term, 0, 0), 0.0)
        self.follower.bench.sync()

    def offer(self) -> None:
        self.leader.snapshots.needed(self.leader.group, "b")
        self.leader.work()

    def step(self) -> bool:
        """One message each way, oldest first; says whether there was one."""
        moved = False
        for one, other in ((self.leader, self.follower), (self.follower, self.leader)):
            if one.outbox:
                moved = True
                other.receive(one.name, decode_messages(one.outbox.popleft()[1])[0])
        return moved

    def run(self) -> None:
        while self.step():
            pass
        for end in (self.leader, self.follower):
            end.work()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(snapshot_module, "WINDOW_BYTES", 4000)


def test_a_follower_ends_up_with_what_its_leader_had() -> None:
    transfer = Transfer()
    applied = transfer.leader.group.consensus.applied_index
    transfer.offer()

    transfer.run()

    assert transfer.follower.keys() == transfer.leader.keys()
    assert transfer.follower.group.consensus.applied_index == applied
    assert transfer.follower.files() == ["p0000-0002"], "the old generation is gone"
    assert transfer.leader.files() == ["p0000-0001"], "and so is the checkpoint"
    assert transfer.leader.group.consensus.match_of("b") == applied


def test_a_restart_finds_the_snapshot() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.run()
    transfer.follower.bench.sync()
    transfer.follower.disk.restart()

    again = End("b", transfer.follower.disk)

    assert again.keys() == transfer.leader.keys()
    assert again.group.consensus.applied_index == transfer.follower.group.consensus.applied_index


def test_chunks_run_only_a_window_ahead() -> None:
    transfer = Transfer()
    transfer.offer()

    offer, *chunks = transfer.leader.take()

    assert isinstance(offer, SnapshotOffer)
    assert sum(size for _, size in offer.files) > 10_000
    sent = sum(len(chunk.data) for chunk in chunks if isinstance(chunk, SnapshotChunk))
    assert 4000 <= sent < 5000
    for message in (offer, *chunks):
        transfer.follower.receive("a", message)
    transfer.run()
    assert transfer.follower.keys() == transfer.leader.keys()


def test_current_comes_last() -> None:
    transfer = Transfer()
    transfer.offer()

    offer = transfer.leader.take()[0]

    assert isinstance(offer, SnapshotOffer)
    assert offer.files[-1][0] == CURRENT
    assert len(offer.files) >= 3


def test_entries_are_kept_for_the_follower_meanwhile() -> None:
    transfer = Transfer()
    transfer.offer()
    assert transfer.leader.group._holds == 1

    transfer.run()

    assert transfer.leader.group._holds == 0


def test_one_snapshot_at_a_time_goes_to_a_follower() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.leader.take()

    transfer.offer()

    assert transfer.leader.take() == []
    assert [name for name in transfer.leader.files() if name.startswith("checkpoint")] == ["checkpoint-0001"]


@pytest.mark.parametrize("seed", range(120))
def test_power_may_fail_at_any_change_of_the_followers_disk(seed: int) -> None:
    """It then has its old replica, or the new one whole; the node starts in either case."""
    rng = random.Random(seed)
    disk = MemoryFileSystem()
    transfer = Transfer(disk, commands=3)
    for index in range(1, 3):
        machine = transfer.follower.group.machine
        machine.apply(LogIndex(index), transfer.leader.group.consensus.term, transfer.leader.group.no_op())
    transfer.follower.group.machine.engine.flush()
    before = transfer.follower.keys()
    transfer.offer()
    disk.power_lost_at = disk.changes + rng.randrange(40)
    try:
        transfer.run()
        transfer.follower.bench.sync()
    except PowerLostError:
        pass
    disk.restart(rng)

    again = End("b", disk)

    assert again.keys() in (before, transfer.leader.keys())
    assert len(again.files()) <= 1


@pytest.mark.parametrize("messages", range(1, 8))
def test_a_lost_link_ends_the_transfer_on_both_sides(messages: int) -> None:
    transfer = Transfer()
    transfer.offer()
    for _ in range(messages):
        transfer.step()
    for end, peer in ((transfer.leader, "b"), (transfer.follower, "a")):
        end.outbox.clear()
        end.snapshots.peer_lost(peer)
    assert transfer.follower.files() == ["p0000-0001"]
    assert transfer.leader.files() == ["p0000-0001"]
    assert transfer.leader.group._holds == 0

    transfer.offer()
    transfer.run()

    assert transfer.follower.keys() == transfer.leader.keys()


def test_a_link_lost_before_the_checkpoint_is_taken_leaves_nothing() -> None:
    transfer = Transfer()
    transfer.leader.snapshots.needed(transfer.leader.group, "b")
    transfer.leader.snapshots.peer_lost("b")

    transfer.leader.work()

    assert transfer.leader.take() == []
    assert transfer.leader.files() == ["p0000-0001"]


def test_a_transfer_that_does_not_move_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.leader.take()
    transfer.leader.bench.now += snapshot_module.STALLED_SECONDS + 1

    transfer.leader.snapshots.tick()

    assert transfer.leader.files() == ["p0000-0001"]
    assert "does not move" in caplog.text


def test_a_missing_chunk_ends_the_transfer() -> None:
    transfer = Transfer()
    transfer.offer()
    offer, first, _, third = transfer.leader.take()[:4]

    for message in (offer, first, third):
        transfer.follower.receive("a", message)

    assert transfer.follower.files() == ["p0000-0001"]


def test_a_disk_that_fails_is_reported_to_the_leader() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.step()
    transfer.follower.disk.faults.append(Fault("write", StorageError("x", 28, "no space left on device")))

    transfer.run()

    assert transfer.follower.files() == ["p0000-0001"]
    assert transfer.leader.files() == ["p0000-0001"]
    assert transfer.follower.keys() == []


def test_what_failed_is_not_tried_again_at_once() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.step()
    transfer.follower.disk.faults.append(Fault("write", StorageError("x", 28, "no space left on device")))
    transfer.run()

    transfer.offer()
    assert transfer.leader.take() == []
    assert transfer.leader.files() == ["p0000-0001"]
    transfer.leader.bench.now += snapshot_module.PAUSE_SECONDS
    transfer.offer()
    transfer.run()

    assert transfer.follower.keys() == transfer.leader.keys()


@pytest.mark.parametrize(("sender", "term"), [("c", 0), ("a", -1), ("a", 1)])
def test_only_the_leader_of_the_term_may_offer(sender: str, term: int) -> None:
    transfer = Transfer()
    transfer.offer()
    offer, *chunks = transfer.leader.take()
    assert isinstance(offer, SnapshotOffer)

    transfer.follower.receive(sender, msgspec.structs.replace(offer, term=offer.term + term))
    for chunk in chunks:
        transfer.follower.receive(sender, chunk)

    assert transfer.follower.take() == []
    assert transfer.follower.files() == ["p0000-0001"]


def test_a_snapshot_that_is_not_newer_is_not_taken() -> None:
    transfer = Transfer()
    transfer.offer()
    offer = transfer.leader.take()[0]
    assert isinstance(offer, SnapshotOffer)

    transfer.follower.receive("a", msgspec.structs.replace(offer, index=0))

    assert [type(message) for message in transfer.follower.take()] == [SnapshotReply]
    assert transfer.follower.files() == ["p0000-0001"]


@pytest.mark.parametrize(
    "files",
    [
        [("../../identity", 5), (CURRENT, 16)],
        [("/etc/passwd", 5), (CURRENT, 16)],
        [("..", 5), (CURRENT, 16)],
        [("a\0b", 5), (CURRENT, 16)],
        [("", 5), (CURRENT, 16)],
        [("000001.sst", 5)],
        [(CURRENT, 16), ("000001.sst", 5)],
        [("000001.sst", -5), (CURRENT, 16)],
        [],
    ],
)
def test_files_that_are_no_checkpoint_are_refused(files: list[tuple[str, int]]) -> None:
    """Names come from a peer: none of them may lead out of the directory."""
    transfer = Transfer()
    transfer.offer()
    offer = transfer.leader.take()[0]
    assert isinstance(offer, SnapshotOffer)

    transfer.follower.receive("a", msgspec.structs.replace(offer, files=files))
    transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, 0, b"12345"))

    replies = transfer.follower.take()
    assert [reply.failed for reply in replies if isinstance(reply, SnapshotReply)] == [True]
    assert transfer.follower.files() == ["p0000-0001"]


def test_a_chunk_that_is_longer_than_its_file_ends_the_transfer() -> None:
    transfer = Transfer()
    transfer.offer()
    offer = transfer.leader.take()[0]
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)

    transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, 0, b"x" * 1_000_000))

    assert transfer.follower.files() == ["p0000-0001"]
