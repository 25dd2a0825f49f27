"""One HTTP/1.1 connection to a gateway, pipelined: many requests may be on their way at once.

Answers come in the order of the requests (RFC 9112, section 9.3.2). A connection that is lost fails every request
it still carries; whether those were served is then unknown.
"""

import asyncio
from collections import deque
from typing import Self, cast

from app.clienterrors import Response
from app.forks import let_go
from app.httpwire import NotAnAnswerError, ResponseParser


class ConnectionLostError(Exception):
    """The connection ended with the request on its way: whether it was served is unknown."""


class Connection(asyncio.Protocol):
    """Sends requests as they come, one write per loop turn, and matches answers to them in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = ResponseParser()
        self._waiting: deque[asyncio.Future[Response]] = deque()
        self._outgoing: list[bytes] = []

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Raises: OSError when nobody listens there."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, *, is_head: bool = False) -> asyncio.Future[Response]:
        """The answer to one encoded request. Raises (in the future): ConnectionLostError."""
        answer: asyncio.Future[Response] = self._loop.create_future()
        if not self.is_open:
            answer.set_exception(ConnectionLostError("the connection is closed"))
            return answer
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing.append(request)
        self._parser.asked(is_head=is_head)
        self._waiting.append(answer)
        return answer

    def close(self) -> None:
        """Cuts the connection at once: requests on their way are lost."""
        if self._transport is not None:
            self._transport.abort()

    def let_go(self) -> None:
        """This process is a child of the one that opened it."""
        if self._transport is not None:
            let_go(self._transport.get_extra_info("socket").fileno())

    def _write(self) -> None:
        if self._transport is not None and self.is_open:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            answers = self._parser.feed(data)
        except NotAnAnswerError:
            self.close()
            return
        self._answered(answers)
        if not self._parser.keeps_alive:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        reason = str(exc or "")
        try:
            self._answered([] if exc else self._parser.end())
        except NotAnAnswerError as error:
            reason = str(error)
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(ConnectionLostError(reason))

    def _answered(self, answers: list[Response]) -> None:
        for response in answers:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(response)
