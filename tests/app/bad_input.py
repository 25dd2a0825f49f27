"""Bad input, as a table: for every parameter, header and member that a request may have, values it must not have.

Requests are taken from the OpenAPI document: what is documented there and has no row here fails the test.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.keyrange import KeyRange
from app.watchid import WatchIds, encode_position
from raftgroups import Position


@dataclass(frozen=True, slots=True)
class Bad:
    """A value as it is sent, and what it is answered with."""

    value: str
    status: int = 400
    code: str = ""


@dataclass(frozen=True, slots=True)
class Good:
    """A request that is fine: each case of the table spoils one thing of it.

    query     by name, spelled as it is sent
    headers   by name
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self, more: Iterable[tuple[str, str]] = (), *, query: str | None = None) -> bytes:
        """On the wire, with further header lines, and perhaps another query."""
        if query is None:
            query = encode_query(self.query.items())
        lines = [("Host", "x"), *self.headers.items(), *more]
        if self.body or self.method in {"POST", "PUT"}:
            lines.append(("Content-Length", str(len(self.body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        target = f"{self.path}?{query}" if query else self.path
        return f"{self.method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + self.body


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


SESSION = "1-3-ff"
CURSOR = KeyRange().encode_cursor(b"k")
IDS = WatchIds("fake")
WATCH_ID = IDS.encode(0, [encode_position(Position(1, 0))] * 4).decode()

_JSON = {"Content-Type": "application/json"}
GOOD: Mapping[str, Good] = {
    "PUT /v1/kv/{key}": Good("PUT", "/v1/kv/k", body=b"v"),
    "GET /v1/kv/{key}": Good("GET", "/v1/kv/k"),
    "HEAD /v1/kv/{key}": Good("HEAD", "/v1/kv/k"),
    "DELETE /v1/kv/{key}": Good("DELETE", "/v1/kv/other"),
    "POST /v1/kv/{key}": Good("POST", "/v1/kv/number", {"op": "incr"}),
    "GET /v1/kv": Good("GET", "/v1/kv"),
    "DELETE /v1/kv": Good("DELETE", "/v1/kv", {"prefix": "nothing"}),
    "POST /v1/batch": Good("POST", "/v1/batch", headers=_JSON, body=b'{"ops":[{"op":"put","key":"b","value":"v"}]}'),
    "POST /v1/txn": Good("POST", "/v1/txn", headers=_JSON, body=b'{"then":[{"op":"put","key":"b","value":"v"}]}'),
    "GET /v1/watch": Good("GET", "/v1/watch", {"prefix": ""}),
    "GET /v1/export": Good("GET", "/v1/export"),
    "POST /v1/import": Good("POST", "/v1/import", body=b'{"key":"b","value":"v"}\n'),
    "GET /v1/cluster": Good("GET", "/v1/cluster"),
    "GET /v1/node": Good("GET", "/v1/node"),
    "GET /v1/locate/{key}": Good("GET", "/v1/locate/k"),
    "POST /v1/partitions/{partition}/leader": Good(
        "POST", "/v1/partitions/0/leader", headers=_JSON, body=b'{"node":"n2"}'
    ),
    "GET /v1/partitions/{partition}/replicas": Good("GET", "/v1/partitions/0/replicas"),
    "PUT /v1/partitions/{partition}/replicas": Good(
        "PUT", "/v1/partitions/0/replicas", headers=_JSON, body=b'{"nodes":["n1"]}'
    ),
    "GET /v1/limits": Good("GET", "/v1/limits"),
    "GET /livez": Good("GET", "/livez"),
    "GET /readyz": Good("GET", "/readyz"),
    "GET /metrics": Good("GET", "/metrics"),
}

# What a parameter needs beside it, or instead of what is there, so that it is looked at.
BESIDE: Mapping[tuple[str, str], Mapping[str, str | None]] = {
    ("POST", "ttl"): {"op": "touch"},
    ("GET", "key"): {"prefix": None},
    ("DELETE", "all"): {"prefix": None},
    **{(method, "max_staleness"): {"consistency": "bounded"} for method in ("GET", "HEAD", "POST")},
}


def _all(code: str, *values: str, status: int = 400) -> list[Bad]:
    return [Bad(value, status, code) for value in values]


_NO_NUMBERS = ("", "-1", "+1", "1.0", "1e2", "0x10", "NaN", "inf", "one", "%D9%A1", "1%00", "%FF", "9" * 400)
_COUNTS = _all("BAD_PARAMETER", "0", *_NO_NUMBERS)
_SWITCHES = _all("BAD_PARAMETER", "", "1", "TRUE", "yes", "%FF")
_CURSORS = _all(
    "BAD_PARAMETER",
    *("x", "%00", "%FF", CURSOR[:-1], CURSOR + "A", CURSOR.swapcase(), "=" + CURSOR, CURSOR + "="),
    *(SESSION, WATCH_ID, KeyRange(b"other").encode_cursor(b"k"), "A" * 5_000),
)
_IDS = [
    *("", "w1.", "w1.!!!!!!!!", "w2" + WATCH_ID[2:], WATCH_ID[:-1], WATCH_ID + "A", WATCH_ID.swapcase()),
    *(SESSION, CURSOR, "w1." + "A" * 8, "w1." + "A" * 9, "w1." + "_" * 4_000, "0"),
    WatchIds("another").encode(0, [encode_position(Position(1, 0))] * 4).decode(),
    IDS.encode(9_999, [encode_position(Position(1, 0))] * 4).decode(),
    IDS.encode(0, []).decode(),
]
_LEVELS = _all("BAD_PARAMETER", "", "strong", "LINEARIZABLE", "stale%00", "%FF", "stale,lease", "0")
_STALENESS = _all("BAD_PARAMETER", *_NO_NUMBERS, "86400001")
_TTLS = _all(
    "BAD_PARAMETER",
    *("", "0", "0.0", "0.0009", "-1", "+1", "1e3", "NaN", "inf", "Infinity", "1.", ".5", "1,5", "0x1", "%D9%A1", "%FF"),
    *("3153600000.001", "9" * 12, "9" * 400, "1%0A", "1." + "0" * 30),
)
_KEYS = [
    *_all("BAD_KEY", "", "%", "%2", "%zz", "a%f", "%%30", "%u0041"),
    *_all("KEY_TOO_LONG", "k" * 1_025, "%FF" * 1_025, status=414),
]
_PARTITIONS = [
    *_all("BAD_PARAMETER", "x", "1.0", "+1", "1e0", "0x1", "1_0", "%201", "1%00", "NaN", "%FF", "%zz", "9" * 5_000),
    *_all("NO_SUCH_PARTITION", "-1", "4", "9" * 20, status=404),
]
_EMPTY_PARTITION = _all("NO_SUCH_ROUTE", "", "%2F", status=404)
_WAITS = _all("BAD_PARAMETER", "", "-1", "+1", "61", "60.1", "9e9", "1e", "NaN", "inf", "1" * 40, "%FF")

# By where and name, or where one operation takes it differently, by that.
PARAMETERS: Mapping[tuple[str, str], Sequence[Bad]] = {
    ("path", "key"): _KEYS,
    ("path", "partition"): [*_PARTITIONS, *_EMPTY_PARTITION],
    ("query", "consistency"): _LEVELS,
    ("query", "max_staleness"): _STALENESS,
    ("query", "ttl"): _TTLS,
    ("query", "op"): _all("BAD_PARAMETER", "", "INCR", "incr%00", "decr", "1", "%FF"),
    ("query", "by"): _all(
        "BAD_PARAMETER",
        *("", "0.5", "1e3", "NaN", "-", "+-1", "one", "%FF", "%D9%A1", "9223372036854775808", "-9223372036854775809"),
        "9" * 400,
    ),
    ("query", "prefix"): [],  # any bytes are one
    ("query", "start"): [],
    ("query", "end"): [],
    ("query", "verbose"): [],
    ("query", "all"): _all("BAD_PARAMETER", "", "false", "1", "TRUE", "yes", "%FF"),
    ("query", "reverse"): _SWITCHES,
    ("query", "keys_only"): _SWITCHES,
    ("query", "limit"): [*_COUNTS, Bad("1001", code="BAD_PARAMETER")],
    ("query", "max_bytes"): [*_COUNTS, Bad("1048577", code="BAD_PARAMETER")],
    ("query", "cursor"): _CURSORS,
    ("query", "key"): [*_all("BAD_PARAMETER", ""), *_all("KEY_TOO_LONG", "k" * 1_025, "%FF" * 1_025, status=414)],
    ("query", "after"): _all("BAD_PARAMETER", *_IDS, "%FF", "%00"),
    ("query", "wait"): _WAITS,
    ("header", "Last-Event-ID"): _all("BAD_PARAMETER", *_IDS, "\xff", f"{WATCH_ID}, {WATCH_ID}"),
    ("header", "KV-Timeout-Ms"): _all(
        "BAD_HEADER", "", "0", "-1", "+1", "1.5", "1e3", "NaN", "60001", "9" * 400, "0x1", "1 0", "5, 5", "\xb2", "\xff"
    ),
    ("header", "KV-Session"): _all(
        "UNSUPPORTED",
        *("", "mine", "1-", "1-3", "1-3-", "1--", "2-3-ff", "1-3-FF", "1-g-1", "1-3-ff.", "1-12345-1", "1-3-ff-"),
        *("1-3-" + "f" * 17, "1-3-ff, 1-3-ff", "-1-3-ff", "1-3--1", "\xff", CURSOR, WATCH_ID),
        "1-" + ".".join(f"{mark:x}-1" for mark in range(1_025)),
    ),
    ("header", "Idempotency-Key"): _all("BAD_HEADER", "", "a b", "x" * 256, "\xff", "a\tb"),
    ("header", "If-Match"): [
        *_all("BAD_HEADER", "", "7", "'7'", '"7', '7"', '"7""8"', '"7" "8"', 'w/"7"', "W/7", '*, "7"', ",", '"a b"'),
        *_all("BAD_HEADER", '"7", 8', "NaN", "-1", ", ".join(f'"{tag}"' for tag in range(65))),
        *_all("PRECONDITION_FAILED", 'W/"7"', '"0"', '"-1"', f'"{"9" * 400}"', '"\xff"', '"7.0"', '""', status=412),
    ],
    ("header", "If-None-Match"): _all("UNSUPPORTED", "", '"7"', 'W/"7"', "**", '*, "7"', "\xff"),
}
OF_OPERATION: Mapping[tuple[str, str, str], Sequence[Bad]] = {
    (operation, "header", "If-None-Match"): _all(
        "BAD_HEADER",
        "",
        "7",
        "'7'",
        '"7',
        '7"',
        '"7""8"',
        'w/"7"',
        '*, "7"',
        ",",
        "\xff",
        '"a b"',
        ", ".join(["8"] * 99),
    )
    for operation in ("GET /v1/kv/{key}", "HEAD /v1/kv/{key}")
} | {
    ("GET /v1/watch", "query", "prefix"): _all("KEY_TOO_LONG", "k" * 1_025, status=414),
}
# A list may come in several lines; what may not is refused.
LISTS = frozenset(("If-Match", "If-None-Match"))


# Members of bodies, as JSON.

_NO_TEXT = ("null", "7", "true", "[]", "{}", "[[]]")
_NO_WHOLE = ("null", "true", "[]", "{}", '"1"', '""', "0.5", "1e999", "9223372036854775808", "-9223372036854775809")
_NO_LIST = ("null", "7", "true", "{}", '"x"', "[7]", "[null]", "[[]]", '["x"]', "[{}]")
_LONG = json.dumps([1] * 65)
MEMBERS: Mapping[str, Sequence[str]] = {
    "op": (*_NO_TEXT, '""', '"PUT"', '"scan"'),
    "key": (*_NO_TEXT, '""'),
    "value": _NO_TEXT,
    "encoding": (*_NO_TEXT, '""', '"hex"', '"UTF8"'),
    "content_type": (*_NO_TEXT, '"text"', '"\\u00e9"', '"a\\r\\nb: c"', f'"{"a" * 256}"'),
    "ttl": ("null", "true", '"60"', "[]", "{}", "0", "-1", "-0.0", "0.0009", "1e12", "1e999", "9" * 400),
    "if_match": ("null", "true", "{}", '""', "0.5", "1e999", "0", "-1", '"7"', "[0]", '["7"]', "[1.5]", _LONG),
    "if_none_match": (*_NO_TEXT, '""', '"7"', '"**"'),
    "by": (*_NO_WHOLE, "9" * 400),
    "revision": (*_NO_WHOLE, "-1"),
    "exists": ("null", "1", '"true"', "[]", "{}"),
    "allow_fewer": ("null", "1", '"true"', "[]", "{}"),
    "is": (*_NO_TEXT, '""', '"EQ"', '"=="'),
    "ops": _NO_LIST,
    "if": _NO_LIST,
    "then": _NO_LIST,
    "else": _NO_LIST,
    "node": (*_NO_TEXT, '""', '"a b"', '"\\ud800"', f'"{"n" * 65}"', '"n\\u0000"'),
    "nodes": (
        "null",
        "7",
        "true",
        "{}",
        '"n1"',
        "[7]",
        "[null]",
        '["\\ud800"]',
        '[""]',
        str(["n"] * 1_025).replace("'", '"'),
    ),
}
LINE_MEMBERS: Mapping[str, Sequence[str]] = {
    "key": MEMBERS["key"],
    "value": MEMBERS["value"],
    "encoding": MEMBERS["encoding"],
    "key_encoding": MEMBERS["encoding"],
    "revision": ("null", "true", '"1"', "0.5", "[]", "1e999"),
    "content_type": MEMBERS["content_type"],
    "expires_in": ("0", "-1", "true", '"1"', "[]", "1e12", "1e999"),
}

# Whole bodies that are no JSON, for any route that takes it; the body must be named.
_DEEP = 30_000
BODIES: Mapping[str, bytes] = {
    "none": b"",
    "blank": b"  ",
    "half": b'{"',
    "garbage after": b"{} {}",
    "comment": b"/**/{}",
    "single quotes": b"{'a':1}",
    "trailing comma": b'{"a":1,}',
    "not UTF-8": b'{"\xff":1}',
    "UTF-16": "{}".encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "zero byte": b"\x00{}",
    "lone surrogate": b'{"\\ud800":1}',
    "deep": b"[" * _DEEP,
    "deep, closed": b'{"a":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "deep objects": b'{"a":' * 9_000,
    "number": b"7",
    "long number": b"9" * 10_000,
    "long number inside": b'{"a":' + b"9" * 10_000 + b"}",
    "not a number": b"NaN",
    "list": b"[]",
    "text": b'"x"',
    "null": b"null",
    "gzip": b"\x1f\x8b\x08\x00",
}
MSGPACK_BODIES: Mapping[str, bytes] = {
    "none": b"",
    "JSON": b'{"ops":[]}',
    "never used": b"\xc1",
    "number": b"\x07",
    "list": b"\x90",
    "half a map": b"\x82\xa3ops\x90",
    "garbage after": b"\x81\xa3ops\x90\x00",
    "number for a name": b"\x81\x01\x90",
    "bytes for a name": b"\x81\xc4\x03ops\x90",
    "map for a name": b"\x81\x81\x01\x01\x90",
    "not UTF-8": b"\x81\xa3\xff\xff\xff\x90",
    "an endless list": b"\x81\xa3ops\xdd\xff\xff\xff\xff",
    "an endless map": b"\xdf\xff\xff\xff\xff",
    "endless bytes": b"\x81\xa3ops\xc6\xff\xff\xff\xff",
    "deep": b"\x81\xa3ops" + b"\x91" * 100_000,
    "extension": b"\xc7\x05\x07abcde",
    "time": b"\xd7\xff" + b"\xff" * 8,
}


def schemas_of(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The object schemas that a schema is, or chooses from."""
    if "$ref" in schema:
        return schemas_of(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return [found for option in schema["anyOf"] for found in schemas_of(document, option)]
    return [schema] if "properties" in schema else []


def bodies_of(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each object that a body of this schema may hold: the rest of the body, with %s in its place, and its schema."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for whole in schemas_of(document, schema):
        found.append(("%s", whole))
        for name, inner in whole["properties"].items():
            for member in schemas_of(document, inner.get("items", {})):
                found += [(f"{{{json.dumps(name)}:[%s]}}", member)]
    return found


_LEAST: Mapping[str, str] = {
    "key": '"k"',
    "value": '"v"',
    "ttl": "60",
    "ops": "[]",
    "node": '"n1"',
    "nodes": '["n1"]',
}


def least(schema: Mapping[str, Any]) -> dict[str, str]:
    """The members that an object must have, spelled."""
    members = {name: _LEAST[name] for name in schema.get("required", ()) if name != "op"}
    if "op" in schema["properties"]:
        [name] = schema["properties"]["op"]["enum"]
        members["op"] = json.dumps(name)
    if "exists" in schema["properties"]:
        members["exists"] = "true"
    return members


def spell(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}"
