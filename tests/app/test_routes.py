"""The validated routes, and their documentation."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest

from app.server import create_app
from raftgroups import (
    ChangeRefusedError,
    NoQuorumError,
    NotLeaderError,
    OutcomeUnknownError,
    PartitionId,
    RaftGroupError,
)
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
    assert document["partitions"][0] == {
        "id": 0,
        "leader": "n1",
        "replicas": ["n1", "n2", "n3"],
        "learners": [],
        "target": ["n1", "n2", "n3"],
        "term": 1,
        "commit_index": 0,
        "applied_index": 0,
        "age_ms": 0,
    }


@pytest.mark.parametrize(("key", "partition"), [("a", 1), ("%01", 1), ("%FF/x", 3), ("%2F", 3)])
def test_where_a_key_lives(client: httpx.Client, key: str, partition: int) -> None:
    assert client.get(f"/v1/locate/{key}").json() == {
        "partition": partition,
        "replicas": ["n1", "n2", "n3"],
        "leader": "n1",
        "term": 1,
        "age_ms": 0,
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
        *((text, b'{"node":"n2"}', 400, "BAD_PARAMETER") for text in ("x", "1.0", "+1", "1_0", "%201", "9" * 5_000)),
        ("0", b'{"node":"\\ud800"}', 400, "BAD_BODY"),
        ("0", b'{"node":"' + b"n" * 65 + b'"}', 400, "BAD_BODY"),
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


@pytest.mark.parametrize(
    ("partition", "body", "detail", "named"),
    [
        ("1.0", b'{"node":"n2"}', "path parameter 'partition': it must be a whole number", "partition"),
        ("0", b'{"node":"n2"} x', "the body is not JSON that can be read: Extra data at character 14", None),
        ("0", b'{"node":["n2"]}', "body.node: Input should be a valid string", "body.node"),
        ("0", b'{"node":"n2","' + b"x" * 9_000 + b'":1}', None, "body." + "x" * 95),
    ],
    ids=["number", "garbage", "type", "name"],
)
def test_what_is_wrong_with_a_transfer_is_named(
    client: httpx.Client, partition: str, body: bytes, detail: str | None, named: str | None
) -> None:
    kind = {"content-type": "application/json; charset=utf-8"}
    answer = client.post(f"/v1/partitions/{partition}/leader", content=body, headers=kind)

    document = answer.json()
    assert (answer.status_code, document.get("parameter")) == (400, named)
    assert detail is None or document["detail"] == detail
    assert len(document["detail"]) < 200


@pytest.mark.parametrize("kind", ["application/jsonx", "application/json+x", "text/json", ""])
def test_what_is_almost_json_is_not(client: httpx.Client, kind: str) -> None:
    answer = client.post("/v1/partitions/0/leader", content=b'{"node":"n2"}', headers={"content-type": kind})

    assert (answer.status_code, answer.json()["header"]) == (400, "Content-Type")


def test_a_transfer_that_fails_says_why(gateway: Running, client: httpx.Client) -> None:
    gateway.fake.error = NotLeaderError(PartitionId(0), None)
    answer = client.post("/v1/partitions/0/leader", json={"node": "n2"})
    gateway.fake.error = None

    assert (answer.status_code, answer.json()["code"], answer.json()["partition"]) == (503, "ELECTING", 0)


def test_replicas_move(gateway: Running, client: httpx.Client) -> None:
    before = client.get("/v1/partitions/2/replicas")
    answer = client.put("/v1/partitions/2/replicas", json={"nodes": ["n3", "n1"]})
    after = client.get("/v1/partitions/2/replicas")
    view = client.get("/v1/cluster").json()["partitions"][2]

    voters = ["n1", "n2", "n3"]
    assert before.json() == {"partition": 2, "voters": voters, "learners": [], "target": voters}
    assert (answer.status_code, answer.json()["target"]) == (200, ["n3", "n1"])
    assert after.json() == answer.json() == {**before.json(), "target": ["n3", "n1"]}
    assert (view["replicas"], view["target"]) == (voters, ["n3", "n1"])
    assert gateway.fake.targets == {2: ("n3", "n1")}


@pytest.mark.parametrize(
    ("partition", "body", "status", "code", "detail"),
    [
        ("99", b'{"nodes":["n2"]}', 404, "NO_SUCH_PARTITION", "there is no partition 99; they are 0 to 3"),
        ("4", b'{"nodes":["n2"]}', 404, "NO_SUCH_PARTITION", "there is no partition 4; they are 0 to 3"),
        ("-1", b'{"nodes":["n2"]}', 404, "NO_SUCH_PARTITION", "there is no partition -1; they are 0 to 3"),
        ("x", b'{"nodes":["n2"]}', 400, "BAD_PARAMETER", None),
        ("0", b'{"nodes":[]}', 422, "BAD_REPLICAS", "a partition needs at least one node"),
        ("0", b'{"nodes":["n1","n9"]}', 422, "BAD_REPLICAS", "there is no node n9; they are n1, n2, n3"),
        ("0", b'{"nodes":[""]}', 400, "BAD_BODY", None),
        ("0", b'{"nodes":["\\ud800"]}', 400, "BAD_BODY", None),
        ("0", b'{"nodes":["' + b"n" * 65 + b'"]}', 400, "BAD_BODY", None),
        ("0", b'{"nodes":[' + b'"n",' * 1_024 + b'"n"]}', 400, "BAD_BODY", None),
        ("0", b'{"nodes":["n1","n2","n1"]}', 422, "BAD_REPLICAS", "n1 is named twice"),
        ("0", b'{"nodes":"n1"}', 400, "BAD_BODY", None),
        ("0", b'{"nodes":[1]}', 400, "BAD_BODY", None),
        ("0", b'{"node":"n1"}', 400, "BAD_BODY", None),
        ("0", b'{"nodes":["n1"],"more":1}', 400, "BAD_BODY", None),
        ("0", b"", 400, "BAD_BODY", None),
    ],
)
def test_replicas_that_cannot_be_are_refused(
    gateway: Running, client: httpx.Client, partition: str, body: bytes, status: int, code: str, detail: str | None
) -> None:
    before = dict(gateway.fake.targets)

    answer = client.put(
        f"/v1/partitions/{partition}/replicas", content=body, headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (status, code, "not_applied")
    assert detail is None or answer.json()["detail"] == detail
    assert gateway.fake.targets == before


@pytest.mark.parametrize("partition", ["4", "-1", "99999999999999999999"])
def test_replicas_of_no_partition(client: httpx.Client, partition: str) -> None:
    answer = client.get(f"/v1/partitions/{partition}/replicas")

    assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_PARTITION")


@pytest.mark.parametrize(
    ("error", "status", "code", "outcome"),
    [
        (ChangeRefusedError("partition 0 is in the middle of another change"), 409, "CHANGE_REFUSED", "not_applied"),
        (NoQuorumError(PartitionId(0)), 503, "NO_QUORUM", "not_applied"),
        (NotLeaderError(PartitionId(0), None), 503, "ELECTING", "not_applied"),
        (OutcomeUnknownError("the link was lost"), 504, "OUTCOME_UNKNOWN", "unknown"),
    ],
)
def test_replicas_that_are_not_moved_say_why(
    gateway: Running, client: httpx.Client, error: RaftGroupError, status: int, code: str, outcome: str
) -> None:
    gateway.fake.error = error
    answer = client.put("/v1/partitions/0/replicas", json={"nodes": ["n2"]})
    gateway.fake.error = None

    assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (status, code, outcome)
    assert answer.json()["detail"] == str(error)


def test_before_it_is_open_nothing_moves() -> None:
    app = create_app(SETTINGS)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return [
                await client.get("/v1/partitions/0/replicas"),
                await client.put("/v1/partitions/0/replicas", json={"nodes": ["n1"]}),
                await client.post("/v1/partitions/0/leader", json={"node": "n1"}),
            ]

    answers = asyncio.run(ask())

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "NOT_READY")] * 3


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


def test_what_is_not_as_it_should_be_is_said_to_whoever_wants_to_know_more(
    gateway: Running, client: httpx.Client
) -> None:
    assert client.get("/readyz?verbose").json() == {"status": "ready", "warnings": []}

    gateway.fake.complaints = ["the clock of node n2 is 86400.0 s ahead of the others"]
    brief, ready = client.get("/readyz"), client.get("/readyz?verbose")
    gateway.fake.reasons = ["partition 1 has no known leader"]
    unready = client.get("/readyz?verbose")
    gateway.fake.reasons, gateway.fake.complaints = [], []

    assert (brief.status_code, ready.status_code, unready.status_code) == (200, 200, 503)
    assert brief.json() == {"status": "ready"}
    assert ready.json()["warnings"] == unready.json()["warnings"] != []


def test_metrics_have_the_clock_of_each_peer(client: httpx.Client) -> None:
    assert 'ringkv_clock_offset_seconds{peer="n2"} 86400.0' in client.get("/metrics").text


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
        ("POST", "/v1/partitions/0/replicas", "GET, HEAD, OPTIONS, PUT"),
        ("PATCH", "/v1/kv/k", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
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


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/", "/v1/kvs", "/livez/", "/static/", "/redoc", "/%00"])
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


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/kv/k"), ("POST", "/v1/batch"), ("POST", "/v1/import")])
def test_a_client_that_leaves_within_its_body_is_no_failure(method: str, path: str) -> None:
    """Our own front starts none before it is whole; another server may."""
    fake = FakeCoordinator()
    app = create_app(SETTINGS, fake)  # type: ignore[arg-type]  # has the methods that are used
    coming = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "state": {},
    }

    async def receive() -> Any:
        return coming.pop(0)

    async def send(_: Any) -> None:
        pass

    asyncio.run(app(scope, receive, send))

    assert not coming and not fake.items


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
        *(f"{method} /v1/kv/{{key}}" for method in ("GET", "HEAD", "PUT", "DELETE", "POST")),
        *(
            "GET /v1/cluster",
            "GET /v1/node",
            "GET /v1/locate/{key}",
            "POST /v1/partitions/{partition}/leader",
            "GET /v1/limits",
        ),
        *("GET /v1/partitions/{partition}/replicas", "PUT /v1/partitions/{partition}/replicas"),
        *("POST /v1/batch", "POST /v1/txn"),
        *("GET /livez", "GET /readyz", "GET /metrics"),
        *("GET /v1/kv", "DELETE /v1/kv", "GET /v1/export", "POST /v1/import", "GET /v1/watch"),
    }


def test_every_operation_says_how_it_fails(client: httpx.Client) -> None:
    for name, operation in operations(client).items():
        assert operation["summary"], name
        assert name == "GET /livez" or "application/problem+json" in operation["responses"]["default"]["content"], name
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                example = content.get("example")
                assert not isinstance(example, dict) or str(example.get("status", status)) == status
        may_be_impossible = ("/v1/partitions/", "/v1/kv", "/v1/batch", "/v1/txn", "/v1/export", "/v1/watch")
        assert "422" not in operation["responses"] or any(path in name for path in may_be_impossible)


def test_the_document_s_own_examples_work(client: httpx.Client) -> None:
    names = operations(client)
    key = names["PUT /v1/kv/{key}"]["parameters"][0]["example"]
    content = names["PUT /v1/kv/{key}"]["requestBody"]["content"]["text/plain"]

    written = client.put(f"/v1/kv/{key}", content=content["example"], headers={"content-type": "text/plain"})
    read = client.get(f"/v1/kv/{key}")

    assert (written.status_code, read.status_code, read.text) == (204, 200, content["example"])
    for name, answer in (("PUT", written), ("GET", read)):
        documented = names[f"{name} /v1/kv/{{key}}"]["responses"][str(answer.status_code)]["headers"]
        sometimes = {"kv-expires-in"} if name == "PUT" else {"kv-expires-in", "kv-session"}
        assert {header.lower() for header in documented} - sometimes <= set(answer.headers)
    assert client.get(f"/v1/locate/{names['GET /v1/locate/{key}']['parameters'][0]['example']}").status_code == 200


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/txn"])
def test_the_examples_of_many_operations_work(client: httpx.Client, path: str) -> None:
    operation = client.get("/openapi.json").json()["paths"][path]["post"]
    asked = operation["requestBody"]["content"]["application/json"]["example"]
    answered = operation["responses"]["200"]["content"]["application/json"]["example"]

    answer = client.post(path, json=asked)

    assert (answer.status_code, set(answer.json())) == (200, set(answered))
    for parameter in operation["parameters"]:
        assert parameter["description"] and parameter["in"] in ("query", "header")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_value_is_documented_to_come_back_as_any_media_type(client: httpx.Client, method: str) -> None:
    """It comes back under whatever Content-Type it was put with."""
    answers = operations(client)[f"{method} /v1/kv/{{key}}"]["responses"]

    assert "*/*" in answers["200"]["content"]


def test_every_schema_that_is_named_is_there(client: httpx.Client) -> None:
    document = client.get("/openapi.json").text
    schemas = json.loads(document)["components"]["schemas"]

    assert {name.split('"')[0] for name in document.split("#/components/schemas/")[1:]} <= set(schemas)
    assert {"BatchRequest", "PutOperation", "TransactionRequest", "Condition", "OperationResult"} <= set(schemas)


def test_the_example_of_replicas_works(client: httpx.Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    (nodes,) = schemas["NodesModel"]["properties"]["nodes"]["examples"]

    answer = client.put("/v1/partitions/3/replicas", json={"nodes": nodes})

    assert answer.status_code == 200
    assert set(schemas["ReplicasModel"]["properties"]) == set(answer.json())
