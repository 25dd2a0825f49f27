"""Requests: one operation of one client through one node, and what came of it, for all judges to know."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.simulation.judges import Answer, Bench
from app.simulation.node import SimulatedNode
from app.simulation.simulation import Simulation
from app.simulation.violation import Violation
from raftgroups import Delete, Freshness, Item, Level, PartitionId, Put, RaftGroupError, Reading, Result, Written

Ended = Callable[[bool | None], None]
"""Told whether it happened; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    kind       "put", "get" or "delete"
    value      what a put writes: digits, a full stop, and anything
    """

    kind: str
    key: bytes
    value: bytes = b""
    level: Level = Level.LINEARIZABLE
    deadline_seconds: float = 3.0


class Requests:
    """Asks the nodes' coordinators, as their doors do.

    patience_seconds   after its deadline until a client gives a request up
    outcomes           how many requests ended how, as "kind outcome"
    failure            an answer that should not have been, to be raised by the next judge
    """

    def __init__(self, simulation: Simulation, bench: Bench, patience_seconds: float) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failure: Violation | None = None
        self._simulation = simulation
        self._bench = bench
        self._patience_seconds = patience_seconds

    def ask(self, client: int, node: SimulatedNode, request: Request, ended: Ended) -> None:
        """Hand `request` to `node`, which must be up; `ended` is told once, also if no answer comes."""
        _Attempt(self, client, node, request, ended)


class _Attempt:
    """One request on its way."""

    def __init__(self, requests: Requests, client: int, node: SimulatedNode, request: Request, ended: Ended) -> None:
        self._requests = requests
        self._node = node
        self._request = request
        self._ended = ended
        self._is_over = self._is_answered = False
        self._troubles = node.troubles
        self._partition = PartitionId(0)
        bench, simulation = requests._bench, requests._simulation
        self._bench = bench
        self._simulation = simulation
        self._called = bench.moment()
        self._starts = {name: other.starts for name, other in simulation.nodes.items()}
        self._call: int | None = None
        if request.level is not Level.STALE:
            value = _short(request.value) if request.kind == "put" else None
            self._call = bench.history.call(client, request.kind, request.key.decode(), value)
        simulation.call_at(simulation.now + request.deadline_seconds + requests._patience_seconds, self._give_up)
        # As whatever comes in from outside: a node that stands still sees it when it goes on.
        node.loop.call_soon(self._arrive)

    def _arrive(self) -> None:
        node, request = self._node, self._request
        coordinator = node.coordinator
        if coordinator is None:
            return
        self._partition = coordinator.partition_of(request.key)
        deadline = node.loop.time() + request.deadline_seconds
        if request.kind == "get":
            coordinator.read(request.key, Freshness(request.level), deadline, self._done)
        else:
            command = Put(request.key, request.value) if request.kind == "put" else Delete(request.key)
            coordinator.write(request.key, command, deadline, self._done)

    def _done(self, result: Result | Reading | RaftGroupError) -> None:
        if self._is_answered:
            self._requests.failure = Violation("one answer", f"{self._request} was answered twice")
        self._is_answered = True
        request, key, partition = self._request, self._request.key, self._partition
        if isinstance(result, Written):
            # Also when the client has gone: what a node says is so must be so.
            value = request.value if request.kind == "put" else None
            self._bench.acknowledgements.acknowledged(partition, key, result.revision, value)
            self._end(ok=True)
        elif isinstance(result, Reading):
            returned = self._bench.moment()
            server = result.receipt.served_by
            starts = self._starts[server], self._simulation.nodes[server].starts
            self._bench.readings.read(Answer(partition, key, result.item, server, starts, self._called, returned))
            self._end(ok=True, item=result.item)
        else:
            assert isinstance(result, RaftGroupError), "these commands have no other results"
            self._end(ok=None if result.may_have_applied else False)

    def _give_up(self) -> None:
        node = self._node
        if not self._is_over and node.is_up and not node.is_paused and node.troubles == self._troubles:
            text = f"{node.name} was well all the time, and has not answered {self._request}"
            self._requests.failure = Violation("a node that is well answers in time", text)
        self._end(ok=None)

    def _end(self, *, ok: bool | None, item: Item | None = None) -> None:
        if self._is_over:
            return
        self._is_over = True
        request = self._request
        if self._call is not None:
            output = _short(item.value) if item is not None else None
            self._bench.history.end(self._call, ok=ok, output=output)
        outcome = {True: "done", False: "refused", None: "unknown"}[ok]
        level = f" {request.level}" if request.kind == "get" else ""
        self._requests.outcomes[f"{request.kind}{level} {outcome}"] += 1
        self._ended(ok)


def _short(value: bytes) -> str:
    """What makes a value unique; that the rest is right is for Readings and Contents."""
    return value[: value.find(b".")].decode()
