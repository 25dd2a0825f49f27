"""Memberships: one change at a time, one voter at a time, and the same configurations everywhere."""

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change, Replica
from app.simulation.judges.rule import Rule
from raftgroups import Configuration, LogIndex, PartitionId, decode_entry


class Memberships(Rule):
    """No two majorities of a group are disjoint (thesis, 4.1)."""

    name = "one membership change at a time"

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._logged: dict[tuple[PartitionId, str], list[tuple[LogIndex, Configuration]]] = {}

    def changed(self, change: Change) -> None:
        chain, consensus = self.facts.chain(change.replica.partition), change.group.consensus
        index, configuration = consensus.committed_configuration
        if index == 0 and configuration.voters:
            founding = self.facts.founding.setdefault(change.replica.partition, configuration)
            if configuration != founding:
                raise self.broken(f"{change.replica} was founded by {configuration}, others by {founding}")
        self._note_appended(change)
        expected = chain.configured_at(change.now.commit)
        self.checked += 1
        if expected is None:
            if index:
                raise self.broken(f"{change.replica} believes in the configuration of {index}, and none is committed")
        elif (index, configuration) != expected:
            raise self.broken(
                f"{change.replica} has committed {change.now.commit} and believes in the configuration of {index}, "
                f"{configuration}, not in that of {expected[0]}, {expected[1]}"
            )

    def _note_appended(self, change: Change) -> None:
        log, now, replica = change.group.log, change.now, change.replica
        logged = self._logged.setdefault((replica.partition, replica.node), [])
        start = now.first if change.is_start else max(change.kept, now.first)
        logged[:] = [known for known in logged if now.first < known[0] <= start]
        covered = self.facts.configured_at(replica.partition, now.first)
        for number in range(start + 1, now.last + 1):
            index = LogIndex(number)
            term, payload = log.entry_at(index)
            configuration = decode_entry(payload).configuration
            if configuration is None:
                continue
            before = logged[-1] if logged else covered
            logged.append((index, configuration))
            self.checked += 1
            apart = sorted(set(before[1].voters) ^ set(configuration.voters))
            if not configuration.voters or len(apart) > 1:
                raise self.broken(
                    f"{replica}: entry {index} changes {apart} at once, {before[1].voters} to {configuration.voters}"
                )
            if now.is_leader and term == now.term and before[0] > now.commit:
                raise self.broken(
                    f"{replica} wrote a configuration at {index} before that at {before[0]} was committed"
                )
        in_force, (index, expected) = change.group.consensus.configuration, logged[-1] if logged else covered
        # Who was made anew waits for a snapshot, and knows of nobody until it comes.
        if in_force != expected and (index or in_force.voters) and now.failure is None:
            raise self.broken(f"{replica} acts by {in_force}, not by the configuration of {index}, {expected}")

    def gone(self, replica: Replica) -> None:
        """A node does not hold `replica` any more. Raises: Violation, unless it was removed from the group."""
        chain = self.facts.chain(replica.partition)
        configured = chain.configured_at(chain.last_index)
        self.checked += 1
        if not replica.durable:
            # It was being made for a member to be, and its node stopped: the leader sends again.
            return
        if configured is None or replica.node in configured[1].members:
            raise self.broken(f"{replica} is gone, but no committed configuration removed it")
