"""GET /v1/export and POST /v1/import over a fake: streamed, both of them, in both directions bounded."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from app import importing
from raftgroups import Item, NoQuorumError, PartitionId, StorageFullError
from tests.app.running import GET, Client, Running, eventually, running, settings_with

HEAD = b"POST /v1/import HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[True, False], ids=["fast door", "stock uvicorn"])
def any_gateway(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(is_fast=request.param) as started:
        yield started


def line(number: int, value: str = "v") -> bytes:
    return json.dumps({"key": f"{number:06d}", "value": value}).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_what_is_exported_can_be_imported(any_gateway: Running) -> None:
    fake = any_gateway.fake
    fake.items = {b"k\xff%d" % number: Item(number + 1, b"v\xfe" * number, "a/b") for number in range(300)}
    wanted = {key: (item.value, item.content_type) for key, item in fake.items.items()}

    exported = httpx.get(f"{any_gateway.url}/v1/export")
    fake.items = {}
    answer = httpx.post(f"{any_gateway.url}/v1/import", content=exported.content)

    assert exported.headers["content-type"] == "application/x-ndjson"
    assert exported.headers["kv-consistency"] == "linearizable"
    assert json.loads(exported.text.splitlines()[-1]) == {"complete": True, "count": 300}
    assert (answer.status_code, answer.json()) == (200, {"imported": 300, "failed": 0, "errors": []})
    assert {key: (item.value, item.content_type) for key, item in fake.items.items()} == wanted


def test_an_import_may_be_longer_than_any_body(any_gateway: Running) -> None:
    """Ten thousand lines, as a stream without a length."""
    lines = [line(number, "v" * 200) for number in range(10_000)]
    assert sum(map(len, lines)) > 30 * any_gateway.app.state.gateway.settings.limits.body_bytes_max

    answer = httpx.post(f"{any_gateway.url}/v1/import", content=iter(lines))

    assert answer.json()["imported"] == len(any_gateway.fake.items) == 10_000


def test_the_bounds_narrow_an_export(gateway: Running) -> None:
    gateway.fake.items = {b"a": Item(1, b"1"), b"b": Item(2, b"2"), b"c": Item(3, b"3")}

    lines = httpx.get(f"{gateway.url}/v1/export?start=b&end=c&consistency=stale").text.splitlines()

    assert [json.loads(each).get("key") for each in lines] == ["b", None]
    assert httpx.get(f"{gateway.url}/v1/export?limit=5").json()["parameter"] == "limit"
    cursor = httpx.get(f"{gateway.url}/v1/kv?limit=2").json()["cursor"]
    lines = httpx.get(f"{gateway.url}/v1/export?cursor={cursor}").text.splitlines()
    assert [json.loads(each).get("key") for each in lines] == ["c", None]
    assert httpx.get(f"{gateway.url}/v1/export?cursor={cursor}&start=b").json()["parameter"] == "cursor"
    assert httpx.head(f"{gateway.url}/v1/export").status_code == 200


def test_an_export_that_cannot_begin_is_a_problem(gateway: Running) -> None:
    gateway.fake.error = NoQuorumError(PartitionId(3))
    answer = httpx.get(f"{gateway.url}/v1/export")
    gateway.fake.error = None

    assert (answer.status_code, answer.json()["code"]) == (503, "NO_QUORUM")
    assert gateway.app.state.gateway.exports_open == 0


def test_an_export_is_made_no_faster_than_it_is_read(gateway: Running) -> None:
    """What a client does not read stays unread, and a client that leaves ends it."""
    gateway.fake.items = {b"%06d" % number: Item(1, bytes(8_000)) for number in range(2_000)}
    gateway.fake.spans.clear()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        link.connect(("127.0.0.1", gateway.port))
        link.sendall(b"GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n")
        assert link.recv(100)
        eventually(lambda: len(gateway.fake.spans) >= 8)
        pages = len(gateway.fake.spans)

        assert httpx.get(f"{gateway.url}/v1/limits").status_code == 200
        assert len(gateway.fake.spans) - pages < 40, "40 spans are some ten pages of 32"

    eventually(lambda: gateway.app.state.gateway.exports_open == 0)
    gateway.fake.items = {}


def test_a_body_is_passed_on_as_it_comes(gateway: Running) -> None:
    """A line is written while the next is still to come; and the connection goes on afterwards."""
    gateway.fake.items = {}
    with gateway.connect() as client:
        client.send(CHUNKED + chunk(line(1)))
        eventually(lambda: b"000001" in gateway.fake.items)
        client.send(chunk(line(2)[:5]) + chunk(line(2)[5:]) + b"0\r\n\r\n" + GET)

        assert json.loads(client.read_answer().body)["imported"] == 2
        assert client.read_answer().status == 404


def test_an_import_waits_for_its_turn(gateway: Running) -> None:
    """Behind a request that is not answered yet, its body is kept, and no more of it taken than fits."""
    gateway.fake.items = {}
    gateway.fake.is_patient = True
    with gateway.connect() as client:
        client.send(GET)
        eventually(lambda: len(gateway.fake.waiting) == 1)
        client.send(CHUNKED + chunk(line(1)))
        client.send(chunk(line(2)) + b"0\r\n\r\n")
        gateway.fake.is_patient = False
        gateway.do(gateway.fake.release)

        assert client.read_answer().status == 404
        assert json.loads(client.read_answer().body)["imported"] == 2


def test_an_import_is_told_to_go_on_when_its_turn_has_come(gateway: Running) -> None:
    body = line(1)
    with gateway.connect() as client:
        client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.read_answer().status == 100
        client.send(body)
        assert client.read_answer().status == 200


def test_a_slow_store_slows_the_client_down(gateway: Running) -> None:
    """What is taken in and not yet written is bounded."""
    gateway.fake.items = {}
    gateway.fake.is_patient = True
    with gateway.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        client.socket.settimeout(0.3)
        client.send(CHUNKED)
        sent = iter(range(20_000))
        with pytest.raises(TimeoutError):
            _send_lines(client, sent)
        assert next(sent) < 19_000
        eventually(lambda: len(gateway.fake.waiting) == importing.WRITES_OPEN_MAX)
    gateway.fake.is_patient = False
    gateway.do(gateway.fake.release)
    eventually(lambda: gateway.app.state.gateway.imports_open == 0)


def _send_lines(client: Client, numbers: Iterator[int]) -> None:
    for number in numbers:
        client.send(chunk(line(number, "v" * 1_000)))


def test_an_import_that_fails_early_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is still sending; it is told, and the connection ends."""
    monkeypatch.setattr(importing, "PATIENCE_SECONDS", 0.0)
    with running(settings_with(linger_seconds=0.5)) as gateway, gateway.connect() as client:
        gateway.fake.error = StorageFullError("no room")
        client.send(CHUNKED + chunk(line(1)))
        eventually(lambda: bool(gateway.fake.deadlines))
        client.send(chunk(line(2)))

        answer = client.read_answer()

        assert (answer.status, json.loads(answer.body)["code"]) == (507, "STORAGE_FULL")
        client.send(chunk(b"more of it\n"))
        assert client.is_closed()


def test_a_silent_client_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LOOK_SECONDS", 0.01)
    with running(settings_with(import_pause_seconds=0.1)) as gateway, gateway.connect() as client:
        client.send(CHUNKED + chunk(line(1)))

        answer = client.read_answer()

        problem = json.loads(answer.body)
        assert (answer.status, problem["outcome"]) == (504, "unknown")
        assert (problem["imported"], problem["failed"], problem["next_line"]) == (1, 0, 2)
        assert problem["detail"].startswith("nothing more of the body came for 0.1 s; 1 lines were imported")


def test_a_client_may_be_silent_for_longer_than_any_body() -> None:
    with running(settings_with(body_seconds=0.05, head_seconds=0.05)) as gateway, gateway.connect() as client:
        client.send(CHUNKED + chunk(line(1)))
        begun = gateway.loop.time()
        eventually(lambda: gateway.loop.time() > begun + 1.2)  # the door looks once a second
        client.send(chunk(line(2)) + b"0\r\n\r\n")

        assert json.loads(client.read_answer().body)["imported"] == 2


def test_chunks_that_are_none_end_the_connection(gateway: Running) -> None:
    gateway.fake.items = {}
    with gateway.connect() as client:
        client.send(CHUNKED + chunk(line(1)))
        eventually(lambda: b"000001" in gateway.fake.items)
        client.send(b"no chunk at all\r\n")

        assert client.is_closed()
    eventually(lambda: gateway.app.state.gateway.imports_open == 0)


def test_an_answer_may_come_after_its_connection_was_given_up(
    gateway: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal is on its way when the body turns out to be none."""
    with gateway.connect() as client:
        client.send(HEAD + b"KV-Timeout-Ms: 0\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")

        assert client.is_closed()
    gateway.do(lambda: None)
    assert not caplog.records


def test_a_client_that_leaves_ends_its_import(gateway: Running) -> None:
    with Client(gateway.port) as client:
        client.send(CHUNKED + chunk(line(1)))
        eventually(lambda: gateway.app.state.gateway.imports_open == 1)
    eventually(lambda: gateway.app.state.gateway.imports_open == 0)


@pytest.mark.parametrize(
    ("query", "headers", "status", "named"),
    [
        ("?colour=red", {}, 400, {"parameter": "colour"}),
        ("", {"KV-Timeout-Ms": "0"}, 400, {"header": "KV-Timeout-Ms"}),
        ("", {"Content-Encoding": "gzip"}, 400, {"header": "Content-Encoding"}),
        ("", {"Idempotency-Key": "x"}, 400, {"header": "Idempotency-Key"}),
        ("", {"If-Match": '"7"'}, 400, {"header": "If-Match"}),
        ("", {"If-None-Match": "*"}, 400, {"header": "If-None-Match"}),
    ],
)
def test_a_bad_import_is_refused_before_its_body(
    gateway: Running, query: str, headers: dict[str, str], status: int, named: dict[str, str]
) -> None:
    answer = httpx.post(f"{gateway.url}/v1/import{query}", content=line(1), headers=headers)

    assert answer.status_code == status and named.items() <= answer.json().items()


def test_a_node_that_stops_ends_imports_and_exports_soon() -> None:
    with running() as gateway, gateway.connect() as client:
        client.send(CHUNKED + chunk(line(1)))
        eventually(lambda: b"000001" in gateway.fake.items)
        gateway.app.state.gateway.is_ending = True

        assert json.loads(client.read_answer().body)["code"] == "INCOMPLETE_IMPORT"
        assert httpx.get(f"{gateway.url}/v1/export").json()["code"] == "DRAINING"
