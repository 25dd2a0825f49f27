"""One HTTP/1.1 connection to a gateway, for threads: one request at a time, and whoever sends it waits."""

import select
import socket
import time
from typing import Self

from app.clienterrors import Response
from app.httpwire import ResponseParser

_READ_BYTES = 1 << 18
_POLLS_FROM_BYTES = 1 << 16  # what is shorter fits into the socket's buffer


class BlockingConnection:
    """Sends a request and reads its answer, all within one time."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._parser = ResponseParser()

    @classmethod
    def open(cls, host: str, port: int, timeout_seconds: float) -> Self:
        """Raises: OSError when nobody listens there."""
        link = socket.create_connection((host, port), timeout_seconds)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(link)

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent: the other side has not ended it, nor said anything unasked."""
        if not self._parser.keeps_alive or self._parser.waits or self._link.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        return not poll.poll(0)

    def exchange(self, request: bytes, *, is_head: bool, timeout_seconds: float) -> Response:
        """The whole answer. Raises: OSError, TimeoutError among them; NotAnAnswerError."""
        deadline = time.monotonic() + timeout_seconds
        self._write(request, deadline, is_head=is_head)
        while not (found := self._parser.feed(data) if (data := self._read(deadline)) else self._parser.end()):
            pass
        return found[0]

    def begin(self, request: bytes, timeout_seconds: float) -> Response:
        """The head of an answer that is then read as it comes; the whole of it, if it is another than 200.

        Raises: as exchange.
        """
        deadline = time.monotonic() + timeout_seconds
        self._write(request, deadline, is_head=False)
        while True:
            data = self._read(deadline)
            found = self._parser.feed(data) if data else self._parser.end()
            if found:
                return found[0]
            if self._parser.head is not None and self._parser.head.status == 200:
                return self._parser.head

    def read(self, timeout_seconds: float) -> bytes:
        """What comes next of the body; empty at its end. Raises: as exchange."""
        deadline = time.monotonic() + timeout_seconds
        while not (body := self._parser.take_body()):
            if not self._parser.waits:
                return b""
            data = self._read(deadline)
            found = self._parser.feed(data) if data else self._parser.end()
            if found:
                return found[0].body
        return body

    def close(self) -> None:
        self._link.close()

    def end(self) -> None:
        """Have whoever reads it come to its end: a socket that is closed under its reader would not."""
        try:
            self._link.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # It has ended by itself.

    def _write(self, request: bytes, deadline: float, *, is_head: bool) -> None:
        self._parser.asked(is_head=is_head)
        self._link.settimeout(max(0.0, deadline - time.monotonic()) or 1e-3)
        if len(request) < _POLLS_FROM_BYTES:
            self._link.sendall(request)
            return
        # A gateway that refuses so long a body answers before it is all there, and reads no further.
        rest = memoryview(request)
        poll = select.poll()
        poll.register(self._link, select.POLLIN | select.POLLOUT)
        while rest:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1_000)
            if not ready:
                raise TimeoutError
            if ready[0][1] & (select.POLLIN | select.POLLHUP | select.POLLERR):
                return
            rest = rest[self._link.send(rest[:_READ_BYTES]) :]

    def _read(self, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._link.settimeout(left)
        return self._link.recv(_READ_BYTES)
