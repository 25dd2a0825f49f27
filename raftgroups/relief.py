"""Relief: a replica whose tables are damaged, or whose disk is full, leads no longer than it must.

Its log and its vote are sound, so it goes on as a voter, and refuses what it cannot read or write. But
while it leads, reads of what is damaged fail, and no new replica can be brought up from it; and no
write is taken, though a majority of others may have room.
"""

from collections.abc import Mapping

from raftgroups.group import RaftGroup
from raftgroups.ids import PartitionId

PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 60.0


class Relief:
    """Offers what impaired replicas lead to the other voters in turn, each time after a longer pause.

    Another one may be impaired too, and not take it: then whoever leads goes on with what it can do.
    """

    def __init__(self) -> None:
        self._offers: dict[PartitionId, tuple[int, float]] = {}

    def tick(self, groups: Mapping[PartitionId, RaftGroup], now: float) -> None:
        for partition, group in groups.items():
            if not (group.is_leader and group.is_impaired):
                self._offers.pop(partition, None)
                continue
            count, due = self._offers.get(partition, (0, now))
            successors = group.consensus.successors(now)
            if successors and now >= due:
                group.consensus.transfer(successors[count % len(successors)], now)
                pause = min(PAUSE_SECONDS * 2**count, PAUSE_SECONDS_MAX)
                self._offers[partition] = count + 1, now + pause
