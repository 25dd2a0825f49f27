"""Trial: one simulation with its clients and its judges, and what came of it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.simulation.judges import Bench
from app.simulation.plan import KINDS, PlannedFault
from app.simulation.simulation import Simulation, SimulationOptions
from app.simulation.violation import Violation
from app.simulation.wishes import USUAL, Habits
from app.simulation.workload import Workload


@dataclass(frozen=True, slots=True)
class Trial:
    """How one went.

    violation         the promise that was broken, None if none was
    trace_digest      equal for equal options, on any machine
    steps             events, after healing too
    struck            the faults that did, and their numbers in the plan
    checks            every rule, and how often it was checked
    outcomes          how many requests ended how, as "kind outcome"
    simulated_seconds, real_seconds
    """

    options: SimulationOptions
    violation: Violation | None
    trace_digest: str
    steps: int
    struck: tuple[tuple[int, PlannedFault], ...]
    checks: tuple[tuple[str, int], ...]
    outcomes: Counter[str]
    simulated_seconds: float
    real_seconds: float

    @property
    def operations(self) -> int:
        return self.outcomes.total()

    @property
    def faults(self) -> Counter[str]:
        """How often each fault struck."""
        return Counter(f"{fault.kind} {fault.name}" for _, fault in self.struck)


def try_out(
    options: SimulationOptions, keep_trace: Callable[[str], object] | None = None, habits: Habits = USUAL
) -> Trial:
    """Run a simulation to its end, or to the first broken promise."""
    began = time.perf_counter()
    simulation = Simulation(options, keep_trace)
    bench = Bench(simulation.nodes, lambda: simulation.now, simulation.setting, lambda: simulation.calm_since)
    workload = Workload(simulation, bench, habits)
    simulation.judges += [bench, workload]
    workload.start()
    outcome = simulation.run()
    return Trial(
        options,
        outcome.violation,
        outcome.trace_digest,
        outcome.steps,
        outcome.struck,
        (*bench.tallies(), (workload.name, workload.checked)),
        workload.outcomes,
        outcome.seconds,
        time.perf_counter() - began,
    )


def command_of(options: SimulationOptions) -> str:
    """What repeats a trial, on a command line."""
    words = [f"ringkv simulate --seed {options.seed} --nodes {options.nodes} --partitions {options.partitions}"]
    words.append(f"--steps {options.steps}")
    if options.faults != KINDS:
        words.append(f"--faults {','.join(options.faults) or 'none'}")
    if options.only is not None:
        words.append(f"--only-faults {','.join(map(str, options.only)) or 'none'}")
    return " ".join(words)
