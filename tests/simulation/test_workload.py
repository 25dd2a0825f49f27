from collections import Counter

import pytest

from app.simulation.node import SimulatedNode
from app.simulation.plan import PlannedFault
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import try_out
from app.simulation.violation import Violation
from app.simulation.workload import USUAL, Habits, Workload
from raftgroups import Delete, Level, Put, Written
from tests.simulation.judges.court import breaks
from tests.simulation.scene import Scene

ANSWERED = "requests are answered once, and all of them when all is well"


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
    puts = [asked for asked in working.asked if isinstance(asked, Put)]
    assert len({put.value.partition(b".")[0] for put in puts}) == len(puts) > 1000


def test_clients_ask_for_what_their_habits_say() -> None:
    working = Working(nodes=3)

    working.scene.run(200.0)
    asked, total = working.asked, len(working.asked)
    puts = [one for one in asked if isinstance(one, Put)]
    deletes = [one for one in asked if isinstance(one, Delete)]
    gets = [one for one in asked if isinstance(one, tuple)]
    stale = [level for _, level in gets if level is Level.STALE]
    keys = [
        one.key if isinstance(one, (Put, Delete)) else one[0] for one in asked if isinstance(one, (Put, Delete, tuple))
    ]
    assert len(puts) / total == pytest.approx(USUAL.put_share, abs=0.02)
    assert len(deletes) / total == pytest.approx(USUAL.delete_share, abs=0.02)
    assert len(stale) / len(gets) == pytest.approx(USUAL.stale_share, abs=0.02)
    assert sum(key.startswith(b"hot") for key in keys) / total == pytest.approx(USUAL.hot_share, abs=0.02)
    assert len(set(keys)) == USUAL.hot_keys + USUAL.cold_keys
    assert total / 200 == pytest.approx(USUAL.clients / USUAL.think_seconds, rel=0.1)


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
    working = Working(Habits(clients=1, put_share=1.0, delete_share=0.0))
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
    written = {one.key for one in working.asked if isinstance(one, (Put, Delete))}
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
    working = Working(Habits(clients=1, put_share=1.0))
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
    kinds = Counter(type(one) for one in working.asked)
    assert working.workload.outcomes["put done"] == kinds[Put]


def test_a_node_that_never_comes_back_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    start = SimulatedNode.start
    monkeypatch.setattr(SimulatedNode, "start", lambda node: None if node.starts and node.name == "n2" else start(node))
    plan = (PlannedFault("crash", "kill", 1.0, 1.0, ("n2",)),)

    went = try_out(SimulationOptions(nodes=3, partitions=1, steps=5000, plan=plan))
    assert isinstance(went.violation, Violation)
    assert went.violation.rule == ANSWERED
    assert "n2 is not up: it starts" in went.violation.text
