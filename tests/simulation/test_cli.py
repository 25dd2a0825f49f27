"""`ringkv simulate`, as it is typed."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from engine import SequenceNumber, WriteBatch
from raftgroups.statemachine import StateMachine

SMALL = ("--nodes", "3", "--partitions", "1", "--steps", "3000")


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No delete deletes anything."""
    apply = StateMachine.apply

    def forgets_deletes(machine: StateMachine, index: object, term: object, payload: bytes) -> object:
        kept = {key: value for key, value in machine.engine.scan() if key[:1] == b"\x01"}
        results = apply(machine, index, term, payload)  # type: ignore[arg-type]  # as it was called
        gone = {key: value for key, value in kept.items() if machine.engine.get(key) is None}
        _restore(machine, gone)
        return results

    monkeypatch.setattr(StateMachine, "apply", forgets_deletes)


def _restore(machine: StateMachine, records: dict[bytes, bytes]) -> None:
    batch = WriteBatch()
    for key, value in records.items():
        batch.put(key, value)
    if records:
        machine.engine.write(batch, sequence=SequenceNumber(machine.applied_index))


def test_a_seed_that_keeps_every_promise_says_what_was_checked() -> None:
    result = simulate("--seed", "1", *SMALL)

    assert result.exit_code == 0, result.output
    assert "operations of clients in" in result.stdout
    assert "  linearizable histories\n" in result.stdout
    assert "  state machine safety\n" in result.stdout
    assert result.stdout.splitlines()[-1] == "every promise was kept"
    assert result.stderr == ""


def test_one_seed_is_told_the_same_each_time() -> None:
    def told() -> list[str]:
        """All but the time that it took here."""
        return simulate("--seed", "3", *SMALL).stdout.splitlines()[1:]

    assert told() == told()


@pytest.mark.usefixtures("broken")
def test_a_violation_ends_with_one_command_that_shows_it_again() -> None:
    result = simulate("--seed", "1", *SMALL)
    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("again: ringkv simulate --seed 1 ")

    words = shlex.split(last.removeprefix("again: ringkv simulate"))
    again = simulate(*words, "--no-shrink")
    assert again.exit_code == 1
    assert "seed 1: equal contents at equal index: " in result.stdout
    assert [line for line in again.stdout.splitlines() if line.startswith("seed 1: ")] == [
        line for line in result.stdout.splitlines() if line.startswith("seed 1: ")
    ]


@pytest.mark.usefixtures("broken")
def test_what_fails_is_shrunk_unless_it_is_not_to_be() -> None:
    assert simulate("--seed", "1", *SMALL, "--no-shrink").stdout.splitlines()[-1] == (
        "again: ringkv simulate --seed 1 --nodes 3 --partitions 1 --steps 3000"
    )


@pytest.mark.usefixtures("broken")
def test_of_many_seeds_each_failure_has_its_command() -> None:
    result = simulate("--seeds", "1-3", "--jobs", "1", *SMALL, "--shrink-seconds", "0")

    assert result.exit_code == 1
    commands = [line for line in result.stdout.splitlines() if line.startswith("ringkv simulate --seed ")]
    assert len(commands) == 3
    assert "3 of them failed" in result.stdout


@pytest.mark.parametrize("options", [("--seeds", "4-6"), ("--seed", "4", "--count", "3")])
def test_many_seeds_are_one_sum(options: tuple[str, ...]) -> None:
    result = simulate(*options, "--jobs", "1", *SMALL)

    assert result.exit_code == 0, result.output
    assert "3 seeds in " in result.stdout
    assert result.stdout.splitlines()[-1] == "every promise was kept"


def test_a_trace_is_written_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "trace"

    result = simulate("--seed", "1", *SMALL, "--trace", str(path))
    assert result.exit_code == 0, result.output
    lines = path.read_text().splitlines()
    assert lines[0].startswith("0.000000 replicas ")
    assert lines[1] == "0.000000 n1 starts"
    assert any(line.endswith(" healed") for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)


def test_only_the_faults_that_were_chosen_strike(tmp_path: Path) -> None:
    path = tmp_path / "trace"

    def struck(*options: str) -> list[str]:
        simulate("--seed", "3", *SMALL, "--steps", "5000", "--trace", str(path), *options)
        return [line.split()[2] for line in path.read_text().splitlines() if " fault " in line]

    numbers = struck()
    assert len(numbers) > 2
    # The first one strikes in any case: up to there nothing is different.
    assert struck("--only-faults", numbers[0]) == numbers[:1]
    assert struck("--only-faults", "none") == []
    assert struck("--faults", "none") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--faults", "wind"), "--faults knows net, disk, crash, clock, membership and none, not 'wind'"),
        (("--only-faults", "first"), "--only-faults is numbers such as 3,7,12, or none; not 'first'"),
        (("--partitions", "3"), "--partitions is a power of two"),
        (("--seeds", "9-1"), "--seeds is FROM-TO, such as 1-200, not '9-1'"),
        (("--seeds", "7"), "--seeds is FROM-TO, such as 1-200, not '7'"),
        (("--seeds", "1-3", "--count", "3"), "give --seeds or --count, not both"),
        (("--count", "3", "--trace", "-"), "--trace is for one seed"),
        (("--nodes", "0"), "0 is not in the range 1<=x<=16"),
        (("--steps", "many"), "'many' is not a valid integer"),
    ],
)
def test_options_that_make_no_sense_are_told_in_one_line(options: tuple[str, ...], words: str) -> None:
    result = simulate(*options)

    assert (result.exit_code, result.stdout) == (2, "")
    (told,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert words in told
