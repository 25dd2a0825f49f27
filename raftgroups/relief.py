"""Relief: a replica whose tables are damaged, or whose disk is full or slow, leads no longer than it must.

Its log and its vote are sound, so it goes on as a voter, and refuses what it cannot read or write. But
while it leads, reads of what is damaged fail, and no new replica can be brought up from it; and no
write is taken, though a majority of others may have room. Where the disk is slow each write waits for it, though
a majority of others may be quick.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from raftgroups.group import RaftGroup
from raftgroups.ids import PartitionId

PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 60.0
# Of what a slow disk leads, so much is handed over at a time: each election is a write on each disk.
SLOW_OFFERS_MAX = 8


class Disks(Protocol):
    """What is known of the disks of all nodes."""

    @property
    def is_slow(self) -> bool:
        """The one here is much slower than the others."""

    def quick(self, nodes: Sequence[str]) -> list[str]:
        """Those of these nodes whose disk is not."""

    def quick_first(self, nodes: Sequence[str]) -> list[str]:
        """These nodes in their order, but those whose disk is slow last."""


class Relief:
    """Offers what impaired replicas lead to the other voters in turn, each time after a longer pause.

    Another one may be impaired too, and not take it: then whoever leads goes on with what it can do.
    """

    def __init__(self, disks: Disks) -> None:
        self._disks = disks
        self._offers: dict[PartitionId, tuple[int, float]] = {}

    def tick(self, groups: Mapping[PartitionId, RaftGroup], now: float) -> None:
        slow_offers = 0
        for partition, group in groups.items():
            if not (group.is_leader and (group.is_impaired or self._disks.is_slow)):
                self._offers.pop(partition, None)
                continue
            count, due = self._offers.get(partition, (0, now))
            if now < due or (slow_offers == SLOW_OFFERS_MAX and not group.is_impaired):
                continue
            able = group.consensus.successors(now)
            successors = self._disks.quick_first(able) if group.is_impaired else self._disks.quick(able)
            if successors:
                slow_offers += not group.is_impaired
                group.consensus.transfer(successors[count % len(successors)], now)
                pause = min(PAUSE_SECONDS * 2**count, PAUSE_SECONDS_MAX)
                self._offers[partition] = count + 1, now + pause
