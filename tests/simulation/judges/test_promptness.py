from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.simulation.judges.promptness import Promptness, Waiting
from app.simulation.violation import Violation
from raftgroups import PartitionId

P0 = PartitionId(0)


class World:
    """Two nodes with a link to each other; a leads partition 0."""

    def __init__(self) -> None:
        self.now = self.calm_since = 0.0
        self.nodes: dict[str, Any] = {name: self._node(leads=name == "a") for name in "ab"}
        self.judge = Promptness(cast("Any", self.nodes), lambda: self.now, lambda: self.calm_since)
        for name, node in self.nodes.items():
            node.name = name
        self.see()

    def see(self) -> None:
        for node in self.nodes.values():
            self.judge.observe(node)

    def ask(self) -> Waiting:
        waiting = Waiting("b", 0, P0, "put", self.now)
        self.judge.arrived(waiting)
        return waiting

    def pass_on(self, seconds: float) -> None:
        self.now += seconds
        self.see()
        self.judge.settle()

    @staticmethod
    def _node(*, leads: bool) -> Any:
        peer = SimpleNamespace(link=object())
        consensus = SimpleNamespace(is_transferring=False)
        group = SimpleNamespace(is_leader=leads, is_impaired=False, consensus=consensus)
        transport = SimpleNamespace(peers={"other": peer})
        host = SimpleNamespace(is_draining=False, transport=transport, groups={P0: group})
        return SimpleNamespace(troubles=0, is_up=True, is_paused=False, host=host)


def test_a_request_that_waits_though_all_reach_the_leader_breaks_the_promise() -> None:
    world = World()
    world.ask()

    world.pass_on(0.5)
    with pytest.raises(Violation, match=r"b has had put for 0\.600 s, and a leads"):
        world.pass_on(0.1)


def test_a_request_that_is_answered_is_judged_no_more() -> None:
    world = World()
    waiting = world.ask()
    world.pass_on(0.4)

    world.judge.answered(waiting)

    world.pass_on(9.0)
    assert world.judge.checked == 1


def _loses_its_leader(world: World) -> None:
    world.nodes["a"].host.groups[P0].is_leader = False


def _loses_a_link(world: World) -> None:
    world.nodes["b"].host.transport.peers["other"].link = None


def _is_disturbed(world: World) -> None:
    world.calm_since = float("inf")


def _loses_the_node_that_was_asked(world: World) -> None:
    world.nodes["b"].troubles = 1


@pytest.mark.parametrize("happens", [_loses_its_leader, _loses_a_link, _is_disturbed, _loses_the_node_that_was_asked])
def test_a_request_may_wait_while_not_all_is_well(happens: Any) -> None:
    world = World()
    world.ask()

    happens(world)

    world.pass_on(9.0)


def test_a_request_counts_from_when_there_is_a_leader_again() -> None:
    world = World()
    _loses_its_leader(world)
    world.see()
    world.ask()
    world.pass_on(3.0)
    world.nodes["a"].host.groups[P0].is_leader = True
    world.see()

    world.pass_on(0.5)
    with pytest.raises(Violation):
        world.pass_on(0.1)
