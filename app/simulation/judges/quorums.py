"""Quorums: what is committed is on the disks of a majority, so a minority never acknowledges anything."""

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change
from app.simulation.judges.rule import Rule
from raftgroups import LogIndex, PartitionId


class Quorums(Rule):
    """Whoever is first to commit an entry must be right: a majority of its voters has it on disk."""

    name = "committed means on disk at a majority"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._reached: dict[PartitionId, LogIndex] = {}

    def changed(self, change: Change) -> None:
        partition = change.replica.partition
        chain = self.facts.chain(partition)
        newest = chain.last_index
        if newest == self._reached.get(partition, 0):
            return
        self._reached[partition] = newest
        self.checked += 1
        term, _ = chain.entry_at(newest)
        holders = [replica.node for replica in self.facts.replicas[partition].values() if replica.holds(newest, term)]
        # A leader may commit and then change the membership, all in one step.
        in_force = [sight.voters for sight in (change.now, change.before) if sight is not None]
        if not any(2 * sum(voter in holders for voter in voters) > len(voters) for voters in in_force):
            raise self.broken(
                f"{change.replica} committed entry {newest} of term {term}, which is on disk at {holders} "
                f"of {list(change.now.voters)}"
            )
