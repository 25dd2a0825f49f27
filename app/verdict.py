"""The verdict on a cluster: whether it serves, what it lacks, and how many nodes it can lose.

Reckoned from what each node says of itself and what one of them says of the partitions; nothing here asks anybody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the cluster is.

    ready, nodes       how many nodes are ready, of how many
    led, partitions    how many partitions have a leader that is reached, of how many
    short              partitions with a replica that is not reached, or that is not where it shall be yet
    without_majority   partitions of which no majority is reached: they take no writes
    can_lose           how many more nodes, whichever, may be lost before a partition is without a majority
    """

    ready: int
    nodes: int
    led: int
    partitions: int
    short: int
    without_majority: int
    can_lose: int

    @property
    def is_well(self) -> bool:
        return (self.ready, self.led, self.short) == (self.nodes, self.partitions, 0)

    def __str__(self) -> str:
        parts = [f"{self.ready} of {self.nodes} nodes ready", f"{self.led} of {self.partitions} partitions led"]
        parts.append(f"{self.short} short of replicas" if self.short else "none short of replicas")
        if self.without_majority:
            return f"{', '.join(parts)}; {self.without_majority} without a majority, which take no writes"
        return f"{', '.join(parts)}; {_can_lose(self.can_lose)}"


def judge(partitions: Sequence[Mapping[str, Any]], reached: Collection[str], ready: int, nodes: int) -> Verdict:
    """The verdict on partitions as /v1/cluster shows them, where these nodes are reached."""
    led = short = without = 0
    slack = len(reached)
    for partition in partitions:
        voters = partition.get("replicas", [])
        alive = sum(voter in reached for voter in voters)
        spare = alive - (len(voters) // 2 + 1)
        slack = min(slack, max(spare, 0))
        without += spare < 0
        led += partition.get("leader") in reached and spare >= 0
        short += alive < len(voters) or set(partition.get("target", voters)) != set(voters)
    return Verdict(ready, nodes, led, len(partitions), short, without, slack)


def _can_lose(count: int) -> str:
    if not count:
        return "can lose no node"
    return f"can lose {count} node{'' if count == 1 else 's'}"
