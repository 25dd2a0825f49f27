"""One HTTP/1.1 connection to a gateway whose answer is read as it comes, for asyncio."""

import asyncio
from typing import Self

from app.clienterrors import Response
from app.forks import let_go
from app.httpwire import ResponseParser

_READ_BYTES = 1 << 16


class StreamConnection:
    """Sends one request and reads its answer; as the second half of BlockingConnection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = ResponseParser()

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Raises: OSError when nobody listens there."""
        return cls(*await asyncio.open_connection(host, port))

    async def begin(self, request: bytes) -> Response:
        """The head of the answer; the whole of it, if it is another than 200. Raises: OSError, NotAnAnswerError."""
        self._parser.asked()
        self._writer.write(request)
        while True:
            found = await self._feed()
            if found:
                return found[0]
            if self._parser.head is not None and self._parser.head.status == 200:
                return self._parser.head

    async def read(self, timeout_seconds: float) -> bytes:
        """What comes next of the body; empty at its end. Raises: OSError, NotAnAnswerError."""
        async with asyncio.timeout(timeout_seconds):
            while not (body := self._parser.take_body()):
                if not self._parser.waits:
                    return b""
                found = await self._feed()
                if found:
                    return found[0].body
            return body

    def close(self) -> None:
        """Cut it at once: whoever reads it comes to its end."""
        self._writer.transport.abort()

    def let_go(self) -> None:
        """This process is a child of the one that opened it."""
        let_go(self._writer.get_extra_info("socket").fileno())

    async def _feed(self) -> list[Response]:
        data = await self._reader.read(_READ_BYTES)
        return self._parser.feed(data) if data else self._parser.end()
