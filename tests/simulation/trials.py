"""Trials that never ran, as somebody says that they went."""

from collections import Counter
from collections.abc import Sequence

from app.simulation.plan import PlannedFault
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial
from app.simulation.violation import Violation

BROKEN = Violation("log matching", "n1 and n2 differ at 7")


def fault(at: float, name: str = "cut") -> PlannedFault:
    return PlannedFault("net", name, at, 1.5, ("n1", "n2"))


def trial(
    options: SimulationOptions | None = None,
    violation: Violation | None = None,
    struck: Sequence[tuple[int, PlannedFault]] = (),
    checks: Sequence[tuple[str, int]] = (),
    outcomes: dict[str, int] | None = None,
) -> Trial:
    return Trial(
        options or SimulationOptions(), violation, "digest", 1000, tuple(struck), tuple(checks),
        Counter(outcomes or {}), simulated_seconds=9.25, real_seconds=0.5,
    )  # fmt: skip
