from dataclasses import replace

import pytest

from app.simulation.node import SimulatedNode
from app.simulation.plan import PlannedFault
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import try_out
from app.simulation.violation import Violation
from app.simulation.wishes import USUAL, Habits
from app.simulation.workload import Workload
from raftgroups import (
    AppendTo,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    DeleteRange,
    Increment,
    Once,
    Put,
    Touch,
    Transaction,
    Written,
)
from tests.simulation.judges.court import breaks
from tests.simulation.scene import Scene

ANSWERED = "requests are answered once, and all of them when all is well"


def keys_of(command: object) -> set[bytes]:
    """What a command speaks of."""
    command = command.command if isinstance(command, Once) else command
    if isinstance(command, DeleteRange):
        return set()
    if isinstance(command, Transaction):
        return {step.key for step in command.then}
    assert isinstance(command, Put | Delete | ConditionalPut | ConditionalDelete | Increment | AppendTo | Touch)
    return {command.key}


ONCE = Habits(clients=1, put_share=1.0, delete_share=0.0, condition_share=0.0, token_share=1.0, special_share=0.0)
PLAIN = replace(ONCE, token_share=0.0)


class Working:
    """Clients at work, on nodes that answer as a test says."""

    def __init__(self, habits: Habits = USUAL, nodes: int = 1) -> None:
        self.scene = Scene(nodes)
        self.workload = Workload(self.scene.simulation, self.scene.bench, habits)
        self.workload.start()

    @property
    def asked(self) -> list[object]:
        return [asked for coordinator in self.scene.coordinators.values() for asked in coordinator.asked]

    def silence(self, *, silent: bool = True) -> None:
        for coordinator in self.scene.coordinators.values():
            coordinator.silent = silent


def test_every_value_is_written_once() -> None:
    working = Working(nodes=3)

    working.scene.run(60.0)
    asked = [once.command if isinstance(once, Once) else once for once in working.asked]
    values = {one.value.partition(b".")[0] for one in asked if isinstance(one, Put | ConditionalPut)}
    tokens = [one.token for one in working.asked if isinstance(one, Once)]
    assert len(tokens) == len(set(tokens)) > 200
    assert len(values) == sum(isinstance(one, Put | ConditionalPut) for one in asked) > 1000


def test_a_client_that_knows_nothing_of_what_it_does_once_repeats_it_through_other_nodes() -> None:
    working = Working(ONCE, nodes=3)
    working.silence()

    working.scene.run(60.0)
    assert len(working.asked) > 5
    assert len(set(map(repr, working.asked))) == 1
    working.silence(silent=False)
    working.scene.run(9.0)
    assert len(set(map(repr, working.asked))) > 10
    assert working.workload.outcomes["put once unknown"] == 0


def test_every_node_is_asked() -> None:
    working = Working(nodes=3)

    working.scene.run(60.0)
    counts = [len(coordinator.asked) for coordinator in working.scene.coordinators.values()]
    assert min(counts) > max(counts) / 2


def test_a_client_does_one_thing_at_a_time() -> None:
    working = Working(Habits(clients=3))
    working.silence()

    working.scene.run(1.2)
    assert len(working.scene.coordinator.open) == 3


def test_who_knows_nothing_of_its_write_goes_on_under_a_new_name() -> None:
    """One name has one operation at a time, and nobody knows when this one ends."""
    working = Working(PLAIN)
    working.silence()

    working.scene.run(60.0)
    clients = [operation.client for operation in working.scene.bench.history.operations()]
    assert len(clients) > 10
    assert len(set(clients)) == len(clients)


def test_who_is_answered_keeps_its_name() -> None:
    working = Working(Habits(clients=1))

    working.scene.run(60.0)
    assert {operation.client for operation in working.scene.bench.history.operations()} == {1}


def test_while_nobody_is_up_nothing_is_asked() -> None:
    working = Working()
    working.scene.node.is_running = False
    working.scene.run(9.0)
    assert working.asked == []

    working.scene.node.is_running = True
    working.scene.run(9.0)
    assert working.asked


def test_when_all_is_well_clients_end_and_every_key_is_read() -> None:
    working = Working(nodes=3)
    working.scene.run(9.0)

    working.workload.healed()
    working.scene.run(USUAL.calm_seconds + 5.0)
    assert working.scene.simulation.is_settled
    written = {key for one in working.asked if not isinstance(one, tuple) for key in keys_of(one)}
    for coordinator in working.scene.coordinators.values():
        last = coordinator.asked[-len(written) :]
        assert {one[0] for one in last if isinstance(one, tuple)} == written
    working.workload.finish()
    count = len(working.asked)
    working.scene.run(60.0)
    assert len(working.asked) == count


def test_clients_that_are_not_answered_when_all_is_well_break_the_promise() -> None:
    working = Working(nodes=3)
    working.scene.run(9.0)
    working.silence()

    working.workload.healed()
    working.scene.run(60.0)
    assert not working.scene.simulation.is_settled
    with breaks("a node that is well answers in time"):
        working.workload.finish()


def test_a_request_that_is_answered_twice_breaks_the_promise_at_the_next_step() -> None:
    working = Working(PLAIN)
    working.silence()
    working.scene.run(1.0)
    (done,) = working.scene.coordinator.open
    done(Written(1))
    working.workload.observe(working.scene.node)

    done(Written(1))
    with breaks("one answer"):
        working.workload.observe(working.scene.node)
    with breaks("one answer"):
        working.workload.finish()


def test_requests_are_counted_by_how_they_ended() -> None:
    working = Working(Habits(clients=1))

    working.scene.run(60.0)
    assert working.workload.checked == len(working.asked) == sum(working.workload.outcomes.values())
    puts = [one for one in working.asked if isinstance(one, Put)]
    assert working.workload.outcomes["put done"] == len(puts)


def test_a_node_that_never_comes_back_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    start = SimulatedNode.start
    monkeypatch.setattr(SimulatedNode, "start", lambda node: None if node.starts and node.name == "n2" else start(node))
    plan = (PlannedFault("crash", "kill", 1.0, 1.0, ("n2",)),)

    went = try_out(SimulationOptions(nodes=3, partitions=1, steps=5000, plan=plan))
    assert isinstance(went.violation, Violation)
    assert went.violation.rule == ANSWERED
    assert "n2 is not up: it starts" in went.violation.text
