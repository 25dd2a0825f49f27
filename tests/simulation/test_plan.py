import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from app.simulation.faults import _STRIKES
from app.simulation.plan import FIRST_SECONDS, HORIZON_SECONDS, KINDS, PAUSE_SECONDS_MAX, PlannedFault, draw_plan

NODES = ("n1", "n2", "n3", "n4", "n5")


def plans(count: int = 60, nodes: Sequence[str] = NODES, kinds: Sequence[str] = KINDS) -> list[PlannedFault]:
    """The faults of so many plans."""
    return [fault for seed in range(count) for fault in draw_plan(random.Random(seed), nodes, 4, kinds)]


def test_one_seed_gives_one_plan() -> None:
    def draw(seed: int) -> list[PlannedFault]:
        return draw_plan(random.Random(seed), NODES, 4, KINDS)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_every_fault_that_there_is_is_planned() -> None:
    planned = {fault.name for fault in plans()}

    assert planned == set(_STRIKES)


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [("disk", "net"), ()])
def test_only_the_kinds_that_were_chosen_are_planned(kinds: tuple[str, ...]) -> None:
    assert {fault.kind for fault in plans(10, kinds=kinds)} == set(kinds)


def test_the_order_of_the_kinds_does_not_matter() -> None:
    assert plans(3, kinds=("net", "disk")) == plans(3, kinds=("disk", "net"))


def test_a_plan_is_in_the_order_of_its_times_and_ends() -> None:
    for seed in range(20):
        plan = draw_plan(random.Random(seed), NODES, 4, KINDS)
        assert plan == sorted(plan, key=lambda fault: fault.at)
        assert plan[0].at >= FIRST_SECONDS
        assert plan[-1].at < HORIZON_SECONDS
        assert len(plan) > 50


def test_faults_are_long_and_short_and_overlap() -> None:
    seconds = [fault.seconds for fault in plans()]

    assert max(seconds) > PAUSE_SECONDS_MAX / 2
    assert sum(lasts < 1.0 for lasts in seconds) > len(seconds) / 3
    plan = draw_plan(random.Random(1), NODES, 4, KINDS)
    assert any(fault.at + fault.seconds > after.at for fault, after in pairwise(plan))


def test_a_fault_is_a_plain_value_that_names_what_it_strikes() -> None:
    """So it strikes alone as it does among others: it needs no fault before it."""
    for fault in plans(10):
        assert all(isinstance(argument, (str, int, float)) for argument in fault.arguments)
        assert {argument for argument in fault.arguments if isinstance(argument, str)} <= set(NODES)


def test_two_nodes_are_two() -> None:
    pairs = [fault.arguments[:2] for fault in plans() if fault.name in {"cut", "cut-one-way", "break"}]

    assert pairs
    assert all(one != other for one, other in pairs)


def test_some_are_not_all() -> None:
    some = [fault.arguments for fault in plans() if fault.name.endswith("-some") or fault.name == "split"]

    assert {len(names) for names in some} == {1, 2, 3, 4}
    assert all(len(set(names)) == len(names) for names in some)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_clusters_have_plans_too(count: int) -> None:
    nodes = NODES[:count]
    planned = plans(20, nodes)

    assert planned
    assert {argument for fault in planned for argument in fault.arguments if isinstance(argument, str)} <= set(nodes)
    assert ("net" in {fault.kind for fault in planned}) == (count > 1)


def test_a_fault_says_in_one_line_what_it_is() -> None:
    assert str(PlannedFault("net", "cut", 2.0, 0.25, ("n1", "n2"))) == "cut n1 n2 0.250s"
