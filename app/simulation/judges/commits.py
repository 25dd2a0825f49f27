"""Commits: the entry committed at an index is the same everywhere and for ever."""

from app.simulation.judges.replica import Change
from app.simulation.judges.rule import Rule
from raftgroups import LogIndex


class Commits(Rule):
    """State machine safety (thesis, figure 3.2). It keeps the facts' chains."""

    name = "state machine safety"

    def changed(self, change: Change) -> None:
        before, now, replica = change.before, change.now, change.replica
        chain = self.facts.chain(replica.partition)
        if now.applied > now.commit:
            raise self.broken(f"{replica} applied {now.applied}, but committed {now.commit}")
        if now.commit > now.last:
            raise self.broken(f"{replica} committed {now.commit}, but its log ends at {now.last}")
        since = now.applied if change.is_start else LogIndex(0)
        if before is not None and not change.is_start:
            if now.commit < before.commit:
                raise self.broken(f"{replica} committed {before.commit}, then {now.commit}")
            if now.applied < before.applied:
                raise self.broken(f"{replica} applied {before.applied}, then {now.applied}")
            since = before.commit
        elif before is not None and not change.is_anew and now.applied < before.flushed:
            raise self.broken(f"{replica} came back at {now.applied}, but its engine had flushed {before.flushed}")
        log = change.group.log
        for number in range(max(since, now.first) + 1, now.commit + 1):
            index = LogIndex(number)
            entry = log.entry_at(index)
            self.checked += 1
            if index == chain.last_index + 1:
                chain.extend(entry[0], entry[1], now.term)
            if index > chain.last_index:
                raise self.broken(f"{replica} committed {index}, but nobody committed {chain.last_index + 1}")
            if chain.entry_at(index) != entry:
                raise self.broken(
                    f"{replica} committed an entry of term {entry[0]} at {index}, "
                    f"where one of term {chain.entry_at(index)[0]} was committed before"
                )
        if now.commit > chain.last_index:
            raise self.broken(f"{replica} has committed {now.commit} of {chain.last_index} entries")
        for index, term in change.cut:
            is_committed = index <= chain.last_index and chain.entry_at(index)[0] == term
            is_lost_only = change.is_start and index > change.synced
            if is_committed and not is_lost_only:
                raise self.broken(f"{replica} cut entry {index} of term {term} off, which is committed")
