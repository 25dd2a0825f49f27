"""Elections: who gets a vote, and when enough have been given.

Source: Ongaro 2014, sections 3.4, 3.6.1 (the up-to-date check), 4.2.3 and 9.6 (PreVote and
leader stickiness).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from raftgroups.ids import LogIndex, Term
from raftgroups.messages import VoteReply, VoteRequest


@dataclass(frozen=True, slots=True)
class Voter:
    """What a voter knows when it is asked.

    vote          the candidate it gave its vote of `term` to, if any
    last_term, last_index   of the last entry in its log
    has_leader    a leader was heard within the shortest election timeout, and its link is up
    """

    term: Term
    vote: str | None
    last_term: Term
    last_index: LogIndex
    has_leader: bool


@dataclass(frozen=True, slots=True)
class Ballot:
    """The voter's answer. With `adopt` its term becomes the request's first, its vote free again."""

    granted: bool
    adopt: bool


def decide(voter: Voter, candidate: str, request: VoteRequest) -> Ballot:
    """Answer a PreVote or a vote.

    Invariant: at most one vote a term (the caller makes it durable before the answer leaves),
    and none to a candidate that lacks an entry this voter has. A voter that hears a live
    leader neither votes nor adopts the term, so that a node cut off for a while cannot
    depose the leader when it returns.
    """
    if request.term < voter.term or (voter.has_leader and not request.transfer):
        return Ballot(granted=False, adopt=False)
    up_to_date = (request.last_term, request.last_index) >= (voter.last_term, voter.last_index)
    if request.probe:
        return Ballot(granted=up_to_date and request.term > voter.term, adopt=False)
    adopt = request.term > voter.term
    free = adopt or voter.vote in (None, candidate)
    return Ballot(granted=up_to_date and free, adopt=adopt)


def outbids(mine: VoteRequest, my_name: str, theirs: VoteRequest, their_name: str) -> bool:
    """Whether my forecast for the same term goes before theirs, when both crossed on the way.

    One gives way, or each would vote for itself and nobody be elected. Both sides decide alike.
    """
    return (mine.last_term, mine.last_index, my_name) > (theirs.last_term, theirs.last_index, their_name)


class Tally:
    """The votes for one candidacy, counted by voter, never twice.

    request    what the voters are asked
    begun      when, on this node's clock
    absence    for how many seconds nobody has led, as far as those know who granted it; None: nobody knows
    """

    def __init__(self, request: VoteRequest, voters: Iterable[str], begun: float) -> None:
        self.request = request
        self.begun = begun
        self._voters = frozenset(voters)
        self._granted: set[str] = set()
        self.absence: float | None = None

    def grant(self, voter: str, absence: float | None = None) -> None:
        if voter in self._voters:
            self._granted.add(voter)
            if absence is not None:
                self.absence = absence if self.absence is None else min(absence, self.absence)

    def is_for(self, reply: VoteReply) -> bool:
        """Whether the reply is to this candidacy, and not to an older one."""
        return (reply.term, reply.probe) == (self.request.term, self.request.probe)

    @property
    def is_won(self) -> bool:
        return 2 * len(self._granted) > len(self._voters)
