from collections.abc import Callable, Iterator

import pytest

from app.simulation import campaign
from app.simulation.campaign import Campaign, options_of, run_seeds
from app.simulation.plan import KINDS
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial, try_out
from tests.simulation.trials import BROKEN, fault, trial

SMALL = SimulationOptions(nodes=3, partitions=1, steps=500)


def run(seeds: list[int]) -> tuple[bool, list[str]]:
    """Whether every promise was kept, and what was said."""
    said = list[str]()
    is_clean = Campaign(SMALL, seeds, 1, None, said.append).run(60.0)
    return is_clean, said


@pytest.fixture
def failing() -> Iterator[set[int]]:
    """The seeds that fail, as long as fault 3 strikes."""
    failing = set[int]()

    def try_out(options: SimulationOptions, keep_trace: Callable[[str], object] | None = None) -> Trial:
        struck = [(n, fault(float(n))) for n in range(8) if options.only is None or n in options.only]
        fails = options.seed in failing and 3 in dict(struck)
        return trial(options, BROKEN if fails else None, struck)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign, "try_out", try_out)
        yield failing


def test_one_seed_that_keeps_every_promise_says_so(failing: set[int]) -> None:
    is_clean, said = run([1])

    assert is_clean
    assert said[1:] == ["trace digest, 1,000 steps", "every promise was kept"]


def test_one_seed_that_fails_ends_with_the_smallest_command_that_repeats_it(failing: set[int]) -> None:
    failing |= {1}

    is_clean, said = run([1])
    assert not is_clean
    assert said[-1].splitlines() == [
        "seed 1: log matching: n1 and n2 differ at 7",
        "      3.000 s  fault 3: cut n1 n2 1.500s",
        "      9.250 s  the violation",
        "again: ringkv simulate --seed 1 --nodes 3 --partitions 1 --steps 1 --only-faults 3",
    ]


def test_of_many_seeds_each_that_fails_is_told_at_once_and_the_first_are_shrunk(failing: set[int]) -> None:
    failing |= {2, 4, 5, 7, 9}

    is_clean, said = run(list(range(10)))
    assert not is_clean
    at_once = [line for line in said if line.startswith("ringkv simulate")]
    assert [line.split()[3] for line in at_once] == ["2", "4", "5", "7", "9"]
    assert all("# log matching: n1 and n2 differ at 7" in line for line in at_once)
    shrunk = [line.splitlines()[-1] for line in said if "again:" in line]
    assert [line.split()[4] for line in shrunk] == ["2", "4", "5"]
    assert any(line.startswith("10 seeds in ") and line.endswith(" s, 5 of them failed") for line in said)


def test_of_many_seeds_that_keep_every_promise_only_sums_are_told(failing: set[int]) -> None:
    is_clean, said = run(list(range(10)))

    assert is_clean
    _, seeds, last = said
    assert seeds.startswith("10 seeds in ") and seeds.endswith(" s, 0 of them failed")
    assert last == "every promise was kept"


def test_without_time_to_shrink_what_failed_is_told_as_it_was(failing: set[int]) -> None:
    failing |= {1}
    said = list[str]()

    Campaign(SMALL, [1], 1, None, said.append).run(0.0)
    assert said[-1].endswith("again: ringkv simulate --seed 1 --nodes 3 --partitions 1 --steps 500")


def test_the_trace_of_one_seed_is_kept() -> None:
    kept, said = list[str](), list[str]()

    assert Campaign(SMALL, [5], 1, kept.append, said.append).run(0.0)
    assert kept
    assert any(try_out(SimulationOptions(5, 3, 1, 500)).trace_digest in line for line in said)


def test_seeds_in_other_processes_go_as_they_do_in_this_one() -> None:
    seeds = range(1, 8)

    here = {one.options.seed: one.trace_digest for one in run_seeds(SMALL, seeds, jobs=1)}
    there = {one.options.seed: one.trace_digest for one in run_seeds(SMALL, seeds, jobs=2)}
    assert list(here) == list(seeds)
    assert there == here


def test_words_of_the_command_line_become_options() -> None:
    assert options_of(1, 5, 4, 50_000, None, None) == SimulationOptions()
    assert options_of(7, 3, 1, 9, "net, disk", "3, 7,12") == SimulationOptions(
        7, 3, 1, 9, ("net", "disk"), None, (3, 7, 12)
    )
    assert options_of(7, 3, 1, 9, "none", "none") == SimulationOptions(7, 3, 1, 9, (), None, ())


@pytest.mark.parametrize("faults", ["wind", "net,wind", "", "net,", "none,net", "NET"])
def test_an_unknown_kind_of_fault_is_told_with_those_that_there_are(faults: str) -> None:
    with pytest.raises(ValueError) as caught:
        options_of(1, 5, 4, 9, faults, None)

    assert str(caught.value).startswith(f"--faults knows {', '.join(KINDS)} and none, not ")


@pytest.mark.parametrize("only", ["", "a", "1,,2", "-1", "1.5", "1-3", "²", "none,1"])
def test_what_is_no_number_of_a_fault_is_told_with_an_example(only: str) -> None:
    with pytest.raises(ValueError) as caught:
        options_of(1, 5, 4, 9, None, only)

    assert str(caught.value) == f"--only-faults is numbers such as 3,7,12, or none; not {only!r}"


@pytest.mark.parametrize("partitions", [3, 6, 63])
def test_partitions_are_a_power_of_two(partitions: int) -> None:
    with pytest.raises(ValueError) as caught:
        options_of(1, 5, partitions, 9, None, None)

    assert str(caught.value) == "--partitions is a power of two"
