"""Consensus: Raft for one group, on PySyncObj. The only file that imports pysyncobj.

What stays PySyncObj's: the object and its life cycle, the Raft state it keeps (role, term,
vote, commit and applied index), and its seams for journal, transport and nodes. What is
decided here is decided by the pure modules replication, votes and readindex; this class
turns their verdicts into messages and log writes. Nothing here reads a clock, draws a random
number of its own, or touches a file, socket or thread.

Overridden, because the stock methods lose acknowledged writes (see tests/raftgroups/
test_stock_defects.py for each):

    __onMessageReceived    own messages and handlers: terms and sequences on every reply,
                           only a conflict truncates, commit follows the verified match
    __sendAppendEntries    Progress per follower, pipelined, never below its match
    __onBecomeLeader       fresh Progress and ReadIndex, the no-op
    __applyLogEntries      the applied index moves before any callback can raise
    __setState             reads of a lost reign are given up
    _onTick                election by PreVote, CheckQuorum, heartbeats; no polling
    __raftLog              the journal is always ours, never one that PySyncObj makes
"""

import hashlib
import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pysyncobj import SyncObj, SyncObjConf
from pysyncobj import syncobj as pysyncobj_module
from pysyncobj.node import Node
from pysyncobj.syncobj import _RAFT_STATE
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

from raftgroups.errors import DivergedError, HostError
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    RaftMessage,
    ReadIndexReply,
    ReadIndexRequest,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from raftgroups.readindex import Probe, ReadIndex, Serve
from raftgroups.replication import (
    Diverged,
    Progress,
    Reject,
    State,
    newest_not_after,
    quorum_match,
    reconcile,
)
from raftgroups.votes import Ballot, Tally, Voter, decide

PYSYNCOBJ_VERSION = "0.3.17"
PYSYNCOBJ_SHA256 = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"
APPEND_BYTES = 512 << 10
APPENDS_IN_FLIGHT = 16
NOTHING = LogIndex(0)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a group waits. All in seconds.

    election    a follower that hears no leader for a random time in this range stands
    failover    the same, once the link to the leader is lost
    heartbeat   between two heartbeats of a leader
    """

    election_seconds_min: float = 1.0
    election_seconds_max: float = 2.0
    failover_seconds_min: float = 0.05
    failover_seconds_max: float = 0.15
    heartbeat_seconds: float = 0.15


@dataclass(frozen=True, slots=True)
class LocalRead:
    """A read that waits on this node; `serve` is called when it may be answered, else `abandon`."""

    serve: Callable[[], None]
    abandon: Callable[[], None]


@dataclass(frozen=True, slots=True)
class RemoteRead:
    """Reads that wait on follower `node`, which knows them by `read`."""

    node: str
    read: int


Read = LocalRead | RemoteRead


class Port(Protocol):
    """What a Consensus needs done for it."""

    def send(self, peer: str, message: RaftMessage, generation: int) -> None:
        """Send once the node log has synced `generation`."""

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> None:
        """The entry is committed."""

    def no_op(self) -> bytes:
        """The payload of an entry without commands."""

    def may_serve(self, reads: Sequence[LocalRead], index: LogIndex) -> None:
        """Answer `reads` once `index` is applied."""

    def leader_changed(self) -> None:
        """Another leader, or none, is known now."""

    def snapshot_needed(self, peer: str) -> None:
        """`peer` lacks entries that are no longer in the log."""


def check_library() -> None:
    """Raises: HostError when the installed pysyncobj is not the one that this class was written against."""
    source = inspect.getsource(pysyncobj_module)
    if hashlib.sha256(source.encode()).hexdigest() != PYSYNCOBJ_SHA256:
        raise HostError(
            f"the installed pysyncobj ({VERSION}) is not the one that this program was checked with; "
            f"install pysyncobj=={PYSYNCOBJ_VERSION} unchanged"
        )


class _NoTransport(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Satisfies SyncObj's constructor: every message of ours leaves through the Port."""

    def __init__(self) -> None:
        super().__init__(None, None, [])


class _JournalSeam:
    """What SyncObj's constructor and __setCurrentTerm need of a journal."""

    def __init__(self, log: GroupLog) -> None:
        self._log = log

    def __len__(self) -> int:
        return self._log.last_index - self._log.first_index + 1

    def __getitem__(self, at: int) -> tuple[bytes, int, int]:
        index = LogIndex((self._log.last_index + 1 if at < 0 else self._log.first_index) + at)
        term, payload = self._log.entry_at(index)
        return payload, index, term

    def getCurrentTerm(self) -> int:  # noqa: N802  # pysyncobj's name
        return self._log.term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802  # pysyncobj's name
        return self._log.vote

    def getRaftCommitIndex(self) -> int:  # noqa: N802  # pysyncobj's name
        return self._log.first_index

    def setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802  # pysyncobj's name
        self._log.set_term(Term(term), vote)

    def _destroy(self) -> None:
        pass


class Consensus(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """One replica of one group.

    Invariant: term and vote, and every entry, are durable before a message that reflects
    them leaves, because each is sent with the generation of the node log that holds them.
    """

    def __init__(
        self,
        group: PartitionId,
        name: str,
        voters: Sequence[str],
        log: GroupLog,
        applied: LogIndex,
        port: Port,
        timing: Timing,
        rng: random.Random,
        now: float,
    ) -> None:
        assert name in voters, "a replica is one of its voters"
        self._log = log
        self._journal_seam = _JournalSeam(log)
        self._group = group
        self._name = name
        self._voters = tuple(voters)
        self._peers = tuple(voter for voter in voters if voter != name)
        self._port = port
        self._timing = timing
        self._rng = rng
        self._now = now
        self._connected: set[str] = set()
        self._tally: Tally | None = None
        self._contact: float | None = None
        self._fresh_at: float | None = None
        self._verified = applied
        self._progress: dict[str, Progress] = {}
        self._heard: dict[str, float] = {}
        self._reads: ReadIndex[Read] = ReadIndex(voters, name)
        self._asking: list[LocalRead] = []
        self._asked: dict[int, tuple[LocalRead, ...]] = {}
        self._asked_count = 0
        self._no_op_index = LogIndex(0)
        self._transfer: tuple[str, float] | None = None
        self._heartbeat_due = now
        self._announced_commit = applied
        self._leader: str | None = None
        self._patience = timing.election_seconds_max
        self.is_leader = False
        # Last of all, because the constructor looks at every attribute, properties included.
        conf = SyncObjConf(
            autoTick=False,
            commandsWaitLeader=False,
            appendEntriesUseBatch=True,
            dynamicMembershipChange=False,
        )
        super().__init__(
            Node(name), [Node(peer) for peer in self._peers], conf, nodeClass=Node, transport=_NoTransport()
        )
        self._SyncObj__raftLastApplied = applied
        self._SyncObj__raftCommitIndex = applied
        self._await_leader()
        if not self._peers:
            self._SyncObj__raftElectionDeadline = now
        self._handlers: dict[type[Any], Callable[[str, Any], None]] = {
            Append: self._on_append,
            AppendReply: self._on_append_reply,
            Heartbeat: self._on_heartbeat,
            HeartbeatReply: self._on_heartbeat_reply,
            VoteRequest: self._on_vote_request,
            VoteReply: self._on_vote_reply,
            TimeoutNow: self._on_timeout_now,
            ReadIndexRequest: self._on_read_index_request,
            ReadIndexReply: self._on_read_index_reply,
        }

    # What others may know.

    @property
    def term(self) -> Term:
        return self._log.term

    @property
    def leader(self) -> str | None:
        return self._leader

    @property
    def is_transferring(self) -> bool:
        return self._transfer is not None

    @property
    def commit_index(self) -> LogIndex:
        return LogIndex(self._SyncObj__raftCommitIndex)

    @property
    def applied_index(self) -> LogIndex:
        return LogIndex(self._SyncObj__raftLastApplied)

    @property
    def has_quorum_links(self) -> bool:
        """As many links are up as a majority needs."""
        return 2 * (len(self._connected) + 1) > len(self._voters)

    @property
    def fresh_at(self) -> float | None:
        """When this replica last held all that its leader had committed, None if it never did.

        For a leader: when a majority was last known to follow it.
        """
        if not self.is_leader:
            return self._fresh_at
        return sorted([self._now, *self._heard.values()])[(len(self._voters) - 1) // 2]

    def match_of(self, peer: str) -> LogIndex:
        progress = self._progress.get(peer)
        return progress.match if progress else LogIndex(0)

    # What the driver tells.

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._now = now
        self._onTick()

    def receive(self, sender: str, message: RaftMessage, now: float) -> None:
        """A message came. Raises: DivergedError; the replica must not be used any more."""
        self._now = now
        self._SyncObj__onMessageReceived(sender, message)

    def propose(self, payload: bytes) -> LogIndex:
        """Append an entry and send it. Only on a leader that is not handing over."""
        assert self.is_leader, "only a leader proposes"
        assert self._transfer is None, "not while it hands over"
        index = LogIndex(self._log.last_index + 1)
        self._log.write(index, [(self.term, payload)])
        self._SyncObj__sendAppendEntries()
        return index

    def read(self, read: LocalRead) -> None:
        """Have `read` served with the newest acknowledged write in sight; it leaves with the next launch."""
        if self.is_leader:
            self._reads.arrived(read)
        elif self._leader is None:
            read.abandon()
        else:
            self._asking.append(read)

    def launch_reads(self) -> None:
        """One round for all reads that arrived since the last: quorum echo on a leader, a question on a follower."""
        if self.is_leader:
            if self._reads.has_waiting:
                self._perform(self._reads.launch(max(self.commit_index, self._no_op_index)))
        elif self._asking and self._leader is not None:
            self._asked_count += 1
            self._asked[self._asked_count] = tuple(self._asking)
            self._asking = []
            self._send(self._leader, ReadIndexRequest(self._group, self.term, self._asked_count))

    def give_up_reads(self) -> None:
        """This replica stops: no read that waits here will be served."""
        for read in self._reads.abandon():
            self._refuse(read)
        self._abandon_asked()

    def apply_committed(self) -> None:
        self._SyncObj__applyLogEntries()

    def synced(self) -> None:
        """Entries of this log have reached the disk: the leader may count itself."""
        if self.is_leader:
            self._advance_leader_commit()

    def link_up(self, peer: str, now: float) -> None:
        self._now = now
        if peer not in self._peers:
            return
        self._connected.add(peer)
        if self.is_leader:
            self._heartbeat(peer)
            self._replicate(peer)
        elif self._leader is None:
            self._hurry()

    def link_lost(self, peer: str, now: float) -> None:
        self._now = now
        self._connected.discard(peer)
        if peer in self._progress:
            self._progress[peer].link_lost()
        if peer == self._leader:
            self._contact = None
            self._know_leader(None)
            self._hurry()

    def transfer(self, target: str, now: float) -> None:
        """Hand leadership to `target` as soon as it has every entry; proposals wait meanwhile."""
        self._now = now
        if self.is_leader and self._transfer is None and target in self._connected:
            self._transfer = (target, now + self._timing.election_seconds_min)
            self._hand_over()

    def snapshot_installed(self, index: LogIndex, term: Term, now: float) -> None:
        """The state machine jumped to `index`; the log starts after it."""
        self._now = now
        assert index > self.applied_index, "a snapshot never moves state back"
        if self._log.first_index <= index <= self._log.last_index and self._log.term_at(index) == term:
            # What follows is in the log of whoever made it, and may have been acknowledged: it stays.
            self._log.forget_before(index)
        else:
            self._log.reset(index, term)
        self._verified = max(self._verified, index)
        self._SyncObj__raftLastApplied = index
        self._SyncObj__raftCommitIndex = max(self.commit_index, index)

    def snapshot_sent(self, peer: str, index: LogIndex, now: float) -> None:
        """`peer` has installed a snapshot that ends at `index`."""
        self._now = now
        if self.is_leader and peer in self._progress:
            self._progress[peer].snapshot_installed(index)
            self._replicate(peer)

    def snapshot_failed(self, peer: str) -> None:
        if peer in self._progress:
            self._progress[peer].snapshot_failed()

    # PySyncObj's seams.

    @property
    def _SyncObj__raftLog(self) -> _JournalSeam:  # noqa: N802  # pysyncobj's name
        return self._journal_seam

    @_SyncObj__raftLog.setter
    def _SyncObj__raftLog(self, made_by_pysyncobj: object) -> None:  # noqa: N802  # pysyncobj's name
        """The constructor's own journal is not used."""

    def _SyncObj__onMessageReceived(self, sender: str, message: RaftMessage) -> None:  # noqa: N802
        if sender in self._peers:
            self._handlers[type(message)](sender, message)

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        for peer in self._peers:
            self._replicate(peer)

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        self._tally = None
        self._SyncObj__setState(_RAFT_STATE.LEADER)
        self._progress = {peer: Progress(LogIndex(self._log.last_index + 1)) for peer in self._peers}
        self._heard = dict.fromkeys(self._peers, self._now)
        self._reads = ReadIndex(self._voters, self._name)
        self._no_op_index = LogIndex(self._log.last_index + 1)
        self._log.write(self._no_op_index, [(self.term, self._port.no_op())])
        self._know_leader(self._name)
        self._announce()
        self._SyncObj__sendAppendEntries()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        while self._SyncObj__raftLastApplied < self._SyncObj__raftCommitIndex:
            index = LogIndex(self._SyncObj__raftLastApplied + 1)
            term, payload = self._log.entry_at(index)
            self._SyncObj__raftLastApplied = index
            self._port.apply(index, Term(term), payload)
        return False

    def _SyncObj__setState(self, state: int) -> None:  # noqa: N802
        was_leader, self.is_leader = self.is_leader, state == _RAFT_STATE.LEADER
        self._SyncObj__raftState = state
        if was_leader and not self.is_leader:
            self._progress = {}
            self._transfer = None
            for read in self._reads.abandon():
                self._refuse(read)

    def _onTick(self, timeToWait: float = 0.0) -> None:  # noqa: N802, N803, ARG002  # pysyncobj's signature
        if self.is_leader:
            self._check_quorum()
        if self.is_leader:
            if self._transfer is not None and self._now >= self._transfer[1]:
                self._transfer = None
            if self._now >= self._heartbeat_due or self.commit_index > self._announced_commit:
                self._announce()
            self._SyncObj__sendAppendEntries()
        elif self._now >= self._SyncObj__raftElectionDeadline:
            self._stand()

    # Elections.

    def _stand(self) -> None:
        """Ask for a forecast first: a term is used up only for an election that can be won (thesis, 9.6)."""
        self._know_leader(None)
        self._await_leader()
        self._campaign(probe=True, transfer=False)

    def _campaign(self, *, probe: bool, transfer: bool) -> None:
        if probe:
            term = Term(self.term + 1)
        else:
            self._SyncObj__setState(_RAFT_STATE.CANDIDATE)
            self._SyncObj__setCurrentTerm(self.term + 1, self._name)
            term = self.term
        self._tally = Tally(term, self._voters, probe=probe, transfer=transfer)
        request = VoteRequest(self._group, term, self._log.last_index, self._log.last_term, probe, transfer)
        for peer in self._peers:
            self._send(peer, request)
        self._count_vote(self._tally, self._name)

    def _count_vote(self, tally: Tally, voter: str) -> None:
        tally.grant(voter)
        if not tally.is_won:
            return
        if tally.probe:
            self._campaign(probe=False, transfer=tally.transfer)
        else:
            self._SyncObj__onBecomeLeader()

    def _on_vote_request(self, sender: str, request: VoteRequest) -> None:
        log = self._log
        voter = Voter(self.term, log.vote, log.last_term, log.last_index, self._hears_leader())
        ballot = decide(voter, sender, request)
        if ballot.granted and request.probe and self._outbids(sender, request):
            ballot = Ballot(granted=False, adopt=False)
        if ballot.adopt:
            self._step_down(Term(request.term))
        if ballot.granted and not request.probe:
            self._SyncObj__setCurrentTerm(request.term, sender)
            self._await_leader()
        term = request.term if ballot.granted else self.term
        self._send(sender, VoteReply(self._group, term, request.probe, ballot.granted))

    def _outbids(self, rival: str, request: VoteRequest) -> bool:
        """Two forecasts crossed. One gives way, or each would vote for itself and nobody be elected."""
        tally = self._tally
        if tally is None or not tally.probe or tally.term != request.term:
            return False
        log = self._log
        if (log.last_term, log.last_index, self._name) > (request.last_term, request.last_index, rival):
            return True
        self._tally = None
        return False

    def _on_vote_reply(self, sender: str, reply: VoteReply) -> None:
        tally = self._tally
        if not reply.granted:
            self._step_down(Term(reply.term))
        elif tally is not None and tally.probe == reply.probe and tally.term == reply.term:
            self._count_vote(tally, sender)

    def _on_timeout_now(self, sender: str, message: TimeoutNow) -> None:
        if message.term == self.term and sender == self._leader:
            self._campaign(probe=False, transfer=True)

    def _hears_leader(self) -> bool:
        if self.is_leader:
            return True
        if self._leader is None or self._contact is None:
            return False
        return self._now - self._contact < self._timing.election_seconds_min

    def _await_leader(self) -> None:
        """Start the election timer anew."""
        timing = self._timing
        self._patience = self._rng.uniform(timing.election_seconds_min, timing.election_seconds_max)
        self._SyncObj__raftElectionDeadline = self._now + self._patience

    def _hurry(self) -> None:
        """Something says that an election is needed, or may now succeed: stand soon."""
        soon = self._now + self._rng.uniform(self._timing.failover_seconds_min, self._timing.failover_seconds_max)
        self._SyncObj__raftElectionDeadline = min(self._SyncObj__raftElectionDeadline, soon)

    # Following.

    def _step_down(self, term: Term) -> None:
        """Adopt a higher term; a lower or equal one says nothing."""
        if term > self.term:
            self._tally = None
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(_RAFT_STATE.FOLLOWER)
            self._know_leader(None)
            self._await_leader()

    def _follow(self, leader: str, term: int) -> None:
        self._contact = self._now
        self._SyncObj__raftElectionDeadline = self._now + self._patience
        if leader == self._leader and term == self._log.term and self._tally is None:
            return
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, None)
            # What matched the same leader's log in an older reign may have changed in between.
            self._verified = self.commit_index
        self._SyncObj__setState(_RAFT_STATE.FOLLOWER)
        self._tally = None
        if self._leader != leader:
            self._verified = self.commit_index
            self._know_leader(leader)
        self._await_leader()

    def _know_leader(self, leader: str | None) -> None:
        if self._leader == leader:
            return
        self._leader = leader
        self._abandon_asked()
        self._port.leader_changed()

    def _abandon_asked(self) -> None:
        reads = [read for asked in self._asked.values() for read in asked] + self._asking
        self._asked, self._asking = {}, []
        for read in reads:
            read.abandon()

    def _on_append(self, sender: str, message: Append) -> None:
        log = self._log
        if message.term < log.term:
            self._reply_append(sender, message, ok=False, match=NOTHING, hint=log.last_index)
            return
        self._follow(sender, message.term)
        prev = LogIndex(message.prev_index)
        terms = [term for term, _ in message.entries]
        verdict = reconcile(log, self.commit_index, prev, message.prev_term, terms)
        if isinstance(verdict, Diverged):
            raise DivergedError(
                f"partition {self._group}: leader {sender} of term {message.term} "
                f"contradicts committed entry {verdict.index}"
            )
        if isinstance(verdict, Reject):
            self._reply_append(sender, message, ok=False, match=NOTHING, hint=verdict.index)
            return
        if verdict.skip < len(terms):
            log.write(LogIndex(prev + 1 + verdict.skip), message.entries[verdict.skip :])
        self._verified = max(self._verified, verdict.match)
        self._commit_up_to(message.commit)
        self._reply_append(sender, message, ok=True, match=verdict.match, hint=NOTHING)

    def _reply_append(self, leader: str, message: Append, *, ok: bool, match: LogIndex, hint: LogIndex) -> None:
        log = self._log
        hint_term = 0 if ok else log.term_at(hint)
        reply = AppendReply(self._group, log.term, message.sequence, ok, match, hint, hint_term)
        self._port.send(leader, reply, max(log.entry_generation, log.term_generation))

    def _on_heartbeat(self, sender: str, message: Heartbeat) -> None:
        if message.term < self.term:
            # Its round is of an older reign, perhaps of the same leader: an echo would confirm a newer one.
            self._send(sender, HeartbeatReply(self._group, self.term, 0))
            return
        self._follow(sender, message.term)
        self._commit_up_to(message.commit)
        self._send(sender, HeartbeatReply(self._group, self.term, message.round))

    def _commit_up_to(self, leader_commit: int) -> None:
        """What the leader has committed is committed here as far as the logs are known to be equal."""
        if leader_commit <= self._verified:
            self._fresh_at = self._now
        commit = LogIndex(min(leader_commit, self._verified))
        if commit > self.commit_index:
            self._SyncObj__raftCommitIndex = commit

    # Leading.

    def _check_quorum(self) -> None:
        """A leader that a majority has not answered for an election timeout is none (thesis, 6.2)."""
        horizon = self._now - self._timing.election_seconds_max
        heard = 1 + sum(1 for at in self._heard.values() if at > horizon)
        if 2 * heard <= len(self._voters):
            self._SyncObj__setState(_RAFT_STATE.FOLLOWER)
            self._know_leader(None)
            self._await_leader()

    def _announce(self) -> None:
        self._heartbeat_due = self._now + self._timing.heartbeat_seconds
        self._announced_commit = self.commit_index
        for peer in self._peers:
            self._heartbeat(peer)

    def _heartbeat(self, peer: str) -> None:
        self._send(peer, Heartbeat(self._group, self.term, self.commit_index, self._reads.round))

    def _replicate(self, peer: str) -> None:
        """Send what `peer` lacks, as far as its window goes."""
        progress = self._progress.get(peer)
        if progress is None or peer not in self._connected:
            return
        log, last = self._log, self._log.last_index
        while progress.next_index <= last or progress.state is not State.REPLICATE:
            if not progress.may_send(self._now, self._timing.heartbeat_seconds, APPENDS_IN_FLIGHT):
                return
            prev = LogIndex(progress.next_index - 1)
            if prev < log.first_index:
                progress.snapshot_needed()
                self._port.snapshot_needed(peer)
                return
            entries = log.entries_from(progress.next_index, APPEND_BYTES) if prev < last else []
            sequence = progress.sent(LogIndex(prev + len(entries)), self._now)
            append = Append(self._group, self.term, prev, log.term_at(prev), entries, self.commit_index, sequence)
            self._port.send(peer, append, log.entry_generation)

    def _on_append_reply(self, sender: str, reply: AppendReply) -> None:
        if reply.term != self._log.term or not self.is_leader:
            self._step_down(Term(reply.term))
            return
        self._heard[sender] = self._now
        progress = self._progress[sender]
        if reply.ok:
            if progress.accepted(reply.sequence, LogIndex(reply.match)) and reply.match > self.commit_index:
                self._advance_leader_commit()
            self._hand_over()
        elif reply.hint_index < self._log.first_index:
            if progress.state is not State.SNAPSHOT:
                progress.snapshot_needed()
                self._port.snapshot_needed(sender)
        else:
            meeting = newest_not_after(self._log, LogIndex(reply.hint_index), Term(reply.hint_term))
            progress.rejected(reply.sequence, meeting)
        self._replicate(sender)

    def _on_heartbeat_reply(self, sender: str, reply: HeartbeatReply) -> None:
        self._step_down(Term(reply.term))
        if self.is_leader and reply.term == self.term:
            self._heard[sender] = self._now
            self._perform(self._reads.echoed(sender, reply.round))

    def _advance_leader_commit(self) -> None:
        """Commit what a majority has on disk, once that includes an entry of this term (thesis, 3.6.2)."""
        matches = [self._log.durable_index, *(progress.match for progress in self._progress.values())]
        index = quorum_match(matches)
        if index > self.commit_index and self._log.term_at(index) == self._log.term:
            self._SyncObj__raftCommitIndex = index

    def _hand_over(self) -> None:
        if self._transfer is not None:
            target = self._transfer[0]
            if self._progress[target].match == self._log.last_index:
                self._send(target, TimeoutNow(self._group, self.term))

    # Reads.

    def _perform(self, effects: Sequence[Probe | Serve[Read]]) -> None:
        for effect in effects:
            if isinstance(effect, Probe):
                for peer in self._peers:
                    self._heartbeat(peer)
            else:
                self._serve(effect)

    def _serve(self, effect: Serve[Read]) -> None:
        local = []
        for read in effect.reads:
            if isinstance(read, LocalRead):
                local.append(read)
            else:
                self._send(
                    read.node, ReadIndexReply(self._group, self.term, read.read, effect.index, self.commit_index)
                )
        if local:
            self._port.may_serve(local, effect.index)

    def _on_read_index_request(self, sender: str, request: ReadIndexRequest) -> None:
        """A follower's question is itself an echo: it had this term after its reads arrived.

        Where leader and follower are a majority, nobody else need be asked.
        """
        self._step_down(Term(request.term))
        read = RemoteRead(sender, request.read)
        if not self.is_leader or request.term != self.term:
            self._refuse(read)
        elif len(self._voters) <= 3:
            self._heard[sender] = self._now
            self._serve(Serve((read,), max(self.commit_index, self._no_op_index)))
        else:
            self._reads.arrived(read)

    def _on_read_index_reply(self, sender: str, reply: ReadIndexReply) -> None:  # noqa: ARG002  # as all handlers
        self._step_down(Term(reply.term))
        reads = self._asked.pop(reply.read, ())
        if reply.index and reply.term == self.term:
            self._commit_up_to(reply.commit)
            self._port.may_serve(reads, LogIndex(reply.index))
        else:
            for read in reads:
                read.abandon()

    def _refuse(self, read: Read) -> None:
        if isinstance(read, LocalRead):
            read.abandon()
        else:
            self._send(read.node, ReadIndexReply(self._group, self.term, read.read, 0, 0))

    def _send(self, peer: str, message: RaftMessage) -> None:
        """Send what reflects the term and vote, but no entries."""
        self._port.send(peer, message, self._log.term_generation)
