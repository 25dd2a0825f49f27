"""Recovery: when the faults have ended, every group has a leader, and every replica catches up."""

from app.simulation.judges.contents import Contents
from app.simulation.judges.facts import Facts
from app.simulation.node import SimulatedNode
from raftgroups import PartitionId


class Recovery:
    """Judges the end of a simulation, a while after the faults stopped."""

    name = "all replicas recover and are equal"

    def __init__(self, nodes: dict[str, SimulatedNode], facts: Facts, contents: Contents) -> None:
        self.checked = 0
        self._nodes = nodes
        self._facts = facts
        self._contents = contents

    def trouble(self) -> str | None:
        """What has not recovered yet, None when all has."""
        for partition in sorted(self._facts.replicas):
            trouble = self._trouble_of(partition)
            if trouble is not None:
                return f"partition {partition}: {trouble}"
        return None

    def settle(self) -> None:
        """Compare everything, everywhere, a last time. Raises: Violation."""
        for name, node in self._nodes.items():
            if node.host is not None and not node.disk.is_damaged:
                for partition, group in node.host.groups.items():
                    self.checked += 1
                    self._contents.compare_all(self._facts.replica(partition, name), group)

    def _trouble_of(self, partition: PartitionId) -> str | None:
        leaders = []
        members = self._members(partition)
        for name in members:
            node = self._nodes[name]
            group = node.host.groups.get(partition) if node.host is not None else None
            if group is not None and group.is_leader:
                leaders.append(name)
            if node.disk.is_damaged:
                # It may refuse to start, or to go on; while it does go on, the rules watch it.
                continue
            if node.host is None:
                return f"{name} is not up: {node.failure or 'it starts'}"
            if group is None:
                return f"{name} has no replica"
            if group.failure is not None:
                return f"{name}'s replica has stopped: {group.failure}"
            last = self._facts.chain(partition).last_index
            if group.consensus.applied_index != last or group.log.last_index != last:
                return f"{name} has applied {group.consensus.applied_index} of {last} entries"
        if len(leaders) != 1:
            return f"it is led by {leaders or 'nobody'}"
        return None

    def _members(self, partition: PartitionId) -> tuple[str, ...]:
        """Who holds the partition, by the newest configuration that is committed."""
        _, configuration = self._facts.configured_at(partition, self._facts.chain(partition).last_index)
        return configuration.members
