"""How it is known that a cluster is well again."""

import time
from collections.abc import Mapping
from typing import Protocol

from tests.chaos.plan import Plan
from tests.chaos.record import SECOND, Record
from tests.chaos.swarm import now


class Patient(Protocol):
    """What is asked of an arena here."""

    names: list[str]
    keys: list[str]
    plan: Plan
    record: Record
    failures: list[str]
    replicas: dict[str, frozenset[str]]
    partition: dict[str, int]

    def start_ended(self) -> None:
        """Start what a fault ended, though it was seen only after the fault was over."""


def recover(arena: Patient, since: int) -> int:
    """Waits until every key works through every node and every replica has what was committed before.

    Returns when that was. A cluster that does not get there in time is a failure of the run.
    """
    wanted = {(name, key) for name in arena.names for key in arena.keys}
    commits = _commits(arena.record, since)
    deadline = since + int(arena.plan.recovery_seconds * SECOND)
    while True:
        arena.start_ended()
        worked: dict[tuple[str, str], int] = {}
        for seen in arena.record.tail(since):
            if seen.is_good:
                place = seen.node, seen.operation.key
                worked[place] = min(seen.finished, worked.get(place, seen.finished))
        behind = _behind(arena, commits, since)
        if worked.keys() >= wanted and not behind:
            return max(worked.values())
        if now() > deadline:
            missing = sorted(wanted - worked.keys())[:4]
            arena.failures.append(
                f"{arena.record.faults[-1].name}: not recovered {arena.plan.recovery_seconds:g} s after healing: "
                f"no success for {missing}, behind: {behind}"
            )
            return now()
        time.sleep(0.05)


def _commits(record: Record, until: int) -> dict[int, int]:
    """The highest commit index of each partition that anybody told by then."""
    commits: dict[int, int] = {}
    for view in list(record.views):
        if view.asked <= until:
            commits[view.partition] = max(view.commit_index, commits.get(view.partition, 0))
    return commits


def _behind(arena: Patient, commits: Mapping[int, int], since: int) -> list[str]:
    """Replicas that have not told since then that they applied as much."""
    holders = {arena.partition[key]: arena.replicas[key] for key in arena.keys}
    late = {(name, partition) for partition, names in holders.items() for name in names}
    for view in reversed(list(arena.record.views)):
        if view.asked < since:
            break
        if view.applied_index >= commits.get(view.partition, 0):
            late.discard((view.node, view.partition))
    return [f"{name} in partition {partition}" for name, partition in sorted(late)]
