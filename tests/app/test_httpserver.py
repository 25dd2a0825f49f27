"""The end of the HTTP server: whoever comes in time is answered, and told that it is the last answer."""

import json
import time
from collections.abc import Iterator

import pytest

from app import httpserver
from tests.app.running import GET, SETTINGS, Client, Running, eventually, put, running

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A gateway that a test stops, and which is patient with slow tests."""
    monkeypatch.setattr(httpserver, "CALM_SECONDS", 30.0)
    with running(SETTINGS) as gateway:
        yield gateway


def stop(gateway: Running) -> None:
    gateway.do(lambda: setattr(gateway.server, "should_exit", True))
    eventually(lambda: not gateway.app.state.gateway.patrol.keeps_alive)


@pytest.mark.parametrize("asked", [GET, LIVEZ, put("k"), b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_connection_in_use_is_told_that_it_ends(stopping: Running, asked: bytes) -> None:
    with stopping.connect() as client, stopping.connect() as other:
        client.ask(asked)
        other.ask(GET)
        stop(stopping)
        assert client.ask(asked).headers["connection"] == "close"
        assert client.is_closed()


@pytest.mark.parametrize(
    "pair", [GET + GET, GET + LIVEZ, LIVEZ + GET, put("a") + b"GET /v1/kv/%zz HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_what_came_in_together_is_answered_together(stopping: Running, pair: bytes) -> None:
    with stopping.connect() as client:
        client.ask(GET)
        stop(stopping)
        client.send(pair)
        assert "connection" not in client.read_answer().headers
        assert client.read_answer().headers["connection"] == "close"
        assert client.is_closed()


def test_a_connection_that_has_not_asked_yet_may(stopping: Running) -> None:
    with stopping.connect() as client:
        stop(stopping)
        assert client.ask(put("late")).status == 204
    assert b"late" in stopping.fake.items


def test_what_is_on_its_way_is_answered(stopping: Running) -> None:
    stopping.fake.is_patient = True
    with stopping.connect() as client, stopping.connect() as other:
        client.send(put("a") + put("b"))
        other.send(put("c")[:-1])
        eventually(lambda: len(stopping.fake.waiting) == 2)
        stop(stopping)
        other.send(b"v")
        eventually(lambda: len(stopping.fake.waiting) == 3)
        stopping.do(stopping.fake.release)
        assert "connection" not in client.read_answer().headers
        for one in (client, other):
            answer = one.read_answer()
            assert (answer.status, answer.headers["connection"]) == (204, "close")
            assert one.is_closed()


def test_what_is_never_answered_is_said_to_be_unknown(stopping: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "CALM_SECONDS", 0.05)
    monkeypatch.setattr(httpserver, "FINISH_SECONDS", 0.05)
    stopping.fake.is_patient = True
    with stopping.connect() as client, stopping.connect() as reader:
        client.send(put("a") + put("a"))  # of one key: the second is not even begun
        reader.send(GET)
        eventually(lambda: len(stopping.fake.waiting) == 2)
        stop(stopping)
        told = [json.loads(client.read_answer().body) for _ in range(2)]
        assert [(one["status"], one["outcome"]) for one in told] == [(504, "unknown")] * 2
        assert json.loads(reader.read_answer().body)["outcome"] == "not_applied"
        assert client.is_closed()
        stopping.do(stopping.fake.release)


def test_a_request_that_does_not_come_in_whole_is_refused(stopping: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "CALM_SECONDS", 0.05)
    with stopping.connect() as head, stopping.connect() as body:
        head.send(put("k")[:20])
        body.send(put("k")[:-1])
        stop(stopping)
        answer = body.read_answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (503, "DRAINING")
        assert body.is_closed() and head.is_closed()
    assert not stopping.fake.items


def test_a_stream_ends_with_a_place_to_go_on(stopping: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "CALM_SECONDS", 0.05)
    with stopping.connect() as client:
        client.send(b"GET /v1/watch?prefix= HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        received = b""
        while b"event: ready" not in received:
            received += client.socket.recv(65_536)
        stopping.do(stopping.app.state.gateway.end)
        stop(stopping)
        while data := client.socket.recv(65_536):
            received += data
    last = received.rpartition(b"event: error\n")[2]
    assert b"id: w" in last and b"DRAINING" in last and received.endswith(b"\r\n0\r\n\r\n")


def test_an_idle_connection_does_not_keep_it(stopping: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "CALM_SECONDS", 0.05)
    with stopping.connect() as client:
        client.ask(GET)
        stop(stopping)
        assert client.is_closed()


def test_who_is_hurried_waits_for_nobody(stopping: Running) -> None:
    """What is open for ever would be waited for."""
    stopping.fake.is_patient = True
    with stopping.connect() as client:
        client.send(GET)
        eventually(lambda: len(stopping.fake.waiting) == 1)
        stop(stopping)
        began = time.monotonic()
        stopping.do(stopping.server.hurried.set)
        assert client.read_answer().status == 504
        assert client.is_closed()
        assert time.monotonic() - began < httpserver.CALM_SECONDS


def test_who_has_connected_before_the_end_is_served(stopping: Running) -> None:
    """The kernel has accepted it, and nobody else yet: closed with the listening socket it would be reset."""
    waiting: list[Client] = []

    def connect() -> None:
        # On the loop's own thread, which therefore cannot accept them; nor does it before it looks for events again.
        stopping.server.servers[0].close()
        waiting.extend(stopping.connect() for _ in range(5))

    stopping.do(connect)
    stop(stopping)
    for client in waiting:
        with client:
            answer = client.ask(GET)
            assert (answer.status, answer.headers["connection"]) == (404, "close")
