"""Hard state: the term never goes back, and neither it nor the vote is forgotten once it is on disk."""

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change, Replica
from app.simulation.judges.rule import Rule
from raftgroups import Term

HardState = tuple[Term, str | None]


class Terms(Rule):
    """Term and vote survive every crash (thesis, figure 3.1: persistent state)."""

    name = "term and vote are kept"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._on_disk: dict[Replica, HardState] = {}

    def changed(self, change: Change) -> None:
        before, now, replica = change.before, change.now, change.replica
        if before is not None:
            self.checked += 1
            # A crash may take what was not on disk yet, but nothing older.
            kept = self._on_disk.get(replica) if change.is_start else (before.term, before.vote)
            if kept is not None:
                self._compare(replica, kept, (now.term, now.vote))
        if now.is_certain:
            self._on_disk[replica] = now.term, now.vote

    def _compare(self, replica: Replica, before: HardState, now: HardState) -> None:
        (old_term, old_vote), (term, vote) = before, now
        if term < old_term:
            raise self.broken(f"{replica} went from term {old_term} back to {term}")
        if term == old_term and old_vote not in (None, vote):
            raise self.broken(f"{replica} gave its vote of term {term} to {old_vote} and now to {vote or 'nobody'}")
