"""Reign: what a leader knows, from its election until it steps down.

Pure bookkeeping: whom it has heard, what each follower has, which reads wait, who shall take
over. Source: Ongaro 2014, sections 3.6.2 (commit), 3.10 (transfer), 6.2 (CheckQuorum).
"""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

from raftgroups.ids import LogIndex, Term
from raftgroups.lease import NEVER, Lease
from raftgroups.membership import Configuration
from raftgroups.readindex import ReadIndex
from raftgroups.replication import REPLICATE, Progress, quorum_match

ReadT = TypeVar("ReadT")

CAUGHT_UP_ENTRIES = 8


class Reign(Generic[ReadT]):
    """One leader in one term.

    progress         what each other member has of the log
    no_op_index      of the entry that opened the reign; nothing is known to be committed before it is
    announced        the commit index that the last heartbeats carried
    busy_at          when somebody last asked for something, or the group woke
    successor        who shall lead next, and until when to wait for it
    """

    def __init__(
        self,
        leader: str,
        term: Term,
        configuration: Configuration,
        last_index: LogIndex,
        now: float,
        lease_seconds: float,
    ) -> None:
        self.term = term
        self.no_op_index = LogIndex(last_index + 1)
        self.progress: dict[str, Progress] = {}
        # The consensus tells it of other voters itself, as that may let reads be served.
        self.reads: ReadIndex[ReadT] = ReadIndex(configuration.voters, leader)
        self.lease = Lease(leader, lease_seconds)
        self.heartbeat_due = now
        self.announced = LogIndex(0)
        self.busy_at = now
        self.successor: tuple[str, float] | None = None
        self._leader = leader
        self._heard: dict[str, float] = {}
        self._without_room: set[str] = set()
        self._configuration = configuration
        self.reconfigure(configuration, last_index, now)

    def reconfigure(self, configuration: Configuration, last_index: LogIndex, now: float) -> None:
        """Another configuration is in force; what is known of those who stay is kept."""
        others = [member for member in configuration.members if member != self._leader]
        self._configuration = configuration
        self.progress = {member: self.progress.get(member) or Progress(LogIndex(last_index + 1)) for member in others}
        self._heard = {member: self._heard.get(member, now) for member in others}
        self._soles = frozenset(member for member in others if configuration.is_majority((self._leader, member)))
        if self.successor is not None and self.successor[0] not in configuration.voters:
            self.successor = None

    def heard(self, member: str, now: float) -> None:
        if now > self._heard.get(member, math.inf):
            self._heard[member] = now

    def told_of_room(self, member: str, has_room: bool) -> None:
        if has_room:
            self._without_room.discard(member)
        else:
            self._without_room.add(member)

    def can_do_without_leader(self) -> bool:
        """Whether the others alone could elect one of them: a majority, each with room on its disk for a vote."""
        return self._configuration.is_majority(set(self._configuration.voters) - {self._leader} - self._without_room)

    def heard_since(self, horizon: float) -> frozenset[str]:
        """Who answered after `horizon`, the leader included."""
        return frozenset([self._leader, *(member for member, at in self._heard.items() if at > horizon)])

    def followed_at(self, now: float) -> float:
        """When a majority was last known to follow, the leader counting as following itself now."""
        times = [now if voter == self._leader else self._heard[voter] for voter in self._configuration.voters]
        return sorted(times)[(len(times) - 1) // 2]

    def committed(self, durable: LogIndex, commit: LogIndex, term_at: Callable[[LogIndex], Term]) -> LogIndex:
        """The newest index that is committed for certain; `commit` is known to be, and may stand for all before it.

        A majority of the voters has it on disk, and it is of this term: what earlier leaders
        left is committed along with it, never alone.
        """
        progress = self.progress
        index = quorum_match(
            [durable if voter == self._leader else progress[voter].match for voter in self._configuration.voters]
        )
        # A new voter with little of the log makes this fall below what other voters have committed.
        return index if index > commit and term_at(index) == self.term else commit

    def caught_up(self, last_index: LogIndex) -> frozenset[str]:
        """Members whose log lacks but a few entries, so that promoting them delays nothing."""
        return frozenset(
            member
            for member, progress in self.progress.items()
            if progress.state is REPLICATE and progress.match + CAUGHT_UP_ENTRIES >= last_index
        )

    def may_be_sole(self, follower: str) -> bool:
        """Whether leader and `follower` alone are a majority."""
        return follower in self._soles

    def successors(self) -> list[str]:
        """The other voters, for a leader that must go: who has most of the log comes first."""
        voters = [voter for voter in self._configuration.voters if voter != self._leader]
        voters.sort(key=lambda voter: (self.progress[voter].match, self._heard.get(voter, NEVER)), reverse=True)
        return voters
