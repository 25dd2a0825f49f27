"""The validated routes, and their documentation."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest

from app.server import create_app
from raftgroups import NotLeaderError, PartitionId
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import SETTINGS, Running


@pytest.fixture
def client(gateway: Running) -> Any:
    with httpx.Client(base_url=gateway.url) as client:
        yield client


def test_the_cluster(client: httpx.Client) -> None:
    answer = client.get("/v1/cluster")

    document = answer.json()
    assert answer.status_code == 200
    assert (document["cluster_id"], document["epoch"]) == ("fake", 1)
    assert document["nodes"][0] == {
        "name": "n1",
        "http": "127.0.0.1:8001",
        "peer": "127.0.0.1:9001",
        "zone": "",
        "status": "up",
        "pid": 4711,
    }
    assert set(document["partitions"][0]) == {"id", "leader", "replicas", "term", "commit_index", "applied_index"}


@pytest.mark.parametrize(("key", "partition"), [("a", 1), ("%01", 1), ("%FF/x", 3), ("%2F", 3)])
def test_where_a_key_lives(client: httpx.Client, key: str, partition: int) -> None:
    assert client.get(f"/v1/locate/{key}").json() == {
        "partition": partition,
        "replicas": ["n1", "n2", "n3"],
        "leader": "n1",
    }


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("%zz", 400, "BAD_KEY"),
        ("", 400, "BAD_KEY"),
        ("k" * 1025, 414, "KEY_TOO_LONG"),
        ("k?x=1", 400, "UNKNOWN_PARAMETER"),
    ],
)
def test_where_a_bad_key_lives(gateway: Running, key: str, status: int, code: str) -> None:
    with gateway.connect() as raw:
        answer = raw.ask(f"GET /v1/locate/{key} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert (answer.status, json.loads(answer.body)["code"]) == (status, code)


def test_the_limits(client: httpx.Client) -> None:
    limits = client.get("/v1/limits").json()

    assert limits["key_bytes_max"] == 1_024 and limits["pair_bytes_max"] == 10_240
    assert limits["head_bytes_max"] == 16_384 and limits["headers_max"] == 100


def test_a_leadership_moves(client: httpx.Client) -> None:
    answer = client.post("/v1/partitions/3/leader", json={"node": "n2"})

    assert (answer.status_code, answer.json()) == (200, {"partition": 3, "leader": "n2"})
    partitions = client.get("/v1/cluster").json()["partitions"]
    assert [partition["leader"] for partition in partitions if partition["id"] == 3] == ["n2"]


@pytest.mark.parametrize(
    ("partition", "body", "status", "code"),
    [
        ("99", b'{"node":"n2"}', 404, "NO_SUCH_PARTITION"),
        ("-1", b'{"node":"n2"}', 404, "NO_SUCH_PARTITION"),
        ("x", b'{"node":"n2"}', 400, "BAD_PARAMETER"),
        ("0", b'{"node":"n9"}', 422, "NOT_A_REPLICA"),
        ("0", b'{"node":1}', 400, "BAD_BODY"),
        ("0", b'{"nodes":"n2"}', 400, "BAD_BODY"),
        ("0", b'{"node":"n2","more":1}', 400, "BAD_BODY"),
        ("0", b'{"node":', 400, "BAD_BODY"),
        ("0", b"", 400, "BAD_BODY"),
        ("0", b"[" * 60_000, 400, "BAD_BODY"),
        ("0", b" " * 100_000, 413, "BODY_TOO_LARGE"),
    ],
)
def test_a_bad_transfer_is_refused(client: httpx.Client, partition: str, body: bytes, status: int, code: str) -> None:
    answer = client.post(
        f"/v1/partitions/{partition}/leader", content=body, headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_form_is_not_json(client: httpx.Client) -> None:
    answer = client.post("/v1/partitions/0/leader", data={"node": "n2"})

    assert (answer.status_code, answer.json()["header"]) == (400, "Content-Type")


def test_a_transfer_that_fails_says_why(gateway: Running, client: httpx.Client) -> None:
    gateway.fake.error = NotLeaderError(PartitionId(0), None)
    answer = client.post("/v1/partitions/0/leader", json={"node": "n2"})
    gateway.fake.error = None

    assert (answer.status_code, answer.json()["code"], answer.json()["partition"]) == (503, "ELECTING", 0)


def test_health(gateway: Running, client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}

    gateway.fake.reasons = ["partition 1 has no known leader", "partition 2 has no known leader"]
    brief, verbose = client.get("/readyz"), client.get("/readyz?verbose")
    assert client.get("/livez").status_code == 200
    gateway.fake.reasons = []

    assert brief.status_code == verbose.status_code == 503
    assert brief.headers["retry-after"] == "1"
    assert "reasons" not in brief.json()
    assert verbose.json()["reasons"] == ["partition 1 has no known leader", "partition 2 has no known leader"]


def test_a_draining_node_is_not_ready(gateway: Running, client: httpx.Client) -> None:
    gateway.app.state.gateway.is_draining = True
    answer = client.get("/readyz?verbose")
    gateway.app.state.gateway.is_draining = False

    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the node is shutting down"]


def test_metrics(client: httpx.Client) -> None:
    client.get("/livez")
    client.get("/v1/kv/none")

    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'ringkv_http_requests_total{method="GET",status="404"}' in answer.text
    assert "ringkv_writes_total " in answer.text


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/v1/cluster", "/v1/limits", "/docs", "/openapi.json"]
)
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)

    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    assert path == "/metrics" or head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/livez", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/cluster", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/locate/k", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/partitions/0/leader", "OPTIONS, POST"),
        ("PATCH", "/v1/kv/k", "DELETE, GET, HEAD, OPTIONS, PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(client: httpx.Client, method: str, path: str, allow: str) -> None:
    refused = client.request(method, path)
    asked = client.options(path)

    assert (refused.status_code, refused.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert refused.headers["allow"] == asked.headers["allow"] == allow
    assert asked.status_code == 204


@pytest.mark.parametrize(
    "path", ["/livez?x", "/readyz?verbose&verbose", "/v1/cluster?a=b", "/metrics?name=x", "/v1/limits?%zz"]
)
def test_parameters_nobody_knows_are_refused(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 400


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/", "/v1/kv", "/livez/", "/static/", "/redoc", "/%00"])
def test_other_paths_lead_nowhere(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_ROUTE")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_bug_is_a_500_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeCoordinator):
        def cluster(self) -> Any:
            raise RuntimeError("a secret")

    app = create_app(SETTINGS, Broken())  # type: ignore[arg-type]  # has the methods that are used

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get("/v1/cluster")

    with caplog.at_level(logging.CRITICAL):
        answer = asyncio.run(ask())

    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
    assert "secret" not in answer.text


# The document.


def operations(client: httpx.Client) -> dict[str, dict[str, Any]]:
    document = client.get("/openapi.json").json()
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_documented(client: httpx.Client) -> None:
    assert set(operations(client)) == {
        *(f"{method} /v1/kv/{{key}}" for method in ("GET", "HEAD", "PUT", "DELETE")),
        *("GET /v1/cluster", "GET /v1/locate/{key}", "POST /v1/partitions/{partition}/leader", "GET /v1/limits"),
        *("GET /livez", "GET /readyz", "GET /metrics"),
    }


def test_every_operation_says_how_it_fails(client: httpx.Client) -> None:
    for name, operation in operations(client).items():
        assert operation["summary"], name
        assert name == "GET /livez" or "application/problem+json" in operation["responses"]["default"]["content"], name
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                assert status not in content.get("example", {}) or str(content["example"]["status"]) == status
        assert "422" not in operation["responses"] or "POST" in name


def test_the_document_s_own_examples_work(client: httpx.Client) -> None:
    names = operations(client)
    key = names["PUT /v1/kv/{key}"]["parameters"][0]["example"]
    content = names["PUT /v1/kv/{key}"]["requestBody"]["content"]["text/plain"]

    written = client.put(f"/v1/kv/{key}", content=content["example"], headers={"content-type": "text/plain"})
    read = client.get(f"/v1/kv/{key}")

    assert (written.status_code, read.status_code, read.text) == (204, 200, content["example"])
    for name, answer in (("PUT", written), ("GET", read)):
        documented = names[f"{name} /v1/kv/{{key}}"]["responses"][str(answer.status_code)]["headers"]
        assert {header.lower() for header in documented} <= set(answer.headers)
    assert client.get(f"/v1/locate/{names['GET /v1/locate/{key}']['parameters'][0]['example']}").status_code == 200
