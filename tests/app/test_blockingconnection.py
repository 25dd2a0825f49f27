"""One connection of a thread, against servers that end it, lie, drip, or answer early."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.blockingconnection import BlockingConnection
from app.httpwire import NotAnAnswerError, encode_request
from tests.app.running import eventually

GET = encode_request("GET", "h", "/", {})
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def connected(serve: Callable[[socket.socket], None]) -> Iterator[BlockingConnection]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            link, _ = listener.accept()
            with link, contextlib.suppress(OSError):  # The test may have ended meanwhile.
                serve(link)

        thread = threading.Thread(target=run)
        thread.start()
        connection = BlockingConnection.open("127.0.0.1", listener.getsockname()[1], 5)
        try:
            yield connection
        finally:
            connection.close()
            thread.join(10)


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    def serve(link: socket.socket) -> None:
        for answer in answers:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += link.recv(100)
            link.sendall(answer)
        link.recv(1)

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    ],
)
def test_answers_are_framed_and_the_connection_stays(answer: bytes) -> None:
    with connected(answering(answer, answer)) as connection:
        for _ in range(2):
            found = connection.exchange(GET, is_head=False, timeout_seconds=5)

            assert (found.status, found.body, connection.is_open) == (200, b"ok", True)


def test_an_answer_may_end_with_the_connection() -> None:
    def serve(link: socket.socket) -> None:
        link.recv(1_000)
        link.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")

    with connected(serve) as connection:
        assert connection.exchange(GET, is_head=False, timeout_seconds=5).body == b"ok"
        assert not connection.is_open


def test_an_answer_to_head_has_no_body_and_the_connection_stays() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    with connected(answering(head, OK)) as connection:
        found = connection.exchange(encode_request("HEAD", "h", "/", {}), is_head=True, timeout_seconds=5)

        assert (found.status, found.headers["content-length"], found.body) == (200, "5", b"")
        assert connection.is_open
        assert connection.exchange(GET, is_head=False, timeout_seconds=5).body == b"ok"


@pytest.mark.parametrize("cut", [b"", b"HTT", OK[:-1], OK[:30]])
def test_an_answer_that_is_cut_off_is_none(cut: bytes) -> None:
    def serve(link: socket.socket) -> None:
        link.recv(1_000)
        link.sendall(cut)

    with connected(serve) as connection, pytest.raises(NotAnAnswerError, match="closed the connection"):
        connection.exchange(GET, is_head=False, timeout_seconds=5)


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 19)])
def test_what_no_gateway_says_is_no_answer(said: bytes) -> None:
    with connected(answering(said)) as connection, pytest.raises((NotAnAnswerError, ConnectionError)):
        connection.exchange(GET, is_head=False, timeout_seconds=5)


def test_a_connection_that_was_ended_or_spoken_on_is_not_used_again() -> None:
    for more in (b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"):

        def serve(link: socket.socket, more: bytes = more) -> None:
            link.recv(1_000)
            link.sendall(OK)
            link.sendall(more)

        with connected(serve) as connection:
            connection.exchange(GET, is_head=False, timeout_seconds=5)
            eventually(lambda: not connection.is_open)  # it is called here


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    """The time is of the whole answer, and not of each of its bytes."""
    is_over = threading.Event()

    def serve(link: socket.socket) -> None:
        link.recv(1_000)
        for number in range(1_000):
            if is_over.wait(0.02):
                return
            link.sendall(OK[number : number + 1] if number < 40 else b"")

    with connected(serve) as connection:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.exchange(GET, is_head=False, timeout_seconds=0.2)
        is_over.set()

        assert time.monotonic() - started < 2


def test_a_long_body_that_is_refused_early_gets_its_answer() -> None:
    """Who sends on regardless is cut off, and does not know why."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    may_end = threading.Event()

    def serve(link: socket.socket) -> None:
        link.recv(1_000)
        link.sendall(refusal)
        may_end.wait(10)

    with connected(serve) as connection:
        body = b"x" * (32 << 20)
        found = connection.exchange(encode_request("PUT", "h", "/", {}, body), is_head=False, timeout_seconds=10)
        may_end.set()

        assert (found.status, connection.is_open) == (413, False)


def test_a_reader_that_does_not_read_is_given_up_in_time() -> None:
    is_over = threading.Event()
    with connected(lambda link: (is_over.wait(10), None)[1]) as connection:
        request = encode_request("PUT", "h", "/", {}, b"x" * (32 << 20))
        with pytest.raises(TimeoutError):
            connection.exchange(request, is_head=False, timeout_seconds=0.2)
        is_over.set()
