"""One scenario, or many in a row, and the verdict."""

import shutil
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import cgroup, judge, network, shim
from tests.chaos.arena import Arena
from tests.chaos.plan import Plan
from tests.chaos.record import Record
from tests.chaos.scenario import Scenario
from tests.chaos.swarm import now
from tests.chaos.table import outcomes, table

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
    if scenario.name == "P9-starved":
        return cgroup.missing()
    if scenario.name == "P5-crash-points" and shutil.which("strace") is None:
        return "not installed: strace"
    return ""


def run(directory: Path, plan: Plan, programme: Callable[[Arena], Iterable[Scenario]]) -> Verdict:
    """All that the programme has, one after the other, in one arena. Leaves logs and history.jsonl in `directory`."""
    with Arena(directory, plan) as arena:
        try:
            arena.load()
            for scenario in programme(arena):
                scenario.run(arena)
                arena.work(BREATH_SECONDS)
            finished = now()
            arena.finish()
        except Exception:
            # The end of the run, but not of what can be said about it.
            arena.failures.append(traceback.format_exc())
            finished = now()
            arena.unload()  # what is not told does not explain what was read
        write_history(arena.record, directory / "history.jsonl")
    failures = [
        *arena.failures,
        *judge.linearizable(arena.record),
        *judge.silent_minorities(arena.record),
        *judge.live_majorities(arena.record),
        *judge.answered(arena.record),
        *judge.one_leader(arena.record),
        *judge.read_back(arena.record, arena.names, arena.keys, finished),
        *judge.exact_counters(arena.record),
        *judge.faithful_sessions(arena.record),
        *judge.repeated(arena.record),
        *judge.busy(arena.record),
        *judge.quiet_logs(arena.logs()),
    ]
    return Verdict(failures, table(arena.record), outcomes(arena.record))


def write_history(record: Record, path: Path) -> None:
    """Every operation, as a line that any judge of histories reads."""
    path.write_text("".join(f"{operation.to_json()}\n" for operation in record.history()))
