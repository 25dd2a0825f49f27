"""Acknowledgements: what a client was told is written is committed, as it was told."""

from app.simulation.judges.facts import Facts
from app.simulation.violation import Violation
from raftgroups import Item, PartitionId, encode_item


class Acknowledgements:
    """Nothing acknowledged is lost: it is in the chain of committed entries, which never changes."""

    name = "nothing acknowledged is lost"

    def __init__(self, facts: Facts) -> None:
        self.checked = 0
        self._facts = facts
        self._new: list[tuple[PartitionId, bytes, int, bytes | None]] = []

    def acknowledged(self, partition: PartitionId, key: bytes, revision: int, value: bytes | None) -> None:
        """A client was told that its write made `revision`; None is a delete."""
        self._new.append((partition, key, revision, value))

    def settle(self) -> None:
        """Compare what was acknowledged since the last time. Raises: Violation.

        Not before the end of a step, because a leader may commit, apply and acknowledge in one.
        """
        if not self._new:
            return
        new, self._new = self._new, []
        for partition, key, revision, value in new:
            self.checked += 1
            is_there, item = self._facts.chain(partition).made(key, revision)
            expected = None if value is None else encode_item(Item(revision, value))
            if not is_there or item != expected:
                raise Violation(
                    self.name, f"revision {revision} of {key!r} was acknowledged, but is not what was committed there"
                )
