"""Many short runs, each of another cluster on other bad days; `make simulate` runs as many as you like."""

import pytest

from app.simulation.simulation import SimulationOptions
from app.simulation.trial import command_of, try_out

SEEDS = range(1, 65)
STEPS = 20_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_is_kept(seed: int) -> None:
    trial = try_out(SimulationOptions(seed, steps=STEPS))

    assert trial.violation is None, f"{trial.violation}; again: {command_of(trial.options)}"
    assert trial.operations > 100
