"""Counters: an increment under a token is done exactly once, however often it was asked for."""

from collections import Counter

from app.simulation.judges.facts import Facts
from app.simulation.violation import Violation
from raftgroups import PartitionId, decode_item


class Counters:
    """Adds up what clients know, which each repeated until it was answered; nobody else writes these keys."""

    name = "counters are exact"

    def __init__(self, facts: Facts) -> None:
        self.checked = 0
        self._facts = facts
        self._sums: Counter[tuple[PartitionId, bytes]] = Counter()
        self._doubtful: set[tuple[PartitionId, bytes]] = set()

    def counted(self, partition: PartitionId, key: bytes, by: int, *, ok: bool | None) -> None:
        """An increment has ended: it was done, it certainly was not, or nobody knows."""
        if ok is None:
            self._doubtful.add((partition, key))
        elif ok:
            self.checked += 1
            self._sums[partition, key] += by

    def finish(self) -> None:
        """Compare the sums with what is there at last. Raises: Violation."""
        for (partition, key), expected in sorted(self._sums.items()):
            chain = self._facts.chain(partition)
            stored = chain.item_at(key, chain.last_index)
            found = int(decode_item(stored).value) if stored is not None else 0
            if found != expected and (partition, key) not in self._doubtful:
                raise Violation(self.name, f"{key!r} is {found}, and {expected} was counted")
