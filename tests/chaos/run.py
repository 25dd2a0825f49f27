"""One scenario, or many in a row, and the verdict."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import cgroup, judge, network, shim
from tests.chaos.arena import Arena, Plan
from tests.chaos.scenarios import Scenario
from tests.chaos.swarm import now

BREATH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """failures: what was wrong, empty for a good run; table and outcomes: the run in numbers."""

    failures: list[str]
    table: list[str]
    outcomes: str

    def __str__(self) -> str:
        return "\n".join([*self.table, self.outcomes, *(f"FAILED: {failure}" for failure in self.failures)])


def missing() -> str:
    """Why nothing of this can run here; empty when it can."""
    return network.missing() or shim.missing()


def missing_for(scenario: Scenario) -> str:
    """Why this scenario cannot run here; empty when it can."""
    return cgroup.missing() if scenario.name == "P9-starved" else ""


def run(directory: Path, plan: Plan, scenarios: Iterable[Scenario]) -> Verdict:
    """All of them, one after the other, in one arena. Leaves the logs and the history in `directory`."""
    with Arena(directory, plan) as arena:
        try:
            arena.load()
            for scenario in scenarios:
                scenario.run(arena)
                arena.work(BREATH_SECONDS)
        except Exception as error:
            arena.failures.append(f"{type(error).__name__}: {error}")
            raise
        finished = now()
        arena.finish()
    failures = [
        *arena.failures,
        *judge.linearizable(arena.record),
        *judge.silent_minorities(arena.record, arena.replicas),
        *judge.live_majorities(arena.record, arena.replicas),
        *judge.answered(arena.record),
        *judge.one_leader(arena.record),
        *judge.read_back(arena.record, arena.names, arena.keys, finished),
        *judge.busy(arena.record),
        *judge.quiet_logs(arena.logs()),
    ]
    return Verdict(failures, judge.table(arena.record, arena.replicas), judge.outcomes(arena.record))
