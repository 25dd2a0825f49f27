"""Writing: what a request asks to be done to a key, as a command, and what came of it, as an answer.

PUT     ?ttl=SECONDS                                      If-Match, If-None-Match: *, Idempotency-Key
DELETE                                                    If-Match, Idempotency-Key
POST    ?op=incr[&by=N]  append  touch&ttl=SECONDS  persist      the same
"""

import hashlib
import re
from collections.abc import Mapping

from app.answers import Answer
from app.expectation import read_expectation
from app.fields import read_content_type, read_query
from app.problems import (
    BAD_HEADER,
    BAD_PARAMETER,
    MISSING_PARAMETER,
    NO_SUCH_KEY,
    NOT_A_NUMBER,
    NOT_TOGETHER,
    NUMBER_OVERFLOW,
    PAIR_TOO_LARGE,
    PRECONDITION_FAILED,
    TOKEN_REUSED,
    UNSUPPORTED,
    Kind,
    Problem,
)
from app.rules import IDEMPOTENCY_KEY_BYTES_MAX, INTEGER_MAX, INTEGER_MIN, ttl_ms_of
from app.settings import Limits
from raftgroups import (
    AppendTo,
    Changed,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    Expected,
    Increment,
    Missing,
    Once,
    Put,
    Reason,
    Rejected,
    Repeatable,
    Result,
    Reused,
    Touch,
    Unmet,
    encode_command,
)

DIGEST_BYTES = 16

_TTL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,24})?")
_NO_NUMBER = float("nan")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_TOKEN = re.compile(rb"[\x21-\x7e]+")
_OPERATIONS = ("incr", "append", "touch", "persist")
_CONTENT_FIELDS = (b"content-encoding", b"content-range")
# The header fields that mean something to a write beside its body; any other is none of our business.
SPECIAL_FIELDS = frozenset((b"if-match", b"if-none-match", b"idempotency-key", *_CONTENT_FIELDS))


def read_put(
    key: bytes, query: bytes, fields: Mapping[bytes, bytes], body: bytes, limits: Limits
) -> Repeatable | Problem:
    """The command of a PUT."""
    content_type = ""
    given = fields.get(b"content-type")
    if given is not None:
        kept = read_content_type(given, limits.content_type_bytes_max)
        if isinstance(kept, Problem):
            return kept
        content_type = kept
    if not query and SPECIAL_FIELDS.isdisjoint(fields):
        return Put(key, body, content_type)
    parameters = read_query(query, ("ttl",))
    if isinstance(parameters, Problem):
        return parameters
    ttl_ms = 0
    if "ttl" in parameters:
        ttl = read_ttl(parameters["ttl"])
        if isinstance(ttl, Problem):
            return ttl
        ttl_ms = ttl
    expected = _read_condition(fields, may_be_absent=True)
    if isinstance(expected, Problem):
        return expected
    if not ttl_ms and expected is None:
        return Put(key, body, content_type)
    return ConditionalPut(key, body, content_type, ttl_ms, expected)


def read_delete(key: bytes, query: bytes, fields: Mapping[bytes, bytes]) -> Repeatable | Problem:
    """The command of a DELETE."""
    if query:
        parameters = read_query(query, ())
        if isinstance(parameters, Problem):
            return parameters
    if SPECIAL_FIELDS.isdisjoint(fields):
        return Delete(key)
    expected = _read_condition(fields, may_be_absent=False)
    if isinstance(expected, Problem):
        return expected
    return Delete(key) if expected is None else ConditionalDelete(key, expected)


def read_operation(
    key: bytes, query: bytes, fields: Mapping[bytes, bytes], body: bytes, limits: Limits
) -> Repeatable | Problem:
    """The command of a POST."""
    parameters = read_query(query, ("op", "by", "ttl"))
    if isinstance(parameters, Problem):
        return parameters
    operation = parameters.get("op")
    if operation is None:
        names = ", ".join(_OPERATIONS)
        return Problem(MISSING_PARAMETER, f"query parameter 'op' must be one of {names}", {"parameter": "op"})
    if operation not in _OPERATIONS:
        return _bad_parameter("op", f"must be one of {', '.join(_OPERATIONS)}, not {operation!r}")
    for name, owner in (("by", "incr"), ("ttl", "touch")):
        if name in parameters and operation != owner:
            detail = f"query parameter {name!r} belongs to op={owner}"
            return Problem(NOT_TOGETHER, detail, {"parameter": name})
    if body and operation != "append":
        return Problem(NOT_TOGETHER, f"op={operation} takes no body", {"parameter": "op"})
    expected = _read_condition(fields, may_be_absent=True)
    if isinstance(expected, Problem):
        return expected
    if operation == "incr":
        by = read_integer("by", parameters.get("by", "1"))
        return by if isinstance(by, Problem) else Increment(key, by, expected)
    if operation == "append":
        return AppendTo(key, body, limits.pair_bytes_max, expected)
    if operation == "persist":
        return Touch(key, 0, expected)
    if "ttl" not in parameters:
        return Problem(NOT_TOGETHER, "op=touch needs query parameter 'ttl'", {"parameter": "ttl"})
    ttl = read_ttl(parameters["ttl"])
    return ttl if isinstance(ttl, Problem) else Touch(key, ttl, expected)


def read_ttl(text: str) -> int | Problem:
    """A lifetime given in seconds, in milliseconds."""
    try:
        return ttl_ms_of(float(text) if _TTL.fullmatch(text) else _NO_NUMBER)
    except ValueError as error:
        return _bad_parameter("ttl", f"{error}, not {text!r}")


def read_integer(name: str, text: str) -> int | Problem:
    """A signed integer of 64 bits."""
    if _INTEGER.fullmatch(text) and INTEGER_MIN <= int(text) <= INTEGER_MAX:
        return int(text)
    return _bad_parameter(name, f"must be a whole number of 64 bits, not {text!r}")


def read_token(value: bytes) -> bytes | Problem:
    """An Idempotency-Key."""
    if len(value) <= IDEMPOTENCY_KEY_BYTES_MAX and _TOKEN.fullmatch(value):
        return value
    detail = f"header Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
    return Problem(BAD_HEADER, detail, {"header": "Idempotency-Key"})


def once(key: bytes, token: bytes, command: Repeatable, keep_seconds: float) -> Once:
    """The command, to be done once. The token is the key's own: another key with the same is another request."""
    scope = hashlib.blake2b(key, digest_size=DIGEST_BYTES).digest()
    digest = hashlib.blake2b(encode_command(command), digest_size=DIGEST_BYTES).digest()
    return Once(scope + token, digest, round(keep_seconds * 1_000), command)


def _read_condition(fields: Mapping[bytes, bytes], *, may_be_absent: bool) -> Expected | Problem:
    """What must be there, of a request whose body can be kept as it came."""
    return _refuse_content_fields(fields) or read_expectation(fields, may_be_absent=may_be_absent)


def _refuse_content_fields(fields: Mapping[bytes, bytes]) -> Problem | None:
    """A Problem for what would change the meaning of a body that is kept as it came."""
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        detail = "header Content-Encoding is not supported: it would not be given back with the value"
        return Problem(UNSUPPORTED, detail, {"header": "Content-Encoding"})
    if b"content-range" in fields:
        detail = "header Content-Range is not supported: a PUT replaces the whole value"
        return Problem(UNSUPPORTED, detail, {"header": "Content-Range"})
    return None


def _bad_parameter(name: str, what: str) -> Problem:
    return Problem(BAD_PARAMETER, f"query parameter {name!r} {what}", {"parameter": name})


_REJECTIONS: Mapping[Reason, Kind] = {
    Reason.NOT_A_NUMBER: NOT_A_NUMBER,
    Reason.OVERFLOW: NUMBER_OVERFLOW,
    Reason.TOO_LARGE: PAIR_TOO_LARGE,
}


def refusal(result: Result) -> Problem | None:
    """Why nothing was changed; None, if something was."""
    if isinstance(result, Unmet):
        revision = result.revision
        detail = f"the key is at revision {revision}" if revision else "there is no such key"
        return Problem(PRECONDITION_FAILED, detail, head=b'etag: "%d"\r\n' % revision if revision else b"")
    if isinstance(result, Missing):
        return Problem(NO_SUCH_KEY, "there is no such key")
    if isinstance(result, Rejected):
        return Problem(_REJECTIONS[result.reason], result.text)
    if isinstance(result, Reused):
        return Problem(TOKEN_REUSED, "this Idempotency-Key came before, with another request")
    return None


def changed_answer(changed: Changed, kind: bytes, more: bytes) -> Answer:
    """What is there now; `kind` is the header line of its type, `more` are further ones."""
    return Answer(200, b'%betag: "%d"\r\n%b' % (kind, changed.revision, more), changed.value)
