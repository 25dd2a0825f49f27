"""Coordinator: takes any key on any node to the replica that can answer, within a deadline.

    write   the partition's leader: here, or over the link to it
    read    linearizable: a replica here, which asks its leader; else the leader over its link
            lease: the leader, which answers by itself while it holds the lease
            session, bounded: the replica here, once it is as fresh as asked; else as linearizable
            stale: the replica here, else any that can be reached
    bulk    many writes, or many reads, of one partition, as one request (bulk.py)
    watch   see feeds.py
    errand  the leader: it hands its leadership over, or changes who holds replicas

A request that certainly had no effect is tried again, at once when another leader is known and
else when one appears. One that may have had an effect is tried again only where that is harmless,
because it reads or has a token: elsewhere, when its peer is lost, silent for long, or leads no more.
Being refused then settles nothing: its outcome stays unknown. Callbacks, not futures: this is the
path of every request.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from app.bulk import RETRIABLE, Bulk, BulkRead, BulkWrite, OutcomesDone, ReadingsDone
from app.failures import decode_failure, encode_failure
from app.feeds import Feeds
from app.requests import Errand, Outcome, Query, Read, ReadDone, Request, Write, WriteDone
from app.scan import Scan, ScanDone
from app.views import ClusterView, Location, Replicas
from app.watchledger import Ledger
from app.whereabouts import Whereabouts
from raftgroups import (
    BOUNDED,
    LEASE,
    LINEARIZABLE,
    NEWEST,
    SESSION,
    STALE,
    BehindError,
    BulkReadCall,
    BulkReadReturn,
    BulkWriteCall,
    BulkWriteReturn,
    CallMessage,
    Command,
    Freshness,
    Host,
    Level,
    NoQuorumError,
    NoReplicaError,
    NotLeaderError,
    Once,
    OutcomeUnknownError,
    OverloadedError,
    PartitionId,
    Piece,
    RaftGroup,
    RaftGroupError,
    ReadCall,
    Reading,
    ReadReturn,
    Receipt,
    Result,
    ReturnMessage,
    ScanCall,
    Scanned,
    ScanReturn,
    Span,
    StaleEpochError,
    TargetCall,
    TooStaleError,
    TransferCall,
    WatchCall,
    WatchNote,
    WatchReturn,
    WriteCall,
    WriteReturn,
    Written,
    decode_item,
    decode_result,
    encode_command,
    encode_result,
    hash_tag,
    may_expire,
)

LEADER_PATIENCE_SECONDS = 2.0
MINORITY_PATIENCE_SECONDS = 0.5
ERRAND_SECONDS = 5.0
REQUESTS_OPEN_MAX = 20_000
# How long a replica that follows may take to apply what a reader must see before another is asked.
REPLICA_PATIENCE_SECONDS = 0.25
# How long a peer may take to answer before another is asked, where nothing here says who leads.
PEER_PATIENCE_SECONDS = 1.0

# Levels at which a replica may answer that knows no leader.
_LEADERLESS = frozenset((STALE, SESSION, BOUNDED))
_UNREACHABLE: Mapping[Level, type[NoReplicaError | BehindError | TooStaleError]] = {
    STALE: NoReplicaError,
    SESSION: BehindError,
    BOUNDED: TooStaleError,
}


Refused = Callable[[RaftGroupError], None]


class Coordinator:
    """The requests that are open on this node, and where each is.

    feeds   what those who watch are told
    ledger  what the short ids of watches stand for
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._name = host.name
        self._where = Whereabouts(host)
        self.feeds = Feeds(host, self._where)
        self.ledger = Ledger(self._peers_up, host.transport.send)
        self._groups = host.groups
        self._transport = host.transport
        self._loop = asyncio.get_running_loop()
        # In their order, for a set of them would have another one in each run.
        self._open: dict[Request, None] = {}
        self._parked: dict[PartitionId, list[Request]] = {}
        self._calls: dict[int, Request] = {}
        self._call_count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._bulk = Bulk(self)
        self._forwarded = 0
        self._retried = 0
        self._epoch = host.topology.epoch
        self.partition_of = host.topology.ring.partition_of
        host.gateway = self

    # What the doors ask for.

    def write(self, key: bytes, command: Command, deadline: float, done: WriteDone) -> None:
        """Have a command applied in the partition of `key`; `done` is told once. `deadline` is in loop time."""
        is_repeatable = isinstance(command, Once)
        encoded = encode_command(command)
        request = Write(self.partition_of(key), deadline, encoded, done, is_repeatable=is_repeatable)
        if self._admit(request):
            self._route_write(request)

    def read(self, key: bytes, fresh: Freshness, deadline: float, done: ReadDone) -> None:
        """Read `key`, as fresh as asked; `done` is told once. `deadline` is in loop time."""
        request = Read(self.partition_of(key), deadline, key, fresh, done)
        if self._admit(request):
            self._route_read(request)

    def scan(self, partition: PartitionId, span: Span, fresh: Freshness, deadline: float, done: ScanDone) -> None:
        """Read the beginning of `span` in one partition; `done` is told once. `deadline` is in loop time."""
        request = Scan(partition, deadline, span, fresh, done)
        if self._admit(request):
            self._route(request)

    def partitions_of(self, prefix: bytes) -> Sequence[PartitionId]:
        """The partitions that may have keys which begin with `prefix`: one, if it has a whole {tag}."""
        if hash_tag(prefix) != prefix:
            return (self.partition_of(prefix),)
        return [PartitionId(number) for number in range(self._host.topology.partitions)]

    def write_many(self, partition: int, commands: Sequence[Command], deadline: float, done: OutcomesDone) -> None:
        """Have commands for keys of one partition applied, in their order; each has its own outcome."""
        is_repeatable = all(isinstance(command, Once) for command in commands)
        encoded = [encode_command(command) for command in commands]
        request = BulkWrite(PartitionId(partition), deadline, encoded, done, is_repeatable=is_repeatable)
        if self._admit(request):
            self._route(request)

    def read_many(
        self, partition: int, keys: Sequence[bytes], fresh: Freshness, deadline: float, done: ReadingsDone
    ) -> None:
        """Read keys of one partition, as fresh as asked."""
        request = BulkRead(PartitionId(partition), deadline, keys, fresh, done)
        if self._admit(request):
            self._route(request)

    def newest(self, partition: int, deadline: float, done: ReadDone) -> None:
        """Learn from a reading of nothing up to where its receipt says what had been acknowledged before."""
        request = Read(PartitionId(partition), deadline, b"", NEWEST, done)
        if self._admit(request):
            self._route(request)

    async def transfer(self, partition: int, node: str) -> None:
        """Have `node` lead `partition`. Raises: RaftGroupError; ValueError, if the node does not vote there."""
        if node not in self.replicas(partition).voters:
            raise ValueError(f"node {node!r} holds no replica of partition {partition}")
        await self._run(TransferCall(0, partition, node))

    async def set_target(self, partition: int, nodes: Sequence[str]) -> None:
        """Have `nodes` hold `partition`; returns once that is decided, and they move later. Raises: RaftGroupError."""
        await self._run(TargetCall(0, partition, list(nodes)))

    def locate(self, key: bytes) -> Location:
        return self._where.locate(key)

    def replicas(self, partition: int) -> Replicas:
        return self._where.replicas(PartitionId(partition))

    def cluster(self) -> ClusterView:
        return self._where.cluster()

    def unready(self) -> list[str]:
        """Why this node should get no traffic; empty when it should."""
        return self._where.unready()

    def warnings(self) -> list[str]:
        """What is not as it should be, though this node serves; a sentence each."""
        return self._host.warnings() + self._where.warnings()

    def clock_offsets(self) -> Mapping[str, float]:
        """By how many seconds each peer's clock is ahead of this node's, for /metrics."""
        return self._host.clocks.offsets()

    def statistics(self) -> Mapping[str, float]:
        """Counters and gauges by name, for /metrics."""
        return {
            "partitions_leaderless": self._where.leaderless(),
            "requests_open": len(self._open),
            "requests_parked": sum(map(len, self._parked.values())),
            "requests_forwarded_total": self._forwarded,
            "requests_retried_total": self._retried,
            **self.feeds.statistics(),
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
        elif isinstance(request, Scan):
            self._route_scan(request)
        elif isinstance(request, BulkWrite | BulkRead):
            self._bulk.route(request)
        elif isinstance(request, Errand):
            self._route_errand(request)

    def proposer(self, request: Request) -> RaftGroup | None:
        """The replica here, if it leads; else the request has been sent or parked."""
        group = self._groups.get(request.partition)
        if group is None or not group.is_leader:
            self._forward(request)
        elif not group.consensus.has_quorum_links:
            self._park(request)
        else:
            request.sent_to = self._name
            return group
        return None

    def _route_write(self, request: Write) -> None:
        group = self.proposer(request)
        if group is not None:
            group.propose(request.command, request.deadline, partial(self.settle, request))

    def reader(self, request: Query) -> RaftGroup | None:
        """The replica here, if it may answer; else the request has been sent or parked."""
        group = self._where.replica(request.partition)
        level = request.fresh.level
        if group is None or (level is LEASE and not group.is_leader):
            self._forward(request)
        elif group.leader is None and level not in _LEADERLESS:
            self._park(request)
        elif self._name in request.refused_by:
            # It cannot read its disk, or is not fresh enough. Another can, but no other has the lease.
            request.fresh = NEWEST if level is LEASE else request.fresh
            self._forward(request)
        else:
            request.sent_to = self._name
            return group
        return None

    def _route_read(self, request: Read) -> None:
        group = self.reader(request)
        if group is None:
            return

        def serve(level: Level, staleness_ms: int) -> None:
            def found(item: bytes | RaftGroupError | None) -> None:
                if isinstance(item, RaftGroupError):
                    self.settle(request, item)
                elif request.is_open:
                    receipt = self._receipt(group, level, staleness_ms, expires=item is not None and may_expire(item))
                    self._finish(request, Reading(decode_item(item) if item is not None else None, receipt))

            group.read_applied(request.key, found)

        self._let_in(group, request.fresh, request.deadline, serve, partial(self.settle, request))

    def _route_scan(self, request: Scan) -> None:
        group = self.reader(request)
        if group is not None:
            self._scan(group, request.span, request.fresh, request.deadline, partial(self.settle, request))

    def _scan(self, group: RaftGroup, span: Span, fresh: Freshness, deadline: float, done: ScanDone) -> None:
        """Have the replica here read a piece."""

        def serve(level: Level, staleness_ms: int) -> None:
            receipt = self._receipt(group, level, staleness_ms, expires=True)

            def found(piece: Piece | RaftGroupError) -> None:
                done(piece if isinstance(piece, RaftGroupError) else Scanned(piece, receipt))

            group.scan_applied(span, found)

        self._let_in(group, fresh, deadline, serve, done)

    def admit(
        self,
        group: RaftGroup,
        fresh: Freshness,
        deadline: float,
        serve: Callable[[Callable[[], Receipt]], None],
        refuse: Refused,
    ) -> None:
        """Call `serve` when the replica here is fresh enough, with what makes the receipt once all is read."""

        def admitted(level: Level, staleness_ms: int) -> None:
            serve(lambda: self._receipt(group, level, staleness_ms, expires=True))

        self._let_in(group, fresh, deadline, admitted, refuse)

    def _let_in(
        self, group: RaftGroup, fresh: Freshness, deadline: float, serve: Callable[[Level, int], None], refuse: Refused
    ) -> None:
        """Let a read in at the replica here; another may have more patience with a session."""
        now = self._loop.time()
        group.admit(fresh, now, min(deadline, now + REPLICA_PATIENCE_SECONDS), serve, refuse)

    def may_serve(self, group: RaftGroup, fresh: Freshness) -> bool:
        """Whether the replica here may answer a peer."""
        may_answer = self._where.replica(group.partition) is not None
        return may_answer and (fresh.level is not LEASE or group.is_leader)

    def _route_errand(self, request: Errand) -> None:
        group = self._groups.get(request.partition)
        if group is None or not group.is_leader:
            self._forward(request)
            return
        request.sent_to = self._name

        def done(result: Result | RaftGroupError) -> None:
            self.settle(request, result)

        self._carry_out(group, request.message, done)

    def _forward(self, request: Request) -> None:
        target = self._where.target(request)
        if target is None:
            self._park(request)
            return
        self._call_count += 1
        self._forwarded += 1
        call = self._call_count
        request.sent_to, request.call, request.sent_at = target, call, self._loop.time()
        self._calls[call] = request
        self._transport.send(target, self._call_message(request, call))

    def _call_message(self, request: Request, call: int) -> CallMessage:
        timeout_ms = max(1, int((request.deadline - request.sent_at) * 1000))
        if isinstance(request, Write):
            return WriteCall(call, request.partition, self._epoch, timeout_ms, request.command)
        if isinstance(request, Read):
            return ReadCall(call, request.partition, self._epoch, timeout_ms, request.fresh, request.key)
        if isinstance(request, Scan):
            return ScanCall(call, request.partition, self._epoch, timeout_ms, request.fresh, request.span)
        if isinstance(request, BulkWrite | BulkRead):
            return request.message(call, self._epoch, timeout_ms)
        assert isinstance(request, Errand), "there is no other kind"
        return msgspec.structs.replace(request.message, call=call)

    def _park(self, request: Request) -> None:
        """Wait for a leader. What was refused may be asked again when that changes."""
        request.sent_to, request.refused_by = "", ()
        if request.parked_at is None:
            request.parked_at = self._loop.time()
        self._parked.setdefault(request.partition, []).append(request)

    def _unpark(self, partition: PartitionId) -> None:
        for request in self._parked.pop(partition, ()):
            if request.is_open:
                self._retried += 1
                self._route(request)

    def settle(self, request: Request, result: Outcome) -> None:
        """An answer came from where the request was sent: give it to the client, or try elsewhere."""
        if not request.is_open:
            return
        if isinstance(result, RETRIABLE):
            request.refused_by += (request.sent_to,)
            self._retried += 1
            self._route(request)
        elif isinstance(result, OutcomeUnknownError) and self._may_repeat(request):
            self._doubt(request)
            self._park(request)
        else:
            self._finish(request, result)

    def _may_repeat(self, request: Request) -> bool:
        return request.may_apply and request.is_repeatable and request.deadline > self._loop.time()

    def _doubt(self, request: Request) -> None:
        """It is to be sent again; where it was sent it may still have its effect."""
        self._calls.pop(request.call, None)
        request.in_doubt = request.in_doubt or request.may_apply
        request.refused_by = ()
        self._retried += 1

    def _ask_elsewhere(self, now: float) -> None:
        """Ask others what a peer was asked in vain, if it can be repeated: it leads no more, or is silent for long."""
        for request in [request for request in self._calls.values() if request.is_repeatable]:
            group = self._where.replica(request.partition)
            if group is not None:
                may_follow = isinstance(request, Query) and request.fresh.level in _LEADERLESS
                if group.leader in {None, request.sent_to} or may_follow or self._name in request.refused_by:
                    continue
            elif now - request.sent_at <= PEER_PATIENCE_SECONDS:
                continue
            else:
                self._where.doubt(request.sent_to)
            self._doubt(request)
            self._route(request)

    def _finish(self, request: Request, result: Outcome) -> None:
        request.is_open = False
        self._open.pop(request, None)
        if request.call:
            self._calls.pop(request.call, None)
        request.finish(result)

    def _peers_up(self) -> list[str]:
        members = self._host.topology.members
        return [member.name for member in members if member.name != self._name and self._transport.is_up(member.name)]

    # What the host reports.

    def tick(self, now: float) -> None:
        self.feeds.tick(now)
        self.ledger.tick()
        for request in [request for request in self._open if request.deadline <= now]:
            if request.call in self._calls:
                self._where.doubt(request.sent_to)
            self._finish(request, self._expired(request))
        self._ask_elsewhere(now)
        for partition, parked in list(self._parked.items()):
            group = self._where.replica(partition)
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
        self._where.trust(peer)
        self.feeds.peer_lost(peer)
        self.ledger.peer_lost(peer)
        for request in [request for request in self._open if request.sent_to == peer]:
            if request.is_repeatable:
                self._doubt(request)
                self._park(request)
            else:
                lost = f"the link to {peer}, which leads partition {request.partition}, was lost"
                self._finish(request, OutcomeUnknownError(lost))

    def returned(self, peer: str, message: ReturnMessage) -> None:
        self._where.trust(peer)
        if isinstance(message, WatchReturn):
            self.feeds.returned(peer, message)
            return
        request = self._calls.get(message.call)
        if request is None or request.sent_to != peer:
            return
        del self._calls[message.call]
        if isinstance(message, WriteReturn):
            if request.partition not in self._groups:
                self._where.learn(request.partition, peer)
            self.settle(request, decode_result(message.result) if message.result else Written(message.revision))
        elif isinstance(message, ReadReturn):
            self.settle(request, _decode_reading(message))
        elif isinstance(message, ScanReturn):
            self.settle(request, Scanned(message.piece, message.receipt))
        elif isinstance(message, BulkWriteReturn | BulkReadReturn):
            if isinstance(message, BulkWriteReturn) and request.partition not in self._groups:
                self._where.learn(request.partition, peer)
            self._bulk.returned(request, message)
        else:
            if message.leader:
                self._where.learn(request.partition, message.leader)
            self.settle(request, decode_failure(request.partition, message))

    def called(self, peer: str, message: CallMessage) -> None:
        """A peer's gateway asks the replica here. One that went meanwhile refuses; the peer asks elsewhere."""
        if isinstance(message, WatchNote):
            self.ledger.noted(message)
            return
        partition, call = PartitionId(message.partition), message.call
        reply = self._transport.reply_to(peer)
        group = self._groups.get(partition)
        if isinstance(message, WatchCall):
            self.feeds.called(message, reply)
        elif group is None or group.failure is not None:
            reply(encode_failure(call, NotLeaderError(partition, self._where.leader_of(partition))))
        elif isinstance(message, TransferCall | TargetCall):
            self._carry_out(group, message, lambda result: reply(_encode_written(call, result)))
        elif message.epoch != self._epoch:
            reply(encode_failure(call, StaleEpochError(f"the epoch here is {self._epoch}")))
        elif isinstance(message, WriteCall):
            deadline = self._loop.time() + message.timeout_ms / 1000
            group.propose(message.command, deadline, lambda result: reply(_encode_written(call, result)))
        elif isinstance(message, BulkWriteCall | BulkReadCall):
            self._bulk.called(group, message, self._loop.time() + message.timeout_ms / 1000, reply)
        elif not self.may_serve(group, message.fresh):
            reply(encode_failure(call, NotLeaderError(partition, group.leader)))
        elif isinstance(message, ReadCall):
            self._read_for(group, message, reply)
        else:
            self._scan_for(group, message, reply)

    def _read_for(self, group: RaftGroup, message: ReadCall, reply: Callable[[ReturnMessage], None]) -> None:
        """A peer's gateway asks for a key."""
        call = message.call

        def serve(level: Level, staleness_ms: int) -> None:
            def found(item: bytes | RaftGroupError | None) -> None:
                if isinstance(item, RaftGroupError):
                    refuse(item)
                else:
                    receipt = self._receipt(group, level, staleness_ms, expires=item is not None and may_expire(item))
                    reply(ReadReturn(call, item or b"", receipt))

            group.read_applied(message.key, found)

        def refuse(error: RaftGroupError) -> None:
            reply(encode_failure(call, error))

        deadline = self._loop.time() + message.timeout_ms / 1000
        self._let_in(group, message.fresh, deadline, serve, refuse)

    def _scan_for(self, group: RaftGroup, message: ScanCall, reply: Callable[[ReturnMessage], None]) -> None:
        """A peer's gateway asks for a piece."""
        call = message.call

        def done(found: Scanned | RaftGroupError) -> None:
            if isinstance(found, RaftGroupError):
                reply(encode_failure(call, found))
            else:
                reply(ScanReturn(call, found.piece, found.receipt))

        deadline = self._loop.time() + message.timeout_ms / 1000
        self._scan(group, message.span, message.fresh, deadline, done)

    def _carry_out(self, group: RaftGroup, message: TransferCall | TargetCall, done: WriteDone) -> None:
        """Do an errand here, where the leader is. It has no revision."""
        partition = group.partition

        async def work() -> None:
            result: Result | RaftGroupError = Written(0)
            try:
                async with asyncio.timeout(ERRAND_SECONDS):
                    if isinstance(message, TargetCall):
                        await self._host.set_target(partition, message.nodes)
                    elif group.leader != message.node:
                        await self._host.transfer(partition, message.node)
            except RaftGroupError as error:
                result = error
            except TimeoutError:
                result = OutcomeUnknownError(f"partition {partition} has not done yet what it was asked to")
            done(result)

        task = self._loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, message: TransferCall | TargetCall) -> None:
        """Have the leader do an errand, wherever it is. Raises: RaftGroupError."""
        ended: asyncio.Future[Result | RaftGroupError] = self._loop.create_future()

        def done(result: Result | RaftGroupError) -> None:
            if not ended.done():  # whoever asked may have left
                ended.set_result(result)

        request = Errand(self._loop.time() + ERRAND_SECONDS, message, done)
        if self._admit(request):
            self._route(request)
        result = await ended
        if isinstance(result, RaftGroupError):
            raise result

    # Answers.

    def _receipt(self, group: RaftGroup, level: Level, staleness_ms: int, *, expires: bool) -> Receipt:
        role = "leader" if group.is_leader else "follower"
        clock_ms = group.time_ms() if expires else 0
        return Receipt(level, staleness_ms, self._name, role, group.machine.applied_index, clock_ms)

    def _expired(self, request: Request) -> RaftGroupError:
        if request.may_apply and request.sent_to:
            what = "errand" if isinstance(request, Errand) else "write"
            return OutcomeUnknownError(f"the deadline passed before partition {request.partition} confirmed the {what}")
        return self._unreachable(request)

    def _unreachable(self, request: Request) -> RaftGroupError:
        level = request.fresh.level if isinstance(request, Query) else LINEARIZABLE
        kind = _UNREACHABLE.get(level)
        return (
            kind(request.partition) if kind else NoQuorumError(request.partition, self._where.away(request.partition))
        )


def _encode_written(call: int, result: Result | RaftGroupError) -> ReturnMessage:
    if isinstance(result, Written):
        return WriteReturn(call, result.revision)
    if isinstance(result, RaftGroupError):
        return encode_failure(call, result)
    return WriteReturn(call, 0, encode_result(result))


def _decode_reading(message: ReadReturn) -> Reading:
    return Reading(decode_item(message.item) if message.item else None, message.receipt)
