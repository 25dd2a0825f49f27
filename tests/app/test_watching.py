"""What a request for a watch asks for, and what each mistake is told."""

import pytest

from app.matching import Pattern
from app.problems import Problem
from app.settings import Limits
from app.watching import WatchRequest, bad_id, read_watch

LIMITS = Limits(key_bytes_max=8)


def read(query: bytes, **fields: bytes) -> WatchRequest | Problem:
    return read_watch(query, {name.replace("_", "-").encode(): text for name, text in fields.items()}, LIMITS)


def wanted(query: bytes, **fields: bytes) -> WatchRequest:
    request = read(query, **fields)
    assert isinstance(request, WatchRequest), request
    return request


@pytest.mark.parametrize(
    ("query", "pattern"),
    [
        (b"key=a", Pattern(b"a", False)),
        (b"prefix=a%2Fb", Pattern(b"a/b", True)),
        (b"prefix=", Pattern(b"", True)),
        (b"prefix", Pattern(b"", True)),
        (b"key=%FF%00", Pattern(b"\xff\0", False)),
        (b"key=a+b%2B", Pattern(b"a b+", False)),
        (b"&key=a%3Db&", Pattern(b"a=b", False)),
    ],
)
def test_what_is_watched(query: bytes, pattern: Pattern) -> None:
    assert wanted(query).pattern == pattern


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        (b"text/event-stream", True),
        (b"application/json, Text/Event-Stream;q=0.5", True),
        (b"*/*", False),
        (b"application/json", False),
        (b"text/event-streams", False),
        (b"x-text/event-stream", False),
    ],
)
def test_a_stream_is_asked_for_by_its_name(accept: bytes, is_stream: bool) -> None:
    assert wanted(b"key=a", accept=accept).is_stream is is_stream


def test_the_header_goes_before_the_parameter() -> None:
    """A browser that connects again sends both, and the header knows more."""
    assert wanted(b"key=a&after=old").after == b"old"
    assert wanted(b"key=a&after=old", last_event_id=b"new").after == b"new"
    assert wanted(b"key=a").after is None
    assert "'after'" in bad_id(wanted(b"key=a&after=old")).detail
    assert "header Last-Event-ID" in bad_id(wanted(b"key=a", last_event_id=b"new")).detail


def test_how_long() -> None:
    assert wanted(b"key=a").wait_seconds == 0
    assert wanted(b"key=a&wait=2.5").wait_seconds == 2.5
    assert wanted(b"key=a&wait=1e-3").wait_seconds == 0.001
    assert wanted(b"key=a").timeout_seconds == LIMITS.timeout_ms / 1_000
    assert wanted(b"key=a", kv_timeout_ms=b"250").timeout_seconds == 0.25


@pytest.mark.parametrize(
    ("query", "fields", "code", "name"),
    [
        (b"", {}, "NOT_TOGETHER", "prefix"),
        (b"key=a&prefix=b", {}, "NOT_TOGETHER", "prefix"),
        (b"key=", {}, "BAD_PARAMETER", "key"),
        (b"key=123456789", {}, "KEY_TOO_LONG", "key"),
        (b"prefix=123456789", {}, "KEY_TOO_LONG", "prefix"),
        (b"key=%zz", {}, "BAD_PARAMETER", "key"),
        (b"key=a&key=a", {}, "DUPLICATE_PARAMETER", "key"),
        (b"key=a&colour=1", {}, "UNKNOWN_PARAMETER", "colour"),
        *((b"key=a&wait=" + wait, {}, "BAD_PARAMETER", "wait") for wait in (b"", b"-1", b"61", b"1e9", b"x", b"nan")),
        (b"key=a&wait=1", {"accept": b"text/event-stream"}, "UNKNOWN_PARAMETER", "wait"),
        (b"key=a", {"kv_timeout_ms": b"0"}, "BAD_HEADER", "KV-Timeout-Ms"),
    ],
)
def test_mistakes_are_named(query: bytes, fields: dict[str, bytes], code: str, name: str) -> None:
    problem = read(query, **fields)

    assert isinstance(problem, Problem)
    assert problem.kind.code == code
    assert name in (problem.members.get("parameter"), problem.members.get("header"))
    assert name in problem.detail
