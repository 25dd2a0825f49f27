"""Elections: who stands, who votes, and who is told that it was removed.

Source: Ongaro 2014, sections 3.4, 3.6.1, 3.10 (transfer), 4.2.3 and 9.6 (PreVote, stickiness).
"""

from collections.abc import Iterable

from raftgroups.core import Core, Role
from raftgroups.ids import Term
from raftgroups.messages import Removed, TimeoutNow, VoteReply, VoteRequest
from raftgroups.votes import Ballot, Tally, Voter, decide, outbids


class Elections(Core):
    """A replica as a candidate and as a voter."""

    def _stand(self) -> None:
        """Ask for a forecast first: a term is used up only for an election that can be won (thesis, 9.6)."""
        self._know_leader(None)
        self._await_leader()
        self._campaign(probe=True, transfer=False)

    def _campaign(self, *, probe: bool, transfer: bool) -> None:
        asked: Iterable[str] = self._peers
        if probe:
            term = Term(self.term + 1)
            # Members that joined while this node was away may lead now, and tell it if it was removed.
            asked = sorted({*self._peers, *self._connected})
        else:
            self._know_leader(None)
            self._become(Role.CANDIDATE)
            self._set_term(self.term + 1, self._name)
            term = self.term
        request = VoteRequest(self._group, term, self._log.last_index, self._log.last_term, probe, transfer)
        self._tally = Tally(request, self.configuration.voters, self._now)
        for peer in asked:
            self._send(peer, request)
        self._count_vote(self._tally, self._name, self.absence(self._now))

    def _count_vote(self, tally: Tally, voter: str, absence: float | None) -> None:
        tally.grant(voter, absence)
        if not tally.is_won or not self._configurations.may_lead(self._name):
            return
        if tally.request.probe:
            self._campaign(probe=False, transfer=tally.request.transfer)
        else:
            self._become_leader()

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
            self._set_term(request.term, sender)
            # A forecast of its own would depose the leader that this vote may make.
            self._tally = None
            self._await_leader()
        term = request.term if ballot.granted else self.term
        absence = self.absence(self._now) if ballot.granted else None
        absence_ms = None if absence is None else int(absence * 1000)
        self._send(sender, VoteReply(self._group, term, request.probe, ballot.granted, absence_ms))

    def _is_stranger(self, node: str) -> bool:
        """Whether it is committed that `node` is no member, and no change of that is in flight."""
        return node not in self.configuration.members and not self._configurations.is_pending(self.commit_index)

    def _outbids(self, rival: str, request: VoteRequest) -> bool:
        """Two forecasts crossed: whether this one goes first.

        One that has waited for its answers much longer than they take has failed. It must not stand in the way
        of others until its own turn comes again: where each node reaches a bare majority, all of it must agree.
        """
        tally = self._tally
        if tally is None or not tally.request.probe or tally.request.term != request.term:
            return False
        if self._now > tally.begun + self._timing.failover_seconds_max:
            return False
        if outbids(tally.request, self._name, request, rival):
            return True
        self._tally = None
        return False

    def _on_vote_reply(self, sender: str, reply: VoteReply) -> None:
        tally = self._tally
        if not reply.granted:
            is_late = tally is not None and reply.term > self.term
            self._step_down(Term(reply.term))
            if is_late:
                # Its term may be all that was wrong with this candidacy.
                self._hurry()
        elif tally is not None and tally.is_for(reply):
            self._count_vote(tally, sender, None if reply.absence_ms is None else reply.absence_ms / 1000)

    def _on_timeout_now(self, sender: str, message: TimeoutNow) -> None:
        is_fit = self._configurations.may_lead(self._name) and not self._port.is_impaired
        if message.term == self.term and sender == self.leader and is_fit:
            self._campaign(probe=False, transfer=True)

    def _is_bound(self) -> bool:
        """Whether this node votes for nobody now, unless its leader asks for it: it hears one, or keeps a promise."""
        return (
            self._reign is not None
            or self._now < self._promised_at + self._timing.election_seconds_min
            or (
                self.leader is not None
                and self._contact is not None
                and self._now - self._contact < self._timing.election_seconds_min
            )
        )

    def _on_removed(self, sender: str, message: Removed) -> None:  # noqa: ARG002  # as all handlers
        """Believed because links are first in, first out: a later addition by this leader comes after it."""
        self._step_down(Term(message.term))
        if message.term == self.term and message.index > self._configurations.index and self._reign is None:
            self._was_told_to_go = True
            self._port.removed()
