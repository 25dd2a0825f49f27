"""The net has no holes: whatever rule of the protocol is broken, some judge notices, and soon."""

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    """Within the stated number of seeds; and the same seed is clean when the rule is kept."""
    for seed in range(1, mutation.within + 1):
        with mutation.on():
            is_noticed = mutation.trial(seed).violation is not None
        if is_noticed:
            assert mutation.trial(seed).violation is None
            return
    pytest.fail(f"{mutation.within} seeds have not shown it: {mutation.breaks}")


def test_there_are_many_and_each_says_what_it_breaks() -> None:
    assert len(MUTATIONS) >= 24
    assert all(mutation.breaks.endswith(".") for mutation in MUTATIONS.values())
