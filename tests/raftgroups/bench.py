"""One RaftGroup, with all that surrounds it laid open."""

import random
from collections.abc import Callable, Sequence

from engine import Engine, InlineExecutor, MemoryFileSystem, Options
from raftgroups.command import Command, Put, decode_entry, encode_command
from raftgroups.errors import RaftGroupError
from raftgroups.group import RaftGroup, ResultT
from raftgroups.grouptime import GroupTime
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.level import NEWEST, Level
from raftgroups.membership import Configuration
from raftgroups.messages import Append, AppendReply, Heartbeat, RaftMessage, VoteReply
from raftgroups.nodelog import NodeLog
from raftgroups.pulse import Contact
from raftgroups.result import Result
from raftgroups.statemachine import StateMachine
from raftgroups.timing import Timing
from raftgroups.wallclocks import WallClocks

P0 = PartitionId(0)
LATER = 1000.0
Outcome = Result | RaftGroupError


def open_machine(disk: MemoryFileSystem, path: str) -> StateMachine:
    return StateMachine(Engine.open(path, Options(own_log=False), file_system=disk, executor=InlineExecutor()))


class Bench:
    """A quick disk, followers that answer at once, and whatever else a turn of the loop needs."""

    def __init__(
        self,
        replicas: str = "a",
        name: str = "a",
        disk: MemoryFileSystem | None = None,
        engine_path: str = "/p0",
        log_path: str = "/log",
        timing: Timing | None = None,
    ) -> None:
        self.disk = disk or MemoryFileSystem()
        self.now = 0.0
        self.is_full = self.is_exhausted = self.is_slow = False
        self.meets: float | None = None
        self.sent: list[tuple[str, RaftMessage]] = []
        self.outcomes: list[Outcome] = []
        self.items: list[bytes | RaftGroupError | None] = []
        self.jobs: list[Callable[[], None]] = []
        self.configurations: list[tuple[LogIndex, Configuration]] = []
        self.is_removed = False
        self.resting: list[tuple[LogIndex, tuple[str, ...]]] = []
        self.woken = 0
        self.contacts: dict[str, Contact] = {}
        self.snapshots_needed: list[str] = []
        self.node_log = NodeLog(self.disk, log_path)
        self.clocks = WallClocks(name, lambda: self.now, lambda: 5_000 + int(self.now * 1000))
        machine = open_machine(self.disk, engine_path)
        self.log = GroupLog(self.node_log, P0, machine.applied_index, machine.applied_term)
        self.group = RaftGroup(
            P0,
            name,
            Configuration(tuple(replicas)),
            self.log,
            machine,
            self,
            timing=timing or Timing(),
            rng=random.Random(0),
            now=0.0,
            time=GroupTime(self.clocks, grace_seconds=60.0),
            send=lambda peer, message, generation: self.sent.append((peer, message)),
        )

    def touched(self, group: RaftGroup) -> None:
        """Every test takes the turns itself."""

    def rest(self, group: RaftGroup, term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        self.resting.append((index, tuple(followers)))
        return True

    def woke(self, group: RaftGroup) -> None:
        self.woken += 1

    def met_at(self, peer: str) -> float:
        return self.now if self.meets is None else self.meets

    def contact(self, group: RaftGroup, peer: str) -> Contact | None:
        return self.contacts.get(peer)

    def leader_changed(self, group: RaftGroup) -> None:
        """Nobody else wants to know."""

    def configured(self, group: RaftGroup) -> None:
        self.configurations.append(group.consensus.committed_configuration)

    def removed(self, group: RaftGroup) -> None:
        self.is_removed = True

    def snapshot_needed(self, group: RaftGroup, peer: str) -> None:
        self.snapshots_needed.append(peer)

    def elsewhere(self, job: Callable[[], ResultT], done: Callable[[ResultT | BaseException], None]) -> None:
        def run() -> None:
            try:
                result: ResultT | BaseException = job()
            except Exception as error:
                result = error
            done(result)

        self.jobs.append(run)

    def lead(self) -> "Bench":
        """Be elected by the others."""
        consensus = self.group.consensus
        for peer in self.group.replicas[1:]:
            consensus.link_up(peer, self.now)
        self.now += 2.0
        consensus.tick(self.now)
        for probe in (True, False):
            for peer in self.group.replicas[1:]:
                consensus.receive(peer, VoteReply(0, consensus.term + probe, probe, granted=True), self.now)
        assert self.group.is_leader
        self.turn()
        return self

    def turn(self) -> None:
        """A turn of the loop with a quick disk, where every follower answers at once."""
        consensus = self.group.consensus
        self.group.turn(self.now, may_propose=True)
        self.sync()
        for peer, message in self.sent:
            if isinstance(message, Append) and self.group.is_leader and message.term == consensus.term:
                match = message.prev_index + len(message.entries)
                consensus.receive(peer, AppendReply(0, message.term, message.sequence, ok=True, match=match), self.now)
        self.sent.clear()
        self.group.turn(self.now, may_propose=False)

    def sync(self) -> None:
        self.node_log.commit()
        if self.log.synced(self.node_log.synced_generation):
            self.group.consensus.synced()

    def depose(self, leader: str = "b") -> None:
        consensus = self.group.consensus
        consensus.receive(leader, Heartbeat(0, consensus.term + 1, 0, 0), self.now)

    def put(self, key: bytes, value: bytes = b"value", deadline: float = LATER) -> None:
        self.propose(Put(key, value), deadline)

    def propose(self, command: Command, deadline: float = LATER) -> None:
        self.group.propose(encode_command(command), deadline, self.outcomes.append)

    def read(self, key: bytes) -> None:
        """Read the newest acknowledged Item under `key`."""

        def serve(_level: Level, _age_ms: int) -> None:
            self.group.read_applied(key, self.items.append)

        self.group.admit(NEWEST, self.now, LATER, serve, self.items.append)

    @property
    def batches(self) -> list[int]:
        """How many commands each entry holds, no-ops left out."""
        entries = self.log.entries_from(LogIndex(self.log.first_index + 1), 1 << 30)
        return [count for _, payload in entries if (count := len(decode_entry(payload).commands))]
