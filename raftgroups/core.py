"""Core: what the parts of a replica's consensus share.

    Core ─┬─ Elections                      votes, PreVote, removal                 (elections.py)
          └─ Rest                           sleep while nothing happens             (rest.py)
              └─ Reads ── Configuring ─┬─ Following     appends, heartbeats         (following.py)
                                       └─ Leading       replication, commit, transfer (leading.py)

Each part answers the messages of its kind. Together they are Driving, which is told of time, links
and syncs (driving.py), and with PySyncObj's seams Consensus (consensus.py). None of them reads a
clock, draws a random number of its own, or touches a file, socket or thread: time comes with every
call, and what must be done goes through the Port.
"""

import random
from abc import ABC, abstractmethod
from enum import Enum

from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog
from raftgroups.lease import NEVER
from raftgroups.membership import Configuration, Configurations
from raftgroups.messages import RaftMessage
from raftgroups.port import LocalRead, Port, Read
from raftgroups.readindex import Questions
from raftgroups.reign import Reign
from raftgroups.timing import Timing
from raftgroups.votes import Tally

# Of each group of a crowd, for an election: it takes about so much of a processor.
CROWD_SECONDS = 0.001


class Role(Enum):
    """What a replica does at the moment."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Core(ABC):
    """The state of one replica, beside what PySyncObj keeps of it.

    leader            who leads, None when it knows of nobody
    is_leader         it leads, as far as it knows
    is_voter          the configuration in force counts this node in majorities
    is_settled        the configuration in force is the one that was wished for
    has_quorum_links  as many links are up as a majority needs
    is_asleep         it is not told of time
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
        self._log = log
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
        # When there was a leader last, as far as this node knows for certain; not when it heard of one.
        self._led_at = NEVER
        # When the newest entry came, as far as this node was there.
        self._stored_at = now
        self._has_stored = False
        # Up to here the log is known to equal the leader's.
        self._verified = applied
        self._was_told_to_go = False
        self._patience = timing.election_seconds_max
        self._deadline = now
        self.leader: str | None = None
        self.is_leader = False
        self.is_voter = False
        self.is_settled = True
        self.has_quorum_links = False
        self.is_asleep = False

    # What others may know.

    @property
    def term(self) -> Term:
        return self._log.term

    @property
    @abstractmethod
    def commit_index(self) -> LogIndex: ...

    @property
    @abstractmethod
    def applied_index(self) -> LogIndex: ...

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
    def is_removed(self) -> bool:
        """Whether the group goes on without this node, as far as it has heard: it may have been added again since."""
        return self._was_told_to_go or (self.committed_configuration[0] > 0 and not self.is_member)

    @property
    def stored_at(self) -> float:
        """When the newest entry of the log came, or this replica was opened, if that was later."""
        return self._stored_at

    @property
    def has_stored(self) -> bool:
        """Whether the newest entry of the log came by itself, since this replica was opened."""
        return self._has_stored

    def absence(self, now: float) -> float | None:
        """For how many seconds this node has heard of no leader; None if it never did."""
        return None if self._led_at == NEVER else max(0.0, now - self._led_at)

    # What PySyncObj keeps or starts.

    @abstractmethod
    def _become(self, role: Role) -> None: ...

    @abstractmethod
    def _become_leader(self) -> None: ...

    @abstractmethod
    def _set_term(self, term: int, vote: str | None) -> None: ...

    @abstractmethod
    def _store_commit(self, index: LogIndex) -> None: ...

    @abstractmethod
    def _store_applied(self, index: LogIndex) -> None: ...

    # What one part asks of another.

    @abstractmethod
    def _commit_up_to(self, leader_commit: int) -> None:
        """Following: the leader has committed so far."""

    @abstractmethod
    def _heartbeat(self, peer: str) -> None:
        """Leading: tell `peer` that this term is still ours."""

    @abstractmethod
    def _follow(self, leader: str, term: int) -> None:
        """Following: a leader of this term, or a newer one, has spoken."""

    @abstractmethod
    def _resign(self, reign: Reign[Read]) -> None:
        """Leading: this leader's own removal is committed."""

    # What all do.

    def _await_leader(self) -> None:
        """Start the election timer anew."""
        timing = self._timing
        self._patience = self._rng.uniform(timing.election_seconds_min, timing.election_seconds_max)
        self._deadline = self._now + self._patience

    def _hurry(self, crowd: int = 1) -> None:
        """Something says that an election is needed, or may now succeed: stand soon, but keep a promise.

        Where a crowd of groups here hurries at once they take turns, so that elections do not delay each other.
        """
        timing = self._timing
        last = max(timing.failover_seconds_max, timing.failover_seconds_min + crowd * CROWD_SECONDS)
        soon = self._now + self._rng.uniform(timing.failover_seconds_min, last)
        soon = max(soon, self._promised_at + timing.election_seconds_min)
        self._deadline = min(self._deadline, soon)

    def _step_down(self, term: Term) -> None:
        """Adopt a higher term; a lower or equal one says nothing."""
        if term > self.term:
            self._tally = None
            self._set_term(term, None)
            self._abdicate()

    def _abdicate(self) -> None:
        """Follow nobody, for now."""
        self._become(Role.FOLLOWER)
        self._know_leader(None)
        self._await_leader()

    def _know_leader(self, leader: str | None) -> None:
        if self.leader == leader:
            return
        self.leader = leader
        self._abandon_questions()
        self._port.leader_changed()

    def _abandon_questions(self) -> None:
        for read in self._questions.abandon():
            read.abandon()

    def _send(self, peer: str, message: RaftMessage) -> None:
        """Send what reflects the term and vote, but no entries."""
        self._port.send(peer, message, self._log.term_generation)
