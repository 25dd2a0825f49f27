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
        self.require(now.applied <= now.commit, f"{replica} applied {now.applied}, but committed {now.commit}")
        self.require(now.commit <= now.last, f"{replica} committed {now.commit}, but its log ends at {now.last}")
        since = now.applied if change.is_start else LogIndex(0)
        if before is not None and not change.is_start:
            self.require(now.commit >= before.commit, f"{replica} committed {before.commit}, then {now.commit}")
            self.require(now.applied >= before.applied, f"{replica} applied {before.applied}, then {now.applied}")
            since = before.commit
        elif before is not None:
            self.require(
                now.applied >= before.flushed,
                f"{replica} came back at {now.applied}, but its engine had flushed {before.flushed}",
            )
        log = change.group.log
        for number in range(max(since, now.first) + 1, now.commit + 1):
            index = LogIndex(number)
            entry = log.entry_at(index)
            self.checked += 1
            if index == chain.last_index + 1:
                chain.extend(entry[0], entry[1], now.term)
            self.require(
                index <= chain.last_index, f"{replica} committed {index}, but nobody committed {chain.last_index + 1}"
            )
            self.require(
                chain.entry_at(index) == entry,
                f"{replica} committed an entry of term {entry[0]} at {index}, "
                f"where one of term {chain.entry_at(index)[0]} was committed before",
            )
        self.require(
            now.commit <= chain.last_index, f"{replica} has committed {now.commit} of {chain.last_index} entries"
        )
        for index, term in change.cut:
            is_committed = index <= chain.last_index and chain.entry_at(index)[0] == term
            is_lost_only = change.is_start and index > change.synced
            self.require(
                is_lost_only or not is_committed, f"{replica} cut entry {index} of term {term} off, which is committed"
            )
