"""Pipelines: many requests at once over one connection a gateway, for whoever has thousands of them: `ringkv load`."""

import asyncio
from urllib.parse import urlsplit

from app.attempts import Send
from app.client import AsyncClient
from app.clienterrors import ClientError, OutcomeUnknownError, Response, UnreachableError
from app.connection import Connection, ConnectionLostError, encode_request
from app.sending import CONNECT_SECONDS_MAX, AsyncSender


class PipelinedClient(AsyncClient):
    """An AsyncClient that sends its requests through Pipelines."""

    def make_sender(self) -> AsyncSender:
        return Pipelines()


class Pipelines:
    """One connection to each gateway, opened when first needed and again after it was lost."""

    def __init__(self) -> None:
        self._pipelines: dict[str, _Pipeline] = {}

    async def send(self, step: Send) -> Response | ClientError:
        pipeline = self._pipelines.get(step.url)
        if pipeline is None:
            pipeline = self._pipelines[step.url] = _Pipeline(step.url)
        return await pipeline.send(step)

    async def close(self) -> None:
        for pipeline in self._pipelines.values():
            pipeline.close()


class _Pipeline:
    """One URL, and the connection to it while there is one."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._netloc = parts.hostname or "", parts.port or 80, parts.netloc
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def send(self, step: Send) -> Response | ClientError:
        try:
            connection = await self._connect(min(step.timeout_seconds, CONNECT_SECONDS_MAX))
        except OSError as error:
            return UnreachableError(f"cannot reach {step.url}: {_reason(error)}")
        try:
            async with asyncio.timeout(step.timeout_seconds):
                return await connection.send(
                    encode_request(step.method, self._netloc, step.target, step.headers, step.body),
                    is_head=step.method == "HEAD",
                )
        except TimeoutError:
            connection.close()  # Answers come in order: those behind the missing one would wait as long.
            text = f"{step.url} did not answer within {step.timeout_seconds:.3g} s"
        except ConnectionLostError as error:
            text = f"{step.url} was lost before it answered: {error}"
        return OutcomeUnknownError(text, is_write=step.is_write)

    async def _connect(self, timeout_seconds: float) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                async with asyncio.timeout(timeout_seconds):
                    self._connection = await Connection.open(self._host, self._port)
            return self._connection


def _reason(error: OSError) -> str:
    """Plain words: asyncio gives a refused connection a text of its own, and a timeout has none."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer"
    return error.strerror or str(error)
