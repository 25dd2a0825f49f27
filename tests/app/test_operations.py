"""Operations of a batch, read into commands, and what came of them, without any server."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.operations import Lookup, Step, read_batch, result_of, result_of_item
from app.problems import Problem
from app.requests import CommandOutcome
from app.settings import Limits
from raftgroups import (
    AppendTo,
    Changed,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    Increment,
    Item,
    Missing,
    NoQuorumError,
    OutcomeUnknownError,
    PartitionId,
    Put,
    Reason,
    Rejected,
    Reused,
    Touch,
    Unmet,
    Written,
)

LIMITS = Limits()


def read(*operations: Any, is_msgpack: bool = False, limits: Limits = LIMITS) -> list[Step] | Problem:
    encode = msgspec.msgpack.encode if is_msgpack else msgspec.json.encode
    return read_batch(encode({"ops": operations}), limits, is_msgpack=is_msgpack)


@pytest.mark.parametrize("is_msgpack", [False, True])
@pytest.mark.parametrize(
    ("operation", "task"),
    [
        ({"op": "put", "key": "k", "value": "v"}, Put(b"k", b"v")),
        ({"op": "put", "key": "k", "value": "", "content_type": "text/x"}, Put(b"k", b"", "text/x")),
        ({"op": "put", "key": "k", "value": "v", "ttl": 1.5}, ConditionalPut(b"k", b"v", "", 1_500)),
        ({"op": "put", "key": "k", "value": "v", "ttl": 0.0011}, ConditionalPut(b"k", b"v", "", 2)),
        ({"op": "put", "key": "k", "value": "v", "ttl": 1.1}, ConditionalPut(b"k", b"v", "", 1_100)),
        ({"op": "put", "key": "k", "value": "v", "if_match": 7}, ConditionalPut(b"k", b"v", "", 0, (7,))),
        ({"op": "put", "key": "k", "value": "v", "if_match": [9, 7]}, ConditionalPut(b"k", b"v", "", 0, (7, 9))),
        ({"op": "put", "key": "k", "value": "v", "if_match": "*"}, ConditionalPut(b"k", b"v", "", 0, True)),
        ({"op": "put", "key": "k", "value": "v", "if_none_match": "*"}, ConditionalPut(b"k", b"v", "", 0, False)),
        ({"op": "put", "key": "w6k=", "value": "AP8=", "encoding": "base64"}, Put("é".encode(), b"\x00\xff")),
        ({"op": "get", "key": "é"}, Lookup("é".encode())),
        ({"op": "delete", "key": "k"}, Delete(b"k")),
        ({"op": "delete", "key": "k", "if_match": 7}, ConditionalDelete(b"k", (7,))),
        ({"op": "incr", "key": "k"}, Increment(b"k", 1)),
        ({"op": "incr", "key": "k", "by": -5, "if_none_match": "*"}, Increment(b"k", -5, False)),
        ({"op": "append", "key": "k", "value": "v"}, AppendTo(b"k", b"v", 10_240)),
        ({"op": "touch", "key": "k", "ttl": 60}, Touch(b"k", 60_000)),
        ({"op": "persist", "key": "k", "if_match": "*"}, Touch(b"k", 0, True)),
    ],
)
def test_an_operation_becomes_a_command(operation: dict[str, Any], task: object, is_msgpack: bool) -> None:
    """The same as that of a request of its own."""
    assert read(operation, is_msgpack=is_msgpack) == [Step(task, operation.get("encoding") == "base64")]  # type: ignore[arg-type]  # as they are


def test_bytes_of_messagepack_are_taken_as_they_are() -> None:
    operation = {"op": "put", "key": b"\xff", "value": b"\x00", "encoding": "base64"}

    assert read(operation, is_msgpack=True) == [Step(Put(b"\xff", b"\x00"), in_base64=True)]


GOOD = {"op": "put", "key": "k", "value": "v"}


@pytest.mark.parametrize(
    ("operation", "member", "detail"),
    [
        (1, None, "ops[1]: Expected `object`, got `int`"),
        ({"key": "k"}, "op", "ops[1]: Object missing required field `op`"),
        ({"op": "scan", "key": "k"}, "op", "ops[1].op: Invalid value 'scan'"),
        ({"op": "get"}, "key", "ops[1]: Object missing required field `key`"),
        ({"op": "get", "key": ""}, "key", "ops[1].key is empty"),
        ({"op": "get", "key": 7}, "key", "ops[1].key must be a string"),
        ({"op": "get", "key": None}, "key", "ops[1].key must be a string"),
        ({"op": "get", "key": "AP8", "encoding": "base64"}, "key", "ops[1].key is not base64"),
        ({"op": "get", "key": "é", "encoding": "base64"}, "key", "ops[1].key is not base64"),
        ({"op": "get", "key": "k", "encoding": "hex"}, "encoding", "ops[1].encoding: Invalid enum value 'hex'"),
        ({"op": "get", "key": "k", "value": "v"}, "value", "ops[1]: Object contains unknown field `value`"),
        ({"op": "put", "key": "k"}, "value", "ops[1]: Object missing required field `value`"),
        ({"op": "put", "key": "k", "value": ["v"]}, "value", "ops[1].value must be a string"),
        ({**GOOD, "ttl": 0}, "ttl", "ops[1].ttl: Expected `float` >= 0.001"),
        ({**GOOD, "ttl": -1}, "ttl", "ops[1].ttl: Expected `float` >= 0.001"),
        ({**GOOD, "ttl": 1e12}, "ttl", "ops[1].ttl: Expected `float` <= 3153600000.0"),
        ({**GOOD, "ttl": "60"}, "ttl", "ops[1].ttl: Expected `float`, got `str`"),
        ({**GOOD, "ttl": True}, "ttl", "ops[1].ttl: Expected `float`, got `bool`"),
        ({**GOOD, "if_match": 0}, "if_match", "ops[1].if_match: Expected `int` >= 1"),
        ({**GOOD, "if_match": "7"}, "if_match", "ops[1].if_match: Invalid enum value '7'"),
        ({**GOOD, "if_match": [1] * 65}, "if_match", "ops[1].if_match: Expected `array` of length <= 64"),
        ({**GOOD, "if_none_match": 7}, "if_none_match", "ops[1].if_none_match: Expected `str`, got `int`"),
        (
            {**GOOD, "if_match": 7, "if_none_match": "*"},
            "if_none_match",
            "ops[1].if_none_match and if_match contradict each other",
        ),
        ({**GOOD, "content_type": "é"}, "content_type", None),
        ({**GOOD, "content_type": "a" * 256}, "content_type", None),
        ({**GOOD, "content_type": "a\r\nb: c"}, "content_type", None),
        ({"op": "delete", "key": "k", "ttl": 1}, "ttl", "ops[1]: Object contains unknown field `ttl`"),
        ({"op": "incr", "key": "k", "by": 2**63}, "by", "ops[1].by: Expected `int` <= 9223372036854775807"),
        ({"op": "incr", "key": "k", "by": 0.5}, "by", "ops[1].by: Expected `int`, got `float`"),
        ({"op": "touch", "key": "k"}, "ttl", "ops[1]: Object missing required field `ttl`"),
        ({"op": "persist", "key": "k", "ttl": 1}, "ttl", "ops[1]: Object contains unknown field `ttl`"),
    ],
)
@pytest.mark.parametrize("is_msgpack", [False, True])
def test_what_is_malformed_is_named(operation: Any, member: str | None, detail: str | None, is_msgpack: bool) -> None:
    problem = read(GOOD, operation, GOOD, is_msgpack=is_msgpack)

    assert isinstance(problem, Problem)
    assert (problem.kind.status, problem.kind.code) == (
        (422, "NOT_TOGETHER") if "contradict" in problem.detail else (400, "BAD_BODY")
    )
    assert problem.members == ({"operation": 1} if member is None else {"operation": 1, "member": member})
    assert problem.detail.startswith("ops[1]") and detail in (None, problem.detail)


def test_a_whole_number_may_have_a_point() -> None:
    """JSON has one kind of number, and so has JSON Schema."""
    steps = read(
        {"op": "incr", "key": "k", "by": 5.0},
        {"op": "delete", "key": "k", "if_match": 7.0},
        {"op": "delete", "key": "k", "if_match": [7.0, 8]},
        GOOD,
    )

    assert isinstance(steps, list)
    tasks = [step.task for step in steps]
    assert tasks[:3] == [Increment(b"k", 5), ConditionalDelete(b"k", (7,)), ConditionalDelete(b"k", (7, 8))]


def test_a_lifetime_that_is_no_number_is_refused() -> None:
    """JSON cannot spell it; MessagePack can."""
    problem = read({**GOOD, "ttl": float("nan")}, is_msgpack=True)

    assert isinstance(problem, Problem)
    assert problem.members == {"operation": 0, "member": "ttl"}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is not JSON that can be read"),
        (b'{"ops":', "the body is not JSON that can be read"),
        (b'{"\xff":1}', None),
        (b"[" * 100_000, None),
        (b"[]", "the body: Expected `object`, got `array`"),
        (b"{}", "the body: Object missing required field `ops`"),
        (b'{"ops":[],"more":1}', "the body: Object contains unknown field `more`"),
        (b'{"ops":{}}', "ops: Expected `array`, got `object`"),
        (b'{"ops":[{"op":"get","key":"\\ud800"}]}', None),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes, detail: str | None) -> None:
    problem = read_batch(body, LIMITS, is_msgpack=False)

    assert isinstance(problem, Problem)
    assert problem.kind.code == "BAD_BODY"
    assert detail is None or problem.detail.startswith(detail)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_batch_or_a_problem(body: bytes) -> None:
    for is_msgpack in (False, True):
        assert isinstance(read_batch(body, LIMITS, is_msgpack=is_msgpack), list | Problem)


def test_what_is_said_to_be_messagepack_is_not_read_as_json() -> None:
    refused = read_batch(b'{"ops":[]}', LIMITS, is_msgpack=True)

    assert isinstance(refused, Problem) and "`object`" in refused.detail


def test_a_whole_number_may_have_a_point_in_messagepack_too() -> None:
    """Beside bytes, which JSON has not."""
    [step, _] = _steps({"op": "incr", "key": b"\xff", "by": 7.0}, {"op": "put", "key": "k", "value": b"\xff"})

    assert step.task == Increment(b"\xff", 7)


def _steps(*operations: Any) -> list[Step]:
    steps = read(*operations, is_msgpack=True)
    assert isinstance(steps, list), steps
    return steps


def test_the_name_of_a_member_must_be_text() -> None:
    refused = read_batch(msgspec.msgpack.encode({1: []}), LIMITS, is_msgpack=True)

    assert isinstance(refused, Problem)
    assert refused.detail == "the body: the name of a member: Expected `str`, got `int`"


def test_too_many_operations_are_refused_together() -> None:
    limits = Limits(batch_operations_max=2)

    assert isinstance(read(GOOD, GOOD, limits=limits), list)
    problem = read(GOOD, GOOD, GOOD, limits=limits)
    assert isinstance(problem, Problem)
    assert (problem.kind.status, problem.members) == (413, {"limit": 2})


def test_what_is_too_large_fails_alone() -> None:
    limits = Limits(key_bytes_max=4, pair_bytes_max=8)
    steps = read(
        {"op": "put", "key": "1234", "value": "1234"},
        {"op": "put", "key": "1234", "value": "12345"},
        {"op": "get", "key": "12345"},
        {"op": "append", "key": "1234", "value": "12345"},
        limits=limits,
    )

    assert isinstance(steps, list)
    kinds = [step.task.kind.status if isinstance(step.task, Problem) else 200 for step in steps]
    assert kinds == [200, 413, 414, 413]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Written(7), {"status": 204, "revision": 7}),
        (
            Changed(7, b"42", "application/json"),
            {"status": 200, "revision": 7, "value": "42", "encoding": "utf8", "content_type": "application/json"},
        ),
        (Unmet(5), {"status": 412, "revision": 5, "code": "PRECONDITION_FAILED", "outcome": "not_applied"}),
        (Unmet(0), {"status": 412, "code": "PRECONDITION_FAILED"}),
        (Missing(), {"status": 404, "code": "NO_SUCH_KEY"}),
        (Rejected(Reason.OVERFLOW, "too much"), {"status": 409, "code": "NUMBER_OVERFLOW", "detail": "too much"}),
        (Reused(), {"status": 422, "code": "IDEMPOTENCY_KEY_REUSED"}),
        (NoQuorumError(PartitionId(7)), {"status": 503, "outcome": "not_applied", "retryable": True}),
        (OutcomeUnknownError("lost"), {"status": 504, "outcome": "unknown", "retryable": False, "detail": "lost"}),
    ],
)
def test_what_came_of_a_write(outcome: CommandOutcome, expected: dict[str, Any]) -> None:
    result = msgspec.to_builtins(result_of(outcome, in_base64=False, is_raw=False))

    assert expected.items() <= result.items()
    assert "revision" in expected or "revision" not in result


@pytest.mark.parametrize(
    ("value", "in_base64", "is_raw", "spelled", "encoding"),
    [
        (b"hello", False, False, "hello", "utf8"),
        (b"hello", True, False, "aGVsbG8=", "base64"),
        (b"\xff", False, False, "/w==", "base64"),
        (b"", False, False, "", "utf8"),
        (b"\xff", True, True, b"\xff", None),
    ],
)
def test_a_value_is_spelled_as_asked(
    value: bytes, in_base64: bool, is_raw: bool, spelled: str | bytes, encoding: str | None
) -> None:
    result = result_of_item(Item(7, value, "text/x"), 1_000, in_base64=in_base64, is_raw=is_raw)

    assert (result.status, result.revision, result.content_type) == (200, 7, "text/x")
    assert (result.value, result.encoding, result.expires_in) == (spelled, encoding, None)


def test_what_expires_says_when() -> None:
    assert result_of_item(Item(7, b"", "", 1), 1_000, in_base64=False, is_raw=False).expires_in == 1
    assert result_of_item(Item(7, b"", "", 2_001), 1_000, in_base64=False, is_raw=False).expires_in == 2
    assert result_of_item(None, 1_000, in_base64=False, is_raw=False).status == 404
