"""AsyncWatch: what brings a watch its streams, for asyncio; as watchstream.py."""

import asyncio
import time
from collections.abc import Callable
from typing import Never, Self

from app import watchstream
from app.asyncsending import run_async
from app.attempts import Gateways, Pause, Send
from app.clienterrors import ClientError, CompactedError, InvalidArgumentTypeError, Response
from app.clientwatch import Change, Following
from app.forks import never_collect, tell_of_forks
from app.httpwire import NotAnAnswerError
from app.sending import CONNECT_SECONDS_MAX, request_of, unanswered, unreachable
from app.streamconnection import StreamConnection
from app.urls import place_of
from app.watchstream import OnPause, StepsOf, WatchClosedError


class AsyncWatch:
    """Changes as they happen, for asyncio: as Watch, to be awaited."""

    def __init__(self, following: Following, steps_of: StepsOf, gateways: Gateways, on_pause: OnPause) -> None:
        self._following = following
        self._steps_of = steps_of
        self._gateways = gateways
        self._on_pause = on_pause
        self._url = ""
        self._is_closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._connection: StreamConnection | None = None
        self._closed = asyncio.Event()
        self._turn = asyncio.Lock()
        if self._is_closed:
            self._closed.set()

    def forked(self) -> None:
        """As Watch.forked."""
        connection = self._connection
        never_collect((connection, self._closed, self._turn))
        self._begin()
        if connection is not None:
            connection.let_go()
        self._following.rewind()

    def __reduce__(self) -> Never:
        raise InvalidArgumentTypeError("a watch cannot be pickled or copied: begin another, after its id")

    @property
    def id(self) -> str:
        return self._following.id

    async def __aenter__(self) -> Self:
        """As Watch.__enter__."""
        await self._until(lambda: self._following.has_begun)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """As Watch.__next__."""
        found: list[Change] = []
        await self._until(lambda: self._following.take_into(found))
        if not found:
            raise StopAsyncIteration
        return found[0]

    async def close(self) -> None:
        """End it, whoever waits for its next change."""
        self._is_closed = True
        self._closed.set()
        self._drop()
        async with self._turn:  # Whoever was just opening a stream has one now.
            self._drop()

    async def _until(self, is_enough: Callable[[], bool]) -> None:
        async with self._turn:
            try:
                while not self._closed.is_set() and not is_enough():
                    await self._advance()
            except WatchClosedError:
                self._drop()
            except BaseException as error:
                self._drop()
                if isinstance(error, ClientError):
                    self._is_closed = True
                    self._closed.set()
                raise

    async def _advance(self) -> None:
        if self._connection is None:
            try:
                await run_async(self._steps_of(self._following.call()), self._send, self._pause)
            except CompactedError:
                if not self._following.falls_back():
                    raise
            finally:
                self._on_pause(None)
            return
        try:
            data = await self._connection.read(watchstream.SILENCE_SECONDS)
        except (OSError, NotAnAnswerError):
            data = b""
        if not self._closed.is_set() and not (data and self._following.received(data)):
            self._drop()
            self._gateways.failed(self._url, time.monotonic())
            await self._sleep(self._following.lost())

    async def _send(self, step: Send) -> Response | ClientError:
        if self._closed.is_set():
            raise WatchClosedError
        try:
            async with asyncio.timeout(min(step.timeout_seconds, CONNECT_SECONDS_MAX)):
                connection = await StreamConnection.open(*place_of(step.url))
        except OSError as error:
            return unreachable(step, error)
        self._connection, self._url = connection, step.url
        try:
            async with asyncio.timeout(step.timeout_seconds):
                answer = await connection.begin(request_of(step))
        except (OSError, NotAnAnswerError) as error:
            self._drop()
            return unanswered(step, error)
        if answer.status != 200:
            self._drop()
        return answer

    async def _pause(self, step: Pause) -> None:
        self._on_pause(step)
        await self._sleep(step.seconds)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
