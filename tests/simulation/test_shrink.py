import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulation.shrink import Shrinker
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial
from app.simulation.violation import Violation
from tests.simulation.trials import BROKEN, fault, trial

PLANNED = 40


@dataclass
class Bug:
    """What fails, as a test says: with these faults, and so many nodes, partitions and steps."""

    faults: set[int] = field(default_factory=set)
    nodes: int = 1
    partitions: int = 1
    steps: int = 1
    elsewhere: Callable[[SimulationOptions], Violation | None] = lambda options: None
    tried: list[SimulationOptions] = field(default_factory=list)

    def try_out(self, options: SimulationOptions) -> Trial:
        self.tried.append(options)
        struck = [number for number in range(PLANNED) if options.only is None or number in options.only]
        fails = (
            self.faults <= set(struck)
            and options.nodes >= self.nodes
            and options.partitions >= self.partitions
            and options.steps >= self.steps
        )
        violation = BROKEN if fails else self.elsewhere(options)
        return trial(options, violation, [(number, fault(float(number))) for number in struck])

    def shrink(self, tries_max: int = 10_000) -> Trial:
        failed = self.try_out(SimulationOptions(steps=1024))
        shrinker = Shrinker(failed, self.try_out, lambda: len(self.tried) <= tries_max)
        best = shrinker.shrink()
        assert shrinker.tries == len(self.tried) - 1
        return best

    def fails(self, options: SimulationOptions) -> bool:
        return self.try_out(options).violation is BROKEN


@pytest.mark.parametrize(
    "faults",
    [set[int](), {0}, {39}, {17, 18}, {0, 39}, {3, 11, 12, 30}, set(range(0, 40, 3)), set(range(40))],
    ids=str,
)
def test_only_the_faults_that_it_takes_are_left(faults: set[int]) -> None:
    assert Bug(faults).shrink().options.only == tuple(sorted(faults))


@pytest.mark.parametrize(("needed", "left"), [(1, 3), (3, 3), (4, 4), (5, 5)])
def test_fewer_nodes_are_left(needed: int, left: int) -> None:
    assert Bug(nodes=needed).shrink().options.nodes == left


@pytest.mark.parametrize("needed", [1, 2, 4])
def test_fewer_partitions_are_left(needed: int) -> None:
    assert Bug(partitions=needed).shrink().options.partitions == needed


def test_fewer_steps_are_left() -> None:
    """Not more than twice what it takes."""
    assert Bug(steps=100).shrink().options.steps == 128


def test_what_another_promise_breaks_is_another_bug() -> None:
    other = Violation("leader completeness", "n1 leads without entry 7")

    best = Bug({5, 6}, elsewhere=lambda options: other).shrink()
    assert (best.options.only, best.violation) == ((5, 6), BROKEN)


@given(st.sets(st.integers(0, PLANNED - 1)), st.integers(1, 5), st.integers(1, 4), st.integers(0, 80))
def test_what_is_found_always_fails(faults: set[int], nodes: int, partitions: int, tries_max: int) -> None:
    """However early it has to stop."""
    bug = Bug(faults, nodes, partitions)

    best = bug.shrink(tries_max)
    assert best.violation is BROKEN
    assert bug.fails(best.options)
    assert len(bug.tried) <= tries_max + 2


@given(st.integers(0, 2**30))
def test_what_is_found_fails_when_chance_decides(seed: int) -> None:
    """A smaller plan changes everything after it, so failures come and go; one that did fail is given."""

    def elsewhere(options: SimulationOptions) -> Violation | None:
        return BROKEN if random.Random(f"{seed} {options}").random() < 0.3 else None

    bug = Bug(set(range(PLANNED)), nodes=5, partitions=4, steps=1024, elsewhere=elsewhere)
    best = bug.shrink()
    assert bug.fails(best.options)


@given(st.sets(st.integers(0, PLANNED - 1), min_size=1, max_size=4))
def test_no_single_fault_can_be_left_out(faults: set[int]) -> None:
    best = Bug(faults).shrink()

    assert best.options.only is not None
    for kept in combinations(best.options.only, len(best.options.only) - 1):
        assert not Bug(faults).fails(SimulationOptions(only=kept))


def test_little_is_tried() -> None:
    """Far less than every subset, or even every pair."""
    bug = Bug({3, 30})

    bug.shrink()
    assert len(bug.tried) < 100


def test_without_time_what_failed_is_given_as_it_is() -> None:
    bug = Bug({3})

    assert bug.shrink(tries_max=0).options == SimulationOptions(steps=1024)


def test_what_does_not_fail_is_not_shrunk() -> None:
    with pytest.raises(AssertionError):
        Shrinker(trial(), Bug().try_out, lambda: True)
