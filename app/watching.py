"""Watching: what a request for a watch asks for, read strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from app.fields import read_query, read_timeout
from app.matching import Pattern
from app.problems import (
    BAD_PARAMETER,
    KEY_TOO_LONG,
    NOT_TOGETHER,
    UNKNOWN_PARAMETER,
    Problem,
)
from app.settings import Limits

PARAMETERS = ("key", "prefix", "after", "wait")
WAIT_SECONDS_MAX = 60

_EVENT_STREAM = re.compile(rb"(?:^|,)[ \t]*text/event-stream[ \t]*(?:;|,|$)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,24})?(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What is to be watched, and how.

    after            the id to go on from, None: from now on
    after_in         where it was given, for who must say that it is bad
    is_stream        a stream of events, else one answer after at most `wait_seconds`
    timeout_seconds  until the watch has begun
    """

    pattern: Pattern
    after: bytes | None
    after_in: Mapping[str, str]
    is_stream: bool
    wait_seconds: float
    timeout_seconds: float


def read_watch(query: bytes, fields: Mapping[bytes, bytes], limits: Limits) -> WatchRequest | Problem:
    """The watch that a query and header fields ask for."""
    parameters = read_query(query, PARAMETERS)
    if isinstance(parameters, Problem):
        return parameters
    pattern = _read_pattern(_raw_values(query), limits.key_bytes_max)
    if isinstance(pattern, Problem):
        return pattern
    is_stream = _EVENT_STREAM.search(fields.get(b"accept", b"")) is not None
    wait = _read_wait(parameters.get("wait"), is_stream)
    if isinstance(wait, Problem):
        return wait
    timeout = read_timeout(fields, limits)
    if isinstance(timeout, Problem):
        return timeout
    # A browser that connects again sends the header, and still the parameter with which it began.
    after, after_in = fields.get(b"last-event-id"), {"header": "Last-Event-ID"}
    if after is None and "after" in parameters:
        after, after_in = parameters["after"].encode(), {"parameter": "after"}
    return WatchRequest(pattern, after, after_in, is_stream, wait, timeout)


def bad_id(request: WatchRequest) -> Problem:
    """What stands where an id should is none, or is that of a watch of something else."""
    ((kind, name),) = request.after_in.items()
    text = f"header {name}" if kind == "header" else f"query parameter {name!r}"
    return Problem(BAD_PARAMETER, f"{text} is not an id that a watch like this one was given", request.after_in)


def _read_pattern(values: Mapping[bytes, bytes], key_bytes_max: int) -> Pattern | Problem:
    if b"key" in values and b"prefix" in values:
        detail = "query parameters 'key' and 'prefix' exclude each other"
        return Problem(NOT_TOGETHER, detail, {"parameter": "prefix"})
    name = "key" if b"key" in values else "prefix"
    text = values.get(name.encode())
    if text is None:
        detail = "query parameter 'key' or 'prefix' must say what is watched; an empty prefix is everything"
        return Problem(NOT_TOGETHER, detail, {"parameter": "prefix"})
    if name == "key" and not text:
        return Problem(BAD_PARAMETER, "query parameter 'key' is empty", {"parameter": "key"})
    if len(text) > key_bytes_max:
        detail = f"query parameter {name!r} has {len(text)} bytes; at most {key_bytes_max} are allowed"
        return Problem(KEY_TOO_LONG, detail, {"limit": key_bytes_max, "size": len(text), "parameter": name})
    return Pattern(text, name == "prefix")


def _read_wait(text: str | None, is_stream: bool) -> float | Problem:
    if text is None:
        return 0.0
    if is_stream:
        detail = "query parameter 'wait' does not go with Accept: text/event-stream, which waits for ever"
        return Problem(UNKNOWN_PARAMETER, detail, {"parameter": "wait"})
    if _SECONDS.fullmatch(text) is None or float(text) > WAIT_SECONDS_MAX:
        detail = f"query parameter 'wait' must be seconds, 0 to {WAIT_SECONDS_MAX}, not {text!r}"
        return Problem(BAD_PARAMETER, detail, {"parameter": "wait"})
    return float(text)


def _raw_values(query: bytes) -> dict[bytes, bytes]:
    """The parameters of a query that has been read, as bytes: keys need not be text."""
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    return {unquote_to_bytes(name): unquote_to_bytes(value.replace(b"+", b" ")) for name, _, value in pairs}
