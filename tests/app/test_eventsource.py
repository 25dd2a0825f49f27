"""An event source over gateways that answer as a script says."""

import socket
import threading
from collections.abc import Iterator

import pytest

from app.eventsource import Event, EventSource, EventSourceError, parse_events

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
READY = b"retry: 500\nevent: ready\nid: w1.0\ndata: {}\n\n"


def put(number: int) -> bytes:
    return b"event: put\nid: w1.%d\ndata: %d\n\n" % (number, number)


def problem(status: int, detail: str) -> bytes:
    body = b'{"detail":"%b"}' % detail.encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Scripted:
    """Answers one connection after the other, each with bytes, and then closes it.

    asked  the ids that requests came with
    """

    def __init__(self, *answers: bytes) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            link, _ = self._listener.accept()
            with link:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += link.recv(65_536)
                lines = request.decode().split("\r\n")
                self.asked += [line[15:] for line in lines if line.startswith("Last-Event-ID: ")] or [""]
                link.sendall(answer)
        self._listener.close()


def read(*gateways: Scripted, after: str = "", timeout_seconds: float = 0.0) -> tuple[list[str], str]:
    """The data of all events, and why there are no more."""
    source = EventSource(
        [gateway.url for gateway in gateways],
        "/v1/watch?key=k",
        after=after,
        timeout_seconds=timeout_seconds or 1e-9,
        sleep=lambda seconds: None,
    )
    found: list[str] = []
    with pytest.raises(EventSourceError) as failure:
        found.extend(event.data for event in source.events())
    return found, str(failure.value)


def test_events_are_told_as_they_come() -> None:
    lines = [*READY.splitlines(True), b": heartbeat\n", b"id: w1.5\n", b"\n", *put(7).splitlines(True), b"event: put\n"]

    assert list(parse_events(lines)) == [
        Event("ready", "w1.0", "{}"),
        Event("message", "w1.5", ""),
        Event("put", "w1.7", "7"),
    ]


@pytest.mark.parametrize("cut", range(1, len(put(2))))
def test_an_event_that_was_cut_off_is_asked_for_again(cut: int) -> None:
    """Wherever the stream was lost, at whichever gateway it goes on."""
    first, second = Scripted(HEAD + READY + put(1) + put(2)[:-cut]), Scripted(HEAD + put(2), b"", problem(400, "end"))
    source = EventSource([first.url, second.url], "/", timeout_seconds=5, sleep=lambda seconds: None)
    events = source.events()

    assert [next(events).data for _ in range(3)] == ["{}", "1", "2"]
    assert second.asked == ["w1.1"]


def test_a_comment_moves_the_id_on() -> None:
    gateway = Scripted(HEAD + READY + b": heartbeat\nid: w1.9\n\n", HEAD + put(10), problem(400, "enough"))

    assert read(gateway, timeout_seconds=5) == (["{}", "10"], "enough (status 400)")
    assert gateway.asked == ["", "w1.9", "w1.10"]


def test_one_begins_after_an_id() -> None:
    gateway = Scripted(problem(410, "not kept any more"))

    assert read(gateway, after="w1.3") == ([], "not kept any more (status 410)")
    assert gateway.asked == ["w1.3"]


@pytest.mark.parametrize("answer", [problem(503, "no quorum"), b"", HEAD + b'event: error\ndata: {"detail":"bye"}\n\n'])
def test_what_may_pass_is_tried_elsewhere(answer: bytes) -> None:
    bad, good = Scripted(answer), Scripted(HEAD + put(1))
    source = EventSource([bad.url, good.url], "/", timeout_seconds=5, sleep=lambda seconds: None)

    assert next(source.events()).data == "1"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (problem(503, "no quorum"), "no quorum (status 503)"),
        (HEAD + b'event: error\ndata: {"detail":"bye"}\n\n', "bye"),
        (HEAD + b"event: error\ndata: x\n\n", "the gateway gave no reason"),
    ],
)
def test_it_gives_up_in_the_end(answer: bytes, reason: str) -> None:
    assert read(Scripted(answer)) == ([], reason)


def unreachable() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def test_nobody_there_is_told_in_one_line() -> None:
    [url] = unreachable()
    with pytest.raises(EventSourceError, match="refused"):
        next(EventSource([url], "/", timeout_seconds=1e-9).events())


@pytest.mark.parametrize("url", ["localhost:8001", "https://x:1", "http://:1", "http://x:y"])
def test_what_is_no_gateway_is_refused(url: str) -> None:
    with pytest.raises(EventSourceError, match="URL"):
        EventSource([url], "/")
