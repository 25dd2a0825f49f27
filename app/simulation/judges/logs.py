"""Logs: what two replicas hold under one index and term is the same, and so is all before it."""

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change
from app.simulation.judges.rule import Rule
from raftgroups import LogIndex, PartitionId, Term


class Logs(Rule):
    """Log matching (thesis, figure 3.2), by induction.

    Wherever an entry is seen it must have the payload, and follow an entry of the term, that it
    had and followed where it was seen first. And what a disk was known to hold is there after a restart.
    """

    name = "log matching"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._known: dict[tuple[PartitionId, LogIndex, int], tuple[int, bytes, str]] = {}

    def changed(self, change: Change) -> None:
        if change.is_start:
            self._forget_unsynced(change)
        log, now, replica = change.group.log, change.now, change.replica
        # After a restart every byte came from the disk.
        start = now.first if change.is_start else max(change.kept, now.first)
        previous = log.term_at(LogIndex(start))
        for number in range(start + 1, now.last + 1):
            index = LogIndex(number)
            term, payload = log.entry_at(index)
            self.checked += 1
            follows, known, where = self._known.setdefault(
                (replica.partition, index, term), (previous, payload, replica.node)
            )
            if known != payload or follows != previous:
                raise self.broken(
                    f"partition {replica.partition}: entry {index} of term {term} differs on {replica.node} and {where}"
                    f", or in what follows it: terms {previous} and {follows}"
                )
            if term < previous:
                raise self.broken(f"{replica} has an entry of term {term} after one of term {previous}")
            previous = Term(term)
        if change.is_start and change.before is not None and now.applied <= change.before.applied:
            lost = [index for index, _ in change.cut if index <= change.synced]
            if lost:
                raise self.broken(f"{replica} came back without entries {lost}, which were on its disk")

    def _forget_unsynced(self, change: Change) -> None:
        """What a node had in memory alone when it went never left it: it may write otherwise, in the same term."""
        log, replica = change.group.log, change.replica
        others = [other for other in self.facts.replicas[replica.partition].values() if other is not replica]
        first = max(change.synced, log.durable_index, log.first_index) + 1
        written_anew = [(LogIndex(index), log.term_at(LogIndex(index))) for index in range(first, change.kept + 1)]
        for index, term in (*change.cut, *written_anew):
            if index > change.synced and not any(other.lists(index, term) for other in others):
                self._known.pop((replica.partition, index, term), None)
