"""Elections: who gets a vote, and when enough have been given.

Source: Ongaro 2014, sections 3.4, 3.6.1 (the up-to-date check), 4.2.3 and 9.6 (PreVote and
leader stickiness).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from raftgroups.ids import LogIndex, Term
from raftgroups.messages import VoteRequest


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


class Tally:
    """The votes for one candidacy, counted by voter, never twice.

    probe    a forecast (PreVote) or the election itself
    """

    def __init__(self, term: Term, voters: Iterable[str], *, probe: bool, transfer: bool = False) -> None:
        self.term = term
        self.probe = probe
        self.transfer = transfer
        self._voters = frozenset(voters)
        self._granted: set[str] = set()

    def grant(self, voter: str) -> None:
        if voter in self._voters:
            self._granted.add(voter)

    @property
    def is_won(self) -> bool:
        return 2 * len(self._granted) > len(self._voters)
