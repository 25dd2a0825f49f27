import pytest

from app.problems import Problem
from app.settings import Limits
from app.writing import once, read_delete, read_integer, read_operation, read_put, read_token, read_ttl, refusal
from raftgroups import (
    AppendTo,
    Changed,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    Expected,
    Increment,
    Missing,
    Put,
    Reason,
    Rejected,
    Repeatable,
    Result,
    Reused,
    Touch,
    Unmet,
    Written,
)

LIMITS = Limits()


def code(found: object) -> str:
    assert isinstance(found, Problem), found
    return found.kind.code


def test_a_plain_request_is_a_plain_command() -> None:
    fields = {b"content-type": b"text/plain", b"accept": b"*/*"}

    assert read_put(b"k", b"", fields, b"v", LIMITS) == Put(b"k", b"v", "text/plain")
    assert read_delete(b"k", b"", fields) == Delete(b"k")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({b"if-match": b'"7"'}, (7,)),
        ({b"if-match": b'"9", "7", "7"'}, (7, 9)),
        ({b"if-match": b'W/"7"'}, ()),
        ({b"if-match": b'"no-number"'}, ()),
        ({b"if-match": b"*"}, True),
        ({b"if-none-match": b" * "}, False),
    ],
)
def test_conditions_are_read_as_http_means_them(fields: dict[bytes, bytes], expected: Expected) -> None:
    """A weak tag never matches (RFC 9110, section 13.1.1)."""
    assert read_put(b"k", b"ttl=1.5", fields, b"v", LIMITS) == ConditionalPut(b"k", b"v", "", 1_500, expected)
    if b"if-match" in fields:
        assert read_delete(b"k", b"", fields) == ConditionalDelete(b"k", expected)
        assert read_operation(b"k", b"op=incr", fields, b"", LIMITS) == Increment(b"k", 1, expected)


def test_a_list_of_tags_has_a_bound() -> None:
    many = b", ".join(b'"%d"' % number for number in range(65))

    assert code(read_put(b"k", b"", {b"if-match": many}, b"v", LIMITS)) == "BAD_HEADER"


@pytest.mark.parametrize(
    ("query", "body", "command"),
    [
        (b"op=incr", b"", Increment(b"k", 1)),
        (b"op=incr&by=%2B5", b"", Increment(b"k", 5)),
        (b"by=-9223372036854775808&op=incr", b"", Increment(b"k", -(2**63))),
        (b"op=append", b"x", AppendTo(b"k", b"x", LIMITS.pair_bytes_max)),
        (b"op=touch&ttl=0.001", b"", Touch(b"k", 1)),
        (b"op=persist", b"", Touch(b"k", 0)),
    ],
)
def test_an_operation_becomes_a_command(query: bytes, body: bytes, command: Repeatable) -> None:
    assert read_operation(b"k", query, {}, body, LIMITS) == command


@pytest.mark.parametrize(
    ("text", "ttl_ms"),
    [("1", 1_000), ("0.5", 500), ("1.25", 1_250), ("1.2345", 1_235), ("3153600000", 3_153_600_000_000)],
)
def test_a_ttl_is_in_seconds(text: str, ttl_ms: int) -> None:
    assert read_ttl(text) == ttl_ms


@pytest.mark.parametrize("text", ["", "0", "0.000", "-1", "+1", "1e3", ".5", "1.", "3153600000.001", "nan", "\u0661"])
def test_any_other_ttl_is_refused(text: str) -> None:
    assert code(read_ttl(text)) == "BAD_PARAMETER"


@pytest.mark.parametrize("text", ["", "-", "1.0", "9223372036854775808", "1" * 99, "\u0661", "0x1"])
def test_a_number_has_64_bits(text: str) -> None:
    assert code(read_integer("by", text)) == "BAD_PARAMETER"


@pytest.mark.parametrize("token", [b"", b"a b", b"\xff", b"x" * 256, b"a\tb"])
def test_an_idempotency_key_is_visible(token: bytes) -> None:
    assert code(read_token(token)) == "BAD_HEADER"
    assert read_token(b"x" * 255) == b"x" * 255


def test_a_token_belongs_to_its_key_and_its_digest_to_the_request() -> None:
    first = once(b"k", b"t", Put(b"k", b"1"), 5)

    assert first == once(b"k", b"t", Put(b"k", b"1"), 5)
    assert first.keep_ms == 5_000
    assert first.token != once(b"l", b"t", Put(b"l", b"1"), 5).token
    assert first.digest != once(b"k", b"t", Put(b"k", b"2"), 5).digest


@pytest.mark.parametrize(
    ("result", "status", "kind"),
    [
        (Unmet(7), 412, "PRECONDITION_FAILED"),
        (Unmet(0), 412, "PRECONDITION_FAILED"),
        (Missing(), 404, "NO_SUCH_KEY"),
        (Rejected(Reason.NOT_A_NUMBER, "x"), 409, "NOT_A_NUMBER"),
        (Rejected(Reason.OVERFLOW, "x"), 409, "NUMBER_OVERFLOW"),
        (Rejected(Reason.TOO_LARGE, "x"), 413, "PAIR_TOO_LARGE"),
        (Reused(), 422, "IDEMPOTENCY_KEY_REUSED"),
    ],
)
def test_what_changed_nothing_says_why(result: Result, status: int, kind: str) -> None:
    problem = refusal(result)

    assert problem is not None
    assert (problem.kind.status, problem.kind.code, problem.kind.outcome) == (status, kind, "not_applied")
    assert (b'etag: "7"' in problem.head) is (result == Unmet(7))


def test_what_changed_something_is_no_refusal() -> None:
    assert refusal(Written(7)) is None
    assert refusal(Changed(7, b"")) is None
