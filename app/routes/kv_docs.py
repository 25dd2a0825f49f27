"""What the documentation says about /v1/kv/{key}: the hot routes read their requests themselves, so this is by hand."""

from typing import Any

from app.routes.responses import problems

_KEY = {
    "name": "key",
    "in": "path",
    "required": True,
    "description": "1 to 1,024 bytes: the percent-decoded bytes of the raw path, '/' included",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1024},
    "example": "greeting",
}
_TIMEOUT = {
    "name": "KV-Timeout-Ms",
    "in": "header",
    "description": "How long the request may take, in milliseconds",
    "schema": {"type": "integer", "minimum": 1, "maximum": 60000, "default": 5000},
}
_SESSION = {
    "name": "KV-Session",
    "in": "header",
    "description": "A token that an earlier write answered with; what it asks for is met by linearizable",
    "schema": {"type": "string", "pattern": "^1-[0-9a-f]{1,8}-[0-9a-f]{1,16}$"},
}
_CONSISTENCY = {
    "name": "consistency",
    "in": "query",
    "description": "linearizable: the newest acknowledged write; a majority is asked. "
    "lease: the same from the leader alone, while it holds a lease, which trusts the nodes' clocks to run alike; "
    "without one, and where leases are off, it is linearizable. "
    "stale: some committed past, even without a quorum",
    "schema": {"type": "string", "enum": ["linearizable", "lease", "stale"], "default": "linearizable"},
}
_UNLESS = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Entity tags that the client has already: answered with 304 when one of them is current",
    "schema": {"type": "string", "pattern": '^(\\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'},
    "example": '"8193"',
}


def _header(description: str, example: str | int) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "schema": {"type": kind}, "example": example}


_ETAG = {"ETag": _header("The revision, which grows with every write in a partition", '"8193"')}
_RECEIPT = {
    "KV-Consistency": _header("The level really served, never weaker than asked", "linearizable"),
    "KV-Staleness-Ms": _header("A bound on the age of the answer", 0),
    "KV-Served-By": _header("The node whose replica answered, and its role", "n2;role=leader"),
}
_BYTES = {
    "text/plain": {"schema": {"type": "string"}, "example": "hello"},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
_WRITTEN = {
    "description": "Applied, and on disk at a majority",
    "headers": {**_ETAG, "KV-Session": _header("An opaque token for later reads", "1-7-2001")},
}
_READ = {
    "parameters": [_KEY, _CONSISTENCY, _UNLESS, _TIMEOUT, _SESSION],
}
_READ_ANSWERS = {
    304: {"description": "The client has it already", "headers": {**_ETAG, **_RECEIPT}},
    **problems(400, 404, 414, 503, 504),
}

OPERATIONS: dict[str, dict[str, Any]] = {
    "PUT": {
        "summary": "Store a value",
        "description": "The key now holds the body, byte for byte, under the Content-Type that came with it.",
        "status_code": 204,
        "responses": {204: _WRITTEN, **problems(400, 413, 414, 503, 504, 507)},
        "openapi_extra": {
            "parameters": [_KEY, _TIMEOUT, _SESSION],
            "requestBody": {"description": "Any bytes; key and value together at most 10,240", "content": _BYTES},
        },
    },
    "GET": {
        "summary": "Read a value",
        "description": "The newest acknowledged value, or with consistency=stale some committed past.",
        "responses": {
            200: {"description": "The value", "headers": {**_ETAG, **_RECEIPT}, "content": _BYTES},
            **_READ_ANSWERS,
        },
        "openapi_extra": _READ,
    },
    "HEAD": {
        "summary": "Read what is known of a value",
        "description": "As GET, without the body.",
        "responses": {200: {"description": "The key exists", "headers": {**_ETAG, **_RECEIPT}}, **_READ_ANSWERS},
        "openapi_extra": _READ,
    },
    "DELETE": {
        "summary": "Remove a key",
        "description": "The key is now absent, whether or not it was before.",
        "status_code": 204,
        "responses": {204: {**_WRITTEN, "description": "Absent now, on disk at a majority"}}
        | problems(400, 414, 503, 504),
        "openapi_extra": {"parameters": [_KEY, _TIMEOUT, _SESSION]},
    },
}
