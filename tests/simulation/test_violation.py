import pickle

from app.simulation.violation import Violation


def test_a_violation_says_which_promise_was_broken_and_how() -> None:
    violation = Violation("log matching", "n1 and n2 differ at 7")

    assert str(violation) == "log matching: n1 and n2 differ at 7"


def test_a_violation_crosses_to_another_process_as_it_is() -> None:
    violation = pickle.loads(pickle.dumps(Violation("log matching", "n1 and n2 differ at 7")))

    assert (violation.rule, violation.text) == ("log matching", "n1 and n2 differ at 7")
