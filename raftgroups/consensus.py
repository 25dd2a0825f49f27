"""Consensus: Raft for one group, on PySyncObj. The only file that imports pysyncobj.

What stays PySyncObj's: the object and its life cycle, the Raft state it keeps (role, term,
vote, commit and applied index), and its seams for journal, transport and nodes. What is
decided here is decided by the pure modules replication, votes, readindex, membership, lease
and reign; this class turns their verdicts into messages and log writes. Nothing here reads a clock, draws a random
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

PySyncObj is told of no other node: who belongs to the group is what the log says (membership.py).
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

from raftgroups.command import configuration_in
from raftgroups.errors import DivergedError, HostError
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog, StoredEntry
from raftgroups.lease import NEVER
from raftgroups.membership import Configuration, Configurations, is_single_step, next_step
from raftgroups.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    RaftMessage,
    ReadIndexReply,
    ReadIndexRequest,
    Removed,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from raftgroups.readindex import Probe, Questions, Serve
from raftgroups.reign import Reign
from raftgroups.replication import Diverged, Reject, State, newest_not_after, reconcile
from raftgroups.votes import Ballot, Tally, Voter, decide, outbids

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
    lease       how long a majority's promises let a leader answer `lease` reads without asking
                (lease.py); 0 is never, and then the loss of a link makes an election at once
    """

    election_seconds_min: float = 1.0
    election_seconds_max: float = 2.0
    failover_seconds_min: float = 0.05
    failover_seconds_max: float = 0.15
    heartbeat_seconds: float = 0.15
    lease_seconds: float = 0.0


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

    def configured(self) -> None:
        """Another configuration is committed."""

    def removed(self) -> None:
        """The leader says that this node is no member any more, and that this is committed."""

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

    is_leader         it leads, as far as it knows
    has_quorum_links  as many links are up as a majority needs
    is_voter          the configuration in force counts this node in majorities

    Invariant: term and vote, and every entry, are durable before a message that reflects
    them leaves, because each is sent with the generation of the node log that holds them.
    """

    def __init__(
        self,
        group: PartitionId,
        name: str,
        configured: tuple[LogIndex, Configuration],
        log: GroupLog,
        applied: LogIndex,
        port: Port,
        timing: Timing,
        rng: random.Random,
        now: float,
    ) -> None:
        """`configured` is the configuration as of `applied`; those of later entries are read from the log."""
        self._log = log
        self._journal_seam = _JournalSeam(log)
        self._group = group
        self._name = name
        self._port = port
        self._timing = timing
        self._rng = rng
        self._now = now
        self._connected: set[str] = set()
        self._configurations = Configurations(*configured)
        self._peers: tuple[str, ...] = ()
        self._tally: Tally | None = None
        self._reign: Reign[Read] | None = None
        self._questions: Questions[LocalRead] = Questions()
        self._contact: float | None = None
        # A promise made before a restart is kept: see lease.py.
        self._promised_at = now if timing.lease_seconds else NEVER
        self._fresh_at: float | None = None
        self._verified = applied
        self._leader: str | None = None
        self._patience = timing.election_seconds_max
        self.is_leader = False
        self.has_quorum_links = False
        self.is_voter = False
        # Last of all, because the constructor looks at every attribute, properties included.
        conf = SyncObjConf(
            autoTick=False,
            commandsWaitLeader=False,
            appendEntriesUseBatch=True,
            dynamicMembershipChange=False,
        )
        super().__init__(Node(name), [], conf, nodeClass=Node, transport=_NoTransport())
        self._SyncObj__raftLastApplied = applied
        self._SyncObj__raftCommitIndex = applied
        self._configuration_changed()
        self._note_configurations(LogIndex(applied + 1))
        self._await_leader()
        if self.configuration.voters == (name,):
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
            Removed: self._on_removed,
        }

    # What others may know.

    @property
    def term(self) -> Term:
        return self._log.term

    @property
    def leader(self) -> str | None:
        return self._leader

    @property
    def configuration(self) -> Configuration:
        """The one in force: the newest in the log, committed or not."""
        return self._configurations.current

    @property
    def committed_configuration(self) -> tuple[LogIndex, Configuration]:
        return self._configurations.committed

    @property
    def is_member(self) -> bool:
        """Whether the committed configuration names this node, or one after it does."""
        return self._configurations.names(self._name)

    @property
    def is_transferring(self) -> bool:
        return self._reign is not None and self._reign.successor is not None

    @property
    def may_change(self) -> bool:
        """Whether a change of membership may be proposed: no other is in flight, and this reign has committed.

        Source: Ongaro's mail of 2015 on the bug in single-server changes, for the second half.
        """
        reign = self._reign
        return (
            reign is not None
            and reign.successor is None
            and not self._configurations.is_pending(self.commit_index)
            and self.commit_index >= reign.no_op_index
        )

    @property
    def commit_index(self) -> LogIndex:
        return LogIndex(self._SyncObj__raftCommitIndex)

    @property
    def applied_index(self) -> LogIndex:
        return LogIndex(self._SyncObj__raftLastApplied)

    @property
    def fresh_at(self) -> float | None:
        """When this replica last held all that its leader had committed, None if it never did.

        For a leader: when a majority was last known to follow it.
        """
        return self._fresh_at if self._reign is None else self._reign.followed_at(self._now)

    def match_of(self, peer: str) -> LogIndex:
        progress = self._reign.progress.get(peer) if self._reign else None
        return progress.match if progress else LogIndex(0)

    def has_lease(self, now: float) -> bool:
        """Whether all that is committed here is all that is committed anywhere, at `now` on this node's clock."""
        reign = self._reign
        return (
            reign is not None
            and reign.lease.is_valid(self.configuration.voters, now)
            and self.commit_index >= reign.no_op_index
        )

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
        assert not self.is_transferring, "not while it hands over"
        index = LogIndex(self._log.last_index + 1)
        self._log.write(index, [(self.term, payload)])
        self._note_configurations(index)
        self._SyncObj__sendAppendEntries()
        return index

    def next_configuration(self) -> Configuration | None:
        """The next step toward the target, when one can be taken now."""
        if self._reign is None or self.configuration.is_settled or not self.may_change:
            return None
        heard = self._reign.heard_since(self._now - self._timing.election_seconds_max)
        caught_up = self._reign.caught_up(self._log.last_index)
        return next_step(self.configuration, self._name, caught_up, heard)

    def change(self, payload: bytes) -> LogIndex:
        """Append an entry that holds a configuration, one step from the one in force."""
        configuration = configuration_in(payload)
        assert configuration is not None, "an entry of its own"
        assert self.may_change, "one change at a time"
        assert is_single_step(self.configuration, configuration), "one voter at a time"
        return self.propose(payload)

    def read(self, read: LocalRead) -> None:
        """Have `read` served with the newest acknowledged write in sight; it leaves with the next launch."""
        if self._reign is not None:
            self._reign.reads.arrived(read)
        elif self._leader is None:
            read.abandon()
        else:
            self._questions.arrived(read)

    def launch_reads(self) -> None:
        """One round for all reads that arrived since the last: quorum echo on a leader, a question on a follower."""
        reign = self._reign
        if reign is not None:
            if reign.reads.has_waiting:
                self._perform(reign.reads.launch(max(self.commit_index, reign.no_op_index)))
        elif self._questions.has_waiting and self._leader is not None:
            self._send(self._leader, ReadIndexRequest(self._group, self.term, self._questions.ask()))

    def give_up_reads(self) -> None:
        """This replica stops: no read that waits here will be served."""
        if self._reign is not None:
            for read in self._reign.reads.abandon():
                self._refuse(read)
        self._abandon_questions()

    def apply_committed(self) -> None:
        self._SyncObj__applyLogEntries()

    def synced(self) -> None:
        """Entries of this log have reached the disk: the leader may count itself."""
        if self._reign is not None:
            self._advance_leader_commit(self._reign)

    def link_up(self, peer: str, now: float) -> None:
        self._now = now
        self._connected.add(peer)
        self._count_links()
        if self._reign is not None:
            if peer in self._peers:
                self._heartbeat(peer)
                self._replicate(peer)
        elif self._leader is None:
            self._hurry()

    def link_lost(self, peer: str, now: float) -> None:
        self._now = now
        self._connected.discard(peer)
        self._count_links()
        if self._reign is not None and peer in self._reign.progress:
            self._reign.progress[peer].link_lost()
        if peer == self._leader:
            self._contact = None
            self._know_leader(None)
            self._hurry()

    def transfer(self, target: str, now: float) -> None:
        """Hand leadership to `target` as soon as it has every entry; proposals wait meanwhile."""
        self._now = now
        reign = self._reign
        if reign is None or reign.successor is not None or target == self._name:
            return
        if target in self._connected and target in self.configuration.voters:
            reign.successor = (target, now + self._timing.election_seconds_min)
            self._hand_over(reign)

    def snapshot_installed(
        self, index: LogIndex, term: Term, configured: tuple[LogIndex, Configuration], now: float
    ) -> None:
        """The state machine jumped to `index`, with the configuration as of there; the log starts after it."""
        self._now = now
        assert index > self.applied_index, "a snapshot never moves state back"
        log = self._log
        is_known = log.first_index <= index <= log.last_index and log.term_at(index) == term
        if is_known:
            # What follows is in the log of whoever made it, and may have been acknowledged: it stays.
            log.forget_before(index)
        else:
            log.reset(index, term)
        self._verified = max(self._verified, index)
        self._SyncObj__raftLastApplied = index
        self._configurations.restored(*configured, index, keeps_log=is_known)
        self._configuration_changed()
        self._set_commit(max(self.commit_index, index))

    def snapshot_sent(self, peer: str, index: LogIndex, now: float) -> None:
        """`peer` has installed a snapshot that ends at `index`."""
        self._now = now
        if self._reign is not None and peer in self._reign.progress:
            self._reign.progress[peer].snapshot_installed(index)
            self._replicate(peer)

    def snapshot_failed(self, peer: str) -> None:
        if self._reign is not None and peer in self._reign.progress:
            self._reign.progress[peer].snapshot_failed()

    # PySyncObj's seams.

    @property
    def _SyncObj__raftLog(self) -> _JournalSeam:  # noqa: N802  # pysyncobj's name
        return self._journal_seam

    @_SyncObj__raftLog.setter
    def _SyncObj__raftLog(self, made_by_pysyncobj: object) -> None:  # noqa: N802  # pysyncobj's name
        """The constructor's own journal is not used."""

    def _SyncObj__onMessageReceived(self, sender: str, message: RaftMessage) -> None:  # noqa: N802
        self._handlers[type(message)](sender, message)

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        for peer in self._peers:
            self._replicate(peer)

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        self._tally = None
        last, lease_seconds = self._log.last_index, self._timing.lease_seconds
        self._reign = Reign(self._name, self.term, self.configuration, last, self._now, lease_seconds)
        self._SyncObj__setState(_RAFT_STATE.LEADER)
        self._know_leader(self._name)
        self.propose(self._port.no_op())
        self._announce(self._reign)

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
            assert self._reign is not None, "a leader has a reign"
            reign, self._reign = self._reign, None
            for read in reign.reads.abandon():
                self._refuse(read)

    def _onTick(self, timeToWait: float = 0.0) -> None:  # noqa: N802, N803, ARG002  # pysyncobj's signature
        if self._reign is not None:
            self._check_quorum(self._reign)
        if self._reign is not None:
            self._lead(self._reign)
        elif self._now >= self._SyncObj__raftElectionDeadline:
            self._stand()

    # Membership.

    def _note_configurations(self, first: LogIndex) -> None:
        """The log has changed from `first` on: what it says of the membership is in force at once (thesis, 4.1)."""
        log, configurations = self._log, self._configurations
        changed = configurations.truncated(first)
        for index in range(first, log.last_index + 1):
            configuration = configuration_in(log.entry_at(LogIndex(index))[1])
            if configuration is not None:
                configurations.appended(LogIndex(index), configuration)
                changed = True
        if changed:
            self._configuration_changed()

    def _configuration_changed(self) -> None:
        configuration = self.configuration
        self._peers = tuple(member for member in configuration.members if member != self._name)
        self.is_voter = self._name in configuration.voters
        self._count_links()
        reign = self._reign
        if reign is not None:
            reign.reconfigure(configuration, self._log.last_index, self._now)
            self._perform(reign.reads.reconfigure(configuration.voters))

    def _count_links(self) -> None:
        self.has_quorum_links = self.configuration.is_majority((self._name, *self._connected))

    def _set_commit(self, index: LogIndex) -> None:
        self._SyncObj__raftCommitIndex = index
        if self._configurations.commit(index):
            self._port.configured()
            reign = self._reign
            if reign is not None and self._name not in self.configuration.voters:
                self._resign(reign)

    def _resign(self, reign: Reign[Read]) -> None:
        """This leader's own removal is committed: it was the last thing to do for it (thesis, 4.2.2)."""
        successor = reign.best_successor()
        if successor is not None:
            self._send(successor, TimeoutNow(self._group, self.term))
        self._abdicate()

    def _on_removed(self, sender: str, message: Removed) -> None:  # noqa: ARG002  # as all handlers
        """Believed because links are first in, first out: a later addition by this leader comes after it."""
        self._step_down(Term(message.term))
        if message.term == self.term and message.index > self._configurations.index and self._reign is None:
            self._port.removed()

    # Elections.

    def _stand(self) -> None:
        """Ask for a forecast first: a term is used up only for an election that can be won (thesis, 9.6).

        Who may not lead asks too, and cannot win: a leader that knows better tells it that it was removed.
        """
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
        request = VoteRequest(self._group, term, self._log.last_index, self._log.last_term, probe, transfer)
        self._tally = Tally(request, self.configuration.voters)
        for peer in self._peers:
            self._send(peer, request)
        self._count_vote(self._tally, self._name)

    def _count_vote(self, tally: Tally, voter: str) -> None:
        tally.grant(voter)
        if not tally.is_won or not self._configurations.may_lead(self._name):
            return
        if tally.request.probe:
            self._campaign(probe=False, transfer=tally.request.transfer)
        else:
            self._SyncObj__onBecomeLeader()

    def _on_vote_request(self, sender: str, request: VoteRequest) -> None:
        if self._reign is not None and self._is_stranger(sender):
            index = self._configurations.index
            self._send(sender, Removed(self._group, self.term, index))
            return
        log = self._log
        voter = Voter(self.term, log.vote, log.last_term, log.last_index, self._is_bound())
        ballot = decide(voter, sender, request)
        if not self.is_member:
            # It has lost, or never had, the log that its vote would vouch for.
            ballot = Ballot(granted=False, adopt=False)
        if ballot.granted and request.probe and self._outbids(sender, request):
            ballot = Ballot(granted=False, adopt=False)
        if ballot.adopt:
            self._step_down(Term(request.term))
        if ballot.granted and not request.probe:
            self._SyncObj__setCurrentTerm(request.term, sender)
            self._await_leader()
        term = request.term if ballot.granted else self.term
        self._send(sender, VoteReply(self._group, term, request.probe, ballot.granted))

    def _is_stranger(self, node: str) -> bool:
        """Whether it is committed that `node` is no member, and no change of that is in flight."""
        return node not in self.configuration.members and not self._configurations.is_pending(self.commit_index)

    def _outbids(self, rival: str, request: VoteRequest) -> bool:
        """Two forecasts crossed: whether this one goes first."""
        tally = self._tally
        if tally is None or not tally.request.probe or tally.request.term != request.term:
            return False
        if outbids(tally.request, self._name, request, rival):
            return True
        self._tally = None
        return False

    def _on_vote_reply(self, sender: str, reply: VoteReply) -> None:
        tally = self._tally
        if not reply.granted:
            self._step_down(Term(reply.term))
        elif tally is not None and tally.is_for(reply):
            self._count_vote(tally, sender)

    def _on_timeout_now(self, sender: str, message: TimeoutNow) -> None:
        if message.term == self.term and sender == self._leader and self._configurations.may_lead(self._name):
            self._campaign(probe=False, transfer=True)

    def _is_bound(self) -> bool:
        """Whether this node votes for nobody now, unless its leader asks for it: it hears one, or keeps a promise."""
        return (
            self._reign is not None
            or self._now < self._promised_at + self._timing.election_seconds_min
            or (
                self._leader is not None
                and self._contact is not None
                and self._now - self._contact < self._timing.election_seconds_min
            )
        )

    def _await_leader(self) -> None:
        """Start the election timer anew."""
        timing = self._timing
        self._patience = self._rng.uniform(timing.election_seconds_min, timing.election_seconds_max)
        self._SyncObj__raftElectionDeadline = self._now + self._patience

    def _hurry(self) -> None:
        """Something says that an election is needed, or may now succeed: stand soon, but keep a promise."""
        timing = self._timing
        soon = self._now + self._rng.uniform(timing.failover_seconds_min, timing.failover_seconds_max)
        soon = max(soon, self._promised_at + timing.election_seconds_min)
        self._SyncObj__raftElectionDeadline = min(self._SyncObj__raftElectionDeadline, soon)

    # Following.

    def _step_down(self, term: Term) -> None:
        """Adopt a higher term; a lower or equal one says nothing."""
        if term > self.term:
            self._tally = None
            self._SyncObj__setCurrentTerm(term, None)
            self._abdicate()

    def _abdicate(self) -> None:
        """Follow nobody, for now."""
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
        self._abandon_questions()
        self._port.leader_changed()

    def _abandon_questions(self) -> None:
        for read in self._questions.abandon():
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
            self._store(LogIndex(prev + 1 + verdict.skip), message.entries[verdict.skip :])
        self._verified = max(self._verified, verdict.match)
        self._commit_up_to(message.commit)
        self._reply_append(sender, message, ok=True, match=verdict.match, hint=NOTHING)

    def _store(self, first: LogIndex, entries: Sequence[StoredEntry]) -> None:
        self._log.write(first, entries)
        self._note_configurations(first)

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
        promises = self._timing.lease_seconds > 0
        if promises:
            self._promised_at = self._now
        self._send(sender, HeartbeatReply(self._group, self.term, message.round, promises))

    def _commit_up_to(self, leader_commit: int) -> None:
        """What the leader has committed is committed here as far as the logs are known to be equal."""
        if leader_commit <= self._verified:
            self._fresh_at = self._now
        commit = LogIndex(min(leader_commit, self._verified))
        if commit > self.commit_index:
            self._set_commit(commit)

    # Leading.

    def _lead(self, reign: Reign[Read]) -> None:
        """What a leader does when time has passed, or something was committed."""
        if reign.successor is not None and self._now >= reign.successor[1]:
            reign.successor = None
        if self._now >= reign.heartbeat_due or self.commit_index > reign.announced:
            self._announce(reign)
        self._SyncObj__sendAppendEntries()

    def _check_quorum(self, reign: Reign[Read]) -> None:
        """A leader that a majority has not answered for an election timeout is none (thesis, 6.2)."""
        if reign.followed_at(self._now) <= self._now - self._timing.election_seconds_max:
            self._abdicate()

    def _announce(self, reign: Reign[Read]) -> None:
        reign.heartbeat_due = self._now + self._timing.heartbeat_seconds
        reign.announced = self.commit_index
        if reign.lease.is_wanted:
            reign.lease.sent(reign.reads.next_round(), self._now)
        for peer in self._peers:
            self._heartbeat(peer)

    def _heartbeat(self, peer: str) -> None:
        assert self._reign is not None, "a leader has a reign"
        self._send(peer, Heartbeat(self._group, self.term, self.commit_index, self._reign.reads.round))

    def _replicate(self, peer: str) -> None:
        """Send what `peer` lacks, as far as its window goes."""
        progress = self._reign.progress.get(peer) if self._reign is not None else None
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
        reign = self._reign
        if reply.term != self._log.term or reign is None:
            self._step_down(Term(reply.term))
            return
        reign.heard(sender, self._now)
        progress = reign.progress.get(sender)
        if progress is None:
            return
        if reply.ok:
            if progress.accepted(reply.sequence, LogIndex(reply.match)) and reply.match > self.commit_index:
                self._advance_leader_commit(reign)
            self._hand_over(reign)
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
        reign = self._reign
        if reign is not None and reply.term == self.term:
            reign.heard(sender, self._now)
            if reply.promise:
                reign.lease.promised(sender, reply.round)
            self._perform(reign.reads.echoed(sender, reply.round))

    def _advance_leader_commit(self, reign: Reign[Read]) -> None:
        index = reign.committed(self._log.durable_index, self.commit_index, self._log.term_at)
        if index > self.commit_index:
            self._set_commit(index)

    def _hand_over(self, reign: Reign[Read]) -> None:
        if reign.successor is not None:
            successor = reign.successor[0]
            if reign.progress[successor].match == self._log.last_index:
                # From here on another may be elected at any time, in spite of every promise.
                reign.lease.forfeit()
                self._send(successor, TimeoutNow(self._group, self.term))

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
        reign = self._reign
        if reign is None or request.term != self.term:
            self._refuse(read)
        elif reign.may_be_sole(sender):
            reign.heard(sender, self._now)
            self._serve(Serve((read,), max(self.commit_index, reign.no_op_index)))
        else:
            reign.reads.arrived(read)

    def _on_read_index_reply(self, sender: str, reply: ReadIndexReply) -> None:  # noqa: ARG002  # as all handlers
        self._step_down(Term(reply.term))
        reads = self._questions.answered(reply.read)
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
