"""Placements: which nodes hold which partition, as far as this node has heard.

The truth about a partition is its own log. What others know of it is the newest committed
configuration that anybody told them; the founding placement until then. Gossip may be late, so a
request can still meet a node that holds the partition no more: it is refused there, and never
served wrongly.
"""

from raftgroups.ids import PartitionId
from raftgroups.membership import Configuration
from raftgroups.messages import Placement
from raftgroups.topology import Topology


class Placements:
    """The newest Placement of every partition.

    Invariant: the index of a partition's Placement never falls; that of the founding one is 0.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._heard: dict[int, Placement] = {}

    def heard(self, placement: Placement) -> bool:
        """Take a placement that is newer than the one known; says whether it is."""
        partition = PartitionId(placement.group)
        if not 0 <= partition < self._topology.partitions or placement.index <= self.of(partition).index:
            return False
        self._heard[partition] = placement
        return True

    def of(self, partition: PartitionId) -> Placement:
        heard = self._heard.get(partition)
        return heard if heard is not None else Placement(partition, 0, self._topology.replicas_of(partition))

    def founding(self, partition: PartitionId) -> Configuration:
        return Configuration(self._topology.replicas_of(partition))

    def changed(self) -> list[Placement]:
        """All that differ from the founding ones: what a peer should hear when its link comes up."""
        return [self._heard[partition] for partition in sorted(self._heard)]
