"""One HTTP/1.1 connection to a gateway, pipelined: many requests may be on their way at once.

Answers come in the order of the requests (RFC 9112, section 9.3.2). A connection that is lost fails every request
it still carries; whether those were served is then unknown.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Self, cast

import httptools

from app.clienterrors import Response


class ConnectionLostError(Exception):
    """The connection ended with the request on its way: whether it was served is unknown."""


class Connection(asyncio.Protocol):
    """Sends requests as they come, one write per loop turn, and matches answers to them in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: deque[tuple[asyncio.Future[Response], bool]] = deque()
        self._outgoing: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Raises: OSError when nobody listens there."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, *, is_head: bool = False) -> asyncio.Future[Response]:
        """The answer to one encoded request. Raises (in the future): ConnectionLostError.

        The answer to HEAD ends the connection: nothing in it says that its body is not to come.
        """
        answer: asyncio.Future[Response] = self._loop.create_future()
        if not self.is_open:
            answer.set_exception(ConnectionLostError("the connection is closed"))
            return answer
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing.append(request)
        self._waiting.append((answer, is_head))
        return answer

    def close(self) -> None:
        """Cuts the connection at once: requests on their way are lost."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        if self._transport is not None and self.is_open:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ConnectionLostError(str(exc or "the gateway closed the connection")))

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._waiting and self._waiting[0][1]:
            self._answered()
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self.is_open:
            return  # What comes behind the last answer is none.
        if not self._waiting:
            self.close()  # An answer nobody asked for: whatever speaks there, it is no gateway.
            return
        self._answered()
        if not self._parser.should_keep_alive():
            self.close()

    def _answered(self) -> None:
        answer, _ = self._waiting.popleft()
        if not answer.done():
            answer.set_result(Response(self._parser.get_status_code(), self._headers, b"".join(self._body)))


def encode_request(method: str, host: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request; a body always goes with its length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method not in {"GET", "HEAD", "DELETE"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body
