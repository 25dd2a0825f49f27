"""Each judge with a record made by hand: silent where all is well, and loud where one thing is wrong."""

import pytest

from app.simulation.history import Operation
from tests.chaos import judge
from tests.chaos.handmade import BEGAN, ENDED, EVERYBODY, FORCED, fault, record, seen, view
from tests.chaos.record import SECOND, Fault, Record, Seen


def test_an_acknowledged_write_that_is_gone_is_not_linearizable() -> None:
    write = Operation(1, "put", "k", "v", None, True, 0, 1)
    found = Operation(2, "get", "k", None, "v", True, 2, 3)
    gone = Operation(2, "get", "k", None, None, True, 4, 5)

    def history(*operations: Operation) -> Record:
        return record(*(Seen("n1", operation, 200, operation.returned or 0) for operation in operations))

    assert list(judge.linearizable(history(write, found))) == []
    assert "not linearizable" in next(judge.linearizable(history(write, gone)))


def test_a_minority_must_be_silent() -> None:
    cut = fault("n1", "n2 n3")
    silent = record(seen("n1", 12, ok=False), seen("n2", 12), faults=(cut,))
    told = record(seen("n1", 12), faults=(cut,))

    assert list(judge.silent_minorities(silent)) == []
    assert "1 successes through a minority" in next(judge.silent_minorities(told))


@pytest.mark.parametrize(("at", "seconds"), [(10.5, 0.1), (19.9, 0.5)])
def test_what_overlaps_an_edge_of_the_fault_is_no_word_of_a_minority(at: float, seconds: float) -> None:
    """It was asked before the cut was whole, or answered when it was healed."""
    assert list(judge.silent_minorities(record(seen("n1", at, seconds=seconds), faults=(fault("n1", "n2 n3"),)))) == []


def test_a_fault_without_sides_judges_nobody() -> None:
    nobody = record(seen("n1", 12, status=-1, ok=None), faults=(fault(),))

    assert list(judge.silent_minorities(nobody)) == []
    assert list(judge.live_majorities(nobody)) == []
    assert list(judge.answered(nobody)) == []


def test_every_node_of_a_majority_must_serve_in_time() -> None:
    cut = fault("n1", "n2 n3")
    served = record(seen("n2", 14), seen("n3", 14.9), faults=(cut,))
    late = record(seen("n2", 14), seen("n3", 13, ok=False), seen("n3", 15.1), faults=(cut,))
    unasked = record(seen("n2", 14), seen("n3", 15.1), faults=(cut,))
    never = record(seen("n2", 14), seen("n3", 14, ok=False), faults=(cut,))

    assert list(judge.live_majorities(served)) == list(judge.live_majorities(unasked)) == []
    assert "no success within 5 s for 1 of node and key: n3 k" in next(judge.live_majorities(late))
    assert "n3 k" in next(judge.live_majorities(never))


def test_a_fault_shorter_than_its_bound_expects_no_service() -> None:
    assert list(judge.live_majorities(record(faults=(fault("n1", "n2 n3", live_seconds=11),)))) == []


def test_a_majority_is_one_of_the_holders_of_the_key() -> None:
    """Of five nodes, those two that hold a key together with one other."""
    cut = Fault("F", BEGAN, (frozenset({"n1", "n2"}),), 5.0, {"k": EVERYBODY}, FORCED, ENDED)

    assert cut.has_majority(cut.side_of("n1"), "k")
    assert not cut.has_majority(frozenset({"n1", "n4", "n5"}), "k")


def test_nobody_is_left_hanging() -> None:
    cut = fault("n1", "n2 n3")

    assert list(judge.answered(record(seen("n1", 12, ok=None, status=504), faults=(cut,)))) == []
    hung = record(seen("n1", 12, ok=None, status=-1), faults=(cut,))
    assert "1 requests without an answer" in next(judge.answered(hung))


def test_one_leader_a_term() -> None:
    right = record(views=(view("n1", 1, "n1", 2), view("n2", 2, "n1", 2), view("n2", 3, "n2", 3)))
    two = record(views=(view("n1", 1, "n1", 2), view("n2", 2, "n2", 2)))

    assert list(judge.one_leader(right)) == []
    assert "leaders ['n1', 'n2'] in term 2" in next(judge.one_leader(two))


def test_no_term_falls() -> None:
    fell = record(views=(view("n1", 1, "n2", 3), view("n1", 2, "n2", 2)))
    holds_nothing = record(views=(view("n1", 1, "n2", 3), view("n1", 2, "n2", 0)))

    assert "fell from term 3 to 2" in next(judge.one_leader(fell))
    assert list(judge.one_leader(holds_nothing)) == []


def test_every_key_is_read_through_every_node_at_the_end() -> None:
    half = record(seen("n1", 30), seen("n2", 30, ok=False))

    assert list(judge.read_back(half, ["n1"], ["k"], 29 * SECOND)) == []
    assert list(judge.read_back(half, ["n1", "n2"], ["k"], 29 * SECOND)) == ["k cannot be read through n2 at the end"]


def test_a_counter_is_what_was_counted_through_every_node() -> None:
    counted = Record(found={"n1": {"c": 5}, "n2": {"c": 5}})
    for by in (2, 3):
        counted.add_counted("c", by, ok=True)
    counted.add_counted("c", 7, ok=False)
    assert list(judge.exact_counters(counted)) == []

    counted.found["n2"]["c"] = 8
    assert list(judge.exact_counters(counted)) == ["c is 8 through n2, not 5"]
    counted.add_counted("c", 3, ok=None)
    assert list(judge.exact_counters(counted)) == []
    counted.found["n2"]["c"] = 4
    assert list(judge.exact_counters(counted)) == ["c is 4 through n2, not 5 to 8"]


def test_a_session_that_was_shown_its_past_is_told_of() -> None:
    sessions = Record()
    sessions.add_session(2, "")
    assert list(judge.faithful_sessions(sessions)) == []

    sessions.add_session(2, "a session that had seen 7 of k was shown 6")
    assert "1 of 4 reads of sessions: a session that had seen 7" in next(judge.faithful_sessions(sessions))


def test_a_run_that_counted_nothing_does_not_count() -> None:
    idle, done = Record(), Record()
    done.add_counted("c", 1, ok=True)
    done.add_session(1, "")

    assert list(judge.repeated(done)) == []
    assert list(judge.repeated(idle)) == ["0 reads of sessions, 0 counted"]


def test_a_run_without_load_does_not_count() -> None:
    busy = [seen("n1", 9 + number / 200) for number in range(150)]
    after = seen("n1", 21)

    assert list(judge.busy(record(*busy, after, faults=(fault(),)))) == []
    assert "only 10 operations/s" in next(judge.busy(record(*busy[:10], after, faults=(fault(),))))
    assert "nothing succeeded" in next(judge.busy(record(*busy, faults=(fault(),))))


def test_a_traceback_in_a_log_is_shown() -> None:
    assert list(judge.quiet_logs([("n1", "all is well")])) == []
    assert "n1 shows a traceback" in next(judge.quiet_logs([("n1", "Traceback (most recent call last)")]))
