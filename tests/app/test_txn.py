"""POST /v1/txn: read into a command, and over a fake coordinator."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from app.problems import Problem
from app.server import create_app
from app.settings import Limits
from app.txn import Read, read_transaction
from raftgroups import (
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Field,
    Get,
    Item,
    NoQuorumError,
    Operator,
    OutcomeUnknownError,
    PartitionId,
    RaftGroupError,
    Transaction,
)
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import SETTINGS

LIMITS = Limits()


def read(*, is_msgpack: bool = False, limits: Limits = LIMITS, **document: Any) -> Read | Problem:
    """`if` and `else` are written `if_` and `else_`."""
    encode = msgspec.msgpack.encode if is_msgpack else msgspec.json.encode
    named = {name.rstrip("_"): value for name, value in document.items()}
    return read_transaction(encode(named), limits, is_msgpack=is_msgpack)


@pytest.mark.parametrize("is_msgpack", [False, True])
def test_a_transaction_becomes_a_command(is_msgpack: bool) -> None:
    found = read(
        if_=[
            {"key": "a", "revision": 7},
            {"key": "a", "revision": 0, "is": "gt"},
            {"key": "YQ==", "value": "/w==", "encoding": "base64", "is": "ne"},
            {"key": "a", "exists": False},
        ],
        then=[{"op": "put", "key": "a", "value": "v", "content_type": "x/y", "ttl": 2}, {"op": "get", "key": "b"}],
        else_=[{"op": "delete", "key": "c"}, {"op": "get", "key": "YQ==", "encoding": "base64"}],
        is_msgpack=is_msgpack,
    )

    assert isinstance(found, Read)
    assert found.command == Transaction(
        [
            Comparison(b"a", Field.REVISION, Operator.EQ, 7),
            Comparison(b"a", Field.REVISION, Operator.GT, 0),
            Comparison(b"a", Field.VALUE, Operator.NE, b"\xff"),
            Comparison(b"a", Field.EXISTS, Operator.EQ, operand=False),
        ],
        [ConditionalPut(b"a", b"v", "x/y", 2_000), Get(b"b")],
        [ConditionalDelete(b"c"), Get(b"a")],
    )
    assert found.in_base64 == {True: [False, False], False: [False, True]}
    assert set(found.keys) == {b"a", b"b", b"c"}


GET = {"op": "get", "key": "k"}


@pytest.mark.parametrize(
    ("document", "status", "detail"),
    [
        ({}, 422, "the transaction names no key"),
        ({"then": {}}, 400, "then: Expected `array`, got `object`"),
        ({"otherwise": []}, 400, "the body: Object contains unknown field `otherwise`"),
        ({"then": [GET, {"op": "incr", "key": "k"}]}, 400, "then[1].op: Invalid value 'incr'"),
        ({"then": [{**GET, "if_match": 7}]}, 400, "then[0]: Object contains unknown field `if_match`"),
        ({"else_": [{"op": "put", "key": "k"}]}, 400, "else[0]: Object missing required field `value`"),
        ({"else_": [{"op": "put", "key": "k", "value": "v", "ttl": 0}]}, 400, "else[0].ttl: Expected `float` >= 0.001"),
        ({"if_": [{"key": "k"}]}, 422, "if[0].revision or value or exists must be given, and only one of them"),
        (
            {"if_": [{"key": "k", "value": "v", "exists": True}]},
            422,
            "if[0].revision or value or exists must be given, and only one of them",
        ),
        ({"if_": [{"key": "k", "revision": -1}]}, 400, "if[0].revision: Expected `int` >= 0"),
        ({"if_": [{"key": "k", "revision": "7"}]}, 400, "if[0].revision: Expected `int`, got `str`"),
        ({"if_": [{"key": "k", "value": 7}]}, 400, "if[0].value must be a string"),
        ({"if_": [{"key": "k", "exists": 1}]}, 400, "if[0].exists: Expected `bool`, got `int`"),
        (
            {"if_": [{"key": "k", "exists": True, "is": "lt"}]},
            422,
            "if[0].is must be eq or ne where exists is given, not lt",
        ),
        ({"if_": [{"key": "k", "revision": 1, "is": "like"}]}, 400, "if[0].is: Invalid enum value 'like'"),
        ({"then": [{"op": "get", "key": ""}]}, 400, "then[0].key is empty"),
        (
            {"then": [{**GET, "key": "k" * 1_025}]},
            414,
            "then[0]: the key has 1025 bytes; at most 1024 are allowed",
        ),
        (
            {"then": [{"op": "put", "key": "k", "value": "v" * 10_240}]},
            413,
            "then[0]: key and value have 10241 bytes; together they may have 10240",
        ),
        ({"then": [GET] * 129}, 413, "then has 129 members; at most 128 are allowed"),
        ({"if_": [{"key": "k", "exists": True}] * 129}, 413, "if has 129 members; at most 128 are allowed"),
    ],
)
def test_what_is_malformed_is_named(document: dict[str, Any], status: int, detail: str) -> None:
    problem = read(**document)

    assert isinstance(problem, Problem)
    assert (problem.kind.status, problem.detail) == (status, detail)
    assert ("operation" in problem.members) is ("[" in detail)


# Over a coordinator.


def ask(
    fake: FakeCoordinator | None, document: Any, query: str = "", *, is_msgpack: bool = False, **headers: str
) -> httpx.Response:
    app = create_app(SETTINGS, fake)  # type: ignore[arg-type]  # has the methods that are used
    encode = msgspec.msgpack.encode if is_msgpack else msgspec.json.encode
    named = {"content-type": "application/msgpack" if is_msgpack else "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.post("/v1/txn" + query, content=encode(document), headers=named)

    return asyncio.run(post())


def move(expected: str) -> dict[str, Any]:
    """From a1 to a2, if a1 holds what is expected."""
    return {
        "if": [{"key": "a1", "value": expected}],
        "then": [
            {"op": "delete", "key": "a1"},
            {"op": "put", "key": "a2", "value": expected},
            {"op": "get", "key": "a2"},
        ],
        "else": [{"op": "get", "key": "a1"}, {"op": "get", "key": "a3"}],
    }


@pytest.fixture
def fake() -> FakeCoordinator:
    return FakeCoordinator(items={b"a1": Item(1, b"gold")})


def test_what_holds_is_done(fake: FakeCoordinator) -> None:
    answer = ask(fake, move("gold"), kv_session="1-3-7")

    assert answer.status_code == 200
    assert answer.json() == {
        "succeeded": True,
        "results": [
            {"status": 204, "revision": 4096},
            {"status": 204, "revision": 4096},
            {"status": 200, "revision": 4096, "value": "gold", "encoding": "utf8"},
        ],
    }
    assert set(fake.items) == {b"a2"}
    assert answer.headers["kv-session"] == "1-1-1000.3-7"


def test_what_does_not_hold_is_not(fake: FakeCoordinator) -> None:
    answer = ask(fake, move("silver"))

    assert answer.json()["succeeded"] is False
    assert [result["status"] for result in answer.json()["results"]] == [200, 404]
    assert set(fake.items) == {b"a1"} and "kv-session" not in answer.headers


def test_messagepack_is_answered_as_messagepack(fake: FakeCoordinator) -> None:
    document = {"if": [{"key": b"a1", "value": b"gold"}], "then": [{"op": "get", "key": b"a1"}]}
    answer = ask(fake, document, is_msgpack=True)

    assert answer.headers["content-type"] == "application/msgpack"
    assert msgspec.msgpack.decode(answer.content) == {
        "succeeded": True,
        "results": [{"status": 200, "revision": 1, "value": b"gold"}],
    }


def test_keys_of_several_partitions_are_named(fake: FakeCoordinator) -> None:
    steps = [{"op": "get", "key": key} for key in ("a1", "b1", "a2", "b2", "c1")]
    answer = ask(fake, {"then": steps})

    assert (answer.status_code, answer.json()["code"]) == (422, "NOT_ONE_PARTITION")
    assert (answer.json()["keys"], answer.json()["outcome"]) == (["a1", "b1", "c1"], "not_applied")
    assert "'b1'" in answer.json()["detail"] and "{tag}" in answer.json()["detail"]


def test_a_transaction_that_is_repeated_is_done_once(fake: FakeCoordinator) -> None:
    first, second = (ask(fake, move("gold"), idempotency_key="t") for _ in range(2))
    third = ask(fake, move("silver"), idempotency_key="t")

    assert first.json() == second.json() and first.json()["succeeded"] is True
    assert (third.status_code, third.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [(NoQuorumError(PartitionId(1)), 503, "not_applied"), (OutcomeUnknownError("the deadline passed"), 504, "unknown")],
)
def test_a_transaction_that_fails_says_why(
    fake: FakeCoordinator, error: RaftGroupError, status: int, outcome: str
) -> None:
    fake.error = error
    answer = ask(fake, move("gold"))

    assert (answer.status_code, answer.json()["outcome"]) == (status, outcome)


@pytest.mark.parametrize(
    ("headers", "query", "named"),
    [
        ({"content_type": "text/plain"}, "", {"header": "Content-Type"}),
        ({"if_match": '"7"'}, "", {"header": "If-Match"}),
        ({}, "?consistency=stale", {"parameter": "consistency"}),
    ],
)
def test_a_bad_header_is_named(
    fake: FakeCoordinator, headers: dict[str, str], query: str, named: dict[str, str]
) -> None:
    answer = ask(fake, move("gold"), query, is_msgpack=False, **headers)

    assert answer.status_code == 400 and named.items() <= answer.json().items()
    assert set(fake.items) == {b"a1"}


def test_a_node_that_is_not_open_says_so() -> None:
    assert ask(None, move("gold")).json()["code"] == "NOT_READY"
