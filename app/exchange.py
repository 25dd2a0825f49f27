"""Exchanges: one request each, and its place in its connection's line of answers."""

from time import monotonic
from typing import Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.answers import Answer
from app.fields import read_key
from app.kv import PREFIX, Request
from app.metrics import Metrics
from app.problems import Problem

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class Line(Protocol):
    """What an Exchange needs of its connection."""

    metrics: Metrics

    def answered(self) -> None:
        """Some exchange has its answer now; those at the front of the line may leave."""


class Exchange(Request):
    """One request on one connection.

    keep_alive  the connection may be used after it
    prepared    the answer of a request that is not served: a refusal, mostly
    answer      the answer, while it waits for those before it to leave
    cycle       of an ASGI request; None on the fast door
    grant       header lines for the page that a browser sends it for (OriginPolicy.grant)
    """

    __slots__ = ("_key", "_line", "answer", "cycle", "grant", "keep_alive", "prepared")

    def __init__(self, line: Line, method: bytes, target: bytes, keep_alive: bool) -> None:
        self._line = line
        self._key: bytes | None = None
        self.method = method
        self.target = target
        self.body = b""
        self.received = 0.0
        self.keep_alive = keep_alive
        self.prepared: Answer | None = None
        self.answer: Answer | None = None
        self.cycle: RequestResponseCycle | None = None
        self.grant = b""

    def reply(self, answer: Answer) -> None:
        line = self._line
        line.metrics.observe(self.method, answer.status, monotonic() - self.received)
        self.answer = Answer(answer.status, answer.head + self.grant, answer.body) if self.grant else answer
        line.answered()

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.method not in _SAFE

    def may_join(self, other: "Exchange") -> bool:
        """Whether it may run while `other`, sent before it, still runs.

        Two reads may, and so may two keys: neither can tell who came first. A write and whatever else concerns its
        key stay in order (RFC 9112, section 9.3.2, asks as much of safe methods only).
        """
        if self.cycle is not None or other.cycle is not None:
            return False
        return (self.method in _SAFE and other.method in _SAFE) or self.key() != other.key()

    def key(self) -> bytes:
        """The key, however it is spelled; a malformed one is nobody's."""
        if self._key is None:
            key = read_key(self.target.partition(b"?")[0][len(PREFIX) :], len(self.target))
            self._key = b"" if isinstance(key, Problem) else key
        return self._key
