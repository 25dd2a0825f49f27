"""A snapshot on its way from one node to another, message by message and job by job."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, PowerLostError
from raftgroups import pace as pace_module
from raftgroups import receiving, sending
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
from raftgroups.replication import Progress
from raftgroups.snapshot import Snapshots
from raftgroups.statemachine import StateMachine
from tests.raftgroups.bench import P0, Bench

SEEDS = {name: f"127.0.0.1:{port}" for port, name in enumerate("abc", 9001)}


class End:
    """One node of a transfer: its disk, its replica, its Snapshots. What it sends waits in `outbox`."""

    def __init__(self, name: str, disk: MemoryFileSystem | None = None, seed: int = 0) -> None:
        self.name = name
        self.disk = disk or MemoryFileSystem()
        self.options = HostOptions(name, f"/{name}", SEEDS[name], "127.0.0.1:1", seeds=SEEDS, partitions=1)
        self.directory = DataDirectory.open(self.disk, self.options)
        path = self.directory.replica_path(P0)
        self.bench = Bench("abc", name, self.disk, path, self.directory.log_path)
        self.group = self.bench.group
        self.outbox: deque[tuple[str, bytes]] = deque()
        self.jobs: deque[Callable[[], None]] = deque()
        self.snapshots = Snapshots(
            self.directory,
            lambda peer, message: self.outbox.append((peer, encode_messages([message]))),
            self._open,
            self._elsewhere,
            lambda: self.bench.now,
            random.Random(seed),
        )

    def _open(self, partition: PartitionId) -> StateMachine:
        options = Options(own_log=False)
        path = self.directory.replica_path(partition)
        engine = Engine.open(path, options, file_system=self.disk, executor=InlineExecutor())
        try:
            return StateMachine(engine)
        except BaseException:
            engine.close()
            raise

    def _elsewhere(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def run() -> None:
            try:
                outcome = job()
            except PowerLostError:
                raise
            except Exception as error:
                outcome = error
            done(outcome)

        self.jobs.append(run)

    def work(self) -> bool:
        """The oldest job of the workers, if there is one, is done."""
        if not self.jobs:
            return False
        self.jobs.popleft()()
        return True

    def work_off(self) -> None:
        """No job is left."""
        while self.work():
            pass

    def take(self) -> list[AnyMessage]:
        messages = [decode_messages(data)[0] for _, data in self.outbox]
        self.outbox.clear()
        return messages

    def offers(self) -> list[SnapshotOffer]:
        """The offers that wait to be sent; they stay where they are."""
        messages = [decode_messages(data)[0] for _, data in self.outbox]
        return [message for message in messages if isinstance(message, SnapshotOffer)]

    def received_all(self) -> bool:
        incoming = self.snapshots._receiving._transfers.get(P0)
        return incoming is not None and incoming.is_whole

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
        self.write(commands)
        self.leave_behind()
        self.introduce()

    def leave_behind(self) -> None:
        """The bench's followers answer at once; this one has not."""
        progress = Progress(LogIndex(1))
        progress.snapshot_needed()
        reign = self.leader.group.consensus._reign
        assert reign is not None
        reign.progress["b"] = progress

    def write(self, commands: int, prefix: bytes = b"k") -> None:
        for number in range(commands):
            self.leader.bench.put(prefix + b"%02d" % number, random.Random(number).randbytes(1000))
            self.leader.bench.turn()

    def introduce(self) -> None:
        """b hears of its leader."""
        term = self.leader.group.consensus.term
        self.follower.group.consensus.receive("a", Heartbeat(0, term, 0, 0), self.follower.bench.now)
        self.follower.bench.sync()

    def offer(self) -> None:
        """Consensus finds that b lacks what is no longer in the log, and says so once for each link."""
        self.leader.snapshots.needed(self.leader.group, "b")
        self.leader.work_off()

    @property
    def is_over(self) -> bool:
        """The leader knows that the follower has it."""
        consensus = self.leader.group.consensus
        return consensus.match_of("b") == consensus.applied_index and not self.leader.snapshots._sending._transfers

    def offer_again(self) -> None:
        """The link is back."""
        self.introduce()
        if not self.is_over:
            self.offer()

    def insist(self) -> None:
        """Offer until it has been taken, as consensus does."""
        for _ in range(4):
            if not self.is_over:
                self.offer()
            self.run()
            self.leader.bench.now += sending.PAUSE_SECONDS

    def offers(self) -> list[AnyMessage]:
        """What the leader says first."""
        self.offer()
        return self.leader.take()

    def answer(self) -> list[AnyMessage]:
        """The follower takes the offer; gives what the leader sends then."""
        self.deliver(self.leader, self.follower)
        self.follower.work_off()
        self.deliver(self.follower, self.leader)
        self.leader.work_off()
        return self.leader.take()

    def deliver(self, one: End, other: End) -> bool:
        """The oldest message of `one` arrives, if there is one."""
        if not one.outbox:
            return False
        other.receive(one.name, decode_messages(one.outbox.popleft()[1])[0])
        return True

    def step(self, rng: random.Random | None = None) -> bool:
        """One message is delivered, or one job done; says whether there was one."""
        a, b = self.leader, self.follower
        moves: list[Callable[[], bool]] = [
            lambda: self.deliver(a, b),
            b.work,
            lambda: self.deliver(b, a),
            a.work,
        ]
        if rng is not None:
            rng.shuffle(moves)
        return any(move() for move in moves)

    def run(self) -> None:
        while self.step():
            pass

    def cut(self) -> None:
        """The link is lost, with everything on it."""
        for end, peer in ((self.leader, "b"), (self.follower, "a")):
            end.outbox.clear()
            end.snapshots.peer_lost(peer)

    def wait(self, seconds: float) -> None:
        for end in (self.leader, self.follower):
            end.bench.now += seconds
            end.snapshots.tick()


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and windows so small that every transfer has many of them."""
    monkeypatch.setattr(sending, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(pace_module, "FIRST_BYTES", 2000)
    monkeypatch.setattr(pace_module, "WINDOW_BYTES", 4000)
    monkeypatch.setattr(receiving, "SYNC_BYTES", 3000)


def bytes_of(messages: Iterable[AnyMessage]) -> int:
    return sum(len(message.data) for message in messages if isinstance(message, SnapshotChunk))


def assert_done(transfer: Transfer) -> None:
    """b has what a has, and nothing is left over on either side."""
    a, b = transfer.leader, transfer.follower
    assert b.keys() == a.keys()
    assert b.group.consensus.applied_index == a.group.consensus.applied_index
    assert a.group.consensus.match_of("b") == a.group.consensus.applied_index
    assert len(b.files()) == len(a.files()) == 1
    assert a.group._holds == 0
    assert b.snapshots.floor(P0) == receiving.NO_FLOOR


def assert_given_up(transfer: Transfer) -> None:
    """Nothing is left of the transfer on either side, and b is as it was."""
    for end in (transfer.leader, transfer.follower):
        end.work_off()
        assert end.files() == ["p0000-0001"]
    assert transfer.leader.group._holds == 0
    assert transfer.follower.keys() == []
