"""Coordinator: takes any key on any node to the replica that can answer, within a deadline.

    write   the partition's leader: here, or over the link to it
    read    linearizable: a replica here, which asks its leader; else the leader over its link
            stale: the replica here, else any that can be reached

A request that certainly had no effect is tried again, at once when another leader is known and
else when one appears; one that may have had an effect never is. Callbacks, not futures: this is
the path of every request.
"""

import asyncio
from collections.abc import Callable, Mapping

import raftgroups
from app.requests import Read, ReadDone, Request, Write, WriteDone
from app.views import ClusterView, Location, NodeView, PartitionView
from raftgroups import (
    CallMessage,
    Delete,
    FailureReturn,
    Host,
    Level,
    NoQuorumError,
    NoReplicaError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    PartitionId,
    Put,
    RaftGroup,
    RaftGroupError,
    ReadCall,
    Reading,
    ReadReturn,
    ReturnMessage,
    StaleEpochError,
    TransferCall,
    WriteCall,
    WriteReturn,
    Written,
    decode_item,
    encode_command,
)

LEADER_PATIENCE_SECONDS = 2.0
MINORITY_PATIENCE_SECONDS = 0.5
REQUESTS_OPEN_MAX = 20_000
_RETRIABLE = (NotLeaderError, StaleEpochError)


class Coordinator:
    """The requests that are open on this node, and where each is."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._name = host.name
        self._topology = host.topology
        self._groups = host.groups
        self._transport = host.transport
        self._loop = asyncio.get_running_loop()
        # In their order, for a set of them would have another one in each run.
        self._open: dict[Request, None] = {}
        self._parked: dict[PartitionId, list[Request]] = {}
        self._calls: dict[int, Request] = {}
        self._call_count = 0
        self._hints: dict[PartitionId, str] = {}
        self._transfers: set[asyncio.Task[None]] = set()
        self._forwarded = 0
        self._retried = 0
        self.partition_of = self._topology.ring.partition_of
        host.gateway = self

    # What the doors ask for.

    def write(self, command: Put | Delete, deadline: float, done: WriteDone) -> None:
        """Have `command` applied; `done` is told once. `deadline` is in loop time."""
        request = Write(self.partition_of(command.key), deadline, encode_command(command), done)
        if self._admit(request):
            self._route(request)

    def read(self, key: bytes, level: Level, deadline: float, done: ReadDone) -> None:
        """Read `key` at `level`; `done` is told once. `deadline` is in loop time."""
        request = Read(self.partition_of(key), deadline, key, level, done)
        if self._admit(request):
            self._route(request)

    def locate(self, key: bytes) -> Location:
        partition = self.partition_of(key)
        return Location(partition, self._topology.replicas_of(partition), self._leader_of(partition))

    def unready(self) -> list[str]:
        """Why this node should get no traffic; empty when it should."""
        reasons = ["this node is draining"] if self._host.is_draining else []
        for partition, group in self._groups.items():
            if group.failure is not None:
                reasons.append(f"the replica of partition {partition} stopped: {group.failure}")
            elif group.leader is None:
                reasons.append(f"partition {partition} has no known leader")
        return reasons

    def cluster(self) -> ClusterView:
        topology = self._topology
        return ClusterView(
            topology.cluster_id,
            topology.epoch,
            tuple(self._view_node(member.name, member.peer, member.zone) for member in topology.members),
            tuple(self._view_partition(PartitionId(number)) for number in range(topology.partitions)),
        )

    async def transfer(self, partition: int, node: str) -> None:
        """Have `node` lead `partition`. Raises: RaftGroupError; ValueError, if the node holds no replica of it."""
        partition = PartitionId(partition)
        if node not in self._topology.replicas_of(partition):
            raise ValueError(f"node {node!r} holds no replica of partition {partition}")
        leader = self._leader_of(partition)
        if leader == node:
            return
        if leader == self._name:
            await self._host.transfer(partition, node)
        elif leader is None or not self._transport.is_up(leader):
            raise NoQuorumError(partition)
        else:
            moved: asyncio.Future[None] = self._loop.create_future()

            def done(result: Written | RaftGroupError) -> None:
                if isinstance(result, RaftGroupError):
                    moved.set_exception(result)
                else:
                    moved.set_result(None)

            request = Write(partition, self._loop.time() + LEADER_PATIENCE_SECONDS * 2, b"", done)
            self._open[request] = None
            self._call(request, leader, lambda call: TransferCall(call, partition, node))
            await moved

    def statistics(self) -> Mapping[str, float]:
        """Counters and gauges by name, for /metrics."""
        return {
            "requests_open": len(self._open),
            "requests_parked": sum(map(len, self._parked.values())),
            "requests_forwarded_total": self._forwarded,
            "requests_retried_total": self._retried,
            **self._host.statistics(),
        }

    # The way of a request.

    def _admit(self, request: Request) -> bool:
        if len(self._open) >= REQUESTS_OPEN_MAX:
            request.finish(OverloadedError("this node has more requests open than it can take"))
            return False
        self._open[request] = None
        return True

    def _route(self, request: Request) -> None:
        """Hand the request to whoever can answer it, or park it until somebody can."""
        if isinstance(request, Write):
            self._route_write(request)
        elif isinstance(request, Read):
            self._route_read(request)

    def _route_write(self, request: Write) -> None:
        group = self._groups.get(request.partition)
        if group is None or not group.is_leader:
            self._forward(request, group)
        elif not group.consensus.has_quorum_links:
            self._park(request)
        else:
            request.sent_to = self._name

            def done(result: Written | RaftGroupError) -> None:
                self._settle(request, result)

            group.propose(request.command, request.deadline, done)

    def _route_read(self, request: Read) -> None:
        group = self._groups.get(request.partition)
        if group is None or group.failure is not None:
            self._forward(request, group)
            return
        if group.leader is None and request.level is Level.LINEARIZABLE:
            self._park(request)
            return
        request.sent_to = self._name

        def done(item: bytes | RaftGroupError | None) -> None:
            if isinstance(item, RaftGroupError):
                self._settle(request, item)
            else:
                self._settle(request, self._reading(group, request.level, item))

        if request.level is Level.STALE:
            group.read_applied(request.key, done)
        else:
            group.read(request.key, done)

    def _forward(self, request: Read | Write, group: RaftGroup | None) -> None:
        target = self._target(request, group)
        if target is None:
            self._park(request)
            return
        timeout_ms = max(1, int((request.deadline - self._loop.time()) * 1000))
        epoch = self._topology.epoch
        if isinstance(request, Write):
            command = request.command
            self._call(request, target, lambda call: WriteCall(call, request.partition, epoch, timeout_ms, command))
        else:
            key, level = request.key, request.level
            self._call(request, target, lambda call: ReadCall(call, request.partition, epoch, timeout_ms, level, key))

    def _target(self, request: Read | Write, group: RaftGroup | None) -> str | None:
        """The peer to ask: the leader as far as known; without a replica here, any that may know or answer."""
        is_up = self._transport.is_up
        if group is not None and group.failure is None:
            leader = group.leader
            return leader if leader is not None and is_up(leader) and leader != request.refused_by else None
        hint = self._hints.get(request.partition)
        replicas = self._topology.replicas_of(request.partition)
        for name in (hint, *replicas) if hint is not None else replicas:
            if name != self._name and name != request.refused_by and is_up(name):
                return name
        return None

    def _call(self, request: Request, peer: str, message: Callable[[int], CallMessage]) -> None:
        self._call_count += 1
        self._forwarded += 1
        request.sent_to, request.call = peer, self._call_count
        self._calls[self._call_count] = request
        self._transport.send(peer, message(self._call_count))

    def _park(self, request: Request) -> None:
        """Wait for a leader. What was refused may be asked again when that changes."""
        request.sent_to = request.refused_by = ""
        if request.parked_at is None:
            request.parked_at = self._loop.time()
        self._parked.setdefault(request.partition, []).append(request)

    def _unpark(self, partition: PartitionId) -> None:
        for request in self._parked.pop(partition, ()):
            if request.is_open:
                self._retried += 1
                self._route(request)

    def _settle(self, request: Request, result: Written | Reading | RaftGroupError) -> None:
        """An answer came from where the request was sent: give it to the client, or try elsewhere."""
        if not request.is_open:
            return
        if isinstance(result, _RETRIABLE):
            request.refused_by = request.sent_to
            self._retried += 1
            self._route(request)
        else:
            self._finish(request, result)

    def _finish(self, request: Request, result: Written | Reading | RaftGroupError) -> None:
        request.is_open = False
        self._open.pop(request, None)
        self._calls.pop(request.call, None)
        request.finish(result)

    # What the host reports.

    def tick(self, now: float) -> None:
        for request in [request for request in self._open if request.deadline <= now]:
            self._finish(request, self._expired(request))
        for partition, parked in list(self._parked.items()):
            group = self._groups.get(partition)
            is_cut_off = group is not None and not group.consensus.has_quorum_links
            patience = MINORITY_PATIENCE_SECONDS if is_cut_off else LEADER_PATIENCE_SECONDS
            for request in parked:
                if request.is_open and request.parked_at is not None and now - request.parked_at > patience:
                    self._finish(request, self._unreachable(request))
            self._unpark(partition)

    def leader_changed(self, partition: PartitionId) -> None:
        self._unpark(partition)

    def peer_lost(self, peer: str) -> None:
        """What the peer had been asked is lost: reads go elsewhere, writes may or may not apply."""
        for request in [request for request in self._open if request.sent_to == peer]:
            self._calls.pop(request.call, None)
            if request.may_apply:
                lost = f"the link to {peer}, which leads partition {request.partition}, was lost"
                self._finish(request, OutcomeUnknownError(lost))
            else:
                self._park(request)

    def returned(self, peer: str, message: ReturnMessage) -> None:
        request = self._calls.pop(message.call, None)
        if request is None or request.sent_to != peer:
            return
        if isinstance(message, WriteReturn):
            self._settle(request, Written(message.revision))
        elif isinstance(message, ReadReturn):
            level = request.level if isinstance(request, Read) else Level.LINEARIZABLE
            item = decode_item(message.item) if message.item else None
            role = "leader" if message.leads else "follower"
            self._settle(request, Reading(item, level, message.staleness_ms, peer, role))
        else:
            if message.leader:
                self._hints[request.partition] = message.leader
            self._settle(request, _decode_failure(request.partition, message))

    def called(self, peer: str, message: CallMessage) -> None:
        """A peer's gateway asks the replica here."""
        partition = PartitionId(message.partition)
        group = self._groups.get(partition)
        send, call = self._transport.send, message.call
        if group is None or group.failure is not None:
            send(peer, _encode_failure(call, NotLeaderError(partition, None)))
        elif isinstance(message, TransferCall):
            self._transfer_for(peer, message)
        elif message.epoch != self._topology.epoch:
            send(peer, _encode_failure(call, StaleEpochError(f"the epoch here is {self._topology.epoch}")))
        elif isinstance(message, WriteCall):

            def wrote(result: Written | RaftGroupError) -> None:
                if isinstance(result, RaftGroupError):
                    send(peer, _encode_failure(call, result))
                else:
                    send(peer, WriteReturn(call, result.revision))

            group.propose(message.command, self._loop.time() + message.timeout_ms / 1000, wrote)
        else:

            def read(item: bytes | RaftGroupError | None) -> None:
                if isinstance(item, RaftGroupError):
                    send(peer, _encode_failure(call, item))
                else:
                    send(peer, ReadReturn(call, item or b"", self._staleness_ms(group, level), group.is_leader))

            level = Level(message.level)
            if level is Level.STALE:
                group.read_applied(message.key, read)
            else:
                group.read(message.key, read)

    def _transfer_for(self, peer: str, message: TransferCall) -> None:
        async def move() -> None:
            answer: ReturnMessage
            try:
                await self._host.transfer(PartitionId(message.partition), message.node)
                answer = WriteReturn(message.call, 0)
            except RaftGroupError as error:
                answer = _encode_failure(message.call, error)
            except TimeoutError:
                answer = _encode_failure(message.call, OutcomeUnknownError(f"{message.node} does not lead yet"))
            self._transport.send(peer, answer)

        task = asyncio.create_task(move())
        self._transfers.add(task)
        task.add_done_callback(self._transfers.discard)

    # Answers.

    def _reading(self, group: RaftGroup, level: Level, item: bytes | None) -> Reading:
        role = "leader" if group.is_leader else "follower"
        found = decode_item(item) if item is not None else None
        return Reading(found, level, self._staleness_ms(group, level), self._name, role)

    def _staleness_ms(self, group: RaftGroup, level: Level) -> int:
        return 0 if level is Level.LINEARIZABLE else group.staleness_ms(self._loop.time())

    def _expired(self, request: Request) -> RaftGroupError:
        if request.may_apply and request.sent_to:
            return OutcomeUnknownError(f"the deadline passed before partition {request.partition} confirmed the write")
        return self._unreachable(request)

    def _unreachable(self, request: Request) -> RaftGroupError:
        if isinstance(request, Read) and request.level is Level.STALE:
            return NoReplicaError(request.partition)
        return NoQuorumError(request.partition)

    def _leader_of(self, partition: PartitionId) -> str | None:
        group = self._groups.get(partition)
        return group.leader if group is not None else self._hints.get(partition)

    def _view_node(self, name: str, peer: str, zone: str) -> NodeView:
        if name == self._name:
            options = self._host.options
            return NodeView(name, options.http, peer, options.zone or zone, "up", options.pid)
        link = self._transport.peers[name]
        status = "up" if link.link is not None else "down"
        if link.info is None:
            return NodeView(name, "", peer, zone, status, None)
        return NodeView(name, link.info.http, peer, link.info.zone or zone, status, link.info.pid)

    def _view_partition(self, partition: PartitionId) -> PartitionView:
        group = self._groups.get(partition)
        replicas = self._topology.replicas_of(partition)
        if group is None:
            return PartitionView(partition, self._hints.get(partition), replicas, 0, 0, 0)
        consensus = group.consensus
        return PartitionView(
            partition, group.leader, replicas, consensus.term, consensus.commit_index, consensus.applied_index
        )


def _encode_failure(call: int, error: RaftGroupError) -> FailureReturn:
    leader = error.leader if isinstance(error, NotLeaderError) else None
    return FailureReturn(call, type(error).__name__, str(error), leader or "")


def _decode_failure(partition: PartitionId, message: FailureReturn) -> RaftGroupError:
    """The error that a peer named. What this version does not know may have had any outcome."""
    if message.error == NotLeaderError.__name__:
        return NotLeaderError(partition, message.leader or None)
    if message.error == NoQuorumError.__name__:
        return NoQuorumError(partition)
    kind = getattr(raftgroups, message.error, None)
    if isinstance(kind, type) and issubclass(kind, RaftGroupError):
        return kind(message.text)
    return OutcomeUnknownError(message.text)
