"""The front: order, bounds and framing, over raw sockets."""

import json
import resource
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from app.answers import Answer
from app.kv import Request
from raftgroups import Item
from tests.app.running import GET, Client, RawAnswer, Running, eventually, put, running, settings_with

SHORT = settings_with(
    head_seconds=0.1, body_seconds=0.1, keep_alive_seconds=0.2, send_seconds=0.2, linger_seconds=0.1, pipeline_max=8
)


def code(answer: RawAnswer) -> str:
    return str(json.loads(answer.body)["code"])


def is_cut_while(step: Callable[[], None]) -> bool:
    """Whether the other side ends the connection while we go on with `step`."""
    deadline = time.monotonic() + 5
    try:
        while time.monotonic() < deadline:
            step()
            time.sleep(0.001)
    except OSError:
        return True
    return False


@pytest.fixture(scope="module")
def short() -> Iterator[Running]:
    """A gateway with little patience."""
    with running(SHORT) as started:
        yield started


# Time and room.


def test_a_flood_of_pipelined_requests_is_taken_in_a_few_at_a_time() -> None:
    settings = settings_with(pipeline_max=8)
    with running(settings) as gateway, gateway.connect() as client:
        gateway.fake.is_patient = True
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.send(GET * 1_000_000)
        # One slice of a head's size may go in before the line is looked at again.
        assert len(gateway.fake.waiting) <= settings.limits.pipeline_max + settings.limits.head_bytes_max // len(GET)
        gateway.do(gateway.fake.release)


def test_a_slow_head_is_cut(short: Running) -> None:
    with short.connect() as client:
        client.send(b"GET /v1/kv/k HTTP/1.1\r\nHo")
        answer = client.read_answer()
        assert (answer.status, code(answer)) == (408, "TOO_SLOW")
        assert answer.headers["connection"] == "close"
        assert client.is_closed()


def test_a_head_that_trickles_in_gains_no_time(short: Running) -> None:
    with short.connect() as client:
        client.send(b"GET /v1/kv/k HTTP/1.1\r\nX: ")
        assert is_cut_while(lambda: client.send(b"x"))
    assert short.app.state.gateway.metrics.refused["TOO_SLOW"] >= 1


def test_a_refused_body_that_does_not_end_is_cut_with_the_refusal(short: Running) -> None:
    with short.connect() as client:
        answer = client.ask(b"PUT /v1/kv/k HTTP/1.1\r\nContent-Length: 5\r\n\r\nv")
        assert (answer.status, code(answer)) == (400, "BAD_REQUEST")
        assert client.is_closed()


def test_a_slow_body_is_cut(short: Running) -> None:
    with short.connect() as client:
        client.send(put("slow", b"v" * 10)[:-5])
        answer = client.read_answer()
        assert (answer.status, code(answer)) == (408, "TOO_SLOW")
        assert client.is_closed()
    assert b"slow" not in short.fake.items


def test_a_connection_that_says_nothing_is_closed(short: Running) -> None:
    with short.connect() as client:
        assert client.is_closed()


def test_an_idle_connection_is_closed_without_a_word(short: Running) -> None:
    with short.connect() as client:
        assert client.ask(GET).status == 404
        assert client.is_closed()


def test_a_request_that_takes_its_time_keeps_its_connection(short: Running) -> None:
    """Waiting for the store is not being idle: the coordinator has the deadline."""
    short.fake.is_patient = True
    with short.connect() as client:
        client.send(GET)
        with short.connect() as idle:
            assert idle.is_closed(), "every timeout has passed"
        short.do(short.fake.release)
        short.fake.is_patient = False
        assert client.read_answer().status == 404


def test_a_client_that_does_not_read_is_cut(short: Running) -> None:
    short.do(lambda: short.fake.items.update({b"big": Item(1, b"v" * 10_000)}))
    with short.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.settimeout(5)
        assert is_cut_while(lambda: client.send(b"GET /v1/kv/big HTTP/1.1\r\nHost: x\r\n\r\n" * 100))


# Heads.


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 17_000 + b"\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n" + b"X: 12345678\r\n" * 1_400 + b"\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: 1\r\n" % n for n in range(100)) + b"\r\n",
        b"GET /v1/kv/" + b"k" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000,
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\nX" + b"x" * 200_000,
        b"GET /v1/kv/" + b"k" * 200_000,
    ],
    ids=[
        "one field",
        "many bytes",
        "20,000 fields",
        "101 fields",
        "target",
        "endless value",
        "endless name",
        "endless target",
    ],
)
def test_a_large_head_is_refused(gateway: Running, head: bytes) -> None:
    with gateway.connect() as client:
        answer = client.ask(head)

    assert (answer.status, code(answer)) == (431, "HEAD_TOO_LARGE")
    document = json.loads(answer.body)
    assert (document["limit"], document["fields"]) == (16_384, 100)


def test_a_head_of_just_the_limit_is_taken(gateway: Running) -> None:
    start = b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%02d: 1\r\n" % n for n in range(98)) + b"X: "
    with gateway.connect() as client:
        for piece in (16_384, 5_000, 1):
            head = start + b"x" * (16_384 - len(start) - 4) + b"\r\n\r\n"
            for at in range(0, len(head), piece):
                client.send(head[at : at + piece])
            assert client.read_answer().status == 404


def test_a_refused_head_that_ended_keeps_the_connection(gateway: Running) -> None:
    with gateway.connect() as client:
        head = b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: 1\r\n" % n for n in range(100)) + b"\r\n"
        assert client.ask(head).status == 431
        assert client.ask(put("after")).status == 204


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"FETCH /v1/kv/k HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/kv/a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/kv/\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/kv/k HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /v1/kv/k\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nv",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nv",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nv",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\nv",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\nv",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nv",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nv\r\n0\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_not_http_ends_the_connection(gateway: Running, sent: bytes) -> None:
    gateway.do(lambda: gateway.fake.items.clear())
    with gateway.connect() as client:
        answer = client.ask(sent + GET)

        assert (answer.status, code(answer)) == (400, "BAD_REQUEST")
        assert answer.headers["connection"] == "close"
        assert client.is_closed()
    assert not gateway.fake.items


def test_answers_before_a_broken_request_still_come(gateway: Running) -> None:
    with gateway.connect() as client:
        client.send(put("before") + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + b"\x00\x01\x02")
        assert [client.read_answer().status for _ in range(3)] == [204, 200, 400]
        assert client.is_closed()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /v1/kv/none HTTP/1.1\r\n\r\n", "BAD_REQUEST"),
        (b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "BAD_HEADER"),
        (b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\nKV-Timeout-Ms: 5\r\nkv-timeout-ms: 6\r\n\r\n", "BAD_HEADER"),
        (b"GET /v1/kv/none#there HTTP/1.1\r\nHost: x\r\n\r\n", "BAD_REQUEST"),
        (b"GET /v1/limits#there HTTP/1.1\r\nHost: x\r\n\r\n", "BAD_REQUEST"),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", "BAD_REQUEST"),
        (b"GET ftp://x/v1/kv/none HTTP/1.1\r\nHost: x\r\n\r\n", "BAD_REQUEST"),
    ],
)
def test_a_bad_request_whose_end_is_known_keeps_the_connection(gateway: Running, head: bytes, expected: str) -> None:
    with gateway.connect() as client:
        answer = client.ask(head)
        assert (answer.status, code(answer)) == (400, expected)
        assert client.ask(put("after")).status == 204


UPGRADES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
    b"upgrade: TLS/1.0, HTTP/1.1\r\nconnection: keep-alive, UPGRADE\r\n",
    b"Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n",
]


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_an_upgrade_is_ignored(gateway: Running, upgrade: bytes) -> None:
    """RFC 9110, section 7.8: on every route, with a body or without, and whatever follows."""
    wish = b"Host: x\r\n" + upgrade
    inside = b"GET /inside HTTP/1.1\r\n" + wish + b"\r\n"  # a body may look like a request that asks for the same
    chunks = b"1\r\n" + inside[:1] + b"\r\n%x\r\n" % (len(inside) - 1) + inside[1:] + b"\r\n0\r\n\r\n"
    batch = b'{"ops":[{"op":"put","key":"b","value":"1"}]}'
    line = b'{"key":"imported","value":"1"}\n'
    with gateway.connect() as client:
        client.send(
            b"PUT /v1/kv/up HTTP/1.1\r\nContent-Length: 5\r\n" + wish + b"\r\nfirst"
            b"GET /v1/kv/up HTTP/1.1\r\n" + wish + b"\r\n"
            b"PUT /v1/kv/up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + wish + b"\r\n" + chunks
        )
        assert client.read_answer().status == 204
        assert client.read_answer().body == b"first"
        assert client.read_answer().status == 204
        assert client.ask(GET.replace(b"/k ", b"/up ")).body == inside
        head = b"POST /v1/batch HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(batch)
        assert client.ask(head + wish + b"\r\n" + batch).status == 200
        head = b"POST /v1/import HTTP/1.1\r\nContent-Length: %d\r\n" % len(line)
        assert client.ask(head + wish + b"\r\n" + line).status == 200
        assert client.ask(b"DELETE /v1/kv/up HTTP/1.1\r\n" + wish + b"\r\n").status == 204
        client.send(b"HEAD /livez HTTP/1.1\r\n" + wish + b"\r\n")
        assert client.read_answer(is_head=True).status == 200
        client.send(b"PUT /v1/kv/up HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" + wish + b"\r\n")
        assert client.read_answer().status == 100
        assert client.ask(b"v").status == 204
        assert (
            client.ask(
                b"PUT /v1/kv/up HTTP/1.1\r\nContent-Length: 9\r\n" + wish + b"Host: x\r\n\r\nnine bytes"[:-1]
            ).status
            == 400
        )
        assert client.ask(GET).status == 404


def test_heads_that_ask_for_an_upgrade_are_bounded(gateway: Running) -> None:
    with gateway.connect() as client:
        client.send(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\nX: ")
        client.send(b"x" * 10_000)
        client.send(b"x" * 6_370)
        answer = client.ask(b"\r\n\r\n")
        assert (answer.status, code(answer)) == (431, "HEAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("sent", "told"), [(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "without HTTP/2"), (b"\x16\x03\x01\x02", "without TLS")]
)
def test_who_speaks_something_else_is_told_what_is_spoken(gateway: Running, sent: bytes, told: str) -> None:
    with gateway.connect() as client:
        assert told in json.loads(client.ask(sent).body)["detail"]
        assert client.is_closed()


def test_curl_may_ask_for_http2(gateway: Running) -> None:
    """As Java's client does: it sends an upgrade to h2c with every first request."""
    url = f"{gateway.url}/v1/kv/curl"
    told = subprocess.run(
        [
            "curl",
            "--http2",
            "-s",
            "-w",
            "%{http_code}",
            "-X",
            "PUT",
            "--data-binary",
            "hello",
            url,
            "--next",
            "-s",
            "-i",
            url,
        ],
        capture_output=True,
        check=True,
        timeout=20,
    ).stdout.decode()
    assert told.startswith("204HTTP/1.1 200 OK")
    assert "content-type: application/octet-stream" in told, "what curl sends by itself is no content type"
    assert told.endswith("hello")


def test_urllib_puts_without_a_content_type(gateway: Running) -> None:
    url = f"{gateway.url}/v1/kv/urllib"
    urllib.request.urlopen(urllib.request.Request(url, b"v", method="PUT"), timeout=5).close()
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["content-type"] == "application/octet-stream"


# Bodies.


def test_a_body_that_is_a_little_too_large_keeps_the_connection(gateway: Running) -> None:
    with gateway.connect() as client:
        answer = client.ask(put("large", b"v" * 20_000))
        assert (answer.status, code(answer)) == (413, "PAIR_TOO_LARGE")
        assert "connection" not in answer.headers
        chunks = b"".join(b"1000\r\n" + b"v" * 4096 + b"\r\n" for _ in range(5))
        client.send(
            b"PUT /v1/kv/large HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
        assert client.read_answer().status == 413
        assert client.ask(put("after")).status == 204


def test_an_announced_giant_is_refused_before_it_comes(gateway: Running) -> None:
    with gateway.connect() as client:
        client.send(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
        answer = client.read_answer()
        assert (answer.status, code(answer)) == (413, "PAIR_TOO_LARGE")
        assert json.loads(answer.body)["size"] == 1_073_741_824
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "head",
    [
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v1/partitions/1/leader HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /v1/kv/%zz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_body_that_never_ends_takes_no_memory(gateway: Running, head: bytes) -> None:
    """The answer comes while the client is still sending, and is readable: no reset overtakes it."""
    chunk = b"10000\r\n" + b"v" * 65_536 + b"\r\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with gateway.connect() as client:
        client.send(head)
        for _ in range(400):  # 25 MiB
            client.send(chunk)
        answer = client.read_answer()

    assert answer.status in {400, 413}
    assert answer.headers["connection"] == "close"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


@pytest.mark.parametrize(
    "piece",
    [
        b"1;" + b"x" * 1_000 + b"\r\nv\r\n",
        b"1\r\nv\r\n",
    ],
)
def test_chunks_that_are_mostly_padding_are_refused(gateway: Running, piece: bytes) -> None:
    with gateway.connect() as client:
        client.send(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            client.send(piece * 1_000)
        answer = client.read_answer()

    assert answer.status == 413


def test_trailers_are_bounded(gateway: Running) -> None:
    with gateway.connect() as client:
        client.send(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\nX: ")
        for _ in range(100):
            client.send(b"x" * 10_000)
        answer = client.read_answer()

    assert answer.status == 413


def test_one_byte_at_a_time_is_a_body_too(gateway: Running) -> None:
    with gateway.connect() as client:
        client.send(b"PUT /v1/kv/bytes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"1\r\nv\r\n" * 10_000 + b"0\r\n\r\n")
        assert client.read_answer().status == 204
    assert gateway.fake.items[b"bytes"].value == b"v" * 10_000


def test_a_client_that_asks_first_is_told_to_go_on(gateway: Running) -> None:
    head = b"PUT /v1/kv/asked HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    with gateway.connect() as client:
        assert client.ask(head).status == 100
        assert client.ask(b"abc").status == 204
        # Behind other answers, the go-ahead waits for its turn.
        client.send(put("first") + head)
        assert [client.read_answer().status for _ in range(2)] == [204, 100]
        assert client.ask(b"abc").status == 204


def test_a_client_that_asks_first_for_too_much_is_refused_at_once(gateway: Running) -> None:
    head = b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n"
    with gateway.connect() as client:
        answer = client.ask(head)
        assert answer.status == 413
        assert answer.headers["connection"] == "close"


def test_other_expectations_are_refused(gateway: Running) -> None:
    with gateway.connect() as client:
        answer = client.ask(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nv")
        assert (answer.status, code(answer)) == (400, "BAD_HEADER")


# Forms of a request.


def test_an_absolute_target_is_its_path(gateway: Running) -> None:
    with gateway.connect() as client:
        client.ask(put("absolute", b"here"))
        assert client.ask(b"GET http://any:1/v1/kv/absolute HTTP/1.1\r\nHost: x\r\n\r\n").body == b"here"
        assert client.ask(b"GET HTTPS://any/livez HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
        assert client.ask(b"GET http://any?x HTTP/1.1\r\nHost: x\r\n\r\n").status in {307, 400}


def test_options_of_the_server(gateway: Running) -> None:
    with gateway.connect() as client:
        assert client.ask(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").headers["allow"]
        assert client.ask(b"OPTIONS /v1/limits HTTP/1.1\r\nHost: x\r\n\r\n").headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/kv/none HTTP/1.0\r\n\r\n",
        b"GET /v1/kv/none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.0\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_the_last_answer_says_so(gateway: Running, head: bytes) -> None:
    with gateway.connect() as client:
        answer = client.ask(head + put("too-late"))
        assert answer.status == 404
        assert answer.headers["connection"] == "close"
        assert client.is_closed()
    assert b"too-late" not in gateway.fake.items


def test_a_client_that_has_said_all_still_gets_its_answers(gateway: Running) -> None:
    gateway.fake.is_patient = True
    with gateway.connect() as client:
        client.send(put("half") + GET)
        eventually(lambda: len(gateway.fake.waiting) == 2)
        client.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        gateway.do(gateway.fake.release)
        gateway.fake.is_patient = False
        assert client.read_answer().status == 204
        assert client.read_answer().headers["connection"] == "close"
        assert client.is_closed()


def test_a_client_that_left_is_forgotten(gateway: Running) -> None:
    """It may only have said all it had to say: it is gone once its answer finds nobody."""
    gateway.fake.is_patient = True
    with gateway.connect() as client:
        client.send(put("left") + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: len(gateway.fake.waiting) == 1)
    gateway.do(gateway.fake.release)
    gateway.fake.is_patient = False

    eventually(lambda: not gateway.server.server_state.connections)
    with gateway.connect() as client:
        assert client.ask(put("after")).status == 204


# The server.


def test_a_failing_handler_is_a_500_and_no_more(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: Request) -> Answer:
        raise RuntimeError("secret detail")

    with gateway.connect() as client:
        with monkeypatch.context() as patch:
            patch.setattr(gateway.app.state.gateway.kv, "handle", fail)
            answer = client.ask(GET)
        assert (answer.status, code(answer)) == (500, "INTERNAL")
        assert b"secret" not in answer.body
        assert client.ask(put("after")).status == 204


def test_connections_are_capped() -> None:
    with running(settings_with(connections_max=2)) as gateway, gateway.connect() as one, gateway.connect() as two:
        assert one.ask(GET).status == two.ask(GET).status == 404
        with gateway.connect() as three:
            answer = three.read_answer()
            assert (answer.status, code(answer)) == (503, "TOO_MANY_CONNECTIONS")
            assert three.is_closed()
        one.socket.close()
        eventually(lambda: len(gateway.server.server_state.connections) == 1)
        with gateway.connect() as three:
            assert three.ask(GET).status == 404


def test_before_it_is_open_the_gateway_says_so() -> None:
    with running(is_open=False) as gateway, gateway.connect() as client:
        assert client.ask(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
        for request in (
            GET,
            put("k"),
            b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/cluster HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            answer = client.ask(request)
            assert (answer.status, code(answer)) == (503, "NOT_READY")
            assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("request_", [GET, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_node_that_drains_ends_each_connection_with_an_answer(request_: bytes) -> None:
    """Else a client that asks in the moment in which the node stops would not know what became of it."""
    with running() as gateway, gateway.connect() as client:
        assert "connection" not in client.ask(request_).headers
        gateway.do(gateway.app.state.gateway.drain)

        assert client.ask(request_).headers["connection"] == "close"
        assert client.is_closed()


def test_stopping_answers_what_is_open_and_closes_the_rest() -> None:
    with running() as gateway:
        gateway.fake.is_patient = True
        busy, idle, half, asgi = (Client(gateway.port) for _ in range(4))
        assert idle.ask(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
        half.send(b"GET /v1/kv/k HT")
        busy.send(put("open"))
        eventually(lambda: len(gateway.fake.waiting) == 1)
        asgi.send(GET)
        eventually(lambda: len(gateway.fake.waiting) == 2)

        gateway.server.should_exit = True
        assert idle.is_closed()
        assert half.is_closed()
        gateway.do(gateway.fake.release)
        for client in (busy, asgi):
            assert client.read_answer().headers["connection"] == "close"
            assert client.is_closed()
    assert gateway.fake.items[b"open"].value == b"v"
    for client in (busy, idle, half, asgi):
        client.socket.close()
