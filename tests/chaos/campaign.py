"""The long form: every scenario, in an order drawn from the seed, in one cluster, until there were operations enough.

    python -m tests.chaos.campaign [--seed 1] [--nodes 5] [--operations 100000] [--only NAME,…] [--directory DIR]

All that the clients saw is one history, and judged as one. Between the scenarios come mixtures of faults, drawn
from the seed too. Logs and history stay in the directory; the exit code is 1 if a judge has a complaint.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.plan import Plan
from tests.chaos.rows import SCENARIOS
from tests.chaos.run import missing, missing_for, run
from tests.chaos.scenario import Scenario

MIXTURE = "X-mixture"
SCENARIOS_TO_A_MIXTURE = 4
REPLICAS = 3


def plan_of(seed: int, nodes: int) -> Plan:
    """What every scenario needs: little memory, values of more than a packet, a small disk, spare nodes."""
    return Plan(
        nodes=nodes,
        seed=seed,
        replicas=min(nodes, REPLICAS),
        altered="small-tables",
        big_share=0.3,
        small_disks=("n1",),
    )


def fitting(nodes: int, only: Sequence[str] = ()) -> list[Scenario]:
    """The scenarios that so many nodes and this machine can play; all are told that are left out."""
    found = []
    for name, scenario in SCENARIOS.items():
        if only and name not in only:
            continue
        reason = f"needs {scenario.nodes} nodes" if scenario.nodes > nodes else missing_for(scenario)
        if reason:
            print(f"left out: {name}: {reason}")
        else:
            found.append(scenario)
    return found


class Programme:
    """Which scenario is next, for as long as the history is too short: all of them at least once."""

    def __init__(self, scenarios: Sequence[Scenario], rng: random.Random, operations: int) -> None:
        self._scenarios = scenarios
        self._rng = rng
        self._operations = operations

    def __call__(self, arena: Arena) -> Iterator[Scenario]:
        while True:
            for number, scenario in enumerate(self._rng.sample(self._scenarios, len(self._scenarios)), 1):
                tell(f"{scenario.name}, after {len(arena.record.operations)} operations")
                yield scenario
                if number % SCENARIOS_TO_A_MIXTURE == 0:
                    yield SCENARIOS[MIXTURE]
            if len(arena.record.operations) >= self._operations:
                return


def tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign", description="Hurt a cluster, and judge it.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=5)
    parser.add_argument("--operations", type=int, default=100_000, help="the least")
    parser.add_argument("--only", default="", help="names of scenarios, with commas")
    parser.add_argument("--directory", type=Path, help="where logs and history stay")
    options = parser.parse_args(arguments)
    if reason := missing():
        print(f"not here: {reason}", file=sys.stderr)
        return 2
    scenarios = fitting(options.nodes, [name for name in options.only.split(",") if name])
    directory = options.directory or Path(tempfile.mkdtemp(prefix="ringkv-chaos-"))
    programme = Programme(scenarios, random.Random(options.seed), options.operations)
    tell(f"seed {options.seed}, {options.nodes} nodes, {len(scenarios)} scenarios; logs and history in {directory}")
    verdict = run(directory, plan_of(options.seed, options.nodes), programme)
    print(verdict)
    print(f"seed {options.seed}: {'FAILED' if verdict.failures else 'passed'}; history: {directory}/history.jsonl")
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
