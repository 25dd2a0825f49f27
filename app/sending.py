"""Senders: what brings one request of a client to one gateway, and what drives them; over httpx."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

import httpx

from app.attempts import Pause, Send, Steps
from app.clienterrors import ClientError, OutcomeUnknownError, Response, UnreachableError

CONNECT_SECONDS_MAX = 1.0
CONNECTIONS_MAX = 16  # to each gateway; more serve no more at once, and httpx looks at each for every request
IDLE_SECONDS = 60.0  # less than a gateway keeps an idle connection

T = TypeVar("T")

_HEADERS = {"User-Agent": "ringkv", "Accept-Encoding": "identity"}
_LIMITS = httpx.Limits(
    max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX, keepalive_expiry=IDLE_SECONDS
)


def run(
    steps: Steps[T],
    send: Callable[[Send], Response | ClientError],
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """The result of steps. Raises: what they raise."""
    answer: Response | ClientError | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)
        if isinstance(step, Pause):
            sleep(step.seconds)
            answer = None
        else:
            answer = send(step)


async def run_async(
    steps: Steps[T],
    send: Callable[[Send], Awaitable[Response | ClientError]],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """As run, where sending is awaited."""
    answer: Response | ClientError | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)
        if isinstance(step, Pause):
            await sleep(step.seconds)
            answer = None
        else:
            answer = await send(step)


class Sender:
    """What a Client sends with.

    Each gateway has a pool of its own: a shared one that is full closes the connections to one for those to another.
    """

    def __init__(self) -> None:
        self._http: dict[str, httpx.Client] = {}

    def close(self) -> None:
        for http in self._http.values():
            http.close()

    def send(self, step: Send) -> Response | ClientError:
        try:
            http = self._http.get(step.url)
            if http is None:
                made = httpx.Client(transport=transport(httpx.HTTPTransport), trust_env=False)
                http = self._http.setdefault(step.url, made)
            return _whole(http.send(request_of(step)))
        except httpx.HTTPError as error:
            return failure_of(step, error)


class AsyncSender(Protocol):
    """What brings one request to one gateway."""

    async def send(self, step: Send) -> Response | ClientError: ...

    async def close(self) -> None: ...


class HttpxSender:
    """What an AsyncClient sends with unless it is told otherwise; as Sender."""

    def __init__(self) -> None:
        self._http: dict[str, httpx.AsyncClient] = {}

    async def close(self) -> None:
        for http in self._http.values():
            await http.aclose()

    async def send(self, step: Send) -> Response | ClientError:
        try:
            async with asyncio.timeout(step.timeout_seconds):
                http = self._http.get(step.url)
                if http is None:
                    made = httpx.AsyncClient(transport=transport(httpx.AsyncHTTPTransport), trust_env=False)
                    http = self._http[step.url] = made
                return _whole(await http.send(request_of(step)))
        except (httpx.HTTPError, TimeoutError) as error:
            return failure_of(step, error)


def transport(kind: type[T]) -> T:
    """With an SSL context that trusts nobody, as no URL here needs one: reading all authorities would take longer."""
    return kind(limits=_LIMITS, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # type: ignore[call-arg]  # of both


def request_of(step: Send) -> httpx.Request:
    """The request of a step, with its timeouts."""
    seconds = step.timeout_seconds
    timeout = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS_MAX))
    return httpx.Request(
        step.method,
        step.url + step.target,
        headers={**_HEADERS, **step.headers},
        content=step.body,
        extensions={"timeout": timeout.as_dict()},
    )


def response_of(answer: httpx.Response, body: bytes) -> Response:
    """An answer with what has been read of it."""
    return Response(answer.status_code, {name.lower(): text for name, text in answer.headers.items()}, body)


def _whole(answer: httpx.Response) -> Response:
    return response_of(answer, answer.content)


def failure_of(step: Send, error: httpx.HTTPError | TimeoutError) -> ClientError:
    """What became of a step that httpx could not bring to an answer."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return UnreachableError(f"cannot reach {step.url}: {_reason(error)}")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        text = f"{step.url} did not answer within {step.timeout_seconds:.3g} s"
        return OutcomeUnknownError(text, is_write=step.is_write)
    text = f"{step.url} was lost before it answered: {str(error) or type(error).__name__}"
    return OutcomeUnknownError(text, is_write=step.is_write)


def _reason(error: BaseException) -> str:
    """Plain words: what lies at the bottom says it best."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error)
