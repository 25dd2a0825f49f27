"""The fault matrix on real processes: nodes in network namespaces, clients on each, every history judged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.rows import SCENARIOS
from tests.chaos.run import missing, missing_for, run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(missing()), reason=missing() or "all is there"),
]

# A few belong to every test run; `make scenarios` has each in a cluster of its own, `make chaos` all in one.
SHORT = ("P1-kill-leader", "P4-power-cut-all", "N2-leader-alone", "N4-ring", "S4-torn-write")


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [] if name in SHORT else [pytest.mark.slow, pytest.mark.chaos]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in SCENARIOS])
def test_a_cluster_survives(name: str, tmp_path: Path, measured: Callable[[str], None]) -> None:
    scenario = SCENARIOS[name]
    if reason := missing_for(scenario):
        pytest.skip(reason)

    verdict = run(tmp_path, scenario.plan, lambda _: [scenario])

    for line in verdict.table[1:]:
        measured(line)
    assert not verdict.failures, str(verdict)
