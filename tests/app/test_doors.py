"""Both doors of the hot routes through the same cases: the fast one, and the ASGI route behind stock uvicorn."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from raftgroups import (
    DeadlineError,
    DrainingError,
    Item,
    NoQuorumError,
    NoReplicaError,
    NotLeaderError,
    OutcomeUnknownError,
    OverloadedError,
    PartitionId,
    RaftGroupError,
    StaleEpochError,
    StorageFullError,
)
from tests.app.running import RawAnswer, Running, running

Headers = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One request, and what must come back.

    expected  status and, of a problem, its code
    headers   of the answer, at least
    body      of the answer; None: whatever
    """

    name: str
    method: str
    target: str
    expected: tuple[int, str]
    given: Headers = field(default_factory=dict)
    sent: bytes = b""
    headers: Headers = field(default_factory=dict)
    body: bytes | None = None
    members: dict[str, object] = field(default_factory=dict)


ALLOWED = {"allow": "DELETE, GET, HEAD, OPTIONS, POST, PUT"}
JSON = {"content-type": "application/json"}
STORED = {
    b"k": Item(7, b"value", "text/plain"),
    b"a/b": Item(8, b"slash", ""),
    b"\xff\x00": Item(9, b"\x00\xff", "image/png"),
    b"odd": Item(10, b"v", "text/plain\r\nevil: yes"),
    b"..": Item(11, b"dots", ""),
    b"a b+c": Item(12, b"space", ""),
    "käse".encode(): Item(13, b"utf8", ""),
}
RECEIPT = {"kv-consistency": "linearizable", "kv-staleness-ms": "0", "kv-served-by": "n1;role=leader"}


def bad(name: str, method: str, target: str, code: str, status: int = 400, **more: object) -> Case:
    return Case(name, method, target, (status, code), **more)  # type: ignore[arg-type]  # the fields of a Case


CASES = [
    Case(
        "get",
        "GET",
        "/v1/kv/k",
        (200, ""),
        headers={**RECEIPT, "etag": '"7"', "content-type": "text/plain"},
        body=b"value",
    ),
    Case("head", "HEAD", "/v1/kv/k", (200, ""), headers={**RECEIPT, "etag": '"7"', "content-length": "5"}, body=b""),
    Case("absent", "GET", "/v1/kv/absent", (404, "NO_SUCH_KEY"), headers=RECEIPT),
    Case("head of absent", "HEAD", "/v1/kv/absent", (404, ""), headers=RECEIPT, body=b""),
    Case("stale", "GET", "/v1/kv/k?consistency=stale", (200, ""), headers={"kv-consistency": "stale"}, body=b"value"),
    Case("lease", "GET", "/v1/kv/k?consistency=lease", (200, ""), headers={"kv-consistency": "lease"}, body=b"value"),
    Case("head, lease", "HEAD", "/v1/kv/k?consistency=lease", (200, ""), headers={"kv-consistency": "lease"}, body=b""),
    Case("session, lease", "GET", "/v1/kv/k?consistency=lease", (200, ""), given={"KV-Session": "1-3-ff"}),
    Case("empty query", "GET", "/v1/kv/k?", (200, ""), body=b"value"),
    Case("encoded parameter", "GET", "/v1/kv/k?consisten%63y=st%61le", (200, ""), headers={"kv-consistency": "stale"}),
    Case("slash", "GET", "/v1/kv/a/b", (200, ""), headers={"content-type": "application/octet-stream"}, body=b"slash"),
    Case("encoded slash", "GET", "/v1/kv/a%2Fb", (200, ""), body=b"slash"),
    Case("bytes", "GET", "/v1/kv/%FF%00", (200, ""), headers={"content-type": "image/png"}, body=b"\x00\xff"),
    Case("dots", "GET", "/v1/kv/..", (200, ""), body=b"dots"),
    Case("encoded dots", "GET", "/v1/kv/%2e%2e", (200, ""), body=b"dots"),
    Case("plus is plus", "GET", "/v1/kv/a%20b+c", (200, ""), body=b"space"),
    Case("utf-8", "GET", "/v1/kv/k%C3%A4se", (200, ""), body=b"utf8"),
    Case(
        "stored type that would break the head",
        "GET",
        "/v1/kv/odd",
        (200, ""),
        headers={"content-type": "application/octet-stream"},
    ),
    Case(
        "not modified",
        "GET",
        "/v1/kv/k",
        (304, ""),
        given={"If-None-Match": '"1", W/"7"'},
        headers={**RECEIPT, "etag": '"7"'},
        body=b"",
    ),
    Case("not modified, any", "GET", "/v1/kv/k", (304, ""), given={"If-None-Match": "*"}, body=b""),
    Case("modified", "GET", "/v1/kv/k", (200, ""), given={"If-None-Match": '"6"'}, body=b"value"),
    Case("absent is not 304", "GET", "/v1/kv/absent", (404, "NO_SUCH_KEY"), given={"If-None-Match": "*"}),
    Case("timeout", "GET", "/v1/kv/k", (200, ""), given={"KV-Timeout-Ms": "60000"}),
    Case("session", "GET", "/v1/kv/k", (200, ""), given={"KV-Session": "1-3-ff"}),
    Case("put", "PUT", "/v1/kv/new", (204, ""), sent=b"x", headers={"etag": '"1"', "kv-session": "1-2-1"}, body=b""),
    Case("put nothing", "PUT", "/v1/kv/new", (204, ""), body=b""),
    Case("put identity", "PUT", "/v1/kv/new", (204, ""), given={"Content-Encoding": "identity"}, sent=b"x"),
    Case("delete", "DELETE", "/v1/kv/k", (204, ""), headers={"etag": '"1"', "kv-session": "1-3-1"}, body=b""),
    Case("delete absent", "DELETE", "/v1/kv/absent", (204, ""), headers={"etag": '"1"'}, body=b""),
    Case("longest key", "GET", "/v1/kv/" + "k" * 1024, (404, "NO_SUCH_KEY")),
    Case("longest key, encoded", "GET", "/v1/kv/" + "%6B" * 1024, (404, "NO_SUCH_KEY")),
    Case("largest pair", "PUT", "/v1/kv/" + "k" * 40, (204, ""), sent=b"v" * 10_200),
    Case(
        "options",
        "OPTIONS",
        "/v1/kv/k",
        (204, ""),
        headers=ALLOWED,
        body=b"",
    ),
    bad("empty key", "GET", "/v1/kv/", "BAD_KEY"),
    bad("empty key to put", "PUT", "/v1/kv/", "BAD_KEY", sent=b"x"),
    bad("empty key, query", "GET", "/v1/kv/?consistency=stale", "BAD_KEY"),
    bad("short escape", "GET", "/v1/kv/a%2", "BAD_KEY"),
    bad("no escape", "GET", "/v1/kv/%zz", "BAD_KEY"),
    bad("bare percent", "DELETE", "/v1/kv/100%", "BAD_KEY"),
    bad("long key", "GET", "/v1/kv/" + "k" * 1025, "KEY_TOO_LONG", 414, members={"limit": 1024, "size": 1025}),
    bad(
        "large pair",
        "PUT",
        "/v1/kv/" + "k" * 41,
        "PAIR_TOO_LARGE",
        413,
        sent=b"v" * 10_200,
        members={"limit": 10_240, "size": 10_241},
    ),
    bad(
        "large value",
        "PUT",
        "/v1/kv/k",
        "PAIR_TOO_LARGE",
        413,
        sent=b"v" * 10_241,
        members={"limit": 10_240, "size": 10_241},
    ),
    bad("unknown parameter", "GET", "/v1/kv/k?colour=red", "UNKNOWN_PARAMETER", members={"parameter": "colour"}),
    bad("unknown parameter of put", "PUT", "/v1/kv/k?colour=red", "UNKNOWN_PARAMETER", members={"parameter": "colour"}),
    bad(
        "level for put", "PUT", "/v1/kv/k?consistency=stale", "UNKNOWN_PARAMETER", members={"parameter": "consistency"}
    ),
    bad("level for delete", "DELETE", "/v1/kv/k?consistency=stale", "UNKNOWN_PARAMETER"),
    bad("parameter twice", "GET", "/v1/kv/k?consistency=stale&consistency=stale", "DUPLICATE_PARAMETER"),
    bad("level without value", "GET", "/v1/kv/k?consistency", "BAD_PARAMETER"),
    bad("no such level", "GET", "/v1/kv/k?consistency=strong", "BAD_PARAMETER", members={"parameter": "consistency"}),
    bad("bad escape in a parameter", "GET", "/v1/kv/k?consistency=%zz", "BAD_PARAMETER"),
    bad("no such bound", "GET", "/v1/kv/k?consistency=bounded&max_staleness=-5", "BAD_PARAMETER"),
    bad("bound of another level", "GET", "/v1/kv/k?consistency=stale&max_staleness=5", "NOT_TOGETHER", 422),
    bad(
        "session and bounded",
        "GET",
        "/v1/kv/k?consistency=bounded",
        "NOT_TOGETHER",
        422,
        given={"KV-Session": "1-3-ff"},
    ),
    bad("session and stale", "GET", "/v1/kv/k?consistency=stale", "NOT_TOGETHER", 422, given={"KV-Session": "1-3-ff"}),
    *(bad(f"ttl {ttl}", "PUT", f"/v1/kv/k?ttl={ttl}", "BAD_PARAMETER") for ttl in ("0", "-1", "1e3", "", "9" * 12)),
    bad("ttl of delete", "DELETE", "/v1/kv/k?ttl=5", "UNKNOWN_PARAMETER", members={"parameter": "ttl"}),
    bad("malformed if-match", "PUT", "/v1/kv/k", "BAD_HEADER", given={"If-Match": "7"}, members={"header": "If-Match"}),
    bad("both conditions", "PUT", "/v1/kv/k", "NOT_TOGETHER", 422, given={"If-Match": '"7"', "If-None-Match": "*"}),
    bad("if-none-match of delete", "DELETE", "/v1/kv/k", "UNSUPPORTED", given={"If-None-Match": "*"}),
    bad("if-match of get", "GET", "/v1/kv/k", "UNSUPPORTED", given={"If-Match": '"7"'}),
    bad("if-none-match of put", "PUT", "/v1/kv/k", "UNSUPPORTED", given={"If-None-Match": '"7"'}),
    bad("idempotency", "PUT", "/v1/kv/k", "BAD_HEADER", given={"Idempotency-Key": "x" * 256}),
    bad("idempotency of spaces", "PUT", "/v1/kv/k", "BAD_HEADER", given={"Idempotency-Key": "a b"}),
    Case("put if it is there", "PUT", "/v1/kv/none", (412, "PRECONDITION_FAILED"), given={"If-Match": "*"}),
    Case("delete if at", "DELETE", "/v1/kv/none", (412, "PRECONDITION_FAILED"), given={"If-Match": '"7"'}),
    Case("put if it is not there", "PUT", "/v1/kv/none", (204, ""), given={"If-None-Match": "*"}),
    Case("put for a while", "PUT", "/v1/kv/none?ttl=5.25", (204, "")),
    Case("put once", "PUT", "/v1/kv/none", (204, ""), given={"Idempotency-Key": "x"}),
    Case(
        "count",
        "POST",
        "/v1/kv/none?op=incr&by=-3",
        (200, ""),
        body=b"-3",
        headers={"content-type": "application/json"},
    ),
    Case("add", "POST", "/v1/kv/none?op=append", (200, ""), sent=b"abc", body=b"abc"),
    Case("touch nothing", "POST", "/v1/kv/none?op=touch&ttl=5", (404, "NO_SUCH_KEY")),
    Case("persist nothing", "POST", "/v1/kv/none?op=persist", (404, "NO_SUCH_KEY")),
    bad("no operation", "POST", "/v1/kv/k", "MISSING_PARAMETER", members={"parameter": "op"}),
    bad("touch for how long", "POST", "/v1/kv/k?op=touch", "NOT_TOGETHER", 422, members={"parameter": "ttl"}),
    bad("by of append", "POST", "/v1/kv/k?op=append&by=5", "NOT_TOGETHER", 422, members={"parameter": "by"}),
    bad("count by half", "POST", "/v1/kv/k?op=incr&by=0.5", "BAD_PARAMETER", members={"parameter": "by"}),
    bad("count by too much", "POST", "/v1/kv/k?op=incr&by=9223372036854775808", "BAD_PARAMETER"),
    bad("count with a body", "POST", "/v1/kv/k?op=incr", "NOT_TOGETHER", 422, sent=b"5"),
    bad("encoded content", "PUT", "/v1/kv/k", "UNSUPPORTED", given={"Content-Encoding": "gzip"}, sent=b"x"),
    bad("part of a content", "PUT", "/v1/kv/k", "UNSUPPORTED", given={"Content-Range": "bytes 0-1/5"}, sent=b"x"),
    bad(
        "bad entity tag",
        "GET",
        "/v1/kv/k",
        "BAD_HEADER",
        given={"If-None-Match": "7"},
        members={"header": "If-None-Match"},
    ),
    bad(
        "bad session", "GET", "/v1/kv/k", "UNSUPPORTED", given={"KV-Session": "mine"}, members={"header": "KV-Session"}
    ),
    bad("no time", "GET", "/v1/kv/k", "BAD_HEADER", given={"KV-Timeout-Ms": "0"}, members={"header": "KV-Timeout-Ms"}),
    bad("much time", "PUT", "/v1/kv/k", "BAD_HEADER", given={"KV-Timeout-Ms": "60001"}),
    bad("signed time", "DELETE", "/v1/kv/k", "BAD_HEADER", given={"KV-Timeout-Ms": "+5"}),
    bad("huge time", "DELETE", "/v1/kv/k", "BAD_HEADER", given={"KV-Timeout-Ms": "9" * 5000}),
    bad("fraction of a time", "GET", "/v1/kv/k", "BAD_HEADER", given={"KV-Timeout-Ms": "1.5"}),
    bad(
        "long type",
        "PUT",
        "/v1/kv/k",
        "BAD_HEADER",
        given={"Content-Type": "a" * 256},
        members={"header": "Content-Type"},
    ),
    bad("type beyond ASCII", "PUT", "/v1/kv/k", "BAD_HEADER", given={"Content-Type": "\xe4"}),
    Case(
        "patch",
        "PATCH",
        "/v1/kv/k",
        (405, "METHOD_NOT_ALLOWED"),
        headers=ALLOWED,
    ),
    bad("no such route", "GET", "/v1/nowhere", "NO_SUCH_ROUTE", 404),
    bad("not quite the route", "GET", "/v1/k%76/k", "NO_SUCH_ROUTE", 404),
    bad("twice the slash", "GET", "//v1/kv/k", "NO_SUCH_ROUTE", 404),
]


@pytest.fixture(scope="module", params=["fast", "asgi"])
def door(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(is_fast=request.param == "fast") as started:
        yield started


def ask(door: Running, case: Case) -> RawAnswer:
    headers = {"Host": "x", "Content-Length": str(len(case.sent)), **case.given}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with door.connect() as client:
        client.send(f"{case.method} {case.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + case.sent)
        answer = client.read_answer(is_head=case.method == "HEAD")
        # The connection is as good as before: the next answer is to the next request.
        client.send(b"HEAD /v1/kv/k?consistency=stale HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert client.read_answer(is_head=True).headers["kv-consistency"] == "stale"
    return answer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_doors_answer_alike(door: Running, case: Case) -> None:
    door.fake.items = dict(STORED)
    door.fake.revision = 0

    answer = ask(door, case)

    status, code = case.expected
    assert answer.status == status, answer
    assert {name: answer.headers.get(name) for name in case.headers} == case.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    assert case.body is None or answer.body == case.body
    if code:
        document = json.loads(answer.body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert document["code"] == code and document["status"] == status, document
        assert document["outcome"] == "not_applied" and document["request_id"] and document["detail"]
        assert {name: document.get(name) for name in case.members} == case.members


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoQuorumError(PartitionId(3)), 503, "NO_QUORUM"),
        (NoReplicaError(PartitionId(3)), 503, "NO_REPLICA"),
        (NotLeaderError(PartitionId(3), "n2"), 503, "ELECTING"),
        (StaleEpochError("epoch 3"), 503, "ELECTING"),
        (OverloadedError("queue full"), 503, "OVERLOADED"),
        (DrainingError("draining"), 503, "DRAINING"),
        (DeadlineError("too late"), 503, "DEADLINE"),
        (StorageFullError("disk full"), 507, "STORAGE_FULL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_both_doors_fail_alike(door: Running, method: str, error: RaftGroupError, status: int, code: str) -> None:
    door.fake.error = error
    with door.connect() as client:
        answer = client.ask(f"{method} /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    door.fake.error = None

    document = json.loads(answer.body)
    assert (answer.status, document["code"]) == (status, code)
    assert document["outcome"] == "not_applied" and document["retryable"] is True
    assert document["detail"] == str(error)
    assert (answer.headers.get("retry-after") == "1") is (status == 503)
    assert document.get("partition") == getattr(error, "partition", None)


@pytest.mark.parametrize(("method", "outcome"), [("PUT", "unknown"), ("DELETE", "unknown"), ("GET", "not_applied")])
def test_an_unknown_outcome_is_a_504(door: Running, method: str, outcome: str) -> None:
    """Only a write can have an outcome that is unknown: a read changes nothing."""
    door.fake.error = OutcomeUnknownError("the deadline passed")
    with door.connect() as client:
        answer = client.ask(f"{method} /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    door.fake.error = None

    document = json.loads(answer.body)
    assert answer.status == 504
    assert document["outcome"] == outcome


def test_what_is_put_comes_back(door: Running) -> None:
    value = bytes(range(256)) * 8
    with door.connect() as client:
        head = (
            f"PUT /v1/kv/%00%ff HTTP/1.1\r\nHost: x\r\nContent-Type: a/b; c=d\r\nContent-Length: {len(value)}\r\n\r\n"
        )
        written = client.ask(head.encode() + value)
        read = client.ask(b"GET /v1/kv/%00%FF HTTP/1.1\r\nHost: x\r\n\r\n")

    assert written.status == 204
    assert (read.status, read.body, read.headers["content-type"]) == (200, value, "a/b; c=d")
    assert read.headers["etag"] == written.headers["etag"]


def test_a_chunked_value_is_a_value(door: Running) -> None:
    with door.connect() as client:
        client.send(b"PUT /v1/kv/chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3;extension=1\r\nabc\r\n")
        written = client.ask(b"2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
        read = client.ask(b"GET /v1/kv/chunked HTTP/1.1\r\nHost: x\r\n\r\n")

    assert written.status == 204
    assert read.body == b"abcde"


def test_the_deadline_is_what_the_client_says(door: Running) -> None:
    door.fake.deadlines.clear()
    with door.connect() as client:
        client.ask(b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n\r\n")
        client.ask(b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\nKV-Timeout-Ms: 50000\r\n\r\n")

    usual, asked = door.fake.deadlines
    assert 44 < asked - usual < 46
