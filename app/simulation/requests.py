"""Requests: one operation of one client, through one node or more, and what came of it, for all judges to know."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.simulation.judges import Answer, Bench, Waiting
from app.simulation.node import SimulatedNode
from app.simulation.session import Session
from app.simulation.simulation import Simulation
from app.simulation.violation import Violation
from raftgroups import (
    Changed,
    Cleared,
    Command,
    ConditionalDelete,
    ConditionalPut,
    Decided,
    Delete,
    Freshness,
    Increment,
    Item,
    Level,
    LogIndex,
    Once,
    PartitionId,
    Put,
    RaftGroupError,
    Reading,
    Result,
    Written,
    encode_command,
)

Ended = Callable[[bool | None], None]
"""Told whether it was answered; None when nobody knows what became of it."""
ChooseNode = Callable[[], SimulatedNode | None]

REPEAT_SECONDS = 0.2
# No part of the history, in which every key is a register, are keys that begin so; those of counters go on so.
SPECIAL = b"~"
COUNTER = b"~n"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    kind          as it is counted
    command       None: a read
    staleness_ms  of a read at level BOUNDED
    session       whose writes a read at level SESSION must show, and who remembers what came of it
    """

    kind: str
    key: bytes
    command: Command | None = None
    level: Level = Level.LINEARIZABLE
    staleness_ms: int = 0
    session: Session | None = None
    deadline_seconds: float = 3.0

    @property
    def effect(self) -> Command | None:
        """The command, without what is to be done about its being repeated."""
        return self.command.command if isinstance(self.command, Once) else self.command

    @property
    def is_newest(self) -> bool:
        """Whether it is a read that no write may be missing from."""
        return self.level is Level.LINEARIZABLE or self.level is Level.LEASE


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

    def ask(
        self, client: int, node: SimulatedNode, request: Request, ended: Ended, again: ChooseNode | None = None
    ) -> None:
        """Hand `request` to `node`, which must be up; `ended` is told once, also if no answer comes.

        With `again`, a request whose outcome is unknown is repeated through the nodes that it names until the outcome
        is known: it must be one that takes effect once.
        """
        _Operation(self, client, request, ended, again).ask(node)


class _Operation:
    """One request of a client, with all its repeats."""

    def __init__(
        self, requests: Requests, client: int, request: Request, ended: Ended, again: ChooseNode | None
    ) -> None:
        self._requests = requests
        self._simulation = requests._simulation
        self._bench = requests._bench
        self._request = request
        self._ended = ended
        self._again = again
        self._is_doubtful = False
        self._call: int | None = None
        effect = request.effect
        if not request.key.startswith(SPECIAL) and (effect is not None or request.is_newest):
            value = _short(effect.value) if isinstance(effect, Put | ConditionalPut) else None
            kind = "get" if effect is None else "put" if value is not None else "delete"
            assert effect is None or isinstance(effect, Put | ConditionalPut | Delete | ConditionalDelete), "a register"
            self._call = self._bench.history.call(client, kind, request.key.decode(), value)

    def ask(self, node: SimulatedNode) -> None:
        _Attempt(self._requests, node, self._request, self._attempted)

    def _attempted(self, partition: PartitionId, answer: Result | Reading | RaftGroupError | None) -> None:
        request = self._request
        if answer is None or isinstance(answer, RaftGroupError):
            is_unknown = request.command is not None and (answer is None or answer.may_have_applied)
            self._is_doubtful = self._is_doubtful or is_unknown
            if self._is_doubtful and self._again is not None:
                self._simulation.call_at(self._simulation.now + REPEAT_SECONDS, self._repeat)
            elif self._is_doubtful or answer is None:
                self._end(partition, "unknown", ok=None)
            else:
                self._end(partition, "refused", ok=False)
            return
        session = request.session
        if isinstance(answer, Reading):
            if session is not None and request.level is Level.SESSION:
                session.read(partition, answer)
            self._end(partition, "done", ok=True, item=answer.item)
            return
        is_done = isinstance(answer, Written | Changed | Decided | Cleared)
        if session is not None and isinstance(answer, Written | Changed):
            session.wrote(partition, answer.revision)
        self._end(partition, "done" if is_done else "unmet", ok=is_done)

    def _repeat(self) -> None:
        node = self._again() if self._again is not None else None
        if node is None:
            self._simulation.call_at(self._simulation.now + REPEAT_SECONDS, self._repeat)
        else:
            self.ask(node)

    def _end(self, partition: PartitionId, outcome: str, *, ok: bool | None, item: Item | None = None) -> None:
        request, effect = self._request, self._request.effect
        if self._call is not None:
            output = _short(item.value) if item is not None else None
            self._bench.history.end(self._call, ok=ok, output=output)
        if isinstance(effect, Increment) and request.key.startswith(COUNTER):
            self._bench.counters.counted(partition, request.key, effect.by, ok=ok)
        level = f" {request.level}" if effect is None else ""
        self._requests.outcomes[f"{request.kind}{level} {outcome}"] += 1
        self._ended(True if outcome == "unmet" else ok)


class _Attempt:
    """One request on its way through one node."""

    def __init__(
        self,
        requests: Requests,
        node: SimulatedNode,
        request: Request,
        ended: Callable[[PartitionId, Result | Reading | RaftGroupError | None], None],
    ) -> None:
        self._requests = requests
        self._node = node
        self._request = request
        self._ended = ended
        self._is_over = self._is_answered = False
        self._waiting: Waiting | None = None
        self._troubles = node.troubles
        self._partition = PartitionId(0)
        self._seen = LogIndex(0)
        self._command = encode_command(request.command) if request.command is not None else b""
        bench, simulation = requests._bench, requests._simulation
        self._bench = bench
        self._simulation = simulation
        self._called = bench.moment()
        self._arrived = simulation.now
        self._starts = {name: other.starts for name, other in simulation.nodes.items()}
        simulation.call_at(simulation.now + request.deadline_seconds + requests._patience_seconds, self._give_up)
        # As whatever comes in from outside: a node that stands still sees it when it goes on.
        node.loop.call_soon(self._arrive)

    def _arrive(self) -> None:
        node, request = self._node, self._request
        coordinator = node.coordinator
        if coordinator is None:
            return
        self._arrived = self._simulation.now
        self._partition = partition = coordinator.partition_of(request.key)
        self._waiting = Waiting(node.name, node.troubles, partition, f"{request.kind} {request.key!r}", self._arrived)
        self._bench.promptness.arrived(self._waiting)
        deadline = node.loop.time() + request.deadline_seconds
        if request.command is not None:
            self._bench.acknowledgements.asked(partition, self._command)
            self._bench.lifetimes.asked(partition, self._command)
            coordinator.write(request.key, request.command, deadline, self._done)
            return
        fresh = Freshness(request.level, 0, request.staleness_ms)
        if request.session is not None and request.level is Level.SESSION:
            fresh = request.session.fresh(partition)
            self._seen = request.session.seen(partition)
        coordinator.read(request.key, fresh, deadline, self._done)

    def _done(self, answer: Result | Reading | RaftGroupError) -> None:
        if self._is_answered:
            self._requests.failure = Violation("one answer", f"{self._request} was answered twice")
        self._is_answered = True
        self._stop_waiting()
        # Also when the client has gone: what a node says is so must be so.
        acknowledgements, partition = self._bench.acknowledgements, self._partition
        if isinstance(answer, Reading):
            reading = self._reading(answer)
            self._bench.readings.read(reading)
            self._bench.lifetimes.read(reading)
        elif not isinstance(answer, RaftGroupError):
            acknowledgements.acknowledged(partition, self._command, answer)
        elif self._command and not answer.may_have_applied:
            acknowledgements.refused(partition, self._command)
        self._end(answer)

    def _reading(self, answer: Reading) -> Answer:
        returned = self._bench.moment()
        server = answer.receipt.served_by
        starts = self._starts[server], self._simulation.nodes[server].starts
        return Answer(
            self._partition, self._request.key, answer.item, answer.receipt, starts, self._called, returned,
            self._arrived, self._seen,
        )  # fmt: skip

    def _give_up(self) -> None:
        node = self._node
        if not self._is_over and node.is_up and not node.is_paused and node.troubles == self._troubles:
            text = f"{node.name} was well all the time, and has not answered {self._request}"
            self._requests.failure = Violation("a node that is well answers in time", text)
        self._stop_waiting()
        self._end(None)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._bench.promptness.answered(self._waiting)

    def _end(self, answer: Result | Reading | RaftGroupError | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended(self._partition, answer)


def _short(value: bytes) -> str:
    """What makes a value unique; that the rest is right is for Readings and Contents."""
    return value[: value.find(b".")].decode()
