"""What the judges know of the whole cluster: every replica ever seen, and what each partition has committed."""

from app.simulation.judges.chain import Chain
from app.simulation.judges.replica import Replica
from raftgroups import PartitionId


class Facts:
    """Shared by all rules; the Watch and the rule on commits keep it up to date.

    replicas   by partition, then by node
    chains     by partition
    """

    def __init__(self) -> None:
        self.replicas: dict[PartitionId, dict[str, Replica]] = {}
        self.chains: dict[PartitionId, Chain] = {}

    def replica(self, partition: PartitionId, node: str) -> Replica:
        replicas = self.replicas.setdefault(partition, {})
        if node not in replicas:
            replicas[node] = Replica(node, partition)
        return replicas[node]

    def chain(self, partition: PartitionId) -> Chain:
        if partition not in self.chains:
            self.chains[partition] = Chain()
        return self.chains[partition]
