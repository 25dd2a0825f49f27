"""What the documentation says about /v1/kv/{key}: the hot routes read their requests themselves, so this is by hand."""

from typing import Any

from app.routes.responses import problems
from app.rules import IDEMPOTENCY_KEY_BYTES_MAX, TTL_SECONDS_MAX, TTL_SECONDS_MIN
from raftgroups import INTEGER_MAX, INTEGER_MIN

# An example of its own would be sent by who tries the page out; those in the schemas are only shown.
_KEY = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "1 to 1,024 bytes: the percent-decoded bytes of the raw path, '/' included",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1024},
    "example": "greeting",
}
TIMEOUT = {
    "name": "KV-Timeout-Ms",
    "in": "header",
    "description": "How long the request may take, in milliseconds",
    "schema": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 5000},
}
_MARK = "^1-[0-9a-f]{1,4}-[0-9a-f]{1,15}$"  # the simplest token: generators of examples know no groups
SESSION = {
    "name": "KV-Session",
    "in": "header",
    "description": "The token of the answer before: a read with consistency=session sees what it stands for, on any "
    "node, and every answer has one that knows more",
    "schema": {
        "type": "string",
        "minLength": 5,
        "maxLength": 22,
        "pattern": "^1-[0-9a-f]{1,4}-[0-9a-f]{1,15}$",
        "examples": ["1-7-2001"],
    },
}
CONSISTENCY = {
    "name": "consistency",
    "in": "query",
    "description": "linearizable: the newest acknowledged write; a majority is asked. "
    "lease: the same from the leader alone, while it holds a lease, which trusts the nodes' clocks to run alike; "
    "without one, and where leases are off, it is linearizable. "
    "session: at least what the session has written and seen, from any replica. "
    "bounded: at most `max_staleness` old, from any replica that can prove it, else linearizable. "
    "stale: some committed past, even without a quorum. "
    "Without this parameter: as the cluster is set, linearizable if it is not",
    "schema": {"type": "string", "enum": ["linearizable", "lease", "session", "bounded", "stale"]},
}
STALENESS = {
    "name": "max_staleness",
    "in": "query",
    "description": "How old the answer to consistency=bounded may be, in milliseconds; 10,000 without it",
    "schema": {"type": "integer", "minimum": 0, "maximum": 86400000},
}
_OPERATION = {
    "name": "op",
    "in": "query",
    "required": True,
    "description": "What to do",
    "schema": {"type": "string", "enum": ["incr", "append", "touch", "persist"]},
    "example": "incr",
}
_BY = {
    "name": "by",
    "in": "query",
    "description": "Of op=incr: what to add, a signed integer of 64 bits; 1 without it",
    "schema": {"type": "integer", "minimum": INTEGER_MIN, "maximum": INTEGER_MAX, "examples": [5]},
}
_TTL = {
    "name": "ttl",
    "in": "query",
    "description": f"Seconds until the key is gone, at least {TTL_SECONDS_MIN}; a part of a millisecond counts as one",
    "schema": {"type": "number", "minimum": TTL_SECONDS_MIN, "maximum": TTL_SECONDS_MAX, "examples": [60]},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Only if the key is at one of these revisions; * is any: only if it exists",
    "schema": {"type": "string", "minLength": 3, "maxLength": 17, "pattern": '^"[0-9]{1,15}"$', "examples": ['"8193"']},
}
_IF_ABSENT = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Only if the key does not exist",
    "schema": {"type": "string", "enum": ["*"]},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes it safe to repeat the request: the same key with the same request is done once, and answered "
    "as it was then. It is kept for a day, unless the cluster is set otherwise",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": IDEMPOTENCY_KEY_BYTES_MAX,
        "pattern": "^[!-~]+$",
        "examples": ["6f1c9c1e-9d0a-4b1e-8d2b-0f3f2f6a1c55"],
    },
}
_UNLESS = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Entity tags that the client has already: answered with 304 when one of them is current",
    "schema": {"type": "string", "minLength": 3, "maxLength": 17, "pattern": '^"[0-9]{1,15}"$', "examples": ['"8193"']},
}


def _header(description: str, example: str | int) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind}, "example": example}


_WRITES = [IDEMPOTENCY_KEY, TIMEOUT, SESSION]
_REVISION = (
    "The revision, which grows with every write in a partition: by 4,096 from one entry of its log to the next, by 1 "
    "within an entry. Compare it; neither count with it nor compare it with that of another partition"
)
_ETAG = {"ETag": _header(_REVISION, '"8193"')}
RECEIPT = {
    "KV-Consistency": _header("The level really served, never weaker than asked", "linearizable"),
    "KV-Staleness-Ms": _header("A bound on the age of the answer", 0),
    "KV-Served-By": _header("The node whose replica answered, and its role", "n2;role=leader"),
}
_EXPIRES = {"KV-Expires-In": _header("Seconds until the key is gone; only if it has a TTL", 60)}
TOKEN = {"KV-Session": _header("A token that stands for what this client has written and seen", "1-7-2001")}
_FOUND = {**_ETAG, **RECEIPT, **_EXPIRES, **TOKEN}
_BYTES = {
    "text/plain": {"schema": {"type": "string"}, "example": "hello"},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
# A value comes back under whatever Content-Type it was put with.
_VALUE = {**_BYTES, "*/*": {"schema": {"type": "string", "format": "binary"}}}
_LINKS = {
    f"{verb} the same key": {"operationId": f"{verb}_key", "parameters": {"key": "$request.path.key"}}
    for verb in ("get", "put", "post", "delete")
}
_WRITTEN = {
    "links": _LINKS,
    "description": "Applied, and on disk at a majority",
    "headers": {**_ETAG, **TOKEN},
}
_READ = {
    "parameters": [_KEY, CONSISTENCY, STALENESS, _UNLESS, TIMEOUT, SESSION],
}
_READ_ANSWERS = {
    304: {"description": "The client has it already", "headers": _FOUND},
    **problems(400, 404, 414, 503, 504),
}

OPERATIONS: dict[str, dict[str, Any]] = {
    "PUT": {
        "summary": "Store a value",
        "description": "The key now holds the body, byte for byte, under the Content-Type that came with it. "
        "application/x-www-form-urlencoded, which curl and urllib send where they were told none, counts as none.",
        "status_code": 204,
        "responses": {204: _WRITTEN, **problems(400, 409, 412, 413, 414, 422, 503, 504, 507)},
        "openapi_extra": {
            "parameters": [_KEY, _TTL, _IF_MATCH, _IF_ABSENT, *_WRITES],
            "requestBody": {"description": "Any bytes; key and value together at most 10,240", "content": _BYTES},
        },
    },
    "GET": {
        "summary": "Read a value",
        "description": "The newest acknowledged value, or what a weaker `consistency` promises.",
        "responses": {
            200: {
                "description": "The value",
                "headers": _FOUND,
                "content": {**_VALUE, "application/json": {"schema": {}}},
            },
            **_READ_ANSWERS,
        },
        "openapi_extra": _READ,
    },
    "HEAD": {
        "summary": "Read what is known of a value",
        "description": "As GET, without the body.",
        "responses": {
            200: {"description": "The key exists", "headers": _FOUND},
            **_READ_ANSWERS,
        },
        "openapi_extra": _READ,
    },
    "DELETE": {
        "summary": "Remove a key",
        "description": "The key is now absent, whether or not it was before.",
        "status_code": 204,
        "responses": {204: {**_WRITTEN, "description": "Absent now, on disk at a majority"}}
        | problems(400, 409, 412, 414, 422, 503, 504),
        "openapi_extra": {"parameters": [_KEY, _IF_MATCH, *_WRITES]},
    },
    "POST": {
        "summary": "Change a value where it is",
        "description": "incr: the decimal number there, 0 if the key is absent, is now greater by `by`. "
        "append: the value now ends with the body. touch: the key, which must exist, is gone after `ttl`. "
        "persist: it stays. A number or a value that is changed expires when it did.",
        "responses": {
            200: {
                "description": "The new value",
                "headers": {**_ETAG, **_EXPIRES, **TOKEN},
                "content": {**_VALUE, "application/json": {"schema": {"type": "integer"}, "example": 42}},
            },
            **problems(400, 404, 409, 412, 413, 414, 422, 503, 504, 507),
        },
        "openapi_extra": {
            "parameters": [_KEY, _OPERATION, _BY, _TTL, _IF_MATCH, _IF_ABSENT, *_WRITES],
            "requestBody": {"description": "Of op=append: what to add. No other takes one", "content": _BYTES},
        },
    },
}
