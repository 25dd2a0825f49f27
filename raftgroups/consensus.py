"""Consensus: Raft for one group, on PySyncObj. The only file that imports pysyncobj.

What stays PySyncObj's: the object and its life cycle, the Raft state it keeps (role, term,
vote, commit and applied index), and its seams for journal, transport and nodes. Here is nothing
but those seams. What a replica does at them is in driving, elections, following, leading and reads
(see core.py), and what is decided there is decided by the pure modules replication, votes,
readindex, membership, lease and reign.

Overridden, because the stock methods lose acknowledged writes (tests/raftgroups/audit.py has the
list, and a test for each):

    __onMessageReceived    own messages and handlers: terms and sequences on every reply,
                           only a conflict truncates, commit follows the verified match
    __sendAppendEntries    Progress per follower, pipelined, never below its match
    __onBecomeLeader       a fresh Reign, the no-op
    __applyLogEntries      the applied index moves before any callback can raise
    __setState             reads of a lost reign are given up
    _onTick                the whole tick: the election check (PreVote), CheckQuorum, heartbeats
    __raftLog              the journal is always ours, never one that PySyncObj makes

So nothing of the stock tick runs: not its commit scan (what is committed is counted when a reply
or a sync comes: Reign.committed), not its queue of commands, which outlives a leader and forwards,
not its log compaction and snapshots, which pickle and fork, not its poller. Its other public methods
have no effect: they queue what nobody takes, or find no other node, or are refused.

PySyncObj is told of no other node: who belongs to the group is what the log says (membership.py).
"""

import hashlib
import inspect
import random
from collections.abc import Callable
from typing import Any

from pysyncobj import SyncObj, SyncObjConf
from pysyncobj import syncobj as pysyncobj_module
from pysyncobj.node import Node
from pysyncobj.syncobj import _RAFT_STATE
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

from raftgroups.core import Role
from raftgroups.driving import Driving
from raftgroups.errors import HostError
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.membership import Configuration
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
from raftgroups.port import Port
from raftgroups.timing import Timing

PYSYNCOBJ_VERSION = "0.3.17"
PYSYNCOBJ_SHA256 = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"

_STATES = {
    Role.FOLLOWER: _RAFT_STATE.FOLLOWER,
    Role.CANDIDATE: _RAFT_STATE.CANDIDATE,
    Role.LEADER: _RAFT_STATE.LEADER,
}


def check_library() -> None:
    """Raises: HostError when the installed pysyncobj is not the one that this class was written against."""
    source = inspect.getsource(pysyncobj_module)
    digest = hashlib.sha256(source.encode()).hexdigest()
    if (VERSION, digest) != (PYSYNCOBJ_VERSION, PYSYNCOBJ_SHA256):
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


class Consensus(Driving, SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """One replica of one group.

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
        super().__init__(group, name, configured, log, applied, port, timing, rng, now)
        self._journal_seam = _JournalSeam(log)
        # Last of all, because the constructor looks at every attribute, properties included.
        conf = SyncObjConf(
            autoTick=False,
            commandsWaitLeader=False,
            appendEntriesUseBatch=True,
            dynamicMembershipChange=False,
        )
        SyncObj.__init__(self, Node(name), [], conf, nodeClass=Node, transport=_NoTransport())
        self._store_applied(applied)
        self._store_commit(applied)
        self._configuration_changed()
        self._note_configurations(LogIndex(applied + 1))
        self._await_leader()
        if self.configuration.voters == (name,):
            self._deadline = now
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

    # What the driver tells.

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._now = now
        self._onTick()

    def receive(self, sender: str, message: RaftMessage, now: float) -> None:
        """A message came. Raises: DivergedError; the replica must not be used any more."""
        if self.is_asleep and self._disturbs(message):
            self.wake(now)
        self._now = now
        self._SyncObj__onMessageReceived(sender, message)

    def apply_committed(self) -> None:
        self._SyncObj__applyLogEntries()

    # What PySyncObj keeps.

    @property
    def commit_index(self) -> LogIndex:
        return LogIndex(self._SyncObj__raftCommitIndex)

    @property
    def applied_index(self) -> LogIndex:
        return LogIndex(self._SyncObj__raftLastApplied)

    def _store_commit(self, index: LogIndex) -> None:
        self._SyncObj__raftCommitIndex = index

    def _store_applied(self, index: LogIndex) -> None:
        self._SyncObj__raftLastApplied = index

    def _set_term(self, term: int, vote: str | None) -> None:
        self._SyncObj__setCurrentTerm(term, vote)

    def _become(self, role: Role) -> None:
        self._SyncObj__setState(_STATES[role])

    def _become_leader(self) -> None:
        self._SyncObj__onBecomeLeader()

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
        self._replicate_to_all()

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        self._begin_reign()

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
            self._end_reign()

    def _onTick(self, timeToWait: float = 0.0) -> None:  # noqa: N802, N803, ARG002  # pysyncobj's signature
        self._pass_time()
