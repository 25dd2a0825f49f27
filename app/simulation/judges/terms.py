"""Hard state: the term never goes back, and neither it nor the vote is forgotten once it is on disk."""

from app.simulation.judges.replica import Change
from app.simulation.judges.rule import Rule


class Terms(Rule):
    """Term and vote survive every crash (thesis, figure 3.1: persistent state)."""

    name = "term and vote are kept"

    def changed(self, change: Change) -> None:
        before, now, replica = change.before, change.now, change.replica
        if before is None:
            return
        self.checked += 1
        if not change.is_start or before.is_certain:
            if now.term < before.term:
                raise self.broken(f"{replica} went from term {before.term} back to {now.term}")
            if now.term == before.term and before.vote not in (None, now.vote):
                raise self.broken(
                    f"{replica} gave its vote of term {now.term} to {before.vote} and now to {now.vote or 'nobody'}"
                )
