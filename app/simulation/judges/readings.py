"""Readings: what is read was committed, as fresh as the answer says, and never a past after its present."""

from bisect import bisect_left
from dataclasses import dataclass

from app.simulation.judges.facts import Facts
from app.simulation.violation import Violation
from raftgroups import Item, Level, LogIndex, PartitionId, Receipt

# No clock of a simulation runs slower: so much of true time may pass in a second of any node's.
SECONDS_MAX = 1 / 0.8

NOTHING = LogIndex(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client read.

    receipt             what the answer says it is worth, and who gave it
    starts              how often that node had been started, at the call and at the return
    called, returned    moments: numbers that grow with every call and every return
    arrived             when the node that was asked began with it, in simulated seconds
    seen                the newest entry that the client's session has seen; 0 without one
    """

    partition: PartitionId
    key: bytes
    item: Item | None
    receipt: Receipt
    starts: tuple[int, int]
    called: int
    returned: int
    arrived: float = 0.0
    seen: LogIndex = NOTHING


class Readings:
    """Judges every single read; whether reads and writes make sense together is for Histories."""

    name = "reads are committed, fresh and monotonic"

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
                self._judge_freshness(answer)
                self._judge_order(answer)

    def _judge_freshness(self, answer: Answer) -> None:
        key, item, receipt = answer.key, answer.item, answer.receipt
        chain = self._facts.chain(answer.partition)
        shown = chain.last_showing(key, item, LogIndex(receipt.index))
        if shown is None:
            raise Violation(self.name, f"{receipt.served_by} holds {item} under {key!r}, which was never committed")
        if shown < answer.seen:
            raise Violation(self.name, f"{receipt} shows {key!r} as of {shown}, and its session has seen {answer.seen}")
        if receipt.level is Level.STALE or receipt.level is Level.SESSION:
            return
        age = receipt.staleness_ms / 1000 * SECONDS_MAX
        oldest = chain.committed_before(answer.arrived - age)
        if shown < oldest:
            text = f"{receipt} shows {key!r} as of {shown}, when {oldest} had been committed {age:g} s before"
            raise Violation(self.name, text)

    def _judge_order(self, answer: Answer) -> None:
        key, item, server = answer.key, answer.item, answer.receipt.served_by
        if answer.starts[0] != answer.starts[1]:
            # A replica that was started again may have to learn anew what is committed.
            return
        chain = self._facts.chain(answer.partition)
        seen = self._seen.setdefault((server, answer.starts[0], key), [])
        before = bisect_left(seen, (answer.called, 0))
        floor = seen[before - 1][1] if before else 0
        revision = chain.absent_since(key, floor) if item is None else item.revision
        if revision is None or revision < floor:
            raise Violation(self.name, f"{server} showed revision {floor} of {key!r}, and then {revision or 'nothing'}")
        seen.append((answer.returned, max(revision, seen[-1][1] if seen else 0)))
