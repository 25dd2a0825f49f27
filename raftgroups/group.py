"""RaftGroup: this node's replica of one partition, from proposal to state machine."""

import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from engine import EngineError, WouldBlockError, is_damage
from raftgroups.command import (
    KEY_BYTES_MAX,
    ConditionalDelete,
    Delete,
    DeleteRange,
    Once,
    check_command,
    decode_command,
    encode_beginning,
    encode_configuration,
    encode_entry,
    is_plain,
    time_in,
    token_of,
)
from raftgroups.consensus import Consensus
from raftgroups.due import NEVER
from raftgroups.errors import (
    BehindError,
    ChangeRefusedError,
    DeadlineError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    RaftGroupError,
    StorageFullError,
    TokenBusyError,
)
from raftgroups.grouptime import GroupTime
from raftgroups.ids import COMMANDS_PER_ENTRY_MAX, LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.level import BOUNDED, LEASE, LINEARIZABLE, SESSION, STALE, Freshness, Level
from raftgroups.membership import Configuration
from raftgroups.messages import RaftMessage
from raftgroups.port import LocalRead, Port
from raftgroups.pulse import Contact
from raftgroups.result import Result
from raftgroups.span import Piece, Span
from raftgroups.statemachine import StateMachine
from raftgroups.timing import Timing

log = logging.getLogger("ringkv.group")

ENTRY_BYTES_MAX = 256 << 10
PENDING_COMMANDS_MAX = 16_384
READS_WAITING_MAX = 16_384
# No part of a Put or a Delete that is shorter can be too long.
LONG_COMMAND_BYTES = KEY_BYTES_MAX
TAIL_BYTES = 2 << 20

ResultT = TypeVar("ResultT")

WriteDone = Callable[[Result | RaftGroupError], None]
ReadDone = Callable[[bytes | RaftGroupError | None], None]
"""Told the encoded Item, or None for an absent key, or why there is no answer."""
ManyReadDone = Callable[[list[bytes | None] | RaftGroupError], None]
"""The same of many keys, in their order."""
ScanDone = Callable[[Piece | RaftGroupError], None]
Admitted = Callable[[Level, int], None]
"""Told the level that is served, and a bound on the age in milliseconds: now this replica may be read."""
Refused = Callable[[RaftGroupError], None]


class Owner(Protocol):
    """Whose replica it is: the node, and what it does for all of its replicas."""

    @property
    def is_full(self) -> bool:
        """The node log has no room for anything but deletes."""

    @property
    def is_exhausted(self) -> bool:
        """Nor for those."""

    @property
    def is_slow(self) -> bool:
        """The disk is much slower than those of other nodes."""

    def touched(self, group: "RaftGroup") -> None:
        """The group has something to do at the turn's end."""

    def rest(self, group: "RaftGroup", term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        """As Port.rest."""

    def woke(self, group: "RaftGroup") -> None:
        """As Port.woke."""

    def contact(self, group: "RaftGroup", peer: str) -> Contact | None:
        """As Port.contact."""

    def met_at(self, peer: str) -> float:
        """As Port.met_at."""

    def elsewhere(self, job: Callable[[], ResultT], done: Callable[[ResultT | BaseException], None]) -> None:
        """Run `job` in a worker thread; `done` is told its result, or its exception."""

    def leader_changed(self, group: "RaftGroup") -> None: ...

    def snapshot_needed(self, group: "RaftGroup", peer: str) -> None: ...

    def configured(self, group: "RaftGroup") -> None:
        """Another configuration is committed."""

    def removed(self, group: "RaftGroup") -> None:
        """The group goes on without this node, and its replica here is of no use any more."""


class RaftGroup(Port):
    """One replica. All calls come from the event loop's thread.

    base       the configuration at index 0, before the log says otherwise
    send       hands a message for a peer to the transport, with the generation it waits for
    failure    why it was stopped, None while it goes on
    damage     what could not be read of its tables, None if nothing; log and vote are sound all the same
    on_applied  called after each entry, while somebody watches
    """

    def __init__(
        self,
        partition: PartitionId,
        name: str,
        base: Configuration,
        group_log: GroupLog,
        machine: StateMachine,
        owner: Owner,
        *,
        timing: Timing,
        rng: random.Random,
        now: float,
        time: GroupTime,
        send: Callable[[str, RaftMessage, int], None],
    ) -> None:
        self.partition = partition
        self.log = group_log
        self.machine = machine
        self._name = name
        self._base = base
        self._owner = owner
        self._time = time
        self._send = send
        self._pending: list[tuple[bytes, float, WriteDone]] = []
        self._proposed: dict[LogIndex, tuple[Term, list[WriteDone]]] = {}
        self._waiting: list[tuple[LogIndex, Sequence[LocalRead]]] = []
        self._reads_waiting = 0
        # Of commands to be done once, those that are on their way.
        self._tokens: set[bytes] = set()
        # What this replica has applied is at least what was committed then, in loop time.
        self._confirmed_at = -math.inf
        self._wish: tuple[tuple[str, ...], WriteDone] | None = None
        self._holds = 0
        self.failure: BaseException | None = None
        self.damage: BaseException | None = None
        self.on_applied: Callable[[], None] | None = None
        self.consensus = Consensus(
            partition, name, self._configured(), group_log, machine.applied_index, self, timing, rng, now
        )

    def _configured(self) -> tuple[LogIndex, Configuration]:
        """The configuration as of what the state machine has applied."""
        return self.machine.configuration or (LogIndex(0), self._base)

    @property
    def replicas(self) -> tuple[str, ...]:
        """The voters; leadership belongs with the first."""
        return self.consensus.configuration.voters

    @property
    def leader(self) -> str | None:
        return self.consensus.leader

    @property
    def is_leader(self) -> bool:
        return self.consensus.is_leader and self.failure is None

    @property
    def is_voter(self) -> bool:
        """Whether this replica counts in majorities; one that still learns lacks what others have acknowledged."""
        return self.consensus.is_voter

    @property
    def has_pending(self) -> bool:
        return bool(self._pending) or self.consensus.owes_reads

    @property
    def is_at_rest(self) -> bool:
        """It sleeps, and nobody waits here: it need not be told of time."""
        return self.consensus.is_asleep and not (self.has_pending or self._waiting or self._wish is not None)

    def propose(self, command: bytes, deadline: float, done: WriteDone) -> None:
        """Have an encoded command applied; `done` is told what became of it.

        It joins the next entry. A command still waiting for one at `deadline` is not proposed.
        """
        if not self.is_leader:
            done(NotLeaderError(self.partition, self.leader))
            return
        error = self._refusal(command)
        if error is None and (len(command) >= LONG_COMMAND_BYTES or not is_plain(command)):
            error = _error_in(command)
            token = token_of(command) if error is None else None
            if token in self._tokens:
                error = TokenBusyError(f"a write with this token is on its way in partition {self.partition}")
            elif token is not None:
                done = self._with_token(token, done)
        if error is not None:
            done(error)
            return
        self._pending.append((command, deadline, done))
        self._owner.touched(self)

    def _with_token(self, token: bytes, done: WriteDone) -> WriteDone:
        self._tokens.add(token)

        def ended(result: Result | RaftGroupError) -> None:
            self._tokens.discard(token)
            done(result)

        return ended

    def _refusal(self, command: bytes) -> RaftGroupError | None:
        """Why there is no room for a command, None if there is."""
        engine, owner = self.machine.engine, self._owner
        if len(self._pending) < PENDING_COMMANDS_MAX and not (owner.is_full or engine.is_stalled):
            return None
        if not (owner.is_full or engine.is_full) or len(self._pending) >= PENDING_COMMANDS_MAX:
            return self._too_many_writes()
        # What frees space may use the space that is held back for it.
        is_welcome = not owner.is_exhausted and _frees_space(command)
        return None if is_welcome else self._no_room()

    def set_target(self, nodes: Sequence[str], done: WriteDone) -> None:
        """Have `nodes` become the voters, step by step; `done` is told when the wish itself is committed."""
        if not self.is_leader:
            done(NotLeaderError(self.partition, self.leader))
        elif self._wish is not None:
            done(ChangeRefusedError(f"another change of partition {self.partition} is on its way"))
        else:
            self._wish = (tuple(nodes), done)
            self._owner.touched(self)

    def admit(self, fresh: Freshness, now: float, deadline: float, serve: Admitted, refuse: Refused) -> None:
        """Call `serve` as soon as what this replica has applied is as fresh as asked; `now` is the time of the call.

        A follower that has not got as far by `deadline` refuses: another replica may answer sooner.
        A follower has no lease: asked for one, it confirms what it has, as for LINEARIZABLE.
        """
        level = fresh.level
        if level is LINEARIZABLE:
            self.confirm(serve, refuse, now, deadline)
        elif level is STALE:
            serve(level, self.staleness_ms(now))
        elif level is SESSION:
            self._await(LogIndex(fresh.index), deadline, lambda: serve(level, self.staleness_ms(now)), refuse)
        elif level is LEASE and self._has_all(now):
            serve(level, 0)
        elif level is BOUNDED and (age_ms := self._age_ms(now)) <= fresh.staleness_ms:
            serve(level, math.ceil(age_ms))
        else:
            self.confirm(serve, refuse, now, deadline)

    def _has_all(self, now: float) -> bool:
        """Whether a lease says that what is applied here is all there is, and nothing is due."""
        if not self.consensus.has_lease(now):
            return False
        self.consensus.apply_committed()
        return not self.due_ms()

    def _age_ms(self, now: float) -> float:
        """How old what is applied here can be, as a round has shown: no message that was long on its way counts.

        Not even to a leader: those who answered it may follow another since, and a new one has to learn what its
        predecessors have committed.
        """
        return max(0.0, (now - self._confirmed_at) * 1000)

    def confirm(self, serve: Admitted, refuse: Refused, now: float, deadline: float) -> None:
        """Call `serve` once what this replica has applied includes all that was acknowledged before `now`.

        A follower waits for that until `deadline`, in loop time, and not at all where its disk takes nothing more;
        a leader is waited for, as nobody is sooner there.
        """
        if self._reads_waiting >= READS_WAITING_MAX:
            refuse(self._too_many_reads())
            return
        if self.consensus.is_leader:
            deadline = math.inf
        elif not self.has_room:
            refuse(BehindError(self.partition))
            return

        def confirmed() -> None:
            self._reads_waiting -= 1
            self._confirmed_at = max(self._confirmed_at, now)
            serve(LINEARIZABLE, 0)

        def abandon() -> None:
            self._reads_waiting -= 1
            refuse(NotLeaderError(self.partition, self.leader))

        self._reads_waiting += 1
        self.consensus.wake(now)
        self.consensus.read(LocalRead(confirmed, abandon, deadline))
        self._owner.touched(self)

    def _await(self, index: LogIndex, deadline: float, serve: Callable[[], None], refuse: Refused) -> None:
        """Call `serve` once `index` has been applied here."""
        if self.consensus.applied_index >= index:
            serve()
            return
        if self._reads_waiting >= READS_WAITING_MAX:
            refuse(self._too_many_reads())
            return

        def reached() -> None:
            self._reads_waiting -= 1
            serve()

        def abandon() -> None:
            self._reads_waiting -= 1
            refuse(BehindError(self.partition))

        self._reads_waiting += 1
        self._waiting.append((index, (LocalRead(reached, abandon, deadline),)))
        self._owner.touched(self)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.consensus.tick(now)
        if self._waiting:
            self._give_up_waiting(now)

    def _give_up_waiting(self, now: float) -> None:
        overdue = [read for _, reads in self._waiting for read in reads if read.deadline <= now]
        if overdue:
            still = [(index, tuple(read for read in reads if read.deadline > now)) for index, reads in self._waiting]
            self._waiting = [(index, reads) for index, reads in still if reads]
            for read in overdue:
                read.abandon()

    def read_applied(self, key: bytes, done: ReadDone) -> None:
        """Read what this replica has applied, without asking anybody; off the loop if a disk must be waited for."""
        try:
            done(self.machine.get(key, wait=False))
        except WouldBlockError:
            self._read_elsewhere(key, done)
        except EngineError as error:
            done(self._storage_failed(error))

    def read_many_applied(self, keys: Sequence[bytes], done: ManyReadDone) -> None:
        """As `read_applied`, of many keys; one that must wait for a disk has all of them read off the loop."""
        found: list[bytes | None] | RaftGroupError
        try:
            found = [self.machine.get(key, wait=False) for key in keys]
        except WouldBlockError:
            self._elsewhere(lambda: self.machine.get_many(keys), done)
            return
        except EngineError as error:
            found = self._storage_failed(error)
        done(found)

    def _read_elsewhere(self, key: bytes, done: ReadDone) -> None:
        self._elsewhere(lambda: self.machine.get(key, wait=True), done)

    def _elsewhere(self, job: Callable[[], ResultT], done: Callable[[ResultT | RaftGroupError], None]) -> None:
        """Read in a worker thread, if not too many reads wait already."""
        if self._reads_waiting >= READS_WAITING_MAX:
            done(self._too_many_reads())
            return

        def was_read(result: ResultT | BaseException) -> None:
            self._reads_waiting -= 1
            done(self._storage_failed(result) if isinstance(result, BaseException) else result)

        self._reads_waiting += 1
        self._owner.elsewhere(job, was_read)

    def scan_applied(self, span: Span, done: ScanDone) -> None:
        """Read the beginning of a Span of what this replica has applied, as of this call, off the loop."""
        try:
            job = self.machine.scan(span)
        except EngineError as error:
            done(self._storage_failed(error))
            return
        self._elsewhere(job, done)

    def leader_age(self, now: float) -> float | None:
        """Seconds since this replica knew for certain who leads: 0 for a leader; None, if it never knew."""
        if self.is_leader:
            return 0.0
        self.consensus.refresh(now)
        return self.consensus.absence(now)

    def staleness_ms(self, now: float) -> int:
        """How old what this replica has applied is, counted from when it last heard that it has all.

        What it heard may have been on its way for a while, by which it is older: BOUNDED alone proves an age. Until it
        has once held all that a leader had committed, it is the age of the newest entry, as far as clocks agree.
        """
        self.consensus.refresh(now)
        fresh_at = self.consensus.fresh_at
        if fresh_at is None:
            return self._time.age_ms(self.machine.clock_ms, self.machine.behind_ms, self.replicas)
        return max(0, int((now - fresh_at) * 1000))

    def turn(self, now: float, *, may_propose: bool) -> None:
        """The end of a loop turn: apply what is committed, propose what gathered, ask for reads."""
        consensus = self.consensus
        if consensus.is_asleep and self.is_leader and (self._pending or self._wish is not None or self._is_due()):
            consensus.wake(now)
        consensus.apply_committed()
        consensus.release_reads()
        if not consensus.is_leader:
            if self._pending or self._wish is not None:
                self._refuse_pending()
        elif (
            may_propose
            and (self._pending or self._wish is not None or not consensus.is_settled or self._is_due())
            and self._may_append()
            and not self._change_membership()
        ):
            self._propose_pending(now)
        consensus.launch_reads()
        if consensus.owes_reads and may_propose and self._may_append():
            # They were confirmed just now, by a majority of one; the entry that they wait for is the next turn's.
            self._owner.touched(self)
        if self._waiting:
            self._serve_waiting()

    def _may_append(self) -> bool:
        """One entry at a time: what arrives while it is on its way shares the next."""
        consensus = self.consensus
        return not consensus.is_transferring and consensus.applied_index == self.log.last_index

    def _is_due(self) -> bool:
        """Whether something has expired, which an entry must say: with little room, only where somebody must know."""
        owner = self._owner
        may_tell = not owner.is_full or (self.consensus.owes_reads and not owner.is_exhausted)
        due_ms = self.machine.agenda.next_ms
        return may_tell and due_ms < NEVER and due_ms <= self._now_ms()

    def due_ms(self) -> int:
        agenda = self.machine.agenda
        if agenda.next_ms == NEVER or self._owner.is_exhausted:
            return 0
        # What tokens are forgotten no reader can tell.
        now_ms = self._now_ms()
        return now_ms if agenda.expiring.next_ms <= now_ms else 0

    def has_told(self, until_ms: int) -> bool:
        # On a disk that takes no entry nobody can be made to wait for one.
        machine = self.machine
        return machine.clock_ms >= until_ms or machine.agenda.expiring.next_ms > until_ms or self._owner.is_exhausted

    def _now_ms(self) -> int:
        """State-machine time now, as this leader tells it."""
        return max(self.machine.clock_ms, self._time.tell(self.replicas))

    def time_ms(self) -> int:
        """State-machine time now, as near as this replica knows."""
        machine, consensus = self.machine, self.consensus
        if consensus.is_leader:
            return self._now_ms()
        return self._time.guess(machine.clock_ms, consensus.stored_at, machine.behind_ms, self.replicas)

    def due_in(self) -> float:
        """Seconds until something expires here, as far as clocks can tell; infinite, when nothing does."""
        due_ms = self.machine.agenda.next_ms
        return (due_ms - self._now_ms()) / 1000 if due_ms < NEVER else math.inf

    def hold_log(self) -> None:
        """Forget no entries: a follower will need those after the snapshot it is being sent."""
        self._holds += 1

    def release_log(self) -> None:
        self._holds -= 1

    def forget_flushed(self, tail_bytes: int | None = None) -> None:
        """Let go of entries that the engine has flushed, but for a tail that spares a short absence a snapshot."""
        if self._holds:
            return
        tail_bytes = TAIL_BYTES if tail_bytes is None else tail_bytes
        flushed = LogIndex(self.machine.engine.flushed_sequence)
        while self.log.bytes_in_memory > tail_bytes and self.log.first_index < flushed:
            step = max(1, (flushed - self.log.first_index) // 2)
            self.log.forget_before(LogIndex(self.log.first_index + step))

    def fail(self, error: BaseException) -> None:
        """Quarantine: this replica neither leads nor answers any more; the others go on."""
        log.error("partition %d stops on this node: %s", self.partition, error)
        self.stop(error)

    def stop(self, reason: BaseException) -> None:
        """Answer everybody who waits, and do nothing from now on."""
        self.failure = reason
        self.consensus.withdraw()
        self._refuse_pending()
        for _, dones in self._proposed.values():
            for done in dones:
                done(OutcomeUnknownError(f"the replica of partition {self.partition} stopped"))
        waiting = [read for _, reads in self._waiting for read in reads]
        self._proposed, self._waiting = {}, []
        for read in waiting:
            read.abandon()
        self.consensus.give_up_reads()

    @property
    def is_impaired(self) -> bool:
        """It leads only until another can: its tables are damaged, or there is no room for what it should write."""
        return self.damage is not None or self._owner.is_full or self.machine.engine.is_full

    @property
    def has_room(self) -> bool:
        return not self._owner.is_exhausted

    @property
    def is_slow(self) -> bool:
        return self._owner.is_slow

    def doubt(self, error: BaseException) -> None:
        """A read of the tables failed. If the disk is to blame, this replica leads only until another can."""
        if is_damage(error) and self.damage is None:
            log.error("partition %d is damaged on this node, which will not lead it: %s", self.partition, error)
            self.damage = error

    def restored(self, machine: StateMachine, now: float) -> None:
        """A snapshot took the state machine's place."""
        self.machine = machine
        self.damage = None
        self.consensus.snapshot_installed(machine.applied_index, machine.applied_term, self._configured(), now)
        skipped = [index for index in self._proposed if index <= machine.applied_index]
        for index in skipped:
            for done in self._proposed.pop(index)[1]:
                done(OutcomeUnknownError(f"partition {self.partition} was restored from a snapshot"))
        self._owner.touched(self)

    # What Consensus asks for.

    def send(self, peer: str, message: RaftMessage, generation: int) -> None:
        self._send(peer, message, generation)

    @property
    def may_rest(self) -> bool:
        is_waited_for = self.has_pending or self._proposed or self._waiting or self._wish is not None
        return not (is_waited_for or self._holds or self.is_impaired or self._is_due())

    def rest(self, term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        return self._owner.rest(self, term, index, followers)

    def woke(self) -> None:
        self._owner.woke(self)

    def contact(self, peer: str) -> Contact | None:
        return self._owner.contact(self, peer)

    def met_at(self, peer: str) -> float:
        return self._owner.met_at(peer)

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> None:
        results = self.machine.apply(index, term, payload)
        if self.on_applied is not None:
            self.on_applied()
        waiting = self._proposed.pop(index, None)
        if waiting is None:
            return
        proposed_term, dones = waiting
        if proposed_term == term:
            for done, result in zip(dones, results, strict=True):
                done(result)
        else:
            for done in dones:
                done(NotLeaderError(self.partition, self.leader))

    def no_op(self, absence: float | None) -> bytes:
        machine, log = self.machine, self.log
        newest_ms, behind_ms = machine.clock_ms, machine.behind_ms
        for index in range(machine.applied_index + 1, log.last_index + 1):
            told_ms, grace_ms = time_in(log.entry_at(LogIndex(index))[1])
            newest_ms, behind_ms = max(newest_ms, told_ms), behind_ms + grace_ms
        newest_at = self.consensus.stored_at if self.consensus.has_stored else None
        return encode_beginning(*self._time.begin(newest_ms, newest_at, behind_ms, self.replicas, absence))

    def may_serve(self, reads: Sequence[LocalRead], index: LogIndex) -> None:
        if self.consensus.applied_index >= index:
            for read in reads:
                read.serve()
        else:
            self._waiting.append((index, reads))
            self._owner.touched(self)

    def leader_changed(self) -> None:
        self._owner.touched(self)
        self._owner.leader_changed(self)

    def snapshot_needed(self, peer: str) -> None:
        self._owner.snapshot_needed(self, peer)

    def configured(self) -> None:
        self._owner.configured(self)

    def removed(self) -> None:
        self._owner.removed(self)

    def _refuse_pending(self) -> None:
        pending, self._pending = self._pending, []
        for _, _, done in pending:
            done(NotLeaderError(self.partition, self.leader))
        wish, self._wish = self._wish, None
        if wish is not None:
            wish[1](NotLeaderError(self.partition, self.leader))

    def _change_membership(self) -> bool:
        """Propose the target that somebody wishes, or the next step toward it; says whether it did."""
        consensus = self.consensus
        if self._wish is not None:
            if not consensus.may_change:
                return False
            (nodes, done), self._wish = self._wish, None
            now = consensus.configuration
            self._propose_configuration(Configuration(now.voters, now.learners, nodes), [done])
            return True
        step = consensus.next_configuration()
        if step is None:
            return False
        log.info("partition %d: voters %s, learners %s", self.partition, step.voters, step.learners)
        self._propose_configuration(step, [])
        return True

    def _propose_configuration(self, configuration: Configuration, dones: list[WriteDone]) -> None:
        term = self.consensus.term
        index = self.consensus.change(encode_configuration(self._now_ms(), configuration))
        if dones:
            self._proposed[index] = (term, dones)

    def _propose_pending(self, now: float) -> None:
        commands: list[bytes] = []
        dones: list[WriteDone] = []
        size = taken = 0
        for command, deadline, done in self._pending:
            if len(commands) == COMMANDS_PER_ENTRY_MAX or (commands and size + len(command) > ENTRY_BYTES_MAX):
                break
            taken += 1
            if deadline <= now:
                done(DeadlineError("the deadline passed before the command was proposed"))
                continue
            size += len(command)
            commands.append(command)
            dones.append(done)
        del self._pending[:taken]
        if commands or self._is_due():
            term = self.consensus.term
            index = self.consensus.propose(encode_entry(self._now_ms(), commands))
            self._proposed[index] = (term, dones)

    def _serve_waiting(self) -> None:
        applied = self.consensus.applied_index
        ready = [reads for index, reads in self._waiting if index <= applied]
        if ready:
            self._waiting = [(index, reads) for index, reads in self._waiting if index > applied]
            for reads in ready:
                for read in reads:
                    read.serve()

    @staticmethod
    def _no_room() -> StorageFullError:
        return StorageFullError(
            "this node has no room on its disk, or no file descriptor, for anything but reads and deletes"
        )

    def _too_many_writes(self) -> OverloadedError:
        return OverloadedError(f"partition {self.partition} has more writes waiting than it can take")

    def _too_many_reads(self) -> OverloadedError:
        return OverloadedError(f"partition {self.partition} has more reads waiting than it can take")

    def _storage_failed(self, error: BaseException) -> RaftGroupError:
        log.error("partition %d: read failed: %s", self.partition, error)
        self.doubt(error)
        return NotLeaderError(self.partition, None)


def _frees_space(command: bytes) -> bool:
    decoded = decode_command(command)
    return isinstance(
        decoded.command if isinstance(decoded, Once) else decoded, Delete | ConditionalDelete | DeleteRange
    )


def _error_in(command: bytes) -> RaftGroupError | None:
    try:
        check_command(command)
    except RaftGroupError as error:
        return error
    return None
