from app.simulation.report import describe, describe_violation
from app.simulation.simulation import SimulationOptions
from tests.simulation.trials import BROKEN, fault, trial


def test_one_trial_is_told_with_what_was_checked() -> None:
    went = trial(
        struck=[(0, fault(2.0)), (3, fault(3.0)), (4, fault(4.0, "break"))],
        checks=[("term and vote are kept", 12345), ("log matching", 7)],
        outcomes={"put done": 1200, "get stale refused": 1},
    )

    assert describe([went]) == (
        "1,201 operations of clients in 9.2 simulated seconds, 0.5 s of work here\n"
        "             1  get stale refused\n"
        "         1,200  put done\n"
        "3 faults\n"
        "             1  net break\n"
        "             2  net cut\n"
        "checked\n"
        "        12,345  term and vote are kept\n"
        "             7  log matching"
    )


def test_many_trials_are_told_as_their_sums() -> None:
    one = trial(struck=[(0, fault(2.0))], checks=[("log matching", 7)], outcomes={"put done": 3})
    other = trial(struck=[(0, fault(2.0))], checks=[("log matching", 8)], outcomes={"put done": 4, "get done": 1})

    lines = describe([one, other]).splitlines()
    assert lines[0] == "8 operations of clients in 18.5 simulated seconds, 1.0 s of work here"
    assert [line.split() for line in lines[1:]] == [
        ["1", "get", "done"], ["7", "put", "done"], ["2", "faults"], ["2", "net", "cut"],
        ["checked"], ["15", "log", "matching"],
    ]  # fmt: skip


def test_a_rule_that_was_never_checked_is_told_too() -> None:
    """It is a reason to look again, so it must be seen."""
    assert "             0  log matching" in describe([trial(checks=[("log matching", 0)])])


def test_a_violation_is_told_with_its_faults_and_last_with_what_repeats_it() -> None:
    went = trial(SimulationOptions(seed=7, nodes=3, only=(3,)), BROKEN, struck=[(3, fault(2.0))])

    assert describe_violation(went) == (
        "seed 7: log matching: n1 and n2 differ at 7\n"
        "      2.000 s  fault 3: cut n1 n2 1.500s\n"
        "      9.250 s  the violation\n"
        "again: ringkv simulate --seed 7 --nodes 3 --partitions 4 --steps 50000 --only-faults 3"
    )
