"""Leaders: whoever is elected has every entry that was committed before."""

from app.simulation.judges.replica import Change
from app.simulation.judges.rule import Rule


class Leaders(Rule):
    """Leader completeness (thesis, figure 3.2)."""

    name = "leader completeness"

    def changed(self, change: Change) -> None:
        before, now, replica = change.before, change.now, change.replica
        if not now.is_leader or (before and not change.is_start and before.is_leader and before.term == now.term):
            return
        self.checked += 1
        chain = self.facts.chain(replica.partition)
        newest = chain.last_before(now.term)
        if newest <= now.first:
            return
        if newest > now.last or change.group.log.term_at(newest) != chain.entry_at(newest)[0]:
            raise self.broken(f"{replica} leads in term {now.term} without entry {newest}, which was committed before")
