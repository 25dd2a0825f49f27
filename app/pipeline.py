"""Pipelines: many requests at once over one connection a gateway, for whoever has thousands of them: `ringkv load`."""

import asyncio

from app.asyncclient import AsyncClient
from app.asyncsending import AsyncSender
from app.asyncturns import AsyncTurn
from app.attempts import Send
from app.clienterrors import ClientClosedError, ClientError, Response
from app.connection import Connection, ConnectionLostError
from app.forks import never_collect, tell_of_forks
from app.sending import CONNECT_SECONDS_MAX, request_of, unanswered, unreachable
from app.urls import place_of

CALLS_MAX = 1_024  # on their way at once


class PipelinedClient(AsyncClient):
    """An AsyncClient that sends its requests through Pipelines."""

    _is_even = True  # Answers come in their order: one that is late may be so because of those before it.

    def make_sender(self) -> AsyncSender:
        return Pipelines()


class Pipelines:
    """One connection to each gateway, opened when first needed and again after it was lost; all in one event loop."""

    def __init__(self) -> None:
        self._is_closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._turns = asyncio.Semaphore(CALLS_MAX)
        self._pipelines: dict[str, _Pipeline] = {}

    def forked(self) -> None:
        """As ConnectionSender.forked."""
        pipelines = self._pipelines
        self._begin()
        never_collect(pipelines)
        for pipeline in pipelines.values():
            pipeline.let_go()

    def turn(self) -> AsyncTurn:
        return AsyncTurn(self._turns)

    async def send(self, step: Send) -> Response | ClientError:
        if self._is_closed:
            return ClientClosedError()
        pipeline = self._pipelines.get(step.url)
        if pipeline is None:
            pipeline = self._pipelines[step.url] = _Pipeline(step.url)
        return await pipeline.send(step)

    async def close(self) -> None:
        self._is_closed = True
        for pipeline in self._pipelines.values():
            pipeline.close()


class _Pipeline:
    """One URL, and the connection to it while there is one."""

    def __init__(self, url: str) -> None:
        self._host, self._port = place_of(url)
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def let_go(self) -> None:
        if self._connection is not None:
            self._connection.let_go()

    async def send(self, step: Send) -> Response | ClientError:
        try:
            connection = await self._connect(min(step.timeout_seconds, CONNECT_SECONDS_MAX))
        except OSError as error:
            return unreachable(step, error)
        try:
            async with asyncio.timeout(step.timeout_seconds):
                return await connection.send(request_of(step), is_head=step.method == "HEAD")
        except TimeoutError as error:
            connection.close()  # Answers come in order: those behind the missing one would wait as long.
            return unanswered(step, error)
        except ConnectionLostError as error:
            return unanswered(step, error)

    async def _connect(self, timeout_seconds: float) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                async with asyncio.timeout(timeout_seconds):
                    self._connection = await Connection.open(self._host, self._port)
            return self._connection
