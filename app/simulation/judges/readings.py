"""Readings: what is read was committed, and one replica never shows a key's past after its present."""

from bisect import bisect_left
from dataclasses import dataclass

from app.simulation.judges.facts import Facts
from app.simulation.violation import Violation
from raftgroups import Item, PartitionId, encode_item


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client read.

    server              the node whose replica answered
    starts              how often it had been started, at the call and at the return
    called, returned    moments: numbers that grow with every call and every return
    """

    partition: PartitionId
    key: bytes
    item: Item | None
    server: str
    starts: tuple[int, int]
    called: int
    returned: int


class Readings:
    """Judges every single read; whether reads and writes make sense together is for Histories."""

    name = "reads are committed and monotonic"

    def __init__(self, facts: Facts) -> None:
        self.checked = 0
        self._facts = facts
        self._new: list[Answer] = []
        self._seen: dict[tuple[str, int, bytes], list[tuple[int, int]]] = {}

    def read(self, answer: Answer) -> None:
        self._new.append(answer)

    def settle(self) -> None:
        """Judge what was read since the last time. Raises: Violation. Not before the end of a step."""
        if self._new:
            new, self._new = self._new, []
            for answer in new:
                self.checked += 1
                self._judge(answer)

    def _judge(self, answer: Answer) -> None:
        key, item, server = answer.key, answer.item, answer.server
        chain = self._facts.chain(answer.partition)
        if item is not None and chain.made(key, item.revision) != (True, encode_item(item)):
            raise Violation(self.name, f"{server} holds {item} under {key!r}, which was never committed")
        if answer.starts[0] != answer.starts[1]:
            # A replica that was started again may have to learn anew what is committed.
            return
        seen = self._seen.setdefault((server, answer.starts[0], key), [])
        before = bisect_left(seen, (answer.called, 0))
        floor = seen[before - 1][1] if before else 0
        revision = chain.absent_since(key, floor) if item is None else item.revision
        if revision is None or revision < floor:
            raise Violation(self.name, f"{server} showed revision {floor} of {key!r}, and then {revision or 'nothing'}")
        seen.append((answer.returned, max(revision, seen[-1][1] if seen else 0)))
