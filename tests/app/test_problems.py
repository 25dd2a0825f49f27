"""The table of problems: complete, unambiguous, and honest about outcomes."""

import json

import pytest

import raftgroups
from app import problems
from app.problems import TABLE, Kind, Problem, problem_of
from raftgroups import ChangeRefusedError, OutcomeUnknownError, PartitionId, RaftGroupError, TokenBusyError

KINDS = [value for value in vars(problems).values() if isinstance(value, Kind)]
ERRORS = [
    value
    for value in vars(raftgroups).values()
    if isinstance(value, type) and issubclass(value, RaftGroupError) and value is not RaftGroupError
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_has_a_row_that_knows_its_outcome(error: type[RaftGroupError]) -> None:
    kind = TABLE[error]

    assert kind.outcome == ("unknown" if error.may_have_applied else "not_applied")
    assert kind.status >= 500 or error in {ChangeRefusedError, TokenBusyError}  # which the client asked for


def test_codes_and_types_are_unique() -> None:
    assert len({kind.code for kind in KINDS}) == len({kind.type for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_a_problem_says_what_became_of_the_request(kind: Kind) -> None:
    answer = Problem(kind, "why", {"limit": 5}, b"kv-consistency: stale\r\n").answer()

    document = json.loads(answer.body)
    assert document.pop("request_id")
    assert document == {
        "type": kind.type,
        "title": kind.title,
        "status": answer.status,
        "detail": "why",
        "code": kind.code,
        "outcome": kind.outcome,
        "retryable": kind.retryable,
        "limit": 5,
    }
    assert (b"retry-after" in answer.head) is (answer.status == 503 or kind is problems.TOKEN_BUSY)
    assert answer.head.startswith(b"content-type: application/problem+json\r\nkv-consistency: stale\r\n")
    # What may have applied must not be repeated blindly.
    assert not (kind.retryable and kind.outcome == "unknown")


def test_request_ids_differ() -> None:
    bodies = [Problem(problems.NO_SUCH_KEY, "why").answer().body for _ in range(2)]

    assert len({json.loads(body)["request_id"] for body in bodies}) == 2


def test_an_unexpected_error_keeps_its_text_to_itself() -> None:
    problem = problem_of(ValueError("a secret"))

    assert (problem.kind.status, problem.kind.outcome) == (500, "unknown")
    assert "secret" not in problem.detail


def test_a_read_has_no_unknown_outcome() -> None:
    assert problem_of(ValueError("x"), writes=False).kind.outcome == "not_applied"
    assert problem_of(OutcomeUnknownError("x"), writes=False).kind.code == "READ_TIMED_OUT"


def test_a_new_error_without_a_row_falls_back_to_its_base() -> None:
    class NewError(RaftGroupError):
        pass

    assert problem_of(NewError("x")).kind is problems.UNAVAILABLE
    assert problem_of(raftgroups.NoQuorumError(PartitionId(7))).members == {"partition": 7}
