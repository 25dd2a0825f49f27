"""The hot routes' one handler: PUT, GET, HEAD, DELETE and POST of /v1/kv/{key}.

It knows no server. Both doors give it a Request, which takes the answer: the fast door from inside uvicorn's
protocol, the other as an ordinary ASGI route.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

from app.answers import Answer
from app.fields import read_entity_tags, read_key, read_timeout
from app.pairs import pair_problem, pair_too_large
from app.problems import METHOD_NOT_ALLOWED, NO_SUCH_KEY, NOT_READY, UNSUPPORTED, Problem, problem_of
from app.reading import Receipts, expiry_line, of_session, read_freshness, read_session
from app.session import extend_session
from app.settings import IDEMPOTENCY_SECONDS, Limits
from app.writing import changed_answer, once, read_delete, read_operation, read_put, read_token, refusal
from raftgroups import (
    LINEARIZABLE,
    SESSION,
    Changed,
    Command,
    Freshness,
    Level,
    LogIndex,
    RaftGroupError,
    Reading,
    Repeatable,
    Result,
    Written,
    revision_of,
)

PREFIX = b"/v1/kv/"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT")
ALLOW = b"allow: " + ", ".join(METHODS).encode() + b"\r\n"

# The header fields that mean something to a read, and to any write beside those that are its own.
_READ_FIELDS = frozenset((b"kv-timeout-ms", b"kv-session", b"if-match", b"if-none-match"))
_WRITE_FIELDS = frozenset((b"kv-timeout-ms", b"kv-session", b"idempotency-key"))

_OCTETS = "application/octet-stream"
_CACHED_LINES_MAX = 256
_NO_MARKS: Mapping[int, int] = {}

# A cache between us and the client must ask again: an answer is only as fresh as its receipt says. And a value
# that calls itself HTML must not become a page of ours, with a script that may ask us for everything.
_GUARDS = b"cache-control: no-cache\r\ncontent-security-policy: sandbox\r\n"


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
        self, key: bytes, command: Command, deadline: float, done: Callable[[Result | RaftGroupError], None]
    ) -> None: ...

    def read(
        self, key: bytes, fresh: Freshness, deadline: float, done: Callable[[Reading | RaftGroupError], None]
    ) -> None: ...

    def partition_of(self, key: bytes) -> int: ...


class KvHandler:
    """Parses, calls the store, answers.

    level         what a read gets that does not say
    keep_seconds  how long the result of a write with an Idempotency-Key is kept
    """

    def __init__(self, limits: Limits, level: Level = LINEARIZABLE, keep_seconds: float = IDEMPOTENCY_SECONDS) -> None:
        self._limits = limits
        self._level = level
        self._keep_seconds = keep_seconds
        self._timeout_seconds = limits.timeout_ms / 1_000
        self._store: Store | None = None
        self._receipts = Receipts()
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
        elif method == b"PUT" or method == b"POST":
            refused = self._store_body(request, key, query)
        elif method == b"DELETE":
            refused = self._write(request, key, read_delete(key, query, request.fields))
        elif method == b"OPTIONS":
            request.reply(Answer(204, ALLOW))
            return
        else:
            refused = Problem(METHOD_NOT_ALLOWED, f"{method.decode('latin-1')} is not allowed on a key", head=ALLOW)
        if refused is not None:
            request.reply(refused.answer())

    def too_large(self, size: int) -> Problem:
        """The refusal of a pair, or of a value alone, of `size` bytes."""
        return pair_too_large(size, self._limits)

    def _get(self, request: Request, key: bytes, query: bytes) -> Problem | None:
        fresh = read_freshness(query, self._level)
        if isinstance(fresh, Problem):
            return fresh
        timeout = self._timeout_seconds
        known: frozenset[bytes] | None = frozenset()
        marks = _NO_MARKS
        fields = request.fields
        if not _READ_FIELDS.isdisjoint(fields):
            if b"if-match" in fields:
                return Problem(UNSUPPORTED, "header If-Match is not supported here", {"header": "If-Match"})
            chosen = read_timeout(fields, self._limits)
            if isinstance(chosen, Problem):
                return chosen
            timeout = chosen
            if b"if-none-match" in fields:
                tags = read_entity_tags("If-None-Match", fields[b"if-none-match"])
                if isinstance(tags, Problem):
                    return tags
                known = tags
            if b"kv-session" in fields:
                session = read_session(fields[b"kv-session"], fresh.level)
                if isinstance(session, Problem):
                    return session
                marks = session
        store = self._store
        if store is None:
            return _starting()
        wants_session = marks is not _NO_MARKS or fresh.level is SESSION
        if wants_session:
            fresh = of_session(fresh, marks, store.partition_of(key))

        def done(result: Reading | RaftGroupError) -> None:
            if isinstance(result, RaftGroupError):
                request.reply(problem_of(result, writes=False).answer())
                return
            receipt = self._receipts.lines(result.receipt)
            if wants_session:
                seen = revision_of(LogIndex(result.receipt.index), 0)
                receipt += b"kv-session: %b\r\n" % extend_session(marks, store.partition_of(key), seen)
            request.reply(self._found(result, receipt, known))

        store.read(key, fresh, request.received + timeout, done)
        return None

    def _found(self, reading: Reading, receipt: bytes, known: frozenset[bytes] | None) -> Answer:
        """The answer to a read.

        known  revisions that the client has already; None: whichever it is
        """
        item = reading.item
        if item is None:
            return Problem(NO_SUCH_KEY, "there is no such key", head=receipt).answer()
        if item.expires_ms:
            receipt += expiry_line(item.expires_ms, reading.receipt.clock_ms)
        if known is None or (known and b"%d" % item.revision in known):
            return Answer(304, b'etag: "%d"\r\n%b%b' % (item.revision, receipt, _GUARDS))
        kind = self._content_types.get(item.content_type) or self._content_type(item.content_type)
        return Answer(200, b'%betag: "%d"\r\n%b%b' % (kind, item.revision, receipt, _GUARDS), item.value)

    def _store_body(self, request: Request, key: bytes, query: bytes) -> Problem | None:
        refused = pair_problem(key, request.body, self._limits)
        if refused is not None:
            return refused
        read = read_put if request.method == b"PUT" else read_operation
        return self._write(request, key, read(key, query, request.fields, request.body, self._limits))

    def _write(self, request: Request, key: bytes, read: Repeatable | Problem) -> Problem | None:
        if isinstance(read, Problem):
            return read
        command: Command = read
        timeout = self._timeout_seconds
        marks = _NO_MARKS
        fields = request.fields
        if not _WRITE_FIELDS.isdisjoint(fields):
            chosen = read_timeout(fields, self._limits)
            if isinstance(chosen, Problem):
                return chosen
            timeout = chosen
            if b"kv-session" in fields:
                session = read_session(fields[b"kv-session"], LINEARIZABLE)
                if isinstance(session, Problem):
                    return session
                marks = session
            if b"idempotency-key" in fields:
                token = read_token(fields[b"idempotency-key"])
                if isinstance(token, Problem):
                    return token
                command = once(key, token, read, self._keep_seconds)
        store = self._store
        if store is None:
            return _starting()

        def done(result: Result | RaftGroupError) -> None:
            if isinstance(result, Written):
                session = extend_session(marks, store.partition_of(key), result.revision)
                request.reply(Answer(204, b'etag: "%d"\r\nkv-session: %b\r\n' % (result.revision, session)))
            elif isinstance(result, Changed):
                session = extend_session(marks, store.partition_of(key), result.revision)
                request.reply(self._changed(result, session))
            elif isinstance(result, RaftGroupError):
                request.reply(problem_of(result).answer())
            else:
                refused = refusal(result)
                assert refused is not None, "a command for one key has no other result"
                request.reply(refused.answer())

        store.write(key, command, request.received + timeout, done)
        return None

    def _changed(self, changed: Changed, session: bytes) -> Answer:
        more = b"kv-session: %b\r\n%b" % (session, _GUARDS)
        if changed.clock_ms:
            more += expiry_line(changed.expires_ms, changed.clock_ms)
        kind = self._content_types.get(changed.content_type) or self._content_type(changed.content_type)
        return changed_answer(changed, kind, more)

    def _content_type(self, text: str) -> bytes:
        """The header line of a stored Content-Type, which need not have come in through this door."""
        sound = text.isprintable() and text.isascii() and text
        if len(self._content_types) >= _CACHED_LINES_MAX:
            self._content_types.clear()
        line = self._content_types[text] = f"content-type: {sound or _OCTETS}\r\n".encode()
        return line


def _starting() -> Problem:
    return Problem(NOT_READY, "the node is still starting")
