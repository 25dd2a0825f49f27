"""What a run has seen: every operation, what the nodes said of themselves, and the faults in time.

All times are nanoseconds of CLOCK_MONOTONIC, which every process of a machine shares.
"""

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from app.simulation.history import Operation

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One operation, through which node, and the status of its answer (agent.py says which)."""

    node: str
    operation: Operation
    status: int
    finished: int

    @property
    def called(self) -> int:
        return self.operation.called

    @property
    def is_good(self) -> bool:
        return self.operation.ok is True

    @property
    def seconds(self) -> float:
        return (self.finished - self.called) / SECOND


_called = attrgetter("called")


@dataclass(frozen=True, slots=True)
class View:
    """What `node` thought of one partition at a moment after `asked`."""

    node: str
    asked: int
    partition: int
    leader: str | None
    term: int
    commit_index: int
    applied_index: int


@dataclass(slots=True)
class Fault:
    """One fault: what was hurt, and since when until when.

    began     it is about to be injected
    forced    it is in force, wholly
    ended     it is about to be healed
    sides     groups of running nodes that reach each other and nobody else; None: it is not that simple,
              and nothing but safety is expected
    live_seconds  within so many of `began`, every node of a side with a majority of a key's replicas serves it
    replicas  who held each key
    recovered the moment at which everything worked again after healing
    """

    name: str
    began: int
    sides: tuple[frozenset[str], ...] | None
    live_seconds: float
    replicas: Mapping[str, frozenset[str]]
    forced: int = 0
    ended: int = 0
    recovered: int = 0

    def side_of(self, node: str) -> frozenset[str]:
        return next((side for side in self.sides or () if node in side), frozenset())

    def has_majority(self, side: frozenset[str], key: str) -> bool:
        """Whether these nodes are enough to serve the key."""
        holders = self.replicas[key]
        return 2 * len(side & holders) > len(holders)


@dataclass(slots=True)
class Record:
    """Collects what the agents tell; they do so from threads of their own.

    counted    what was added to each counter, for certain
    doubtful   what may have been: nobody knows
    found      by node, what each counter was in the end
    session_reads, session_complaints   how many reads showed what they must, and what others showed
    """

    operations: list[Seen] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    found: dict[str, dict[str, int]] = field(default_factory=dict)
    session_reads: int = 0
    session_complaints: list[str] = field(default_factory=list)
    _in_order: list[Seen] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_operation(self, seen: Seen) -> None:
        with self._lock:
            self.operations.append(seen)

    def add_counted(self, key: str, by: int, ok: bool | None) -> None:
        with self._lock:
            if ok is None:
                self.doubtful[key] += by
            elif ok:
                self.counted[key] += by

    def add_session(self, reads: int, complaint: str) -> None:
        with self._lock:
            self.session_reads += reads
            if complaint:
                self.session_complaints.append(complaint)

    def add_view(self, view: View) -> None:
        with self._lock:
            self.views.append(view)

    def tail(self, since: int) -> Iterator[Seen]:
        """The operations called since then, as far as they have been told; newest told first."""
        for position in range(len(self.operations) - 1, -1, -1):
            seen = self.operations[position]
            if seen.called >= since:
                yield seen
            elif seen.finished < since - 30 * SECOND:
                return

    def called_within(self, since: int, until: int) -> list[Seen]:
        """The operations called from `since` to `until`, in order; cheap once a run is over."""
        if len(self._in_order) != len(self.operations):
            self._in_order = sorted(self.operations, key=_called)
        return self._in_order[
            bisect_left(self._in_order, since, key=_called) : bisect_right(self._in_order, until, key=_called)
        ]

    def history(self) -> list[Operation]:
        return sorted((seen.operation for seen in self.operations), key=lambda operation: operation.called)
