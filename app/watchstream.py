"""Watches as iterators: what brings a watch its streams over httpx, one after the other.

Each has a connection of its own, beside those of its client: a stream that is open would keep others waiting.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from socket import SHUT_RDWR
from typing import Any, Self

import httpx

from app.attempts import Gateways, Send, Steps
from app.calls import Call
from app.clienterrors import ClientError, Response
from app.clientwatch import Change, Following
from app.sending import failure_of, request_of, response_of, run, run_async, transport

# A gateway says something every ten seconds.
SILENCE_SECONDS = 25.0

StepsOf = Callable[[Call[None]], Steps[None]]


class Watch:
    """Changes as they happen, for threads: an iterator that ends only when it is closed, and a context manager.

    Entered, it has begun: every change from then on is told. It goes on at another gateway when its own is lost, and
    gives up when none has had the stream for as long as a call may take.

    id   from which another watch goes on right after what this one has handed out
    """

    def __init__(self, following: Following, steps_of: StepsOf, gateways: Gateways) -> None:
        self._following = following
        self._steps_of = steps_of
        self._gateways = gateways
        self._http: httpx.Client | None = None
        self._answer: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._url = ""
        self._closed = threading.Event()
        self._turn = threading.Lock()

    @property
    def id(self) -> str:
        return self._following.id

    def __enter__(self) -> Self:
        """Raises: CompactedError, if it cannot begin after the id that was given, and any ClientError."""
        self._until(lambda: self._following.has_begun)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        """Raises: CompactedError, when the changes after `id` are not kept any more, and any ClientError."""
        found: list[Change] = []
        self._until(lambda: self._following.take_into(found))
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """End it, whoever waits for its next change, in whichever thread."""
        self._closed.set()
        _wake(self._answer)
        with self._turn:
            self._drop()

    def _until(self, is_enough: Callable[[], bool]) -> None:
        """Read on; whatever it fails of, it is over."""
        with self._turn:
            try:
                while not self._closed.is_set() and not is_enough():
                    self._advance()
            except _ClosedError:
                self._drop()
            except BaseException as error:
                self._drop()
                if isinstance(error, ClientError):
                    self._closed.set()
                raise

    def _advance(self) -> None:
        if self._answer is None:
            run(self._steps_of(self._following.call()), self._send, self._closed.wait)
            return
        try:
            data = next(self._chunks, b"")
        except httpx.HTTPError:
            data = b""
        if not self._closed.is_set() and not (data and self._following.received(data)):
            self._drop()
            self._gateways.failed(self._url, time.monotonic())
            self._closed.wait(self._following.lost())

    def _send(self, step: Send) -> Response | ClientError:
        if self._closed.is_set():
            raise _ClosedError
        http = self._http = httpx.Client(transport=transport(httpx.HTTPTransport), trust_env=False)
        request = request_of(step)
        try:
            answer = http.send(request, stream=True)
            body = b"" if answer.status_code == 200 else answer.read()
        except httpx.HTTPError as error:
            self._drop()
            return failure_of(step, error)
        if answer.status_code != 200:
            self._drop()
            return response_of(answer, body)
        _expect_silence(request)
        self._answer, self._chunks, self._url = answer, answer.iter_raw(), step.url
        return response_of(answer, b"")

    def _drop(self) -> None:
        http, answer, self._http, self._answer = self._http, self._answer, None, None
        if answer is not None:
            answer.close()
        if http is not None:
            http.close()


class AsyncWatch:
    """Changes as they happen, for asyncio: as Watch, to be awaited."""

    def __init__(self, following: Following, steps_of: StepsOf, gateways: Gateways) -> None:
        self._following = following
        self._steps_of = steps_of
        self._gateways = gateways
        self._http: httpx.AsyncClient | None = None
        self._answer: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._url = ""
        self._closed = asyncio.Event()
        self._turn = asyncio.Lock()

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
        self._closed.set()
        _wake(self._answer)
        async with self._turn:
            await self._drop()

    async def _until(self, is_enough: Callable[[], bool]) -> None:
        async with self._turn:
            try:
                while not self._closed.is_set() and not is_enough():
                    await self._advance()
            except _ClosedError:
                await self._drop()
            except BaseException as error:
                await self._drop()
                if isinstance(error, ClientError):
                    self._closed.set()
                raise

    async def _advance(self) -> None:
        if self._answer is None or self._chunks is None:
            await run_async(self._steps_of(self._following.call()), self._send, self._sleep)
            return
        try:
            data = await anext(self._chunks, b"")
        except httpx.HTTPError:
            data = b""
        if not self._closed.is_set() and not (data and self._following.received(data)):
            await self._drop()
            self._gateways.failed(self._url, time.monotonic())
            await self._sleep(self._following.lost())

    async def _send(self, step: Send) -> Response | ClientError:
        if self._closed.is_set():
            raise _ClosedError
        http = self._http = httpx.AsyncClient(transport=transport(httpx.AsyncHTTPTransport), trust_env=False)
        request = request_of(step)
        try:
            async with asyncio.timeout(step.timeout_seconds):
                answer = await http.send(request, stream=True)
                body = b"" if answer.status_code == 200 else await answer.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            await self._drop()
            return failure_of(step, error)
        if answer.status_code != 200:
            await self._drop()
            return response_of(answer, body)
        _expect_silence(request)
        self._answer, self._chunks, self._url = answer, answer.aiter_raw(), step.url
        return response_of(answer, b"")

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _drop(self) -> None:
        http, answer, self._http, self._answer = self._http, self._answer, None, None
        if answer is not None:
            await answer.aclose()
        if http is not None:
            await http.aclose()


def _wake(answer: httpx.Response | None) -> None:
    """Have whoever reads it come to its end: a connection that is closed under its reader would not."""
    if answer is None:
        return
    try:
        socket: Any = answer.extensions["network_stream"].get_extra_info("socket")
        socket.shutdown(SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


def _expect_silence(request: httpx.Request) -> None:
    """From here on it is read in its own time; each read looks up anew how long it may take."""
    request.extensions["timeout"]["read"] = SILENCE_SECONDS


class _ClosedError(Exception):
    """It was closed while a stream was to be opened."""
