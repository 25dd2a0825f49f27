"""The hot routes' one handler: PUT, GET, HEAD and DELETE of /v1/kv/{key}.

It knows no server. Both doors give it a Request, which takes the answer: the fast door from inside uvicorn's
protocol, the other as an ordinary ASGI route.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from app.answers import Answer
from app.fields import read_content_type, read_entity_tags, read_key, read_number, read_query
from app.problems import (
    BAD_PARAMETER,
    METHOD_NOT_ALLOWED,
    NO_SUCH_KEY,
    NOT_READY,
    PAIR_TOO_LARGE,
    UNSUPPORTED,
    Problem,
    problem_of,
)
from app.settings import Limits
from raftgroups import Delete, Level, Put, RaftGroupError, Reading, Written

PREFIX = b"/v1/kv/"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PUT")
ALLOW = b"allow: " + ", ".join(METHODS).encode() + b"\r\n"

# The header fields that mean something to a read and to a write; any other is none of our business.
_CONDITIONS = {b"if-match": "If-Match", b"if-none-match": "If-None-Match", b"idempotency-key": "Idempotency-Key"}
_READ_FIELDS = frozenset((b"kv-timeout-ms", b"kv-session", b"if-match", b"if-none-match"))
_WRITE_FIELDS = frozenset((b"kv-timeout-ms", b"kv-session", *_CONDITIONS, b"content-encoding", b"content-range"))
_LEVELS = {level.value: level for level in Level}
_LATER_PARAMETERS = frozenset(("ttl", "max_staleness", "op", "by"))
_LATER_LEVELS = frozenset(("session", "bounded"))

_SESSION = re.compile(rb"1-[0-9a-f]{1,8}-[0-9a-f]{1,16}")
_OCTETS = "application/octet-stream"
_CACHED_LINES_MAX = 256

# A cache between us and the client must ask again: an answer is only as fresh as its receipt says. And a value
# that calls itself HTML must not become a page of ours, with a script that may ask us for everything.
_GUARDS = b"cache-control: no-cache\r\ncontent-security-policy: sandbox\r\n"

_Key = TypeVar("_Key")


class Request(ABC):
    """One request for a key.

    target    the raw path, from `PREFIX` on, and the query
    fields    by lower-case name
    received  when, by the loop's clock
    """

    __slots__ = ("body", "fields", "method", "received", "target")

    method: bytes
    target: bytes
    fields: Mapping[bytes, bytes]
    body: bytes
    received: float

    @abstractmethod
    def reply(self, answer: Answer) -> None:
        """Take the one answer, perhaps before the handler returns."""


class Store(Protocol):
    """What the handler asks of a Coordinator."""

    def write(
        self, command: Put | Delete, deadline: float, done: Callable[[Written | RaftGroupError], None]
    ) -> None: ...

    def read(
        self, key: bytes, level: Level, deadline: float, done: Callable[[Reading | RaftGroupError], None]
    ) -> None: ...

    def partition_of(self, key: bytes) -> int: ...


class KvHandler:
    """Parses, calls the store, answers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._timeout_seconds = limits.timeout_ms / 1_000
        self._store: Store | None = None
        self._receipts: dict[tuple[Level, str, str], bytes] = {}
        self._content_types: dict[str, bytes] = {}

    def open(self, store: Store) -> None:
        """Answer from `store` from now on; before, every request is told to come back."""
        self._store = store

    def handle(self, request: Request) -> None:
        """Answer one request through its `reply`."""
        raw, _, query = request.target.partition(b"?")
        method = request.method
        key = read_key(raw[len(PREFIX) :], self._limits.key_bytes_max)
        refused: Problem | None
        if isinstance(key, Problem):
            refused = key
        elif method == b"GET" or method == b"HEAD":
            refused = self._get(request, key, query)
        elif method == b"PUT":
            refused = self._put(request, key, query)
        elif method == b"DELETE":
            refused = self._write(request, Delete(key), query)
        elif method == b"OPTIONS":
            request.reply(Answer(204, ALLOW))
            return
        else:
            refused = Problem(METHOD_NOT_ALLOWED, f"{method.decode('latin-1')} is not allowed on a key", head=ALLOW)
        if refused is not None:
            request.reply(refused.answer())

    def too_large(self, size: int) -> Problem:
        """The refusal of a pair, or of a value alone, of `size` bytes."""
        limit = self._limits.pair_bytes_max
        detail = f"{size} bytes were sent; key and value together may have {limit}"
        return Problem(PAIR_TOO_LARGE, detail, {"limit": limit, "size": size})

    def _get(self, request: Request, key: bytes, query: bytes) -> Problem | None:
        level = Level.LINEARIZABLE
        if query:
            asked = _read_level(query)
            if isinstance(asked, Problem):
                return asked
            level = asked
        timeout = self._timeout_seconds
        known: frozenset[bytes] | None = frozenset()
        fields = request.fields
        if not _READ_FIELDS.isdisjoint(fields):
            if b"if-match" in fields:
                return _unsupported(b"if-match")
            common = self._read_common(fields)
            if isinstance(common, Problem):
                return common
            timeout = common
            if b"if-none-match" in fields:
                tags = read_entity_tags("If-None-Match", fields[b"if-none-match"])
                if isinstance(tags, Problem):
                    return tags
                known = tags
            if b"kv-session" in fields and level is Level.STALE:
                return Problem(
                    UNSUPPORTED, "header KV-Session is not honoured by consistency=stale", {"header": "KV-Session"}
                )
        if self._store is None:
            return _starting()

        def done(result: Reading | RaftGroupError) -> None:
            if isinstance(result, RaftGroupError):
                request.reply(problem_of(result, writes=False).answer())
            else:
                request.reply(self._found(result, known))

        self._store.read(key, level, request.received + timeout, done)
        return None

    def _found(self, reading: Reading, known: frozenset[bytes] | None) -> Answer:
        """The answer to a read.

        known  revisions that the client has already; None: whichever it is
        """
        item = reading.item
        receipt = self._receipt(reading)
        if item is None:
            return Problem(NO_SUCH_KEY, "there is no such key", head=receipt).answer()
        if known is None or (known and b"%d" % item.revision in known):
            return Answer(304, b'etag: "%d"\r\n%b%b' % (item.revision, receipt, _GUARDS))
        kind = self._content_types.get(item.content_type) or self._content_type(item.content_type)
        return Answer(200, b'%betag: "%d"\r\n%b%b' % (kind, item.revision, receipt, _GUARDS), item.value)

    def _put(self, request: Request, key: bytes, query: bytes) -> Problem | None:
        fields = request.fields
        body = request.body
        size = len(key) + len(body)
        if size > self._limits.pair_bytes_max:
            return self.too_large(size)
        content_type = ""
        given = fields.get(b"content-type")
        if given is not None:
            kept = read_content_type(given, self._limits.content_type_bytes_max)
            if isinstance(kept, Problem):
                return kept
            content_type = kept
        return self._write(request, Put(key, body, content_type), query)

    def _write(self, request: Request, command: Put | Delete, query: bytes) -> Problem | None:
        if query:
            parameters = read_query(query, (), _LATER_PARAMETERS)
            if isinstance(parameters, Problem):
                return parameters
        timeout = self._timeout_seconds
        fields = request.fields
        if not _WRITE_FIELDS.isdisjoint(fields):
            for name in _CONDITIONS:
                if name in fields:
                    return _unsupported(name)
            refused = _refuse_content_fields(fields)
            if refused is not None:
                return refused
            common = self._read_common(fields)
            if isinstance(common, Problem):
                return common
            timeout = common
        store = self._store
        if store is None:
            return _starting()

        def done(result: Written | RaftGroupError) -> None:
            if isinstance(result, RaftGroupError):
                request.reply(problem_of(result).answer())
                return
            revision = result.revision
            token = (revision, store.partition_of(command.key), revision)
            request.reply(Answer(204, b'etag: "%d"\r\nkv-session: 1-%x-%x\r\n' % token))

        store.write(command, request.received + timeout, done)
        return None

    def _read_common(self, fields: Mapping[bytes, bytes]) -> float | Problem:
        """The timeout in seconds, once the fields that reads and writes share are in order."""
        session = fields.get(b"kv-session")
        if session is not None and not is_session(session):
            return Problem(
                UNSUPPORTED, "header KV-Session is not a token that this store gave out", {"header": "KV-Session"}
            )
        given = fields.get(b"kv-timeout-ms")
        if given is None:
            return self._timeout_seconds
        chosen = read_number("KV-Timeout-Ms", given, 1, self._limits.timeout_ms_max)
        return chosen if isinstance(chosen, Problem) else chosen / 1_000

    def _receipt(self, reading: Reading) -> bytes:
        """What the client really got: level, age, and by whom."""
        key = (reading.level, reading.served_by, reading.role)
        lines = self._receipts.get(key)
        if lines is None:
            level, node, role = key
            text = f"kv-consistency: {level}\r\nkv-served-by: {node};role={role}\r\nkv-staleness-ms: "
            lines = _keep(self._receipts, key, text.encode())
        return b"%b%d\r\n" % (lines, reading.staleness_ms)

    def _content_type(self, text: str) -> bytes:
        """The header line of a stored Content-Type, which need not have come in through this door."""
        sound = text.isprintable() and text.isascii() and text
        return _keep(self._content_types, text, f"content-type: {sound or _OCTETS}\r\n".encode())


def is_session(token: bytes) -> bool:
    """Whether the token has the form that a write answers with: 1-PARTITION-REVISION, in hexadecimal."""
    return _SESSION.fullmatch(token) is not None


def _read_level(query: bytes) -> Level | Problem:
    parameters = read_query(query, ("consistency",), _LATER_PARAMETERS)
    if isinstance(parameters, Problem):
        return parameters
    text = parameters.get("consistency", Level.LINEARIZABLE)
    if text in _LEVELS:
        return _LEVELS[text]
    names = ", ".join(_LEVELS)
    kind = UNSUPPORTED if text in _LATER_LEVELS else BAD_PARAMETER
    detail = f"query parameter 'consistency' must be one of {names}, not {text!r}"
    return Problem(kind, detail, {"parameter": "consistency"})


def _refuse_content_fields(fields: Mapping[bytes, bytes]) -> Problem | None:
    """A Problem for what would change the meaning of a body that is kept as it came."""
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        detail = "header Content-Encoding is not supported: it would not be given back with the value"
        return Problem(UNSUPPORTED, detail, {"header": "Content-Encoding"})
    if b"content-range" in fields:
        detail = "header Content-Range is not supported: a PUT replaces the whole value"
        return Problem(UNSUPPORTED, detail, {"header": "Content-Range"})
    return None


def _unsupported(field: bytes) -> Problem:
    name = _CONDITIONS[field]
    return Problem(UNSUPPORTED, f"header {name} is not supported here", {"header": name})


def _starting() -> Problem:
    return Problem(NOT_READY, "the node is still starting")


def _keep(lines: dict[_Key, bytes], key: _Key, line: bytes) -> bytes:
    """Remember a line, but never more than a bounded number of them."""
    if len(lines) >= _CACHED_LINES_MAX:
        lines.clear()
    lines[key] = line
    return line
