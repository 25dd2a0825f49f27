"""RaftGroup: this node's replica of one partition, from proposal to state machine."""

import logging
import random
from collections.abc import Callable, Sequence

from engine import EngineError, WouldBlockError
from raftgroups.command import Written, encode_entry
from raftgroups.consensus import Consensus, LocalRead, Port, Timing
from raftgroups.errors import (
    DeadlineError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    RaftGroupError,
    StorageFullError,
)
from raftgroups.ids import COMMANDS_PER_ENTRY_MAX, LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.messages import RaftMessage
from raftgroups.statemachine import StateMachine

log = logging.getLogger("ringkv.group")

ENTRY_BYTES_MAX = 256 << 10
PENDING_COMMANDS_MAX = 16_384
TAIL_BYTES = 1 << 20

WriteDone = Callable[[Written | RaftGroupError], None]
ReadDone = Callable[[bytes | RaftGroupError | None], None]
"""Told the encoded Item, or None for an absent key, or why there is no answer."""


class RaftGroup(Port):
    """One replica. All calls come from the event loop's thread.

    send       hands a message for a peer to the transport, with the generation it waits for
    touched    tells the host that this group has something to do at the turn's end
    is_full    says that the node log has no room
    elsewhere  runs a function in a worker thread and gives its result, or exception, to a callback
    """

    def __init__(
        self,
        partition: PartitionId,
        name: str,
        replicas: Sequence[str],
        group_log: GroupLog,
        machine: StateMachine,
        *,
        timing: Timing,
        rng: random.Random,
        now: float,
        clock_ms: Callable[[], int],
        send: Callable[[str, RaftMessage, int], None],
        touched: Callable[["RaftGroup"], None],
        is_full: Callable[[], bool],
        elsewhere: Callable[[Callable[[], bytes | None], Callable[[bytes | BaseException | None], None]], None],
        leader_changed: Callable[["RaftGroup"], None],
        snapshot_needed: Callable[["RaftGroup", str], None],
    ) -> None:
        self.partition = partition
        self.replicas = tuple(replicas)
        self.log = group_log
        self.machine = machine
        self._clock_ms = clock_ms
        self._send = send
        self._touched = touched
        self._is_full = is_full
        self._elsewhere = elsewhere
        self._leader_changed = leader_changed
        self._snapshot_needed = snapshot_needed
        self._pending: list[tuple[bytes, float, WriteDone]] = []
        self._proposed: dict[LogIndex, tuple[Term, list[WriteDone]]] = {}
        self._waiting: list[tuple[LogIndex, Sequence[LocalRead]]] = []
        self._holds = 0
        self.failure: BaseException | None = None
        self.consensus = Consensus(partition, name, replicas, group_log, machine.applied_index, self, timing, rng, now)

    @property
    def leader(self) -> str | None:
        return self.consensus.leader

    @property
    def is_leader(self) -> bool:
        return self.consensus.is_leader and self.failure is None

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def propose(self, command: bytes, deadline: float, done: WriteDone) -> None:
        """Have an encoded command applied; `done` is told what became of it.

        It joins the next entry. A command still waiting for one at `deadline` is not proposed.
        """
        if not self.is_leader:
            done(NotLeaderError(self.partition, self.leader))
        elif self._is_full():
            done(StorageFullError("this node has no room on its disk for writes; reads still work"))
        elif len(self._pending) >= PENDING_COMMANDS_MAX or self.machine.engine.is_stalled:
            done(OverloadedError(f"partition {self.partition} has more writes waiting than it can take"))
        else:
            self._pending.append((command, deadline, done))
            self._touched(self)

    def read(self, key: bytes, done: ReadDone) -> None:
        """Read the newest acknowledged Item under `key`."""

        def abandon() -> None:
            done(NotLeaderError(self.partition, self.leader))

        self.consensus.read(LocalRead(lambda: self.read_applied(key, done), abandon))
        self._touched(self)

    def read_applied(self, key: bytes, done: ReadDone) -> None:
        """Read what this replica has applied, without asking anybody; off the loop if a disk must be waited for."""
        try:
            done(self.machine.get(key, wait=False))
        except WouldBlockError:
            self._elsewhere(
                lambda: self.machine.get(key, wait=True),
                lambda result: done(self._storage_failed(result) if isinstance(result, BaseException) else result),
            )
        except EngineError as error:
            done(self._storage_failed(error))

    def staleness_ms(self, now: float) -> int:
        """A bound on the age of what this replica has applied.

        Until it has once held all that a leader had committed, the newest entry's clock is the
        bound, as far as the nodes' clocks agree.
        """
        fresh_at = self.consensus.fresh_at
        if fresh_at is None:
            return max(0, self._clock_ms() - self.machine.clock_ms)
        return max(0, int((now - fresh_at) * 1000))

    def turn(self, now: float, *, may_propose: bool) -> None:
        """The end of a loop turn: apply what is committed, propose what gathered, ask for reads."""
        consensus = self.consensus
        consensus.apply_committed()
        if self._pending:
            if not consensus.is_leader:
                pending, self._pending = self._pending, []
                for _, _, done in pending:
                    done(NotLeaderError(self.partition, self.leader))
            elif may_propose and not consensus.is_transferring and consensus.applied_index == self.log.last_index:
                # One entry at a time: what arrives while it is on its way shares the next.
                self._propose_pending(now)
        consensus.launch_reads()
        if self._waiting:
            self._serve_waiting()

    def hold_log(self) -> None:
        """Forget no entries: a follower will need those after the snapshot it is being sent."""
        self._holds += 1

    def release_log(self) -> None:
        self._holds -= 1

    def forget_flushed(self) -> None:
        """Let go of entries that the engine has flushed, but for a tail that spares a short absence a snapshot."""
        if self._holds:
            return
        flushed = LogIndex(self.machine.engine.flushed_sequence)
        while self.log.bytes_in_memory > TAIL_BYTES and self.log.first_index < flushed:
            step = max(1, (flushed - self.log.first_index) // 2)
            self.log.forget_before(LogIndex(self.log.first_index + step))

    def fail(self, error: BaseException) -> None:
        """Quarantine: this replica neither leads nor answers any more; the others go on."""
        self.failure = error
        log.error("partition %d stops on this node: %s", self.partition, error)
        for _, _, done in self._pending:
            done(NotLeaderError(self.partition, None))
        for _, dones in self._proposed.values():
            for done in dones:
                done(OutcomeUnknownError(f"the replica of partition {self.partition} stopped"))
        waiting = [read for _, reads in self._waiting for read in reads]
        self._pending, self._proposed, self._waiting = [], {}, []
        for read in waiting:
            read.abandon()
        self.consensus.give_up_reads()

    def restored(self, machine: StateMachine, now: float) -> None:
        """A snapshot took the state machine's place."""
        self.machine = machine
        self.consensus.snapshot_installed(machine.applied_index, machine.applied_term, now)
        skipped = [index for index in self._proposed if index <= machine.applied_index]
        for index in skipped:
            for done in self._proposed.pop(index)[1]:
                done(OutcomeUnknownError(f"partition {self.partition} was restored from a snapshot"))
        self._touched(self)

    # What Consensus asks for.

    def send(self, peer: str, message: RaftMessage, generation: int) -> None:
        self._send(peer, message, generation)

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> None:
        results = self.machine.apply(index, term, payload)
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

    def no_op(self) -> bytes:
        return encode_entry(self._clock_ms(), [])

    def may_serve(self, reads: Sequence[LocalRead], index: LogIndex) -> None:
        if self.consensus.applied_index >= index:
            for read in reads:
                read.serve()
        else:
            self._waiting.append((index, reads))
            self._touched(self)

    def leader_changed(self) -> None:
        self._touched(self)
        self._leader_changed(self)

    def snapshot_needed(self, peer: str) -> None:
        self._snapshot_needed(self, peer)

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
        if commands:
            term = self.consensus.term
            index = self.consensus.propose(encode_entry(self._clock_ms(), commands))
            self._proposed[index] = (term, dones)

    def _serve_waiting(self) -> None:
        applied = self.consensus.applied_index
        ready = [reads for index, reads in self._waiting if index <= applied]
        if ready:
            self._waiting = [(index, reads) for index, reads in self._waiting if index > applied]
            for reads in ready:
                for read in reads:
                    read.serve()

    def _storage_failed(self, error: BaseException) -> RaftGroupError:
        log.error("partition %d: read failed: %s", self.partition, error)
        return NotLeaderError(self.partition, None)
