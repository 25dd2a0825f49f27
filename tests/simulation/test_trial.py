import shlex

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app.cli import main
from app.simulation import campaign
from app.simulation.plan import KINDS
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial, command_of, try_out
from app.simulation.wishes import Habits
from tests.simulation.trials import fault, trial

SMALL = SimulationOptions(nodes=3, partitions=1, steps=2000)

all_options = st.builds(
    SimulationOptions,
    seed=st.integers(0, 2**64),
    nodes=st.integers(1, 16),
    partitions=st.sampled_from([1, 2, 4, 8, 64]),
    steps=st.integers(1, 10**9),
    faults=st.lists(st.sampled_from(KINDS), unique=True).map(tuple),
    only=st.none() | st.lists(st.integers(0, 999), max_size=5).map(tuple),
)


@given(all_options)
def test_the_command_that_repeats_a_trial_means_the_same_options(options: SimulationOptions) -> None:
    """Through the command line itself, which is what a reader copies it into."""
    ran = list[SimulationOptions]()

    def try_out(options: SimulationOptions, keep_trace: object) -> Trial:
        ran.append(options)
        return trial(options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign, "try_out", try_out)
        words = shlex.split(command_of(options))
        result = CliRunner().invoke(main, words[1:])
    assert (words[0], result.exit_code) == ("ringkv", 0), result.output
    assert ran == [options]


def test_the_command_is_short_where_nothing_is_special() -> None:
    assert command_of(SimulationOptions(7)) == "ringkv simulate --seed 7 --nodes 5 --partitions 4 --steps 50000"
    assert command_of(SimulationOptions(7, faults=("net",), only=())).endswith("--faults net --only-faults none")


def test_a_trial_tells_everything_that_was_checked() -> None:
    went = try_out(SMALL)

    assert went.violation is None
    assert went.operations == dict(went.checks)["requests are answered once, and all of them when all is well"] > 0
    never = {name for name, checked in went.checks if not checked}
    assert never == set()
    assert went.steps > SMALL.steps
    assert went.simulated_seconds > 1


def test_a_trial_keeps_its_trace_and_its_digest_does_not_depend_on_that() -> None:
    kept = list[str]()

    assert try_out(SMALL, kept.append).trace_digest == try_out(SMALL).trace_digest
    assert any("healed" in line for line in kept)


def test_a_trial_has_the_habits_that_it_is_given() -> None:
    went = try_out(
        SMALL, habits=Habits(put_share=1.0, delete_share=0.0, condition_share=0.0, token_share=0.0, special_share=0.0)
    )

    # What is read is what the last round reads.
    assert set(went.outcomes) == {"put done", "get linearizable done"}


def test_faults_are_counted_by_what_they_are() -> None:
    went = trial(struck=[(0, fault(2.0)), (4, fault(3.0)), (5, fault(4.0, "break"))])

    assert went.faults == {"net cut": 2, "net break": 1}


def test_the_options_of_the_command_line_are_those_of_a_simulation() -> None:
    """Their defaults too, so that what is left out means the same."""
    command = main.get_command(click.Context(main), "simulate")
    assert command is not None
    defaults = {option.name: option.default for option in command.params if isinstance(option, click.Option)}

    usual = SimulationOptions()
    assert (defaults["seed"], defaults["nodes"]) == (usual.seed, usual.nodes)
    assert (defaults["partitions"], defaults["steps"]) == (usual.partitions, usual.steps)
