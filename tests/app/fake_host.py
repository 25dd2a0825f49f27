"""Hosts whose replicas are dicts, and the wire between their coordinators."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from app.coordinator import Coordinator
from raftgroups import (
    BehindError,
    CallMessage,
    Epoch,
    Freshness,
    HostOptions,
    Item,
    Level,
    Member,
    NotLeaderError,
    Once,
    PartitionId,
    Piece,
    Placement,
    Put,
    RaftGroupError,
    ReturnMessage,
    Span,
    Topology,
    Written,
    decode_command,
    encode_item,
)
from raftgroups.group import Admitted, Refused
from raftgroups.leaderships import Leadership
from raftgroups.schema import USER
from raftgroups.span import take_piece

ReadDone = Callable[[bytes | RaftGroupError | None], None]


@dataclass(eq=False)
class FakeGroup:
    """One replica. What all replicas of a partition hold is one dict.

    done     what was done under each token, on all replicas
    waiting  the ends of reads that a majority is still asked for, and of proposals, while `is_patient`
    """

    partition: PartitionId
    name: str
    items: dict[bytes, Item]
    leader: str | None
    is_voter: bool = True
    holds_lease: bool = False
    is_broken: bool = False
    failure: BaseException | None = None
    is_patient: bool = False
    waiting: list[Callable[[RaftGroupError | None], None]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    done: dict[bytes, Written] = field(default_factory=dict)

    applied_index: int = 19

    def __post_init__(self) -> None:
        self.machine = SimpleNamespace(applied_index=self.applied_index)
        self.consensus = SimpleNamespace(has_quorum_links=True, term=3, commit_index=20, applied_index=19)

    @property
    def is_leader(self) -> bool:
        return self.leader == self.name and self.failure is None

    def propose(self, command: bytes, deadline: float, done: Callable[[Written | RaftGroupError], None]) -> None:
        self.log.append("propose")
        if not self.is_leader:
            done(NotLeaderError(self.partition, self.leader))
            return

        def end(error: RaftGroupError | None) -> None:
            if error is not None:
                done(error)
                return
            decoded, revision = decode_command(command), len(self.items) + 1
            put = decoded.command if isinstance(decoded, Once) else decoded
            assert isinstance(put, Put)
            if isinstance(decoded, Once) and decoded.token in self.done:
                done(self.done[decoded.token])
                return
            self.items[put.key] = Item(revision, put.value, put.content_type)
            if isinstance(decoded, Once):
                self.done[decoded.token] = Written(revision)
            done(Written(revision))

        self._end(end)

    def admit(self, fresh: Freshness, now: float, deadline: float, serve: Admitted, refuse: Refused) -> None:
        if fresh.level is Level.STALE:
            self.log.append("stale")
            serve(Level.STALE, 7)
        elif fresh.level is Level.LEASE and self.holds_lease:
            self.log.append("lease")
            serve(Level.LEASE, 0)
        elif fresh.level is Level.SESSION and fresh.index > self.applied_index:
            self.log.append("behind")
            refuse(BehindError(self.partition))
        elif fresh.level is Level.SESSION:
            self.log.append("session")
            serve(Level.SESSION, 7)
        elif fresh.level is Level.BOUNDED and fresh.staleness_ms >= 7:
            self.log.append("bounded")
            serve(Level.BOUNDED, 7)
        elif self.leader is None:
            refuse(NotLeaderError(self.partition, None))
        else:
            self.log.append("read")
            self._end(lambda error: serve(Level.LINEARIZABLE, 0) if error is None else refuse(error))

    def time_ms(self) -> int:
        return 1_000

    def read_applied(self, key: bytes, done: ReadDone) -> None:
        done(self._find(key))

    def scan_applied(self, span: Span, done: Callable[[Piece | RaftGroupError], None]) -> None:
        self.log.append("scan")
        if self.is_broken:
            done(NotLeaderError(self.partition, None))
            return
        start, end = span.stored()
        stored = sorted((USER + key, encode_item(item)) for key, item in self.items.items())
        inside = [pair for pair in stored if start <= pair[0] < end]
        done(take_piece(iter(inside[::-1] if span.reverse else inside), span, 0))

    def read_many_applied(
        self, keys: Sequence[bytes], done: Callable[[list[bytes | None] | RaftGroupError], None]
    ) -> None:
        found = [self._find(key) for key in keys]
        errors = [item for item in found if isinstance(item, RaftGroupError)]
        done(errors[0] if errors else [item for item in found if not isinstance(item, RaftGroupError)])

    def end(self, error: RaftGroupError | None = None) -> None:
        """Let go of all that waits."""
        waiting, self.waiting = self.waiting, []
        for end in waiting:
            end(error)

    def _end(self, end: Callable[[RaftGroupError | None], None]) -> None:
        if self.is_patient:
            self.waiting.append(end)
        else:
            end(None)

    def _find(self, key: bytes) -> bytes | NotLeaderError | None:
        if self.is_broken:
            return NotLeaderError(self.partition, None)
        item = self.items.get(key)
        return None if item is None else encode_item(item)


class Wire:
    """Carries messages between the nodes that are up, when it is told to.

    sent   every message so far, with its sender and its receiver
    lost   which nodes were lost so far, in order
    """

    def __init__(self, names: Sequence[str], *, partitions: int = 4) -> None:
        members = tuple(Member(name, f"127.0.0.1:900{name[1:]}") for name in names)
        self.topology = Topology("c", Epoch(1), partitions, 3, members)
        self.items: dict[PartitionId, dict[bytes, Item]] = {PartitionId(p): {} for p in range(partitions)}
        self.done: dict[PartitionId, dict[bytes, Written]] = {PartitionId(p): {} for p in range(partitions)}
        self.down: set[str] = set()
        self.lost: list[str] = []
        self.sent: list[tuple[str, str, CallMessage | ReturnMessage]] = []
        self._queue: deque[tuple[str, str, CallMessage | ReturnMessage]] = deque()
        self.hosts = {name: FakeHost(name, self) for name in names}
        self.coordinators = {name: Coordinator(host) for name, host in self.hosts.items()}  # type: ignore[arg-type]  # has what is used

    def put(self, name: str, peer: str, message: CallMessage | ReturnMessage) -> None:
        self.sent.append((name, peer, message))
        self._queue.append((name, peer, message))

    def deliver(self) -> None:
        """Everything that is on its way, and what comes of it."""
        while self._queue:
            name, peer, message = self._queue.popleft()
            if name in self.down or peer in self.down:
                continue
            coordinator = self.coordinators[peer]
            if isinstance(message, ReturnMessage):
                coordinator.returned(name, message)
            else:
                coordinator.called(name, message)

    def swallow(self) -> None:
        """Everything that is on its way gets lost, and nobody notices."""
        self._queue.clear()

    def lose(self, name: str) -> None:
        """A node is gone, and everybody notices."""
        self.down.add(name)
        self.lost.append(name)
        for peer, coordinator in self.coordinators.items():
            if peer not in self.down:
                coordinator.peer_lost(name)

    def restart(self, name: str) -> None:
        """A lost node is back, and remembers nothing of what it had asked."""
        self.down.discard(name)
        self.coordinators[name] = Coordinator(self.hosts[name])  # type: ignore[arg-type]  # has what is used

    def hold(self, partition: int, leader: str | None, *names: str) -> None:
        """Who holds a partition from now on; the others do no longer."""
        number = PartitionId(partition)
        for name, host in self.hosts.items():
            if name not in names:
                host.groups.pop(number, None)
            elif number in host.groups:
                host.groups[number].leader = leader
            else:
                host.groups[number] = FakeGroup(number, name, self.items[number], leader, done=self.done[number])

    def place(self, placement: Placement, *names: str) -> None:
        """What these nodes, or all, have heard."""
        for name in names or self.hosts:
            self.hosts[name].placements[PartitionId(placement.group)] = placement

    def asked(self, name: str) -> list[str]:
        """Whom the gateway of a node called, in order."""
        return [peer for sender, peer, message in self.sent if sender == name and isinstance(message, CallMessage)]


class FakeTransport:
    """Every link of one node."""

    def __init__(self, name: str, wire: Wire) -> None:
        self._name = name
        self._wire = wire
        self.refusals: dict[str, str] = {}
        self.peers = {
            member.name: SimpleNamespace(link=object(), info=None, address=member.peer)
            for member in wire.topology.members
            if member.name != name
        }

    def complaints(self) -> list[str]:
        return []

    def is_up(self, name: str) -> bool:
        return name in self.peers and name not in self._wire.down

    def send(self, name: str, message: CallMessage | ReturnMessage) -> None:
        self._wire.put(self._name, name, message)

    def reply_to(self, name: str) -> Callable[[ReturnMessage], None]:
        lost = self._wire.lost.copy()

        def send(message: ReturnMessage) -> None:
            if self._wire.lost == lost:
                self.send(name, message)

        return send


class FakeHost:
    """One node.

    done     what was asked of it as a leader
    refusal  what it answers instead
    """

    def __init__(self, name: str, wire: Wire) -> None:
        self.name = name
        self.topology = wire.topology
        self.groups: dict[PartitionId, FakeGroup] = {}
        self.placements: dict[PartitionId, Placement] = {}
        self.transport = FakeTransport(name, wire)
        self.options = HostOptions(name, "unused", "127.0.0.1:1", f"127.0.0.1:800{name[1:]}", pid=4711)
        self.gateway: Coordinator | None = None
        self.is_draining = False
        self.done: list[object] = []
        self.refusal: Exception | None = None
        self.told: dict[PartitionId, Leadership] = {}

    def now(self) -> float:
        return 100.0

    def leadership_of(self, partition: PartitionId) -> Leadership | None:
        group = self.groups.get(partition)
        if group is None:
            return self.told.get(partition)
        consensus = group.consensus
        return Leadership(group.leader, consensus.term, consensus.commit_index, consensus.applied_index, 100.0)

    def placement_of(self, partition: PartitionId) -> Placement:
        return self.placements.get(partition, Placement(partition, 0, self.topology.replicas_of(partition)))

    async def transfer(self, partition: PartitionId, node: str) -> None:
        await self._lead(partition, node)

    async def set_target(self, partition: PartitionId, nodes: Sequence[str]) -> None:
        await self._lead(partition, tuple(nodes))

    async def _lead(self, partition: PartitionId, what: object) -> None:
        group = self.groups.get(partition)
        if group is None or not group.is_leader:
            raise NotLeaderError(partition, group.leader if group is not None else None)
        if self.refusal is not None:
            raise self.refusal
        self.done.append(what)

    def statistics(self) -> dict[str, float]:
        return {"partitions_held": len(self.groups)}
