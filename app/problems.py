"""Problems: every way a request can fail, in one table, and the document that says so (RFC 9457).

    {"type": "/problems/no-quorum", "title": "No quorum", "status": 503, "detail": "…",
     "code": "NO_QUORUM", "request_id": "…", "outcome": "not_applied", "retryable": true, …}

`outcome` tells what became of the command: "not_applied" (it may be repeated blindly where `retryable`) or
"unknown". Further members name what the problem is about: a limit, a parameter, a partition.
"""

import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from app.answers import Answer
from raftgroups import (
    BehindError,
    ChangeRefusedError,
    DeadlineError,
    DivergedError,
    DrainingError,
    NoQuorumError,
    NoReplicaError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    RaftGroupError,
    StaleEpochError,
    StorageFullError,
    TokenBusyError,
    TooStaleError,
)

Member = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table.

    outcome      what became of the command: "not_applied" or "unknown"
    retryable    the same request may succeed later, or at another node, and does no harm there
    retry_after  seconds, as a header
    """

    status: int
    code: str
    title: str
    outcome: str = "not_applied"
    retryable: bool = False
    retry_after: int | None = None

    @property
    def type(self) -> str:
        return "/problems/" + self.code.lower().replace("_", "-")


BAD_REQUEST = Kind(400, "BAD_REQUEST", "Malformed request")
BAD_KEY = Kind(400, "BAD_KEY", "Malformed key")
BAD_PARAMETER = Kind(400, "BAD_PARAMETER", "Malformed query parameter")
UNKNOWN_PARAMETER = Kind(400, "UNKNOWN_PARAMETER", "Unknown query parameter")
MISSING_PARAMETER = Kind(400, "MISSING_PARAMETER", "Missing query parameter")
DUPLICATE_PARAMETER = Kind(400, "DUPLICATE_PARAMETER", "Duplicate query parameter")
BAD_HEADER = Kind(400, "BAD_HEADER", "Malformed header")
BAD_BODY = Kind(400, "BAD_BODY", "Malformed body")
UNSUPPORTED = Kind(400, "UNSUPPORTED", "Not supported")
CROSS_ORIGIN = Kind(403, "CROSS_ORIGIN", "Not for pages of another origin")
NO_SUCH_KEY = Kind(404, "NO_SUCH_KEY", "No such key")
NO_SUCH_ROUTE = Kind(404, "NO_SUCH_ROUTE", "No such route")
NO_SUCH_PARTITION = Kind(404, "NO_SUCH_PARTITION", "No such partition")
CHANGE_REFUSED = Kind(409, "CHANGE_REFUSED", "Change refused", retryable=True)
NOT_A_NUMBER = Kind(409, "NOT_A_NUMBER", "Not a number")
NUMBER_OVERFLOW = Kind(409, "NUMBER_OVERFLOW", "Number too large")
TOKEN_BUSY = Kind(409, "IDEMPOTENCY_KEY_BUSY", "The same request is still running", retryable=True, retry_after=1)
PRECONDITION_FAILED = Kind(412, "PRECONDITION_FAILED", "Condition failed")
HISTORY_GONE = Kind(410, "HISTORY_GONE", "Changes not kept any more")
METHOD_NOT_ALLOWED = Kind(405, "METHOD_NOT_ALLOWED", "Method not allowed")
TOO_SLOW = Kind(408, "TOO_SLOW", "Request sent too slowly", retryable=True)
PAIR_TOO_LARGE = Kind(413, "PAIR_TOO_LARGE", "Key and value too large")
BODY_TOO_LARGE = Kind(413, "BODY_TOO_LARGE", "Body too large")
TOO_MANY_OPERATIONS = Kind(413, "TOO_MANY_OPERATIONS", "Too many operations")
KEY_TOO_LONG = Kind(414, "KEY_TOO_LONG", "Key too long")
MISDIRECTED = Kind(421, "MISDIRECTED", "Another host is asked for")
NOT_TOGETHER = Kind(422, "NOT_TOGETHER", "Parameters that do not go together")
TOKEN_REUSED = Kind(422, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key used for another request")
NOT_ONE_PARTITION = Kind(422, "NOT_ONE_PARTITION", "Keys not in one partition")
NOT_A_REPLICA = Kind(422, "NOT_A_REPLICA", "Node holds no replica")
BAD_REPLICAS = Kind(422, "BAD_REPLICAS", "Replicas cannot be placed so")
HEAD_TOO_LARGE = Kind(431, "HEAD_TOO_LARGE", "Head too large")
INTERNAL = Kind(500, "INTERNAL", "Internal error", outcome="unknown")
NO_QUORUM = Kind(503, "NO_QUORUM", "No quorum", retryable=True, retry_after=1)
NO_REPLICA = Kind(503, "NO_REPLICA", "No replica in reach", retryable=True, retry_after=1)
BEHIND = Kind(503, "BEHIND_SESSION", "No replica has caught up", retryable=True, retry_after=1)
TOO_STALE = Kind(503, "TOO_STALE", "No replica fresh enough", retryable=True, retry_after=1)
ELECTING = Kind(503, "ELECTING", "Leader changing", retryable=True, retry_after=1)
OVERLOADED = Kind(503, "OVERLOADED", "Overloaded", retryable=True, retry_after=1)
DRAINING = Kind(503, "DRAINING", "Node is shutting down", retryable=True, retry_after=1)
DEADLINE = Kind(503, "DEADLINE", "Deadline passed before the proposal", retryable=True, retry_after=1)
DIVERGED = Kind(503, "DIVERGED", "Replica stopped", retryable=True, retry_after=1)
UNAVAILABLE = Kind(503, "UNAVAILABLE", "Unavailable", retryable=True, retry_after=1)
NOT_READY = Kind(503, "NOT_READY", "Node is not ready", retryable=True, retry_after=1)
TOO_MANY_CONNECTIONS = Kind(503, "TOO_MANY_CONNECTIONS", "Too many connections", retryable=True, retry_after=1)
OUTCOME_UNKNOWN = Kind(504, "OUTCOME_UNKNOWN", "Outcome unknown", outcome="unknown")
INCOMPLETE_IMPORT = Kind(504, "INCOMPLETE_IMPORT", "Import incomplete", outcome="unknown")
READ_TIMED_OUT = Kind(504, "READ_TIMED_OUT", "Read timed out", retryable=True)
STORAGE_FULL = Kind(507, "STORAGE_FULL", "No disk space for writes", retryable=True)

TABLE: Mapping[type[Exception], Kind] = {
    NoQuorumError: NO_QUORUM,
    NoReplicaError: NO_REPLICA,
    BehindError: BEHIND,
    TooStaleError: TOO_STALE,
    TokenBusyError: TOKEN_BUSY,
    NotLeaderError: ELECTING,
    StaleEpochError: ELECTING,
    OverloadedError: OVERLOADED,
    DrainingError: DRAINING,
    DeadlineError: DEADLINE,
    DivergedError: DIVERGED,
    StorageFullError: STORAGE_FULL,
    ChangeRefusedError: CHANGE_REFUSED,
    OutcomeUnknownError: OUTCOME_UNKNOWN,
    RaftGroupError: UNAVAILABLE,
    Exception: INTERNAL,
}

_process = secrets.token_hex(4)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure of one request.

    members  further members of the document
    head     further header lines of the answer
    """

    kind: Kind
    detail: str
    members: Mapping[str, Member] = field(default_factory=dict)
    head: bytes = b""

    def answer(self) -> Answer:
        """The problem as a response, under a request id of its own."""
        head = b"content-type: application/problem+json\r\n" + self.head
        if self.kind.retry_after is not None:
            head += b"retry-after: %d\r\n" % self.kind.retry_after
        return Answer(self.kind.status, head, encode_problem(self, f"{_process}-{next(_numbers):x}"))


def encode_problem(problem: Problem, request_id: str) -> bytes:
    """The document."""
    kind = problem.kind
    document: dict[str, Member] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "code": kind.code,
        "request_id": request_id,
        "outcome": kind.outcome,
        "retryable": kind.retryable,
    }
    document.update(problem.members)
    return msgspec.json.encode(document)


def problem_of(error: Exception, *, writes: bool = True, head: bytes = b"") -> Problem:
    """The problem that an exception stands for; a request that writes nothing has nothing unknown about it."""
    kind = next(TABLE[base] for base in type(error).__mro__ if base in TABLE)
    if kind.outcome == "unknown" and not writes:
        kind = READ_TIMED_OUT if kind is OUTCOME_UNKNOWN else Kind(500, "INTERNAL", "Internal error")
    if not isinstance(error, RaftGroupError):
        return Problem(kind, "the node failed unexpectedly; its log says more", head=head)
    assert not (error.may_have_applied and writes) or kind.outcome == "unknown", f"{error!r} is not in the table"
    partition = getattr(error, "partition", None)
    members: dict[str, Member] = {} if partition is None else {"partition": int(partition)}
    return Problem(kind, str(error), members, head)
