"""Problems: every way a request can fail, in one table, and the document that says so (RFC 9457).

    {"type": "/problems/no-quorum", "title": "No quorum", "status": 503, "detail": "…",
     "code": "NO_QUORUM", "request_id": "…", "outcome": "not_applied", "retryable": true, …}

`outcome` tells what became of the command: "not_applied" (it may be repeated blindly where `retryable`) or
"unknown". Further members name what the problem is about: a limit, a parameter, a partition.
"""

import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
    text         what has happened, for a person
    advice       what to do about it
    """

    status: int
    code: str
    title: str
    outcome: str = "not_applied"
    retryable: bool = False
    retry_after: int | None = None
    text: str = ""
    advice: str = ""

    @property
    def name(self) -> str:
        """As its page is called."""
        return self.code.lower().replace("_", "-")

    @property
    def type(self) -> str:
        return f"/problems/{self.name}"


BAD_REQUEST = Kind(
    400,
    "BAD_REQUEST",
    "Malformed request",
    text="What came in is not HTTP/1.1 as this node speaks it, or its target is no path.",
    advice="Correct the request. A client that speaks TLS or HTTP/2 needs a proxy in between that speaks HTTP/1.1 to "
    "the node.",
)
BAD_KEY = Kind(
    400,
    "BAD_KEY",
    "Malformed key",
    text="The part of the path that names the key is empty, or has a % that is not followed by two hexadecimal digits.",
    advice="Percent-encode the bytes of the key: a % is %25, a / may stay.",
)
BAD_PARAMETER = Kind(
    400,
    "BAD_PARAMETER",
    "Malformed query parameter",
    text="A query parameter has a value that it cannot have; `parameter` names it.",
    advice="Send one that `detail` allows.",
)
UNKNOWN_PARAMETER = Kind(
    400,
    "UNKNOWN_PARAMETER",
    "Unknown query parameter",
    text="The request has a query parameter that means nothing here; `parameter` names it. It is refused, because "
    "what was meant by it would not be done.",
    advice="Look for a slip in its name, or leave it out. /docs has the parameters of every route.",
)
MISSING_PARAMETER = Kind(
    400,
    "MISSING_PARAMETER",
    "Missing query parameter",
    text="A query parameter is required; `parameter` names it.",
    advice="Add it. /docs has the parameters of every route.",
)
DUPLICATE_PARAMETER = Kind(
    400,
    "DUPLICATE_PARAMETER",
    "Duplicate query parameter",
    text="A query parameter is given twice, and only one of the two could be meant; `parameter` names it.",
    advice="Send it once.",
)
BAD_HEADER = Kind(
    400,
    "BAD_HEADER",
    "Malformed header",
    text="A header field is malformed, or given twice where only one can be meant; `header` names it.",
    advice="Send it as `detail` says, or leave it out.",
)
BAD_BODY = Kind(
    400,
    "BAD_BODY",
    "Malformed body",
    text="The body is not what this route takes; `detail` says where.",
    advice="Correct it. /docs has an example for every route.",
)
UNSUPPORTED = Kind(
    400,
    "UNSUPPORTED",
    "Not supported",
    text="The request asks for something that HTTP knows and this route does not do. It is refused, because you "
    "may rely on it.",
    advice="Leave out what `detail` names.",
)
CROSS_ORIGIN = Kind(
    403,
    "CROSS_ORIGIN",
    "Not for pages of another origin",
    text="A browser sent this for a web page of another origin, and it could have changed something. Any page can "
    "make a browser do that, so it is refused.",
    advice="If the page shall do this, start the nodes with --allow-origin and its origin, as in "
    "https://app.example.com. A program that is no page should send neither Origin nor Sec-Fetch-Site.",
)
NO_SUCH_KEY = Kind(
    404,
    "NO_SUCH_KEY",
    "No such key",
    text="There is no such key: nobody put it, or it was deleted, or its time is over.",
    advice="Nothing need be done. A read with a weaker consistency may miss what was put a moment ago.",
)
NO_SUCH_ROUTE = Kind(
    404,
    "NO_SUCH_ROUTE",
    "No such route",
    text="Nothing is served at this path.",
    advice="Look for a slip in it. /docs has every route; a key is at /v1/kv/ and what follows.",
)
NO_SUCH_PARTITION = Kind(
    404,
    "NO_SUCH_PARTITION",
    "No such partition",
    text="The cluster has no partition of this number.",
    advice="Ask /v1/cluster for those that there are, or /v1/locate/KEY for the one that holds a key.",
)
CHANGE_REFUSED = Kind(
    409,
    "CHANGE_REFUSED",
    "Change refused",
    retryable=True,
    text="The partition's members are being changed already, or cannot be changed so now.",
    advice="Wait until GET /v1/partitions/ID/replicas shows what was asked before, then ask again.",
)
NOT_A_NUMBER = Kind(
    409,
    "NOT_A_NUMBER",
    "Not a number",
    text="The value is no decimal whole number, so nothing can be added to it.",
    advice="Put a number there first, or use another key.",
)
NUMBER_OVERFLOW = Kind(
    409,
    "NUMBER_OVERFLOW",
    "Number too large",
    text="The sum would not fit into 64 bits.",
    advice="Add less, or begin with another number.",
)
TOKEN_BUSY = Kind(
    409,
    "IDEMPOTENCY_KEY_BUSY",
    "The same request is still running",
    retryable=True,
    retry_after=1,
    text="A request with the same Idempotency-Key is still on its way.",
    advice="Wait for its answer, or repeat this one a little later: it gets the same answer, and nothing is done "
    "twice.",
)
PRECONDITION_FAILED = Kind(
    412,
    "PRECONDITION_FAILED",
    "Condition failed",
    text="The condition of If-Match or If-None-Match does not hold. ETag is the revision that is there now.",
    advice="Read the key, decide anew, and send the change with the new revision.",
)
HISTORY_GONE = Kind(
    410,
    "HISTORY_GONE",
    "Changes not kept any more",
    text="The changes right after this id are not kept any more, so a watch that went on there would miss some.",
    advice="Read what is there now and watch from then on, or go on from the id in `oldest` and know that something "
    "is missing.",
)
METHOD_NOT_ALLOWED = Kind(
    405,
    "METHOD_NOT_ALLOWED",
    "Method not allowed",
    text="There is something at this path, but not for this method. Allow has those that there are.",
    advice="Use one of them.",
)
TOO_SLOW = Kind(
    408,
    "TOO_SLOW",
    "Request sent too slowly",
    retryable=True,
    text="The head or the body of the request took too long to arrive.",
    advice="Send it faster or in smaller parts. The limits are head_seconds and body_seconds of /v1/limits.",
)
PAIR_TOO_LARGE = Kind(
    413,
    "PAIR_TOO_LARGE",
    "Key and value too large",
    text="Key and value together have more bytes than a pair may have; `size` and `limit` say how many.",
    advice="Split the value over several keys, or raise pair_bytes_max on all nodes.",
)
BODY_TOO_LARGE = Kind(
    413,
    "BODY_TOO_LARGE",
    "Body too large",
    text="The body has more bytes than this route takes; `limit` says how many those are.",
    advice="Send less at once: several batches instead of one. /v1/import takes any amount.",
)
TOO_MANY_OPERATIONS = Kind(
    413,
    "TOO_MANY_OPERATIONS",
    "Too many operations",
    text="The batch or transaction has more operations than one may have; `limit` says how many.",
    advice="Send several.",
)
KEY_TOO_LONG = Kind(
    414,
    "KEY_TOO_LONG",
    "Key too long",
    text="The key has more bytes than a key may have; `size` and `limit` say how many.",
    advice="Use a shorter key: a hash of the long one, for instance.",
)
MISDIRECTED = Kind(
    421,
    "MISDIRECTED",
    "Another host is asked for",
    text="The request is for a host that this node does not know itself as. A web page whose name was made to lead "
    "here would ask so, and read everything.",
    advice="Use the node's address, or start the nodes with --allow-host and the name that your DNS or proxy calls "
    "them by.",
)
NOT_TOGETHER = Kind(
    422,
    "NOT_TOGETHER",
    "Parameters that do not go together",
    text="Each part of the request is well, but they exclude or lack each other; `detail` names them.",
    advice="Leave one out, or add what is missing.",
)
TOKEN_REUSED = Kind(
    422,
    "IDEMPOTENCY_KEY_REUSED",
    "Idempotency-Key used for another request",
    text="This Idempotency-Key was used before, for another request. Nothing was done.",
    advice="Make a new key for every new request; keep one only to repeat the same.",
)
NOT_ONE_PARTITION = Kind(
    422,
    "NOT_ONE_PARTITION",
    "Keys not in one partition",
    text="The keys of a transaction are in several partitions, and a transaction is of one.",
    advice="Give them a {tag} that they share: keys with the same text in braces are in one partition. For keys that "
    "need not change together there is /v1/batch.",
)
NOT_A_REPLICA = Kind(
    422,
    "NOT_A_REPLICA",
    "Node holds no replica",
    text="The node that shall lead the partition holds no replica of it.",
    advice="Name one of those that GET /v1/partitions/ID/replicas shows.",
)
BAD_REPLICAS = Kind(
    422,
    "BAD_REPLICAS",
    "Replicas cannot be placed so",
    text="A partition cannot be held by these nodes: there are none, one is named twice, or one is not in the cluster.",
    advice="Name nodes that /v1/cluster shows, each once.",
)
HEAD_TOO_LARGE = Kind(
    431,
    "HEAD_TOO_LARGE",
    "Head too large",
    text="The request line and the headers have more bytes, or more fields, than a request may have.",
    advice="Send fewer or shorter headers, and cookies not at all.",
)
INTERNAL = Kind(
    500,
    "INTERNAL",
    "Internal error",
    outcome="unknown",
    text="The node failed in a way that nobody foresaw.",
    advice="Look into the node's log for the same time, and report it. If it was a write, read what is there before "
    "you repeat it, unless it had an Idempotency-Key.",
)
NO_QUORUM = Kind(
    503,
    "NO_QUORUM",
    "No quorum",
    retryable=True,
    retry_after=1,
    text="Fewer than a majority of the partition's replicas can be reached, so nothing can be decided.",
    advice="Bring nodes back. Meanwhile consistency=stale reads what the nearest replica has.",
)
NO_REPLICA = Kind(
    503,
    "NO_REPLICA",
    "No replica in reach",
    retryable=True,
    retry_after=1,
    text="No replica of the partition can be reached from this node.",
    advice="Ask another node, or bring back those that hold the partition; /v1/locate/KEY names them.",
)
BEHIND = Kind(
    503,
    "BEHIND_SESSION",
    "No replica has caught up",
    retryable=True,
    retry_after=1,
    text="No replica in reach has come as far as the KV-Session token says.",
    advice="Repeat it in a moment, or read without the token, if an older answer will do.",
)
TOO_STALE = Kind(
    503,
    "TOO_STALE",
    "No replica fresh enough",
    retryable=True,
    retry_after=1,
    text="No replica in reach can prove that it is as fresh as max_staleness asks.",
    advice="Repeat it in a moment, or allow more.",
)
ELECTING = Kind(
    503,
    "ELECTING",
    "Leader changing",
    retryable=True,
    retry_after=1,
    text="The partition's leader has just changed or is being elected, which takes well under a second.",
    advice="Repeat it in a moment; nothing was done.",
)
OVERLOADED = Kind(
    503,
    "OVERLOADED",
    "Overloaded",
    retryable=True,
    retry_after=1,
    text="The node has as much to do as it takes on at a time.",
    advice="Repeat it after a pause that grows, or spread the requests over all nodes.",
)
DRAINING = Kind(
    503,
    "DRAINING",
    "Node is shutting down",
    retryable=True,
    retry_after=1,
    text="The node is shutting down and takes on nothing that lasts.",
    advice="Go on at another node; a watch from its last id, an export from where it ended.",
)
DEADLINE = Kind(
    503,
    "DEADLINE",
    "Deadline passed before the proposal",
    retryable=True,
    retry_after=1,
    text="The time that the request had was over before anything was begun.",
    advice="Repeat it with more time, by KV-Timeout-Ms.",
)
DIVERGED = Kind(
    503,
    "DIVERGED",
    "Replica stopped",
    retryable=True,
    retry_after=1,
    text="A replica has found that its data cannot be trusted, and has stopped.",
    advice="Ask another node. Look into the log of the one that stopped, and give its replica to another node.",
)
UNAVAILABLE = Kind(
    503,
    "UNAVAILABLE",
    "Unavailable",
    retryable=True,
    retry_after=1,
    text="The partition cannot serve this now.",
    advice="Repeat it in a moment, perhaps at another node; `detail` says more.",
)
NOT_READY = Kind(
    503,
    "NOT_READY",
    "Node is not ready",
    retryable=True,
    retry_after=1,
    text="The node is starting, or should get no requests for the reasons that it tells.",
    advice="Send requests to another node. /readyz?verbose has all the reasons.",
)
TOO_MANY_CONNECTIONS = Kind(
    503,
    "TOO_MANY_CONNECTIONS",
    "Too many connections",
    retryable=True,
    retry_after=1,
    text="The node has as many connections as it takes; `limit` says how many.",
    advice="Use connections again instead of opening one for each request, or raise connections_max.",
)
OUTCOME_UNKNOWN = Kind(
    504,
    "OUTCOME_UNKNOWN",
    "Outcome unknown",
    outcome="unknown",
    text="The time was over after the write had been proposed: it may have been applied, or may yet be.",
    advice="Repeat it with the same Idempotency-Key, if it had one: nothing is done twice. Otherwise read what is "
    "there before you decide.",
)
INCOMPLETE_IMPORT = Kind(
    504,
    "INCOMPLETE_IMPORT",
    "Import incomplete",
    outcome="unknown",
    text="The import ended before its end: `imported` lines were written, `failed` were not, and of others it is "
    "not known.",
    advice="Send it again. Lines that were written are written again, which does no harm unless somebody changed "
    "those keys meanwhile.",
)
READ_TIMED_OUT = Kind(
    504,
    "READ_TIMED_OUT",
    "Read timed out",
    retryable=True,
    text="The time was over before the read was answered. A read changes nothing.",
    advice="Repeat it, perhaps with more time, by KV-Timeout-Ms.",
)
STORAGE_FULL = Kind(
    507,
    "STORAGE_FULL",
    "No disk space for writes",
    retryable=True,
    text="A majority of the partition's replicas have no disk space for more.",
    advice="Delete keys, which still works, or make room on the disks; the nodes go on by themselves.",
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, Kind)}
"""Every row above, by the name of its page."""

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
        kind = READ_TIMED_OUT if kind is OUTCOME_UNKNOWN else replace(INTERNAL, outcome="not_applied")
    if not isinstance(error, RaftGroupError):
        return Problem(kind, "the node failed unexpectedly; its log says more", head=head)
    assert not (error.may_have_applied and writes) or kind.outcome == "unknown", f"{error!r} is not in the table"
    partition = getattr(error, "partition", None)
    members: dict[str, Member] = {} if partition is None else {"partition": int(partition)}
    return Problem(kind, str(error), members, head)
