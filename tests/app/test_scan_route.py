"""GET /v1/kv over a fake: pages, receipts and refusals as they go over the wire."""

import json
from typing import Any

import httpx
import pytest

from raftgroups import Item, NoQuorumError, OutcomeUnknownError, PartitionId, RaftGroupError
from tests.app.running import SETTINGS, Running, running, settings_with


@pytest.fixture
def client(gateway: Running) -> Any:
    gateway.fake.items = {b"%c/%02d" % (97 + number % 7, number): Item(number + 1, b"v") for number in range(50)}
    gateway.fake.error = None
    with httpx.Client(base_url=gateway.url) as client:
        yield client


def keys_in(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["key"] for item in answer.json()["items"]]


def test_pages_go_through_all_keys(client: httpx.Client, gateway: Running) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        answer = client.get("/v1/kv", params={"limit": 7, "cursor": cursor})
        assert len(keys_in(answer)) <= 7
        found += keys_in(answer)
        cursor = answer.json()["cursor"]
        if cursor is None:
            break
    assert found == [key.decode() for key in sorted(gateway.fake.items)]


def test_a_page_says_what_it_is_worth(client: httpx.Client) -> None:
    answer = client.get("/v1/kv", params={"consistency": "stale", "limit": 1})

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["kv-consistency"] == "stale"
    assert answer.headers["kv-staleness-ms"] == "0"
    assert answer.headers["kv-served-by"] == "n1;role=leader"
    assert answer.headers["cache-control"] == "no-cache"
    assert "kv-session" not in answer.headers


def test_a_session_goes_through_a_scan(client: httpx.Client) -> None:
    answer = client.get("/v1/kv", params={"consistency": "session"}, headers={"KV-Session": "1-1-5000"})

    assert answer.headers["kv-consistency"] == "session"
    assert "1-5000" in answer.headers["kv-session"]


def test_the_bounds_narrow_it(client: httpx.Client) -> None:
    assert keys_in(client.get("/v1/kv?prefix=b/")) == [f"b/{number:02d}" for number in range(1, 50, 7)]
    assert keys_in(client.get("/v1/kv?prefix=b%2F&start=b%2F10&end=b/30")) == ["b/15", "b/22", "b/29"]
    assert keys_in(client.get("/v1/kv?prefix=b/&reverse=true&limit=2")) == ["b/43", "b/36"]
    assert keys_in(client.get("/v1/kv?start=z")) == []


def test_bytes_of_any_kind_are_found(client: httpx.Client, gateway: Running) -> None:
    gateway.fake.items = {b"\xff+ a": Item(7, b"\x00\xff", "image/png"), b"\xfe": Item(1, b"")}

    answer = client.get("/v1/kv?prefix=%FF%2B+a").json()

    assert answer == {
        "items": [
            {
                "key": "/ysgYQ==",
                "key_encoding": "base64",
                "value": "AP8=",
                "encoding": "base64",
                "revision": 7,
                "content_type": "image/png",
            }
        ],
        "cursor": None,
    }


def test_keys_alone(client: httpx.Client) -> None:
    assert client.get("/v1/kv?limit=2&keys_only=true").json()["items"] == [
        {"key": "a/00", "revision": 1},
        {"key": "a/07", "revision": 8},
    ]


def test_a_page_is_bounded_in_bytes(client: httpx.Client, gateway: Running) -> None:
    gateway.fake.items = {b"k%d" % number: Item(1, bytes(1_000)) for number in range(9)}

    answer = client.get("/v1/kv?max_bytes=2500").json()

    assert [item["key"] for item in answer["items"]] == ["k0", "k1"]
    assert len(keys_in(client.get("/v1/kv", params={"max_bytes": 1, "cursor": answer["cursor"]}))) == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=abc", "colour=red", "limit=1&limit=2", "prefix=%zz"])
def test_a_bad_query_is_refused(client: httpx.Client, gateway: Running, query: str) -> None:
    with gateway.connect() as raw:
        answer = raw.ask(f"GET /v1/kv?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    problem = json.loads(answer.body)
    assert answer.status == 400 and problem["outcome"] == "not_applied"
    assert problem["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoQuorumError(PartitionId(3)), 503, "NO_QUORUM"),
        (OutcomeUnknownError("late"), 504, "READ_TIMED_OUT"),
    ],
)
def test_a_failure_is_a_problem(
    client: httpx.Client, gateway: Running, error: RaftGroupError, status: int, code: str
) -> None:
    gateway.fake.error = error

    answer = client.get("/v1/kv")

    assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (status, code, "not_applied")


def test_a_scan_has_no_other_methods(client: httpx.Client) -> None:
    refused = client.put("/v1/kv", content=b"x")

    assert (refused.status_code, refused.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert client.head("/v1/kv").status_code == 200


def test_a_gateway_that_starts_says_so() -> None:
    with running(SETTINGS, is_open=False) as gateway, httpx.Client(base_url=gateway.url) as client:
        assert client.get("/v1/kv").json()["code"] == "NOT_READY"


def test_the_limits_of_the_node_count() -> None:
    with running(settings_with(scan_keys_max=5)) as gateway, httpx.Client(base_url=gateway.url) as client:
        gateway.fake.items = {b"k%d" % number: Item(1, b"v") for number in range(9)}

        assert client.get("/v1/kv?limit=6").status_code == 400
        assert len(keys_in(client.get("/v1/kv"))) == 5
