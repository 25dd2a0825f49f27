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

# One of each kind belongs to every test run; `make chaos` runs them all.
SHORT = (
    "P1-kill-leader",
    "P4-power-cut-all",
    "P7-pause-leader",
    "N2-leader-alone",
    "N4-ring",
    "N6-delay",
    "S4-torn-write",
)


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
