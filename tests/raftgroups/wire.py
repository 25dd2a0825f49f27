"""A group of Consensus objects in memory, where each sync, tick and delivery happens when the test says so.

Links are first in, first out, and lose what is in flight when they break. A message leaves its
node once the node log has synced its generation. Each node has a clock and a disk of its own; a
crash forgets what was not synced. Two promises are checked at every step: one leader a term, and
the same entry at an index on every replica.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine import MemoryFileSystem
from raftgroups.command import configuration_in, encode_configuration
from raftgroups.consensus import Consensus
from raftgroups.errors import DivergedError
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog, StoredEntry
from raftgroups.membership import NOBODY, Configuration
from raftgroups.messages import (
    VIGIL_KINDS,
    AnyMessage,
    RaftMessage,
    Sleep,
    SnapshotChunk,
    SnapshotOffer,
    SnapshotReply,
    decode_messages,
    encode_messages,
)
from raftgroups.nodelog import NodeLog, Reset
from raftgroups.port import LocalRead, Port
from raftgroups.pulse import Contact
from raftgroups.timing import Timing
from raftgroups.vigil import Vigil

GROUP = PartitionId(0)
TICK_SECONDS = 0.05
STEP_SECONDS = 0.01
NO_OP = b""

State = dict[LogIndex, StoredEntry]
"""What a replica has applied: a state machine that remembers everything."""


@dataclass(slots=True)
class ReadAttempt:
    """A linearizable read, and what became of it.

    seen    the index applied when it was served
    fate    "waiting", "served" or "abandoned"
    """

    must_see: LogIndex
    seen: LogIndex = LogIndex(0)
    fate: str = "waiting"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A snapshot that the follower has been offered, and waits for."""

    leader: str
    offer: SnapshotOffer


class Node(Port):
    """One replica: what Host, RaftGroup, Transport and Snapshots do for a Consensus, in little.

    flushed    the state machine as the engine's tables hold it: it survives a crash
    failure    why the replica stopped, if it did
    impaired   it should not lead
    slow       its disk is
    is_full    its disk takes nothing
    """

    def __init__(self, wire: "Wire", name: str) -> None:
        self.name = name
        self.disk = MemoryFileSystem()
        self.now = 0.0
        self.flushed: State = {}
        self.snapshots_needed: list[str] = []
        self.failure: DivergedError | None = None
        self.impaired = False
        self.slow = False
        self.is_full = False
        self.is_up = False
        self.has_joined = name in wire.joiners
        self._wire = wire
        self.start()

    def start(self) -> None:
        wire = self._wire
        self.state: State = dict(self.flushed)
        applied = max(self.state, default=LogIndex(0))
        applied_term = Term(self.state[applied][0]) if self.state else Term(0)
        self.node_log = NodeLog(self.disk, "/log", segment_bytes=wire.segment_bytes)
        self.log = GroupLog(self.node_log, GROUP, applied, applied_term)
        self.incoming: Incoming | None = None
        self._held: list[tuple[int, str, AnyMessage]] = []
        self._proposed: dict[LogIndex, tuple[Term, bytes]] = {}
        self._waiting: list[tuple[LogIndex, Sequence[LocalRead]]] = []
        self._generation = 0
        self.vigil = Vigil(wire.timing, self)
        self.is_up = True
        rng = random.Random(wire.rng.random())
        self.consensus = Consensus(
            GROUP, self.name, self.configured_at(), self.log, applied, self, wire.timing, rng, self.now
        )

    @property
    def is_impaired(self) -> bool:
        return self.impaired or self.is_full

    @property
    def is_slow(self) -> bool:
        return self.slow

    @property
    def has_room(self) -> bool:
        return not self.is_full

    # What the test tells.

    def configured_at(self) -> tuple[LogIndex, Configuration]:
        """The newest configuration applied, or the one this node was founded with, if it was."""
        for index in sorted(self.state, reverse=True):
            configuration = configuration_in(self.state[index][1])
            if configuration is not None:
                return index, configuration
        return LogIndex(0), NOBODY if self.has_joined else Configuration(self._wire.voters)

    def change(self, voters: str, learners: str = "") -> LogIndex:
        """Propose a configuration; the names are letters."""
        return self.configure(Configuration(tuple(voters), tuple(learners)))

    def configure(self, configuration: Configuration) -> LogIndex:
        self.consensus.wake(self.now)
        payload = encode_configuration(0, configuration)
        index = self.consensus.change(payload)
        self._proposed[index] = (self.consensus.term, payload)
        self.turn()
        return index

    def retire(self) -> None:
        """As Replicas.retire: the entries and the state go, the term and the vote stay; what comes next is new."""
        self.end_sync()
        self.node_log.add(Reset(GROUP, 0, 0))
        self.node_log.commit()
        self.node_log.close()
        self._wire.cut(self.name)
        self.disk.kill()
        self.flushed, self.has_joined = {}, True
        self.start()

    @property
    def is_member(self) -> bool:
        return self.consensus.is_member

    def tick(self, seconds: float = 0.0) -> None:
        """The node's own clock moves on, and its timer strikes."""
        self.now += seconds
        if self.is_running:
            if self._wire.timing.quiet_seconds:
                self.vigil.tick(self.now)
            self.consensus.tick(self.now)
            self.turn()

    def propose(self, payload: bytes) -> LogIndex:
        self.consensus.wake(self.now)
        index = self.consensus.propose(payload)
        self._proposed[index] = (self.consensus.term, payload)
        self.turn()
        return index

    def read(self) -> ReadAttempt:
        attempt = ReadAttempt(self._wire.newest_acknowledged)

        def serve() -> None:
            assert attempt.fate == "waiting", "a read is answered once"
            attempt.seen, attempt.fate = self.consensus.applied_index, "served"
            self._wire.served(attempt)

        def abandon() -> None:
            assert attempt.fate == "waiting", "a read is answered once"
            attempt.fate = "abandoned"

        self.consensus.wake(self.now)
        self.consensus.read(LocalRead(serve, abandon))
        self.turn()
        return attempt

    def begin_sync(self) -> None:
        if self.node_log.has_gathered and not (self.node_log.is_syncing or self.is_full):
            self._generation = self.node_log.write()

    def end_sync(self) -> None:
        if not self.node_log.is_syncing:
            return
        self.node_log.sync()
        self.node_log.synced(self._generation)
        if self.log.synced(self._generation):
            self.consensus.synced()
        held, self._held = self._held, []
        for generation, peer, message in held:
            self.send(peer, message, generation)
        self.turn()

    def sync(self) -> None:
        if self.is_running:
            self.end_sync()
            self.begin_sync()
            self.end_sync()

    def turn(self) -> None:
        """The end of a loop turn, as RaftGroup.turn."""
        if not self.is_running:
            return
        self.consensus.apply_committed()
        self.consensus.launch_reads()
        ready = [item for item in self._waiting if item[0] <= self.consensus.applied_index]
        self._waiting = [item for item in self._waiting if item not in ready]
        for _, reads in ready:
            for read in reads:
                read.serve()

    def compact(self, keep: int = 0) -> None:
        """The engine flushes, and the log lets go of all but `keep` of the flushed entries."""
        self.flushed = dict(self.state)
        applied = self.consensus.applied_index
        self.log.forget_before(LogIndex(max(self.log.first_index, applied - keep)))
        self.node_log.drop_flushed({GROUP: applied}, retained_bytes=0)

    def crash(self, rng: random.Random | None = None) -> None:
        """Power is lost: what was not synced is gone, or with rng any part of it."""
        self.is_up = False
        self._wire.cut(self.name)
        self.disk.restart(rng)

    @property
    def is_running(self) -> bool:
        return self.is_up and self.failure is None

    @property
    def is_leader(self) -> bool:
        return self.is_running and self.consensus.is_leader

    @property
    def is_syncing(self) -> bool:
        return self.node_log.is_syncing

    @property
    def entries(self) -> list[StoredEntry]:
        return [
            self.log.entry_at(LogIndex(index))
            for index in range(self.log.first_index + (not self.log.first_index), self.log.last_index + 1)
        ]

    @property
    def commands(self) -> list[bytes]:
        """What clients wrote and this replica applied, in order."""
        payloads = [self.state[index][1] for index in sorted(self.state)]
        return [payload for payload in payloads if payload != NO_OP and configuration_in(payload) is None]

    def link_up(self, peer: str) -> None:
        if self.is_running:
            self.vigil.link_up(peer, self.now)
            self.consensus.link_up(peer, self.now)
            self.turn()

    def link_lost(self, peer: str) -> None:
        if self.is_running:
            self._held = [item for item in self._held if item[1] != peer]
            if self.incoming is not None and self.incoming.leader == peer:
                self.incoming = None
            if peer in self.snapshots_needed:
                self.snapshots_needed.remove(peer)
                self.consensus.snapshot_failed(peer)
            self.consensus.link_lost(peer, self.now)
            self.vigil.link_lost(peer)
            self.turn()

    def receive(self, sender: str, message: AnyMessage) -> None:
        if not self.is_running:
            return
        try:
            if isinstance(message, SnapshotOffer | SnapshotChunk | SnapshotReply):
                self._receive_snapshot(sender, message)
            elif type(message) in VIGIL_KINDS:
                self.vigil.received(sender, message, self.now)  # type: ignore[arg-type]  # as just looked up
            else:
                assert isinstance(message, RaftMessage)
                self.consensus.receive(sender, message, self.now)
        except DivergedError as error:
            self.failure = error
        self.turn()

    # What Vigil asks for.

    def tell(self, peer: str, message: AnyMessage) -> None:
        self.send(peer, message)

    def lie_down(self, leader: str, message: Sleep, now: float) -> bool:
        return self.consensus.lie_down(leader, Term(message.term), LogIndex(message.index), now)

    def wake(self, group: PartitionId, now: float) -> None:
        self.consensus.wake(now)

    def distrust(self, peer: str, reason: str) -> None:
        raise AssertionError(f"{peer} is not trusted: {reason}")

    # What Consensus asks for.

    @property
    def may_rest(self) -> bool:
        return not (self._waiting or self._proposed or self.snapshots_needed)

    def rest(self, term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        self.vigil.offer(GROUP, term, index, followers)
        return True

    def met_at(self, peer: str) -> float:
        return self.now

    def woke(self) -> None:
        self.vigil.withdraw(GROUP)

    def contact(self, peer: str) -> Contact | None:
        return self.vigil.contact(GROUP, peer)

    def send(self, peer: str, message: AnyMessage, generation: int = 0) -> None:
        if not self._wire.is_linked(self.name, peer):
            return
        if generation <= self.node_log.synced_generation:
            self._wire.links[self.name, peer].append(encode_messages([message]))
        else:
            self._held.append((generation, peer, message))

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> None:
        self._wire.applied(self.name, index, term, payload)
        self.state[index] = (term, payload)
        if self._proposed.pop(index, None) == (term, payload):
            self._wire.acknowledged[index] = payload

    def no_op(self, absence: float | None) -> bytes:
        return NO_OP

    def due_ms(self) -> int:
        return 0

    def has_told(self, until_ms: int) -> bool:
        return True

    def may_serve(self, reads: Sequence[LocalRead], index: LogIndex) -> None:
        self._waiting.append((index, reads))

    def leader_changed(self) -> None:
        if self.consensus.is_leader:
            self._wire.elected(self.name, self.consensus.term)

    def snapshot_needed(self, peer: str) -> None:
        self.snapshots_needed.append(peer)

    def configured(self) -> None:
        self._wire.configured(self.name, *self.consensus.committed_configuration)

    def removed(self) -> None:
        """The host looks at `is_removed` a while later."""

    @property
    def is_removed(self) -> bool:
        return self.is_up and self.consensus.is_removed

    # Snapshots.

    def send_snapshot(self, peer: str) -> None:
        """Take a checkpoint and send it: the offer, and later in one chunk all of it."""
        self.flushed = dict(self.state)
        applied = self.consensus.applied_index
        transfer = self._wire.keep_checkpoint(self.state)
        self.send(peer, SnapshotOffer(GROUP, self.consensus.term, transfer, applied, []))
        self.send(peer, SnapshotChunk(GROUP, transfer, 0, b""))

    def _receive_snapshot(self, sender: str, message: SnapshotOffer | SnapshotChunk | SnapshotReply) -> None:
        consensus = self.consensus
        if isinstance(message, SnapshotOffer):
            self.incoming = None
            if sender == consensus.leader and message.term == consensus.term:
                self.incoming = Incoming(sender, message)
        elif isinstance(message, SnapshotChunk):
            incoming, self.incoming = self.incoming, None
            if incoming is not None and incoming.offer.transfer == message.transfer and incoming.leader == sender:
                if incoming.offer.index > consensus.applied_index:
                    self._install(self._wire.checkpoints[message.transfer])
                self.send(sender, SnapshotReply(GROUP, consensus.term, message.transfer, 0, installed=True))
        elif sender in self.snapshots_needed:
            self.snapshots_needed.remove(sender)
            consensus.snapshot_failed(sender)
            consensus.snapshot_sent(sender, max(self._wire.checkpoints[message.transfer]), self.now)

    def _install(self, checkpoint: State) -> None:
        self.state, self.flushed = dict(checkpoint), dict(checkpoint)
        index = max(checkpoint)
        self.consensus.snapshot_installed(index, Term(checkpoint[index][0]), self.configured_at(), self.now)


@dataclass
class Wire:
    """The nodes, the links between them, and what must hold of all together."""

    names: str
    seed: int = 0
    timing: Timing = field(default_factory=Timing)
    segment_bytes: int = 2000
    joiners: str = ""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.voters = tuple(self.names)
        self.names += self.joiners
        self.links: dict[tuple[str, str], deque[bytes]] = {(a, b): deque() for a in self.names for b in self.names}
        self._linked: set[frozenset[str]] = set()
        self._leaders: dict[Term, str] = {}
        self._canon: dict[LogIndex, tuple[StoredEntry, str]] = {}
        self.configurations: dict[LogIndex, Configuration] = {}
        self.acknowledged: dict[LogIndex, bytes] = {}
        self.checkpoints: dict[int, State] = {}
        self.newest_seen = LogIndex(0)
        self.nodes = {name: Node(self, name) for name in self.names}
        self.heal()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    # Links.

    def is_linked(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._linked

    def link(self, a: str, b: str) -> None:
        if a != b and not self.is_linked(a, b) and self.nodes[a].is_up and self.nodes[b].is_up:
            self._linked.add(frozenset((a, b)))
            self.nodes[a].link_up(b)
            self.nodes[b].link_up(a)

    def cut(self, a: str, others: str = "") -> None:
        """Break the links of `a` to others, or to all; what is in flight is lost."""
        for b in others or self.names:
            if self.is_linked(a, b):
                self._linked.remove(frozenset((a, b)))
                self.links[a, b].clear()
                self.links[b, a].clear()
                self.nodes[a].link_lost(b)
                self.nodes[b].link_lost(a)

    def heal(self) -> None:
        for a in self.names:
            for b in self.names:
                self.link(a, b)

    def restart(self, name: str) -> Node:
        node = self.nodes[name]
        node.start()
        for other in self.names:
            self.link(name, other)
        return node

    def deliver(self, a: str, b: str, count: int | None = None) -> list[AnyMessage]:
        """Hand over the oldest `count` messages from a to b, or all that there are now."""
        link = self.links[a, b]
        delivered = []
        for _ in range(len(link) if count is None else min(count, len(link))):
            if not link:
                break
            message = decode_messages(link.popleft())[0]
            delivered.append(message)
            self.nodes[b].receive(a, message)
        return delivered

    def in_flight(self, a: str, b: str) -> list[AnyMessage]:
        return [decode_messages(data)[0] for data in self.links[a, b]]

    # Time.

    def settle(self) -> None:
        """Sync and deliver until nothing is on its way; no time passes."""
        for _ in range(1000):
            for node in self.nodes.values():
                node.sync()
            if not any(self.links.values()):
                return
            for a, b in self.links:
                self.deliver(a, b)
        raise AssertionError("the nodes never stop talking")

    def run(self, seconds: float) -> None:
        """Let time pass on a quick network: every node ticks, everything is synced and delivered."""
        for step in range(round(seconds / STEP_SECONDS)):
            for node in self.nodes.values():
                node.now += STEP_SECONDS
                if step % round(TICK_SECONDS / STEP_SECONDS) == 0:
                    node.tick()
            self.settle()

    def elect(self, name: str) -> Node:
        """Have the election timer of one node strike, on its own clock; it must win."""
        node = self.nodes[name]
        node.tick(self.timing.election_seconds_max)
        self.settle()
        assert node.is_leader, f"{name} was not elected"
        return node

    def elect_by(self, name: str, voters: str) -> Node:
        """As `elect`, while only these hear each other, and have not heard a leader for long."""
        for voter in voters:
            self.nodes[voter].now += self.timing.election_seconds_max
        node = self.nodes[name]
        node.tick(self.timing.election_seconds_max)
        for _ in range(10):
            if node.is_leader:
                return node
            node.sync()
            for voter in voters:
                self.exchange(name, voter)
        raise AssertionError(f"{name} was not elected")

    def exchange(self, a: str, b: str) -> None:
        """a syncs and speaks, b syncs and answers; nobody else hears or says anything."""
        self.nodes[a].sync()
        self.deliver(a, b)
        self.nodes[b].sync()
        self.deliver(b, a)

    @property
    def leader(self) -> Node | None:
        """The leader of the highest term."""
        leaders = [node for node in self.nodes.values() if node.is_leader]
        return max(leaders, key=lambda node: node.consensus.term, default=None)

    # What must hold.

    @property
    def newest_acknowledged(self) -> LogIndex:
        """What a read that arrives now must see: every write acknowledged, and all that was read before."""
        return max(self.newest_seen, max(self.acknowledged, default=LogIndex(0)))

    def served(self, attempt: ReadAttempt) -> None:
        assert attempt.seen >= attempt.must_see, f"a read saw {attempt.seen}, but {attempt.must_see} came before it"
        self.newest_seen = max(self.newest_seen, attempt.seen)

    def elected(self, name: str, term: Term) -> None:
        first = self._leaders.setdefault(term, name)
        assert first == name, f"{first} and {name} both lead term {term}"

    def configured(self, name: str, index: LogIndex, configuration: Configuration) -> None:
        first = self.configurations.setdefault(index, configuration)
        assert first == configuration, f"{name} has {configuration} at {index}, another has {first}"

    def applied(self, name: str, index: LogIndex, term: Term, payload: bytes) -> None:
        entry, first = self._canon.setdefault(index, ((term, payload), name))
        assert entry == (term, payload), f"entry {index} is {entry} on {first} and {(term, payload)} on {name}"

    def check_logs_match(self) -> None:
        """Where two logs have an entry of one term at one index, they are equal up to it (thesis, 3.5)."""
        nodes = [node for node in self.nodes.values() if node.is_up]
        for at, one in enumerate(nodes):
            for other in nodes[at + 1 :]:
                low = max(one.log.first_index, other.log.first_index) + 1
                high = min(one.log.last_index, other.log.last_index)
                pairs = [
                    (one.log.entry_at(LogIndex(index)), other.log.entry_at(LogIndex(index)))
                    for index in range(low, high + 1)
                ]
                meeting = max((place for place, (a, b) in enumerate(pairs) if a[0] == b[0]), default=-1)
                assert all(a == b for a, b in pairs[: meeting + 1]), f"the logs of {one.name} and {other.name} differ"

    def keep_checkpoint(self, state: State) -> int:
        transfer = len(self.checkpoints) + 1
        self.checkpoints[transfer] = dict(state)
        return transfer
