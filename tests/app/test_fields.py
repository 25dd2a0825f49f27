"""Keys, parameters and header values, read strictly."""

from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fields import read_content_type, read_entity_tags, read_fields, read_key, read_number, read_query, read_timeout
from app.problems import Problem
from app.settings import Limits


@given(st.binary(min_size=1, max_size=64), st.sets(st.sampled_from("/.-~{}:@!$&'()*+,;=")))
def test_a_key_survives_any_spelling(key: bytes, unquoted: set[str]) -> None:
    raw = quote_from_bytes(key, safe="".join(unquoted)).encode()

    assert read_key(raw, 64) == key
    assert read_key("".join(f"%{byte:02x}" for byte in key).encode(), 64) == key


@given(st.binary(max_size=40))
def test_a_raw_key_is_read_or_refused(raw: bytes) -> None:
    read = read_key(raw, 20)

    assert isinstance(read, Problem) or 1 <= len(read) <= 20


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"a%2", "'%2' at byte 1"), (b"%zz", "'%zz' at byte 0"), (b"100%", "'%' at byte 3"), (b"%%41", "'%%4' at byte 0")],
)
def test_a_bad_escape_is_shown(raw: bytes, text: str) -> None:
    problem = read_key(raw, 100)

    assert isinstance(problem, Problem)
    assert text in problem.detail


def test_parameters_are_decoded_once() -> None:
    assert read_query(b"a=1%2B1&b=x+y&c", ("a", "b", "c")) == {"a": "1+1", "b": "x y", "c": ""}
    assert read_query(b"a=%2541", ("a",)) == {"a": "%41"}
    assert read_query(b"&&a=1&", ("a",)) == {"a": "1"}


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    read = read_query(query, ("a",))

    assert isinstance(read, Problem) or set(read) <= {"a"}


def test_a_list_in_several_lines_is_one_list() -> None:
    assert read_fields([(b"accept", b"a"), (b"x", b"1"), (b"accept", b"b")]) == {b"accept": b"a, b", b"x": b"1"}


def test_a_single_field_given_twice_is_refused() -> None:
    problem = read_fields([(b"host", b"a"), (b"host", b"a")])

    assert isinstance(problem, Problem)
    assert problem.members == {"header": "host"}


@pytest.mark.parametrize("value", [b"", b"0", b"11", b"-1", b"+1", b" 1", b"1.0", b"1e1", b"\xc2\xb2", b"9" * 30])
def test_a_number_is_decimal_and_within_bounds(value: bytes) -> None:
    assert isinstance(read_number("X", value, 1, 10), Problem)
    assert read_number("X", b"010", 1, 10) == 10


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b"*", None),
        (b'"7"', {b"7"}),
        (b'W/"7"', {b"7"}),
        (b'"7", W/"8" ,"9"', {b"7", b"8", b"9"}),
        (b'"7",, "8"', {b"7", b"8"}),
        (b'""', {b""}),
        (b'"a,b"', {b"a,b"}),
    ],
)
def test_entity_tags(value: bytes, tags: set[bytes] | None) -> None:
    read = read_entity_tags("If-None-Match", value)

    assert read == (None if tags is None else frozenset(tags))


@pytest.mark.parametrize("value", [b"", b"7", b'"7', b'7"', b'"7" "8"', b'*, "7"', b'w/"7"', b",", b'"' * 4_000, b"W/"])
def test_bad_entity_tags(value: bytes) -> None:
    assert isinstance(read_entity_tags("If-None-Match", value), Problem)


@pytest.mark.timeout(2)
@pytest.mark.parametrize(
    "value", [b'"a"' + b" ," * 8_000 + b"x", b" " * 16_000 + b"x", b'W/"' * 5_000, b'"a",' * 4_000]
)
def test_a_long_list_is_read_in_linear_time(value: bytes) -> None:
    """A pattern that can match in many ways would try them all before it gives up."""
    read = read_entity_tags("If-None-Match", value)

    assert isinstance(read, Problem) or read == frozenset((b"a",))


@given(st.binary(max_size=300))
def test_a_content_type_never_breaks_a_head(value: bytes) -> None:
    read = read_content_type(value, 255)

    assert isinstance(read, Problem) or (read.isascii() and (read.isprintable() or not read) and len(read) <= 255)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"application/x-www-form-urlencoded", ""),
        (b" Application/X-WWW-Form-Urlencoded ; charset=utf-8", ""),
        (b"application/x-www-form-urlencoded-not", "application/x-www-form-urlencoded-not"),
        (b"text/plain", "text/plain"),
    ],
)
def test_what_tools_send_when_they_were_told_none_is_none(value: bytes, kept: str) -> None:
    assert read_content_type(value, 255) == kept


@pytest.mark.parametrize(("given", "seconds"), [(None, 5.0), (b"1", 0.001), (b"60000", 60.0)])
def test_a_request_has_the_time_it_asks_for_or_the_usual(given: bytes | None, seconds: float) -> None:
    assert read_timeout({} if given is None else {b"kv-timeout-ms": given}, Limits()) == seconds


@pytest.mark.parametrize("given", [b"", b"0", b"-1", b"60001", b"1.5", b"1e3"])
def test_no_other_time_can_be_asked_for(given: bytes) -> None:
    found = read_timeout({b"kv-timeout-ms": given}, Limits())

    assert isinstance(found, Problem) and found.members == {"header": "KV-Timeout-Ms"}
