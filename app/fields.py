"""What comes in as text: header fields, query parameters and percent-encoded keys, read strictly.

    key     := percent-decoded bytes of the raw path, 1 byte or more
    query   := parameter ("&" parameter)*        parameter := name ["=" value], percent-encoded

Each reader returns what it read, or the Problem that names what is wrong.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from app.pairs import key_problem
from app.problems import (
    BAD_HEADER,
    BAD_KEY,
    BAD_PARAMETER,
    DUPLICATE_PARAMETER,
    UNKNOWN_PARAMETER,
    UNSUPPORTED,
    Problem,
)
from app.rules import whole_number
from app.settings import Limits

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)

# A field that a request must not hold twice: joining two of them would invent a value nobody sent.
_SINGLE = frozenset(
    (
        *(b"host", b"content-length", b"content-type", b"content-encoding", b"content-range", b"expect"),
        *(b"authorization", b"idempotency-key", b"kv-timeout-ms", b"kv-session", b"last-event-id"),
    )
)


def read_fields(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes] | Problem:
    """Header fields by lower-case name; a list sent in several lines is joined, as RFC 9110 5.3 says."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    fields.clear()
    for name, value in headers:
        if name not in fields:
            fields[name] = value
        elif name in _SINGLE:
            text = name.decode("latin-1")
            return Problem(BAD_HEADER, f"header {text} is given twice", {"header": text})
        else:
            fields[name] += b", " + value
    return fields


def read_key(raw: bytes, key_bytes_max: int) -> bytes | Problem:
    """The key that a raw path spells."""
    if b"%" in raw:
        bad = _BAD_ESCAPE.search(raw)
        if bad is not None:
            text = bad.group().decode("latin-1")
            return Problem(BAD_KEY, f"{text!r} at byte {bad.start()} of the key is not a percent-encoding")
        raw = unquote_to_bytes(raw)
    if not raw:
        return Problem(BAD_KEY, "the key is empty")
    return key_problem(raw, key_bytes_max) or raw


def read_query(query: bytes, known: Collection[str], planned: Collection[str] = ()) -> Mapping[str, str] | Problem:
    """The parameters by name; one that is not `known` is a Problem, and so is one given twice.

    planned  names that other requests of this interface understand, to be told apart from mistakes
    """
    parameters = read_raw_query(query, known, planned)
    if isinstance(parameters, Problem):
        return parameters
    return {name: value.decode("utf-8", "backslashreplace") for name, value in parameters.items()}


def read_raw_query(
    query: bytes, known: Collection[str], planned: Collection[str] = ()
) -> Mapping[str, bytes] | Problem:
    """The same with the values as the bytes that they spell; a '+' is a space, as in forms."""
    parameters: dict[str, bytes] = {}
    for part in query.split(b"&"):
        if not part:
            continue
        bad = _BAD_ESCAPE.search(part)
        raw_name, _, raw_value = part.partition(b"=")
        name = unquote_to_bytes(raw_name).decode("utf-8", "backslashreplace")
        if name in planned:
            return Problem(UNSUPPORTED, f"query parameter {name!r} is not supported here", {"parameter": name})
        if name not in known:
            return Problem(UNKNOWN_PARAMETER, f"query parameter {name!r} is unknown here", {"parameter": name})
        if bad is not None:
            text = bad.group().decode("latin-1")
            return Problem(
                BAD_PARAMETER, f"{text!r} in query parameter {name!r} is not a percent-encoding", {"parameter": name}
            )
        if name in parameters:
            return Problem(DUPLICATE_PARAMETER, f"query parameter {name!r} is given twice", {"parameter": name})
        parameters[name] = unquote_to_bytes(raw_value.replace(b"+", b" "))
    return parameters


def read_number(header: str, value: bytes, low: int, high: int) -> int | Problem:
    """A decimal header value from `low` to `high`."""
    number = whole_number(value, low, high)
    if number is not None:
        return number
    return Problem(BAD_HEADER, f"header {header} must be a whole number from {low} to {high}", {"header": header})


def read_timeout(fields: Mapping[bytes, bytes], limits: Limits) -> float | Problem:
    """How long a request may take, in seconds."""
    given = fields.get(b"kv-timeout-ms")
    if given is None:
        return limits.timeout_ms / 1_000
    chosen = read_number("KV-Timeout-Ms", given, 1, limits.timeout_ms_max)
    return chosen if isinstance(chosen, Problem) else chosen / 1_000


# Possessive throughout: a long list that ends badly must not be tried in every other way, too.
_ELEMENT = re.compile(rb'[ \t]*+(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*+)"[ \t]*+)?+(?:,|\Z)')


def read_entity_tags(header: str, value: bytes, *, is_strong: bool = False) -> frozenset[bytes] | None | Problem:
    """The opaque tags of an If-None-Match, compared weakly, or of an If-Match, strongly; None stands for `*`.

    Source: RFC 9110, sections 13.1.1 and 13.1.2.
    """
    if value.strip() == b"*":
        return None
    tags: set[bytes] = set()
    at = count = 0
    while at < len(value):
        element = _ELEMENT.match(value, at)
        if element is None:
            break
        tag = element.group(1)
        if tag is not None:
            count += 1
            if not (is_strong and element.group().lstrip().startswith(b"W/")):
                tags.add(tag)
        at = element.end()
    if at < len(value) or not count:
        return Problem(BAD_HEADER, f'header {header} must be * or a list of entity tags as "7"', {"header": header})
    return frozenset(tags)


_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:[ \t]*;[ -~\t]*)?")


@lru_cache(maxsize=256)
def is_media_type(text: str, bytes_max: int) -> bool:
    """Whether a text may be given back as a Content-Type: TYPE/SUBTYPE and parameters, or nothing.

    Source: RFC 9110, section 8.3.1; what a parameter looks like is not looked at.
    """
    return not text or (len(text) <= bytes_max and _MEDIA_TYPE.fullmatch(text) is not None)


# What curl and urllib say of any body whose type they were not told: nobody means it.
_DEFAULT_OF_TOOLS = "application/x-www-form-urlencoded"


def read_content_type(value: bytes, bytes_max: int) -> str | Problem:
    """A Content-Type to keep; empty for the one that tools send when they were told none."""
    text = value.decode("latin-1").strip()
    if text.partition(";")[0].rstrip().lower() == _DEFAULT_OF_TOOLS:
        return ""
    if not is_media_type(text, bytes_max):
        detail = f"header Content-Type must be a media type, as in text/plain, of at most {bytes_max} bytes"
        return Problem(BAD_HEADER, detail, {"header": "Content-Type"})
    return text
