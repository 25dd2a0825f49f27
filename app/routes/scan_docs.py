"""What the documentation says about scans, exports and imports, which read their requests themselves."""

import json
from typing import Any

from app.routes.kv_docs import OPERATIONS
from app.routes.responses import problems

_GET = OPERATIONS["GET"]
_OF_GET = {parameter["name"]: parameter for parameter in _GET["openapi_extra"]["parameters"]}
_HEADERS_OF_GET = _GET["responses"][200]["headers"]
_RECEIPT = {name: _HEADERS_OF_GET[name] for name in _HEADERS_OF_GET if name.startswith("KV-") and "Expires" not in name}


def _query(name: str, text: str, schema: dict[str, Any], example: object = None) -> dict[str, Any]:
    parameter = {"name": name, "in": "query", "description": text, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


_BYTES = {"type": "string"}
_RANGE = [
    _query("prefix", "Only keys that begin with these percent-encoded bytes; a '+' is a space", _BYTES, "user/"),
    _query("start", "Only keys from this one on", _BYTES),
    _query("end", "Only keys before this one", _BYTES),
]
_LEVEL = [_OF_GET["consistency"], _OF_GET["max_staleness"], _OF_GET["KV-Timeout-Ms"], _OF_GET["KV-Session"]]
_CURSOR = _query(
    "cursor",
    "The cursor of what came before, to go on after it, with the same prefix, start, end and reverse. Any node takes "
    "it, whatever happened meanwhile",
    {"type": "string"},
)
_PAGE = [
    _query("reverse", "The last key first; `start` and `end` mean the same", {"type": "boolean", "default": False}),
    _query(
        "limit", "How many keys a page may have", {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}
    ),
    _query(
        "max_bytes",
        "How long its keys and values may be together, before they are JSON; a page has one pair at least",
        {"type": "integer", "minimum": 1, "maximum": 1 << 20, "default": 1 << 20},
    ),
    _query("keys_only", "Without the values", {"type": "boolean", "default": False}),
    _CURSOR,
]
_ENCODING = {"type": "string", "enum": ["utf8", "base64"]}
_ENTRY = {
    "type": "object",
    "required": ["key", "revision"],
    "properties": {
        "key": {"type": "string"},
        "key_encoding": {**_ENCODING, "default": "utf8", "description": "base64, where the key is not UTF-8"},
        "value": {"type": "string", "description": "Not with keys_only"},
        "encoding": {**_ENCODING, "description": "Of the value: base64, where it is not UTF-8"},
        "revision": {"type": "integer", "description": "As ETag: by 4,096 from one entry of the log to the next"},
        "content_type": {"type": "string", "description": "If it has one"},
        "expires_in": {"type": "number", "description": "Seconds until it is gone, if it has a TTL"},
    },
}
_ENTRY_EXAMPLE = {"key": "user/1", "value": "Ada", "encoding": "utf8", "revision": 8_193, "content_type": "text/plain"}

SCAN: dict[str, Any] = {
    "summary": "Read keys in order",
    "description": "A page of the keys of all partitions in order. Each is as of a moment during "
    "the request, at the level asked for. With `cursor` null there are no more; else the next page goes on after it. "
    "A prefix that has a whole {tag} is looked for in one partition alone.",
    "responses": {
        200: {
            "description": "A page; the receipt is that of its weakest part",
            "headers": _RECEIPT,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["items", "cursor"],
                        "properties": {
                            "items": {"type": "array", "items": _ENTRY},
                            "cursor": {"type": ["string", "null"]},
                        },
                    },
                    "example": {"items": [_ENTRY_EXAMPLE], "cursor": None},
                }
            },
        },
        **problems(400, 422, 503, 504),
    },
    "openapi_extra": {"parameters": [*_RANGE, *_PAGE, *_LEVEL]},
}

_OF_DELETE = {parameter["name"]: parameter for parameter in OPERATIONS["DELETE"]["openapi_extra"]["parameters"]}

DELETE: dict[str, Any] = {
    "summary": "Delete a range of keys",
    "description": "Deletes every key of the range, which must be named: `prefix`, `start` or `end`, or `all=true` for "
    "every key. It is done in pieces of some hundred keys, each all or nothing, and each deletion is a change that "
    "watches are told of; a key that is written meanwhile may stay. Where `complete` is false, the time was over "
    "first: send the same again. Under an Idempotency-Key a repeated request deletes nothing twice.",
    "responses": {
        200: {
            "description": "How many keys were there and are deleted",
            "headers": {"KV-Session": _HEADERS_OF_GET["KV-Session"]},
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["deleted", "complete"],
                        "properties": {"deleted": {"type": "integer"}, "complete": {"type": "boolean"}},
                    },
                    "example": {"deleted": 3, "complete": True},
                }
            },
        },
        **problems(400, 422, 503, 504),
    },
    "openapi_extra": {
        "parameters": [
            *_RANGE,
            _query("all", "Every key there is; without prefix, start and end", {"type": "boolean", "enum": [True]}),
            *(_OF_DELETE[name] for name in ("Idempotency-Key", "KV-Timeout-Ms", "KV-Session")),
        ]
    },
}

_END_EXAMPLE = {"complete": True, "count": 1}
_LINES = {
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": "".join(json.dumps(line) + "\n" for line in (_ENTRY_EXAMPLE, _END_EXAMPLE)),
    }
}

EXPORT: dict[str, Any] = {
    "summary": "Read everything",
    "description": "Every key of the range and what it holds, in order, an object a line as in GET /v1/kv. The last "
    'line is `{"complete":true,"count":N}`: without it, or where it says false and why, something is missing; with the '
    "`cursor` that it then has, the same request goes on from there, at any node. It is made as it is read, page by "
    "page: writes meanwhile are seen by the pages after them.",
    "responses": {
        200: {
            "description": "The lines; the level is that of the first page",
            "headers": {"KV-Consistency": _HEADERS_OF_GET["KV-Consistency"]},
            "content": _LINES,
        },
        **problems(400, 422, 503, 504),
    },
    "openapi_extra": {"parameters": [*_RANGE, _CURSOR, *_LEVEL]},
}

IMPORT: dict[str, Any] = {
    "summary": "Write many entries",
    "description": "Puts the entry of every line, as GET /v1/export gives them; only `key` and `value` are needed. "
    "Each line is written for itself and many at once, those of one key in their order. Revisions are not kept; a "
    "TTL begins anew with what was left of it. The body is read as it comes, may be of any length, and may pause for "
    "`import_pause_seconds` of /v1/limits. When it ends early, a problem document says in `imported`, `failed` and "
    "`next_line` how far it came: all lines before that one are done with.",
    "responses": {
        200: {
            "description": "All lines were taken in; the first twenty that failed are named",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["imported", "failed", "errors"],
                        "properties": {
                            "imported": {"type": "integer"},
                            "failed": {"type": "integer"},
                            "errors": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["line", "code", "detail", "outcome"],
                                    "properties": {
                                        "line": {"type": "integer"},
                                        "code": {"type": "string"},
                                        "detail": {"type": "string"},
                                        "outcome": {"type": "string", "enum": ["not_applied", "unknown"]},
                                    },
                                },
                            },
                        },
                    },
                    "example": {"imported": 1, "failed": 0, "errors": []},
                }
            },
        },
        **problems(400, 503, 504, 507),
    },
    "openapi_extra": {
        "parameters": [_OF_GET["KV-Timeout-Ms"]],
        "requestBody": {
            "description": "Entries, one a line; a line that is none is a failure of its own",
            "content": {"application/x-ndjson": {**_LINES["application/x-ndjson"], "schema": {}}},
        },
    },
}
