"""The envelope of a batch or a transaction: what its header fields ask for, whatever the body holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.fields import read_timeout
from app.problems import BAD_HEADER, UNSUPPORTED, Problem
from app.reading import read_session
from app.settings import Limits
from app.writing import read_token
from raftgroups import Level

JSON, MSGPACK = "application/json", "application/msgpack"
MSGPACK_TYPES = frozenset((MSGPACK, "application/x-msgpack"))

_UNSUPPORTED = {b"if-match": "If-Match", b"if-none-match": "If-None-Match", b"content-range": "Content-Range"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was asked.

    is_msgpack        of the body
    answers_msgpack   of the answer
    marks             of the session
    token             the Idempotency-Key, if there is one
    """

    is_msgpack: bool
    answers_msgpack: bool
    timeout_seconds: float
    marks: Mapping[int, int]
    token: bytes | None


def read_envelope(fields: Mapping[bytes, bytes], limits: Limits, level: Level) -> Envelope | Problem:
    """`level` is that of the reads."""
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if kind != JSON and kind not in MSGPACK_TYPES:
        detail = f"header Content-Type must be {JSON} or {MSGPACK}: with curl, add -H 'Content-Type: {JSON}'"
        return Problem(BAD_HEADER, detail, {"header": "Content-Type"})
    for name, text in _UNSUPPORTED.items():
        if name in fields:
            return Problem(UNSUPPORTED, f"header {text} is not supported here", {"header": text})
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        return Problem(UNSUPPORTED, "header Content-Encoding is not supported here", {"header": "Content-Encoding"})
    timeout = read_timeout(fields, limits)
    if isinstance(timeout, Problem):
        return timeout
    session = read_session(fields[b"kv-session"], level) if b"kv-session" in fields else {}
    if isinstance(session, Problem):
        return session
    token = read_token(fields[b"idempotency-key"]) if b"idempotency-key" in fields else None
    if isinstance(token, Problem):
        return token
    is_msgpack = kind != JSON
    answers_msgpack = _prefers_msgpack(fields.get(b"accept", b""), is_msgpack)
    return Envelope(is_msgpack, answers_msgpack, timeout, session, token)


def _prefers_msgpack(accept: bytes, is_msgpack: bool) -> bool:
    """The format that Accept likes better; that of the request, where it says nothing about them."""
    liked: dict[bool, float] = {}
    for element in accept.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        if name == JSON or name in MSGPACK_TYPES:
            quality = 1.0
            for parameter in parameters:
                if parameter.startswith("q="):
                    quality = _quality(parameter[2:])
            liked[name != JSON] = max(quality, liked.get(name != JSON, 0.0))
    best = max(liked.values(), default=0.0)
    if best == 0 or liked.get(is_msgpack) == best:
        return is_msgpack
    return not is_msgpack


def _quality(text: str) -> float:
    digits = text.replace(".", "", 1)
    return float(text) if digits.isascii() and digits.isdigit() and len(text) <= 5 else 0.0
