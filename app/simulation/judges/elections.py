"""Who leads: one leader a term, elected by votes that a majority has on disk."""

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change, Replica
from app.simulation.judges.rule import Rule
from raftgroups import PartitionId, Term


class Elections(Rule):
    """Election safety (thesis, figure 3.2), and the votes behind it."""

    name = "one leader per term"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._leaders: dict[tuple[PartitionId, Term], str] = {}
        self._votes: dict[tuple[PartitionId, Term], dict[str, str]] = {}

    def changed(self, change: Change) -> None:
        now, before, replica = change.now, change.before, change.replica
        reign = (replica.partition, now.term)
        for term, candidate in change.votes:
            self._voted(replica, term, candidate)
        if now.is_certain and now.vote is not None:
            self._voted(replica, now.term, now.vote)
        if now.is_leader and (change.is_start or before is None or not before.is_leader or before.term != now.term):
            self._elected(change, reign)

    def _voted(self, replica: Replica, term: Term, candidate: str) -> None:
        """The vote is on disk: from now on the candidate may count it, even if the node has gone on to another term."""
        first = self._votes.setdefault((replica.partition, term), {}).setdefault(replica.node, candidate)
        if first != candidate:
            raise self.broken(f"{replica} gave two votes in term {term}: to {first} and to {candidate}")

    def _elected(self, change: Change, reign: tuple[PartitionId, Term]) -> None:
        self.checked += 1
        replica, now = change.replica, change.now
        leader = self._leaders.setdefault(reign, replica.node)
        if leader != replica.node:
            raise self.broken(f"{leader} and {replica.node} both lead partition {reign[0]} in term {reign[1]}")
        voters = now.voters
        votes = self._votes.get(reign, {})
        behind = [voter for voter in voters if votes.get(voter) == replica.node]
        # Who votes alone leads at once: whatever it commits is on its disk, and so is its vote by then.
        if 2 * len(behind) <= len(voters) and voters != (replica.node,):
            raise self.broken(
                f"{replica} leads in term {now.term} with the votes of {behind} on disk, of {list(voters)}"
            )
