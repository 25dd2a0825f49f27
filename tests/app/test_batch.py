"""POST /v1/batch over a fake coordinator: what is sent, and what the client is told."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from app.server import create_app
from raftgroups import (
    DrainingError,
    Item,
    NoQuorumError,
    OutcomeUnknownError,
    PartitionId,
    RaftGroupError,
    TokenBusyError,
)
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import SETTINGS, Running, running, settings_with

MSGPACK = "application/msgpack"


@pytest.fixture
def fake() -> FakeCoordinator:
    return FakeCoordinator()


class Client:
    """Asks an application of its own."""

    def __init__(self, fake: FakeCoordinator | None, **limits: Any) -> None:
        settings = settings_with(**limits) if limits else SETTINGS
        self._app = create_app(settings, fake)  # type: ignore[arg-type]  # has the methods that are used

    def post(self, content: bytes, query: str = "", **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://x") as client:
                named = {"content-type": "application/json"}
                named |= {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.post("/v1/batch" + query, content=content, headers=named)

        return asyncio.run(ask())

    def batch(self, *operations: Any, query: str = "", **headers: str) -> httpx.Response:
        return self.post(json.dumps({"ops": operations}).encode(), query, **headers)


def put(key: str, value: str = "v", **more: Any) -> dict[str, Any]:
    return {"op": "put", "key": key, "value": value, **more}


def get(key: str, **more: Any) -> dict[str, Any]:
    return {"op": "get", "key": key, **more}


def statuses(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [result["status"] for result in answer.json()["results"]]


def test_each_operation_has_its_own_answer_in_order(fake: FakeCoordinator) -> None:
    fake.items = {b"there": Item(1, b"old", "text/plain"), b"n": Item(2, b"seven"), b"taken": Item(3, b"")}
    answer = Client(fake).batch(
        put("a"),
        get("there"),
        get("absent"),
        {"op": "incr", "key": "n"},
        put("taken", if_none_match="*"),
        {"op": "incr", "key": "counter", "by": 5},
        {"op": "delete", "key": "taken"},
        put("k" * 2_000),
    )

    results = answer.json()["results"]
    assert statuses(answer) == [204, 200, 404, 409, 412, 200, 204, 414]
    assert results[1] == {
        "status": 200,
        "revision": 1,
        "value": "old",
        "encoding": "utf8",
        "content_type": "text/plain",
    }
    unmet = results[4]
    assert (unmet["code"], unmet["revision"], unmet["outcome"]) == ("PRECONDITION_FAILED", 3, "not_applied")
    assert (results[5]["value"], results[7]["code"]) == ("5", "KEY_TOO_LONG")
    assert b"taken" not in fake.items and fake.items[b"a"].value == b"v"


def test_operations_are_grouped_by_partition(fake: FakeCoordinator) -> None:
    """Of the fake, the first byte decides; writes and reads of one travel apart."""
    Client(fake).batch(put("a1"), put("b1"), put("e1"), get("a1"), get("a2"), put("a3"))

    assert sorted(fake.bulks) == [(1, 2), (1, 3), (2, 1)]


def test_writes_of_one_key_are_applied_in_their_order(fake: FakeCoordinator) -> None:
    Client(fake).batch(put("a", "1"), put("a", "2"), {"op": "append", "key": "a", "value": "3"})

    assert fake.items[b"a"].value == b"23"


def test_messagepack_is_answered_as_messagepack(fake: FakeCoordinator) -> None:
    fake.items = {b"\xff": Item(1, b"\x00\x01", "x/y")}
    body = msgspec.msgpack.encode({"ops": [{"op": "get", "key": b"\xff"}, {"op": "put", "key": "a", "value": b"\xfe"}]})

    for kind in (MSGPACK, "application/x-msgpack", "Application/MsgPack; a=b"):
        answer = Client(fake).post(body, content_type=kind)
        assert answer.headers["content-type"] == MSGPACK
        found, written = msgspec.msgpack.decode(answer.content)["results"]
        assert found == {"status": 200, "revision": 1, "value": b"\x00\x01", "content_type": "x/y"}
        assert written["status"] == 204
    assert fake.items[b"a"].value == b"\xfe"


@pytest.mark.parametrize(
    ("accept", "is_msgpack"),
    [
        ("*/*", False),
        (MSGPACK, True),
        ("application/json, application/msgpack", False),
        ("application/json;q=0.1, application/msgpack;q=0.2", True),
        ("application/msgpack;q=0", False),
        ("application/msgpack;q=x", False),
        ("text/html", False),
    ],
)
def test_accept_chooses_the_format(fake: FakeCoordinator, accept: str, is_msgpack: bool) -> None:
    answer = Client(fake).batch(get("a"), accept=accept)

    assert (answer.headers["content-type"] == MSGPACK) is is_msgpack


def test_a_value_that_is_not_text_is_spelled_in_base64(fake: FakeCoordinator) -> None:
    fake.items = {b"\xff": Item(1, b"\x00\xff")}
    answer = Client(fake).batch(get(base64.b64encode(b"\xff").decode(), encoding="base64"))

    (result,) = answer.json()["results"]
    assert (result["value"], result["encoding"]) == ("AP8=", "base64")


def test_the_receipt_is_that_of_all_reads(fake: FakeCoordinator) -> None:
    answer = Client(fake).batch(get("a"), get("b"), query="?consistency=bounded&max_staleness=50")

    assert answer.headers["kv-consistency"] == "bounded"
    assert (answer.headers["kv-staleness-ms"], answer.headers["kv-served-by"]) == ("0", "n1;role=leader")
    assert "kv-consistency" not in Client(fake).batch(put("a")).headers


def test_the_session_token_knows_all_partitions(fake: FakeCoordinator) -> None:
    answer = Client(fake).batch(put("a"), put("b"), kv_session="1-1-ff.3-7")

    assert answer.headers["kv-session"] == "1-1-ff.2-2.3-7"


def test_no_operations_are_no_mistake(fake: FakeCoordinator) -> None:
    answer = Client(fake).batch()

    assert (answer.status_code, answer.json()) == (200, {"results": []})


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (NoQuorumError(PartitionId(1)), 503, "not_applied"),
        (OutcomeUnknownError("the deadline passed"), 504, "unknown"),
        (DrainingError("on its way out"), 503, "not_applied"),
    ],
)
def test_a_group_that_fails_marks_its_operations(
    fake: FakeCoordinator, error: RaftGroupError, status: int, outcome: str
) -> None:
    fake.error = error
    answer = Client(fake).batch(put("a"), get("b"))

    written, read = answer.json()["results"]
    assert (written["status"], written["outcome"]) == (status, outcome)
    assert (read["status"], read["outcome"]) == (status, "not_applied")


@pytest.mark.parametrize(
    ("headers", "query", "named"),
    [
        ({"content_type": "text/plain"}, "", {"header": "Content-Type"}),
        ({"content_type": ""}, "", {"header": "Content-Type"}),
        ({"if_match": '"7"'}, "", {"header": "If-Match"}),
        ({"if_none_match": "*"}, "", {"header": "If-None-Match"}),
        ({"content_encoding": "gzip"}, "", {"header": "Content-Encoding"}),
        ({"content_range": "bytes 0-1/2"}, "", {"header": "Content-Range"}),
        ({"kv_timeout_ms": "0"}, "", {"header": "KV-Timeout-Ms"}),
        ({"kv_session": "x"}, "", {"header": "KV-Session"}),
        ({"kv_session": "1-1-1"}, "?consistency=stale", {"header": "KV-Session", "code": "NOT_TOGETHER"}),
        ({"idempotency_key": "a b"}, "", {"header": "Idempotency-Key"}),
        ({}, "?consistency=best", {"parameter": "consistency"}),
        ({}, "?max_staleness=1", {"parameter": "max_staleness", "code": "NOT_TOGETHER"}),
        ({}, "?colour=red", {"parameter": "colour"}),
    ],
)
def test_a_bad_header_is_named(
    fake: FakeCoordinator, headers: dict[str, str], query: str, named: dict[str, str]
) -> None:
    answer = Client(fake).batch(put("a"), query=query, **headers)

    status = 422 if named.get("code") == "NOT_TOGETHER" else 400
    assert (answer.status_code, answer.json()["outcome"]) == (status, "not_applied")
    assert named.items() <= answer.json().items()
    assert fake.items == {}


def test_a_bad_operation_is_named_and_nothing_is_done(fake: FakeCoordinator) -> None:
    answer = Client(fake).batch(put("a"), {"op": "put", "key": "b"})

    assert (answer.status_code, answer.json()["operation"], answer.json()["member"]) == (400, 1, "value")
    assert fake.items == {}


def test_a_body_is_bounded_before_it_is_read(fake: FakeCoordinator) -> None:
    answer = Client(fake, batch_bytes_max=20).batch(put("a"))

    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "BODY_TOO_LARGE", 20)


def test_the_deadline_is_that_of_the_request(fake: FakeCoordinator) -> None:
    loop_now = asyncio.run(_now())
    Client(fake).batch(put("a"), get("a"), kv_timeout_ms="250")

    assert all(0.25 <= deadline - loop_now < 5 for deadline in fake.deadlines)


async def _now() -> float:
    return asyncio.get_running_loop().time()


def test_a_node_that_is_not_open_says_so() -> None:
    answer = Client(None).batch(put("a"))

    assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")


# Once.


def test_a_batch_that_is_repeated_is_done_once(fake: FakeCoordinator) -> None:
    operations = [{"op": "incr", "key": "n"}, put("a"), {"op": "incr", "key": "n"}]
    first, second = (Client(fake).batch(*operations, idempotency_key="t") for _ in range(2))

    assert first.json() == second.json() and statuses(first) == [200, 204, 200]
    assert fake.items[b"n"].value == b"2"


def test_another_body_under_the_same_key_is_refused_before_anything_is_done(fake: FakeCoordinator) -> None:
    Client(fake).batch({"op": "incr", "key": "n"}, idempotency_key="t")
    answer = Client(fake).batch({"op": "incr", "key": "n"}, put("a"), idempotency_key="t")

    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert fake.items[b"n"].value == b"1" and b"a" not in fake.items


def test_another_key_is_another_batch(fake: FakeCoordinator) -> None:
    for token in ("t", "u"):
        Client(fake).batch({"op": "incr", "key": "n"}, idempotency_key=token)

    assert fake.items[b"n"].value == b"2"


def test_reads_alone_claim_nothing(fake: FakeCoordinator) -> None:
    Client(fake).batch(get("a"), idempotency_key="t")

    assert fake.others == {}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OutcomeUnknownError("the link was lost"), 503, "DEADLINE"),
        (NoQuorumError(PartitionId(0)), 503, "NO_QUORUM"),
        (TokenBusyError("on its way"), 409, "IDEMPOTENCY_KEY_BUSY"),
    ],
)
def test_a_key_that_cannot_be_claimed_leaves_nothing_unknown(
    fake: FakeCoordinator, error: RaftGroupError, status: int, code: str
) -> None:
    fake.error = error
    answer = Client(fake).batch(put("a"), idempotency_key="t")

    assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (status, code, "not_applied")
    assert fake.bulks == []


async def until(claim: Callable[[], bool]) -> None:
    """Let everything else go on until it is so."""
    for _ in range(1_000):
        if claim():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not happen")


def test_a_batch_that_is_on_its_way_is_not_started_again(fake: FakeCoordinator) -> None:
    app = create_app(SETTINGS, fake)  # type: ignore[arg-type]  # has the methods that are used
    fake.is_patient = True

    def released(answer: asyncio.Task[httpx.Response]) -> bool:
        fake.release()
        return answer.done()

    async def scenario() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            named = {"content-type": "application/json", "idempotency-key": "t"}

            async def ask() -> httpx.Response:
                return await client.post("/v1/batch", content=json.dumps({"ops": [put("a")]}), headers=named)

            first = asyncio.create_task(ask())
            await until(lambda: bool(fake.waiting))
            second = await ask()
            await until(lambda: released(first))
            third = asyncio.create_task(ask())
            await until(lambda: released(third))
            return [await first, second, await third]

    first, second, third = asyncio.run(scenario())

    assert (first.status_code, second.status_code) == (200, 409)
    assert (second.json()["code"], second.headers["retry-after"]) == ("IDEMPOTENCY_KEY_BUSY", "1")
    assert third.json() == first.json()


# On a connection.


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_batch_may_be_larger_than_other_bodies(is_fast: bool) -> None:
    with running(is_fast=is_fast) as gateway:
        operations = [put(f"{n}", "v" * 9_000) for n in range(100)]
        answer = httpx.post(f"{gateway.url}/v1/batch", json={"ops": operations})
        assert statuses(answer) == [204] * 100

        refused = httpx.post(f"{gateway.url}/v1/batch", json={"ops": operations * 2})
        assert (refused.status_code, refused.json()["limit"]) == (413, 1 << 20)


def test_a_batch_is_refused_by_its_announced_length(gateway: Running) -> None:
    with gateway.connect() as client:
        answer = client.ask(b"POST /v1/txn HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")

    assert (answer.status, json.loads(answer.body)["limit"]) == (413, 1 << 20)
