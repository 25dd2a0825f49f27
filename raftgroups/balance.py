"""Balance: every partition is led by the first of its replicas again, once all has been calm for a while.

The first ones are spread over the nodes evenly; after a node was away the others lead what was its own.
A node whose disk is slow gets nothing back (relief.py).
"""

from collections.abc import Mapping

from raftgroups.group import RaftGroup
from raftgroups.ids import PartitionId
from raftgroups.relief import Disks

SETTLED_SECONDS = 5.0
REFUSED_SECONDS = 60.0


class Balance:
    """Hands back what one node leads, one partition at a time."""

    def __init__(self, name: str, disks: Disks) -> None:
        self._name = name
        self._disks = disks
        self._led_since: dict[PartitionId, float] = {}

    def tick(self, groups: Mapping[PartitionId, RaftGroup], now: float) -> None:
        for partition, group in groups.items():
            if not group.is_leader:
                self._led_since.pop(partition, None)
                continue
            first = group.replicas[0]
            settled = now - self._led_since.setdefault(partition, now) > SETTLED_SECONDS
            if settled and first != self._name and first in self._disks.quick(group.consensus.successors(now)):
                # If it does not take over, it has a reason that may last.
                self._led_since[partition] = now + REFUSED_SECONDS
                group.consensus.transfer(first, now)
                return
