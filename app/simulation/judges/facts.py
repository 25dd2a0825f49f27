"""What the judges know of the whole cluster: every replica ever seen, and what each partition has committed."""

from collections.abc import Callable

from app.simulation.judges.chain import Chain
from app.simulation.judges.replica import Replica
from raftgroups import Configuration, LogIndex, PartitionId


class Facts:
    """Shared by all rules; the Bench and the rules on commits and memberships keep it up to date.

    replicas   by partition, then by node
    chains     by partition
    founding   who held each partition at first
    now        the simulated time
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self.now = now
        self.replicas: dict[PartitionId, dict[str, Replica]] = {}
        self.chains: dict[PartitionId, Chain] = {}
        self.founding: dict[PartitionId, Configuration] = {}

    def replica(self, partition: PartitionId, node: str) -> Replica:
        replicas = self.replicas.setdefault(partition, {})
        if node not in replicas:
            replicas[node] = Replica(node, partition)
        return replicas[node]

    def configured_at(self, partition: PartitionId, index: LogIndex) -> tuple[LogIndex, Configuration]:
        """The newest configuration that is committed up to `index`, and where it stands: 0 is the founding one."""
        return self.chain(partition).configured_at(index) or (LogIndex(0), self.founding[partition])

    def chain(self, partition: PartitionId) -> Chain:
        if partition not in self.chains:
            self.chains[partition] = Chain(self.now)
        return self.chains[partition]
