"""Negative controls: a judge that never fails proves nothing, so each is shown what it must not let pass."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import judge
from tests.chaos.arena import Arena
from tests.chaos.plan import Plan
from tests.chaos.run import missing

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(missing()), reason=missing() or "all is there"),
]


def lie_and_cut_power(arena: Arena) -> None:
    """Every disk confirms syncs that it never makes, and then the power of all fails."""
    with arena.fault("control", None):
        for name in arena.names:
            arena.harm(name, fsync_lie=1)
        arena.hold(1.5)
        arena.cut_power(*arena.names)


def isolate_leader(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("control", [[victim], arena.others(victim)]):
        arena.network.isolate(victim)
        arena.hold(4)


def kill_all(arena: Arena) -> None:
    with arena.fault("control", []):
        arena.kill(*arena.names)


def caught(directory: Path, alteration: str, harm: Callable[[Arena], None]) -> str:
    """What the judges of safety say; the cluster need not get well again."""
    with Arena(directory, Plan(altered=alteration, recovery_seconds=4)) as arena:
        arena.load()
        harm(arena)
        arena.unload()
    return "\n".join([*judge.linearizable(arena.record), *judge.silent_minorities(arena.record)])


def test_a_disk_that_lies_is_caught_when_power_fails(tmp_path: Path) -> None:
    """Acknowledged writes are gone (row S12)."""
    assert "not linearizable" in caught(tmp_path, "", lie_and_cut_power)


def test_local_reads_are_caught_under_a_partition(tmp_path: Path) -> None:
    """A leader alone answers from its past."""
    told = caught(tmp_path, "local-reads", isolate_leader)

    assert "not linearizable" in told
    assert "successes through a minority" in told


def test_forgotten_logs_and_votes_are_caught(tmp_path: Path) -> None:
    told = caught(tmp_path, "amnesia", kill_all)

    assert "not linearizable" in told


def test_a_minority_that_acknowledges_is_caught(tmp_path: Path) -> None:
    told = caught(tmp_path, "hasty", isolate_leader)

    assert "successes through a minority" in told
