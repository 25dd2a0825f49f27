"""What has expired is gone for every reader, though it must wait for its turn to be removed."""

from functools import partial

import pytest

from app.simulation.judges import chain
from app.simulation.judges.reckoning import Reckoning
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import command_of, try_out
from raftgroups import applying


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_every_promise_is_kept_where_an_entry_removes_one_key(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "EXPIRED_PER_ENTRY_MAX", 1)
    monkeypatch.setattr(chain, "Reckoning", partial(Reckoning, 1))

    trial = try_out(SimulationOptions(seed, steps=20_000))

    assert trial.violation is None, f"{trial.violation}; again, with the same bound: {command_of(trial.options)}"
