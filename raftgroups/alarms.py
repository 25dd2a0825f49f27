"""Alarms: who is to be looked at when, of those whom no tick visits.

Source: a heap of times, with entries that count no more left in it until their turn comes.
"""

from heapq import heappop, heappush

from raftgroups.ids import PartitionId


class Alarms:
    """One time for each partition that has been given one; a newer one takes its place."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, PartitionId]] = []
        self._at: dict[PartitionId, float] = {}

    def set(self, partition: PartitionId, at: float) -> None:
        self._at[partition] = at
        heappush(self._heap, (at, partition))

    def clear(self, partition: PartitionId) -> None:
        self._at.pop(partition, None)

    def due(self, now: float) -> list[PartitionId]:
        """Those whose time has come; they have none any more."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, partition = heappop(self._heap)
            if self._at.get(partition) == at:
                del self._at[partition]
                found.append(partition)
        return found
