"""Host: every RaftGroup of a node, the loop turn and the group commit.

One turn of the event loop: frames are delivered as they come → each group they touched applies
what is committed, proposes what gathered, asks for reads → one frame of the node log holds what
all of them wrote → when it is synced, what waited for it leaves, one frame a peer.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from engine import BlockCache, Engine, EngineError, Options, Reserve, Space, StorageFullError, is_enough
from raftgroups.acquaintances import Acquaintances
from raftgroups.alarms import Alarms
from raftgroups.balance import Balance
from raftgroups.clockwatch import ClockWatch
from raftgroups.command import check_command
from raftgroups.consensus import check_library
from raftgroups.directory import DataDirectory
from raftgroups.diskwatch import DiskWatch
from raftgroups.enginetotals import EngineTotals, cache_statistics
from raftgroups.errors import (
    ChangeRefusedError,
    DamagedDirectoryError,
    InvalidCommandError,
    NotLeaderError,
    OutcomeUnknownError,
    RaftGroupError,
)
from raftgroups.group import RaftGroup
from raftgroups.grouptime import GroupTime
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.leaderships import Leadership, Leaderships
from raftgroups.link import Self
from raftgroups.machine import Machine
from raftgroups.membership import Configuration
from raftgroups.messages import (
    CALL_KINDS,
    CLOCK_KINDS,
    GOSSIP_KINDS,
    RETURN_KINDS,
    SNAPSHOT_KINDS,
    VIGIL_KINDS,
    WRITE_KINDS,
    Address,
    AnyMessage,
    Append,
    BulkWriteCall,
    CallMessage,
    FailureReturn,
    GossipMessage,
    Lead,
    Leads,
    Placement,
    ReturnMessage,
    Sleep,
    SnapshotOffer,
    SnapshotReply,
    WriteCall,
)
from raftgroups.nodelog import HardState, NodeLog
from raftgroups.placements import Placements
from raftgroups.pulse import Contact
from raftgroups.relief import Relief
from raftgroups.replicas import Replicas
from raftgroups.result import Result
from raftgroups.snapshot import Snapshots
from raftgroups.statemachine import StateMachine
from raftgroups.timing import Timing
from raftgroups.topology import Topology
from raftgroups.transport import Transport
from raftgroups.vigil import Vigil
from raftgroups.wallclocks import WallClocks

log = logging.getLogger("ringkv.host")

ResultT = TypeVar("ResultT")

TICK_SECONDS = 0.05
MAINTENANCE_SECONDS = 1.0
DRAIN_SECONDS = 2.5
DECISION_SECONDS = 5.0
# With more space than this no replica lacks any.
_PLENTY_MEMTABLES = 4
_PLENTY_BYTES = 64 << 20
TTL_GRACE_SECONDS = 60.0
# A group that sleeps is looked at so often while something of it is going to expire, whatever clocks do meanwhile.
ALARM_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class HostOptions:
    """How a node is set up.

    directory           where everything of this node is kept
    peer, http          host:port where it listens for peers, and where its gateway does
    seeds               the founding members, name → peer address, itself included; empty: alone
    secret              shared by all nodes; needed by whoever wants to talk to one
    cache_bytes         of blocks in memory, shared by all replicas
    log_bytes           of node log beyond which replicas are flushed so that it can shrink
    log_segment_bytes   of one file of it
    log_retained_bytes  of flushed node log kept for followers that fell behind
    reserve_bytes       of disk held back for deletes when it is full
    ttl_grace_seconds   what expires may live so much longer after a time without a leader
    """

    name: str
    directory: str
    peer: str
    http: str
    pid: int = 0
    seeds: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    partitions: int = 16
    replication_factor: int = 3
    secret: bytes = b""
    memtable_bytes: int = 4 << 20
    cache_bytes: int = 64 << 20
    log_bytes: int = 128 << 20
    log_segment_bytes: int = 8 << 20
    log_retained_bytes: int = 32 << 20
    reserve_bytes: int = 1 << 20
    ttl_grace_seconds: float = TTL_GRACE_SECONDS
    timing: Timing = field(default_factory=Timing)


class Gateway(Protocol):
    """Who coordinates requests on this node."""

    def called(self, peer: str, message: CallMessage) -> None: ...

    def returned(self, peer: str, message: ReturnMessage) -> None: ...

    def peer_lost(self, peer: str) -> None: ...

    def leader_changed(self, partition: PartitionId) -> None: ...

    def tick(self, now: float) -> None: ...


class Host:
    """One node's replicas, and everything they share."""

    def __init__(self, options: HostOptions, directory: DataDirectory, node_log: NodeLog, machine: Machine) -> None:
        self.options = options
        self.name = options.name
        self.topology: Topology = directory.topology
        self.placements = Placements(self.topology)
        self.gateway: Gateway | None = None
        self.is_draining = False
        self.is_full = False
        self.is_exhausted = False
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._directory = directory
        self._node_log = node_log
        self._reserve = Reserve(directory.file_system, directory.reserve_path, options.reserve_bytes)
        self._machine = machine
        self._loop = asyncio.get_running_loop()
        self._cache = BlockCache(options.cache_bytes)
        self._engines = EngineTotals()
        self._syncer = machine.make_syncer(node_log.sync, self._synced, self._loop.time)
        self._disk_watch = DiskWatch(self._syncer.times)
        addresses = {member.name: member.peer for member in self.topology.members}
        me = Self(
            *(self.topology.cluster_id, options.name, options.http),
            *(options.zone, options.pid, directory.incarnation),
            peer=addresses[options.name],
            makeup=self.topology.told_makeup,
        )
        acquaintances = Acquaintances(directory.file_system, directory.path)
        self.transport = Transport(me, addresses, options.secret, self, machine.rng, acquaintances)
        self.clocks = WallClocks(self.name, machine.monotonic, machine.clock_ms)
        self._clock_watch = ClockWatch(self.clocks, self.transport.peers, self.transport)
        self.snapshots = Snapshots(
            directory, self.transport.send, self._open_machine, self.elsewhere, self._loop.time, machine.rng
        )
        self._replicas = Replicas(
            self.name, directory, node_log, self.placements, self._open_machine, self._make_group, self.elsewhere
        )
        self.groups = self._replicas.groups
        self._vigil = Vigil(options.timing, self)
        self._leaderships = Leaderships(self.topology.partitions, self._lead_for, self.transport.send)
        self._alarms = Alarms()
        self._is_looking_for_room = False
        self._headroom_bytes = 0
        self._touched_groups: dict[RaftGroup, None] = {}
        # Those that a tick visits: all that do not sleep, or have somebody waiting.
        self._active: dict[RaftGroup, None] = {}
        self._visits = 0
        self._turn_is_due = False
        self._commit_is_due = False
        self._leadership_moved = asyncio.Event()
        self._ticking: asyncio.TimerHandle | None = None
        self._maintenance: asyncio.TimerHandle | None = None
        self._balance = Balance(self.name, self._disk_watch)
        self._relief = Relief(self._disk_watch)
        self._ticked_at = self._loop.time()
        self._is_closed = False

    @classmethod
    async def open(cls, options: HostOptions, machine: Machine | None = None) -> "Host":
        """Start a node, on this machine if not on another. Raises: HostError, with one line that says why it cannot."""
        check_library()
        machine = machine or Machine.real()
        directory = DataDirectory.open(machine.file_system, options, machine.rng)
        async with AsyncExitStack() as undo:
            undo.callback(directory.close)
            try:
                node_log = await asyncio.to_thread(
                    NodeLog, directory.file_system, directory.log_path, options.log_segment_bytes
                )
                host = cls(options, directory, node_log, machine)
                undo.push_async_callback(host.close)
                await host._start()
            except EngineError as error:
                raise DamagedDirectoryError(f"data directory {options.directory}: {error}") from error
            undo.pop_all()
        return host

    async def _start(self) -> None:
        await self.transport.bind(self.options.peer)
        self._directory.check_founding(self.name)
        self._set_full(not await asyncio.to_thread(self._reserve.hold), "the reserve for deletes cannot be held")
        for partition in self._directory.held():
            await asyncio.to_thread(self._replicas.open, partition)
        self._replicas.check_log()
        for group in self.groups.values():
            self.configured(group)
        # Opening replicas may have taken long; that is no standstill.
        self._ticked_at = self._loop.time()
        await self.transport.serve()
        # Until now it was being made.
        self._ticked_at = self._loop.time()
        self._tick()
        self._maintain()

    def _make_group(
        self, partition: PartitionId, base: Configuration, group_log: GroupLog, machine: StateMachine
    ) -> RaftGroup:
        group = RaftGroup(
            partition,
            self.name,
            base,
            group_log,
            machine,
            self,
            timing=self.options.timing,
            rng=self._machine.rng,
            now=self._loop.time(),
            time=GroupTime(self.clocks, self.options.ttl_grace_seconds),
            send=self.transport.send,
        )
        self._active[group] = None
        return group

    def _open_machine(self, partition: PartitionId) -> StateMachine:
        # No rows are kept: what they save is nothing beside a request, and every replica would have its own.
        options = Options(own_log=False, memtable_bytes_max=self.options.memtable_bytes, row_cache_bytes_max=0)
        path = self._directory.replica_path(partition)
        engine = Engine.open(
            path,
            options,
            file_system=self._directory.file_system,
            cache=self._cache,
            executor=self._machine.engine_workers,
        )
        try:
            return StateMachine(engine)
        except BaseException:
            engine.close()
            raise

    # The turn.

    def touched(self, group: RaftGroup) -> None:
        self._touched_groups[group] = None
        self.has_outgoing()

    def has_outgoing(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        now = self._loop.time()
        self._notice_standstill(now)
        may_propose = not self._node_log.is_syncing
        touched, self._touched_groups = self._touched_groups, {}
        for group in touched:
            if group.failure is None:
                try:
                    group.turn(now, may_propose=may_propose)
                except Exception as error:  # noqa: BLE001  # the boundary that quarantines a group
                    self._quarantine(group, error)
                if group.has_pending:
                    self._touched_groups[group] = None
            if group.is_at_rest or self.groups.get(group.partition) is not group:
                self._active.pop(group, None)
            else:
                self._active[group] = None
        self._leaderships.changed(group.partition for group in touched)
        # Answers do not wait for a sync that is none of their business.
        self.transport.flush()
        if self._node_log.has_gathered and not self._node_log.is_syncing and not self._commit_is_due:
            self._commit_is_due = True
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        """The group commit: one frame and one sync for all that the turns before it wrote."""
        self._commit_is_due = False
        if self._is_closed:
            return
        try:
            generation = self._write_log()
            if self._syncer.is_inline:
                self._syncer.sync_inline()
                self._settle(generation)
                self.transport.flush()
            else:
                self._syncer.ask(generation)
            self.is_exhausted = False
        except StorageFullError as error:
            # Nothing was written, and nothing that waits for it leaves; the next tick tries again.
            self._set_full(True, str(error))
            self.is_exhausted = True
        except EngineError as error:
            self._fail(f"the node log cannot be written: {error}")

    def _write_log(self) -> int:
        try:
            return self._node_log.write()
        except StorageFullError as refused:
            generation = self._reserve.once_more(refused, self._node_log.write)
            self._set_full(True, str(refused))
            return generation

    @property
    def space(self) -> Space | None:
        """Of the disk that all of this node is on; None, if there is no end to it."""
        return self._directory.file_system.space(self._directory.path)

    def give_up_reserve(self) -> None:
        """Something small must be written, and there is no room for it. Writes but deletes are refused from now on."""
        self._set_full(True, "the reserve for deletes is needed")
        self._reserve.release()

    @property
    def is_slow(self) -> bool:
        return self._disk_watch.is_slow

    @property
    def _is_short(self) -> bool:
        """Whether there is less room than replicas need to give back what is deleted."""
        return not is_enough(self.space, self._headroom_bytes)

    def _find_headroom(self) -> int:
        """What all memtables take once they are flushed, and then a compaction; 0 where there is plenty of space."""
        options, space = self.options, self.space
        plenty = _PLENTY_BYTES + _PLENTY_MEMTABLES * options.memtable_bytes * (len(self.groups) + 4)
        if space is None or space.free_bytes >= plenty:
            return 0
        engines = [group.machine.engine for group in self.groups.values()]
        return max((e.headroom_bytes for e in engines), default=0) + sum(e.unflushed_bytes for e in engines)

    def _look_for_room(self) -> None:
        """Hold the reserve again, if there is room: then writes may go on."""
        if self._is_short:
            return

        def was_tried(outcome: bool | BaseException) -> None:
            self._is_looking_for_room = False
            self._set_full(outcome is not True)

        if not self._is_looking_for_room:
            self._is_looking_for_room = True
            self.elsewhere(self._reserve.hold, was_tried)

    def _synced(self, generation: int, error: Exception | None) -> None:
        if self._is_closed:
            return
        if error is not None:
            self._fail(f"the node log cannot be synced: {error}")
            return
        self._settle(generation)
        self._turn()

    def _set_full(self, is_full: bool, reason: str = "") -> None:
        if is_full != self.is_full:
            log.warning("no room for writes: %s" if is_full else "there is room for writes again%s", reason)
            self.is_full = is_full

    def _settle(self, generation: int) -> None:
        """A generation is on disk: what waited for it may leave, and leaders may count themselves."""
        self._node_log.synced(generation)
        for partition in {record.group for record in self._node_log.synced_records}:
            group = self.groups.get(PartitionId(partition))
            if group is not None and group.log.synced(generation):
                group.consensus.synced()
                self.touched(group)
        self._replicas.synced(generation)
        self.transport.synced(generation)

    def _each_group(self, groups: Iterable[RaftGroup], step: Callable[[RaftGroup], None]) -> None:
        """Have groups take a step, and their turn after it."""
        for group in list(groups):
            self._visits += 1
            if group.failure is None:
                try:
                    step(group)
                except Exception as error:  # noqa: BLE001  # the boundary that quarantines a group
                    self._quarantine(group, error)
                self._touched_groups[group] = None
        self.has_outgoing()

    @staticmethod
    def _quarantine(group: RaftGroup, error: Exception) -> None:
        """An error in one group stops that group, not the node. What a disk does is foreseen, and one line."""
        is_foreseen = isinstance(error, EngineError)
        log.error("partition %d stops: %s", group.partition, error, exc_info=None if is_foreseen else error)
        group.fail(error)

    def _fail(self, reason: str) -> None:
        """What the disk holds is not known any more: stop, and leave the others a majority."""
        if not self.failure.done():
            log.critical("%s", reason)
            self.failure.set_result(reason)

    # What the links bring.

    def peer_up(self, name: str) -> None:
        now = self._loop.time()
        self._clock_watch.peer_up(name)
        for placement in self.placements.changed():
            self.transport.send(name, placement)
        self._leaderships.link_up(name, self.groups)
        self._vigil.link_up(name, now)
        crowd = self._led_by(None)
        self._each_group(self.groups.values(), lambda group: group.consensus.link_up(name, now, crowd))

    def peer_lost(self, name: str) -> None:
        now = self._loop.time()
        self._clock_watch.peer_lost(name)
        self.snapshots.peer_lost(name)
        crowd = self._led_by(name)
        self._each_group(self.groups.values(), lambda group: group.consensus.link_lost(name, now, crowd))
        self._vigil.link_lost(name)
        self._leaderships.link_lost(name)
        if self.gateway is not None:
            self.gateway.peer_lost(name)

    def _led_by(self, leader: str | None) -> int:
        return sum(group.leader == leader for group in self.groups.values())

    def received(self, name: str, messages: list[AnyMessage]) -> None:
        """Deliver what came in one frame; kinds are told apart by look-ups, for this is every message's way."""
        now = self._loop.time()
        self._notice_standstill(now)
        gateway, groups, touched = self.gateway, self.groups, self._touched_groups
        for message in messages:
            kind = type(message)
            if kind in CALL_KINDS:
                if kind in WRITE_KINDS and not self._may_enter(name, message):  # type: ignore[arg-type]  # as just looked up
                    continue
                if gateway is not None:
                    gateway.called(name, message)  # type: ignore[arg-type]  # as just looked up
                continue
            if kind in RETURN_KINDS:
                if gateway is not None:
                    gateway.returned(name, message)  # type: ignore[arg-type]  # as just looked up
                continue
            if kind in CLOCK_KINDS:
                self._clock_watch.received(name, message)  # type: ignore[arg-type]  # as just looked up
                continue
            if kind in VIGIL_KINDS:
                self._vigil.received(name, message, now)  # type: ignore[arg-type]  # as just looked up
                continue
            if kind in GOSSIP_KINDS:
                self._heard(name, message, now)  # type: ignore[arg-type]  # as just looked up
                continue
            group = groups.get(message.group)  # type: ignore[union-attr, arg-type]  # all others have one
            if group is None or group.failure is not None:
                if group is None and isinstance(message, Append | SnapshotOffer):
                    self._needed_here(name, message)
                continue
            try:
                if kind in SNAPSHOT_KINDS:
                    self.snapshots.received(group, name, message)  # type: ignore[arg-type]  # as just looked up
                else:
                    group.consensus.receive(name, message, now)  # type: ignore[arg-type]  # no other kind is left
            except Exception as error:  # noqa: BLE001  # the boundary that quarantines a group
                self._quarantine(group, error)
            touched[group] = None
        self.has_outgoing()

    def _heard(self, name: str, message: GossipMessage, now: float) -> None:
        if isinstance(message, Leads):
            self._told_of_leaders(name, message, now)
        elif isinstance(message, Address):
            self.transport.told(message)
        else:
            self.placements.heard(message)

    def _needed_here(self, leader: str, message: Append | SnapshotOffer) -> None:
        """A leader sends to a replica that is not here: it was never made, or was removed while this node was away."""
        self._join(PartitionId(message.group))
        if isinstance(message, SnapshotOffer):
            # It is for the replica that was. Until it is refused, the leader sends nothing else.
            refusal = SnapshotReply(message.group, message.term, message.transfer, 0, failed=True)
            self.transport.send(leader, refusal)

    def _may_enter(self, peer: str, call: WriteCall | BulkWriteCall) -> bool:
        """Whether every replica could apply the commands, which enter the log unread; if not, the peer is told."""
        try:
            for command in (call.command,) if isinstance(call, WriteCall) else call.commands:
                check_command(command)
        except InvalidCommandError as error:
            log.error("node %s sends what is %s", peer, error)
            self.transport.send(peer, FailureReturn(call.call, RaftGroupError.__name__, str(error)))
            return False
        return True

    # Membership.

    def configured(self, group: RaftGroup) -> None:
        """A configuration is committed: tell everybody, and end the replica here when it is not named any more."""
        index, configuration = group.consensus.committed_configuration
        placement = Placement(
            group.partition, index, configuration.voters, configuration.learners, configuration.target
        )
        if self.placements.heard(placement):
            for peer in self.transport.peers:
                self.transport.send(peer, placement)
        if group.consensus.is_removed:
            self.removed(group)

    def removed(self, group: RaftGroup) -> None:
        # What the group is in the middle of comes to its end first.
        self._loop.call_soon(self._retire, group)

    def _retire(self, group: RaftGroup) -> None:
        # What came in the meantime may have added it again; what it has confirmed since must not be lost.
        if self.groups.get(group.partition) is group and group.consensus.is_removed and not self._is_closed:
            self.snapshots.forget(group)
            self._replicas.retire(group.partition)
            self.leader_changed(group)
            self.has_outgoing()

    def _join(self, partition: PartitionId) -> None:
        if 0 <= partition < self.topology.partitions and not self._is_closed:
            self._replicas.join(partition, self._joined)

    def _joined(self, group: RaftGroup) -> None:
        now = self._loop.time()
        for name in self.transport.peers:
            if self.transport.is_up(name):
                group.consensus.link_up(name, now)

    def placement_of(self, partition: PartitionId) -> Placement:
        """Who holds `partition`, as far as this node knows."""
        return self.placements.of(partition)

    async def set_target(self, partition: PartitionId, nodes: Sequence[str]) -> None:
        """Have `nodes` become the voters of `partition`; returns once that is committed as the target.

        The leader then takes one step at a time toward it, whoever leads.
        Raises: NotLeaderError, ChangeRefusedError, OutcomeUnknownError.
        """
        known = {member.name for member in self.topology.members}
        strangers = sorted(set(nodes) - known)
        if not nodes or len(set(nodes)) < len(nodes) or strangers:
            what = (
                f"{strangers[0]!r} is no node of this cluster" if strangers else "name each node once, and one at least"
            )
            raise ChangeRefusedError(f"partition {partition}: {what}")
        group = self.groups.get(partition)
        if group is None or not group.is_leader:
            raise NotLeaderError(partition, group.leader if group else None)
        decided: asyncio.Future[Result | RaftGroupError] = self._loop.create_future()
        group.set_target(nodes, lambda result: None if decided.done() else decided.set_result(result))
        try:
            async with asyncio.timeout(DECISION_SECONDS):
                result = await decided
        except TimeoutError:
            raise OutcomeUnknownError(f"the target of partition {partition} is not committed yet") from None
        if isinstance(result, RaftGroupError):
            raise result

    # Groups that sleep.

    def rest(self, group: RaftGroup, term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        self._vigil.offer(group.partition, term, index, followers)
        self._set_alarm(group)
        return True

    def woke(self, group: RaftGroup) -> None:
        self._alarms.clear(group.partition)
        self._vigil.withdraw(group.partition)
        self.touched(group)

    def contact(self, group: RaftGroup, peer: str) -> Contact | None:
        return self._vigil.contact(group.partition, peer)

    def met_at(self, peer: str) -> float:
        return self._vigil.met_at(peer)

    def tell(self, peer: str, message: AnyMessage) -> None:
        self.transport.send(peer, message)

    def lie_down(self, leader: str, message: Sleep, now: float) -> bool:
        group = self.groups.get(PartitionId(message.group))
        if group is None or group.failure is not None:
            return False
        self.touched(group)
        return group.consensus.lie_down(leader, Term(message.term), LogIndex(message.index), now)

    def wake(self, partition: PartitionId, now: float) -> None:
        group = self.groups.get(partition)
        if group is not None and group.failure is None:
            group.consensus.wake(now)

    def distrust(self, peer: str, reason: str) -> None:
        log.error("the link to %s is closed: %s", peer, reason)
        self.transport.drop(peer)

    def _set_alarm(self, group: RaftGroup) -> None:
        """Have a leader that sleeps looked at when something of it expires."""
        due_in = group.due_in()
        if due_in < math.inf:
            at = self._loop.time() + min(max(due_in, TICK_SECONDS), ALARM_SECONDS_MAX)
            self._alarms.set(group.partition, at)

    def _ring(self, now: float) -> None:
        for partition in self._alarms.due(now):
            group = self.groups.get(partition)
            if group is not None and group.consensus.is_asleep:
                self.touched(group)
                self._set_alarm(group)

    # Time.

    def _notice_standstill(self, now: float) -> None:
        """When this node goes on after having stood still for long, what it led it leads no more."""
        since = self._ticked_at
        if now > since + self.options.timing.election_seconds_max:
            self._ticked_at = now
            log.warning("this node stood still for %.1f s", now - since)
            self._each_group(self.groups.values(), lambda group: group.consensus.stood_still(since, now))

    def _tick(self) -> None:
        now = self._loop.time()
        self._notice_standstill(now)
        self._ticked_at = now
        self._clock_watch.tick()
        self._vigil.tick(now, self._disk_watch.report())
        self._leaderships.tick(now)
        self._ring(now)
        self._each_group(self._active, lambda group: group.tick(now))
        self._watch_disk(now)
        if self.is_full and not self.is_exhausted:
            self._look_for_room()
        elif not self.is_full and self._is_short:
            self._set_full(True, "less is left than flush and compaction may need")
        if self.gateway is not None:
            self.gateway.tick(now)
        self._ticking = self._loop.call_later(TICK_SECONDS, self._tick)

    def _watch_disk(self, now: float) -> None:
        self._disk_watch.tick(self._vigil.disks(now), now)
        if self._disk_watch.needs_probe(now) and not self._node_log.is_syncing and not self._commit_is_due:
            # An empty frame, if nothing else is written meanwhile.
            self._commit_is_due = True
            self._loop.call_soon(self._commit)

    def _maintain(self) -> None:
        self._headroom_bytes = self._find_headroom()
        flushed = {}
        for partition, group in self.groups.items():
            group.forget_flushed()
            if self.is_full or group.machine.engine.is_full:
                group.machine.engine.retry()
            flushed[partition] = min(group.machine.engine.flushed_sequence, self.snapshots.floor(partition))
        try:
            # A follower that fell behind can be sent a snapshot, where space is short.
            self._node_log.drop_flushed(flushed, 0 if self.is_full else self.options.log_retained_bytes)
        except EngineError as error:
            log.warning("an old part of the node log stays: %s", error)
        if self._node_log.bytes_on_disk > self.options.log_bytes:
            for partition in self._node_log.pins(flushed):
                try:
                    self.groups[partition].machine.engine.request_flush()
                except EngineError as error:
                    log.warning("partition %d cannot be flushed: %s", partition, error)
        self.snapshots.tick()
        self._relief.tick(self.groups, self._loop.time())
        if not self.is_draining:
            self._balance.tick(self.groups, self._loop.time())
        self._maintenance = self._loop.call_later(MAINTENANCE_SECONDS, self._maintain)

    # Leadership.

    def snapshot_needed(self, group: RaftGroup, peer: str) -> None:
        self.snapshots.needed(group, peer)

    def leader_changed(self, group: RaftGroup) -> None:
        self._leadership_moved.set()
        if self.gateway is not None:
            self.gateway.leader_changed(group.partition)

    def leadership_of(self, partition: PartitionId) -> Leadership | None:
        """Who leads `partition`, which may not be held here, and how far it has got; None if nobody ever told."""
        now = self._loop.time()
        group = self.groups.get(partition)
        if group is None or group.failure is not None:
            return self._leaderships.of(partition, now)
        age, consensus = group.leader_age(now), group.consensus
        at = now - age if age is not None else None
        return Leadership(group.leader, consensus.term, consensus.commit_index, consensus.applied_index, at)

    def now(self) -> float:
        """Loop time."""
        return self._loop.time()

    def _lead_for(self, partition: PartitionId, peer: str) -> Lead | None:
        group = self.groups.get(partition)
        if group is None or not group.is_leader or peer in group.consensus.configuration.members:
            return None
        consensus = group.consensus
        return Lead(partition, consensus.term, consensus.commit_index, consensus.applied_index)

    def _told_of_leaders(self, peer: str, message: Leads, now: float) -> None:
        for partition in self._leaderships.heard(peer, message, now):
            if self.gateway is not None:
                self.gateway.leader_changed(partition)

    async def transfer(self, partition: PartitionId, node: str) -> None:
        """Have `node` lead `partition`; returns once it does. Raises: NotLeaderError, if this node does not lead."""
        group = self.groups.get(partition)
        if group is None or not group.is_leader:
            raise NotLeaderError(partition, group.leader if group else None)
        group.consensus.transfer(node, self._loop.time())
        self.has_outgoing()
        async with asyncio.timeout(DRAIN_SECONDS):
            while group.leader != node:
                self._leadership_moved.clear()
                await self._leadership_moved.wait()

    async def drain(self) -> None:
        """Hand every leadership over to a replica that is up; returns when done, or after a bound."""
        self.is_draining = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while led := [group for group in self.groups.values() if group.is_leader]:
                    self._leadership_moved.clear()
                    if not any(self._hand_over(group) for group in led):
                        return
                    await self._leadership_moved.wait()
        except TimeoutError:
            log.warning("not every leadership could be handed over in %.1f s", DRAIN_SECONDS)

    def _hand_over(self, group: RaftGroup) -> bool:
        now = self._loop.time()
        successors = self._disk_watch.quick_first(group.consensus.successors(now))
        if not successors or not group.consensus.has_quorum_links:
            return False
        group.consensus.transfer(successors[0], now)
        self.has_outgoing()
        return True

    async def close(self) -> None:
        """Stop everything; what was acknowledged is on disk already."""
        if self._is_closed:
            return
        self._is_closed = True
        for timer in (self._ticking, self._maintenance):
            if timer is not None:
                timer.cancel()
        await self.transport.close()
        await asyncio.to_thread(self._syncer.close)
        self.snapshots.close()
        await asyncio.to_thread(self._replicas.close)
        self._machine.workers.shutdown()
        self._machine.engine_workers.shutdown()
        try:
            self._node_log.close()
        except EngineError as error:
            log.warning("closing the node log: %s", error)
        self._directory.close()

    @property
    def synced_generation(self) -> int:
        """What was handed to the node log up to this generation is on disk."""
        return self._node_log.synced_generation

    @property
    def synced_votes(self) -> list[tuple[PartitionId, Term, str]]:
        """The votes in the newest generation on disk, in the order they were given: (partition, term, candidate)."""
        states = (record for record in self._node_log.synced_records if isinstance(record, HardState))
        return [(PartitionId(state.group), Term(state.term), state.vote) for state in states if state.vote]

    def warnings(self) -> list[str]:
        """What is not as it should be, though this node serves; a sentence each."""
        return self._clock_watch.warnings() + self._warnings_of_disk() + self._disk_watch.warnings()

    def _warnings_of_disk(self) -> list[str]:
        stuck = [partition for partition, group in self.groups.items() if group.machine.engine.is_full]
        if not (self.is_full or stuck):
            return []
        space = self.space
        left = f": {space.free_bytes:,} of {space.total_bytes:,} bytes are free" if space is not None else ""
        where = "" if self.is_full else f" of partitions {', '.join(map(str, stuck))}"
        text = f"the disk is full{left}. Puts{where} are refused here, reads and deletes go on"
        return [f"{text}; give the disk more space, or delete what is not needed"]

    def _statistics_of_disk(self) -> dict[str, float]:
        space = self.space
        sizes = {} if space is None else {"disk_total_bytes": space.total_bytes, "disk_free_bytes": space.free_bytes}
        return {**sizes, "disk_full": self.is_full or any(g.machine.engine.is_full for g in self.groups.values())}

    def statistics(self) -> dict[str, float]:
        """Counters and gauges by name."""
        return {
            "partitions_held": len(self.groups),
            "partitions_asleep": sum(group.consensus.is_asleep for group in self.groups.values()),
            "partition_visits_total": self._visits,
            "partitions_led": sum(group.is_leader for group in self.groups.values()),
            **self._statistics_of_disk(),
            **self._disk_watch.statistics(),
            "partitions_damaged": sum(group.damage is not None for group in self.groups.values()),
            "partitions_stopped": sum(group.failure is not None for group in self.groups.values()),
            "peers_up": sum(peer.link is not None for peer in self.transport.peers.values()),
            "node_log_bytes": self._node_log.bytes_on_disk,
            "node_log_syncs_total": self._node_log.synced_generation,
            **self._engines.statistics(group.machine.engine for group in self.groups.values()),
            **cache_statistics(self._cache),
        }

    def elsewhere(self, job: Callable[[], ResultT], done: Callable[[ResultT | BaseException], None]) -> None:
        """Run a job that waits for a disk in a worker thread; `done` is told its result or its exception."""

        def finished(future: "asyncio.Future[ResultT]") -> None:
            if not future.cancelled():
                error = future.exception()
                done(future.result() if error is None else error)

        self._loop.run_in_executor(self._machine.workers, job).add_done_callback(finished)
