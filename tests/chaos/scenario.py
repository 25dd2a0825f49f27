"""A scenario: one fault of the matrix, or some, and what must come of it.

P processes, N network, C clocks, S disks, M membership, U upgrades, R resources, X mixtures: the name of a scenario
begins with its row. A scenario is a function of an arena (arena.py) that is under load when it is called, and
is again when it returns: so one may follow the other in a long run. What it needs stands in its decorator.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.chaos.arena import Arena
from tests.chaos.plan import Plan


@dataclass(frozen=True, slots=True)
class Scenario:
    """nodes: what it needs at least; plan: what its arena is when it is alone in it."""

    name: str
    run: Callable[[Arena], None]
    nodes: int
    plan: Plan

    @property
    def row(self) -> str:
        return self.name.partition("-")[0]


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, nodes: int = 3, **plan: object) -> Callable[[Callable[[Arena], None]], Callable[[Arena], None]]:
    """Enters a function as the scenario `name`."""

    def enter(run: Callable[[Arena], None]) -> Callable[[Arena], None]:
        assert name not in SCENARIOS, name
        SCENARIOS[name] = Scenario(name, run, nodes, replace(Plan(nodes=nodes), **plan))  # type: ignore[arg-type]
        return run

    return enter
