"""Sender: what brings one request of a Client to one gateway; and what drives the steps of a call."""

import time
from collections.abc import Callable
from typing import TypeVar, cast

from app.attempts import Pause, Send, Steps
from app.blockingconnection import BlockingConnection
from app.clienterrors import ClientClosedError, ClientError, OutcomeUnknownError, Response, UnreachableError
from app.forks import tell_of_forks
from app.httpwire import NotAnAnswerError, encode_request
from app.idleconnections import IdleConnections
from app.turns import Turn, Turns
from app.urls import place_of

CONNECT_SECONDS_MAX = 1.0
CALLS_MAX = 100  # on their way at once, each on a connection of its own: more are not served sooner

T = TypeVar("T")

_HEADERS = {"User-Agent": "ringkv", "Accept-Encoding": "identity"}


def run(
    steps: Steps[T],
    send: Callable[[Send], Response | ClientError],
    pause: Callable[[Pause], object],
) -> T:
    """The result of steps. Raises: what they raise."""
    answer: Response | ClientError | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)
        if isinstance(step, Pause):
            pause(step)
            answer = None
        else:
            answer = send(step)


class Sender:
    """What a Client sends with: connections that are kept for the next request, and turns for whoever wants one."""

    def __init__(self) -> None:
        self._closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._turns = Turns(CALLS_MAX)
        self._idle: IdleConnections[BlockingConnection] = IdleConnections()
        self._busy: set[BlockingConnection] = set()

    def forked(self) -> None:
        """What the parent has open, a child closes without a word to the other side."""
        connections = [*self._idle.take_all(), *self._busy]
        self._begin()
        for connection in connections:
            connection.close()

    def close(self) -> None:
        """End all connections; what is on its way is lost."""
        self._closed = True
        for connection in list(self._busy):
            connection.end()
        self._close_idle()

    def _is_closed(self) -> bool:  # Another may close it while this one sends.
        return self._closed

    def turn(self) -> Turn:
        """A turn for one call."""
        return Turn(self._turns)

    def send(self, step: Send) -> Response | ClientError:
        if self._is_closed():
            return ClientClosedError()
        started = time.monotonic()
        connection = self._idle.take(step.url, started)
        if connection is None:
            try:
                host, port = place_of(step.url)
                connection = BlockingConnection.open(host, port, min(step.timeout_seconds, CONNECT_SECONDS_MAX))
            except OSError as error:
                return unreachable(step, error)
        busy = self._busy  # A child begins with another.
        busy.add(connection)
        try:
            left = step.timeout_seconds - (time.monotonic() - started)
            answer = connection.exchange(request_of(step), is_head=step.method == "HEAD", timeout_seconds=left)
        except (OSError, NotAnAnswerError) as error:
            connection.close()
            return unanswered(step, error)
        except BaseException:
            connection.close()
            raise
        finally:
            busy.discard(connection)
        self._idle.keep(step.url, connection, time.monotonic())
        if self._is_closed():
            self._close_idle()
        return answer

    def _close_idle(self) -> None:
        for connection in self._idle.take_all():
            connection.close()


def request_of(step: Send) -> bytes:
    """The request of a step, as it is sent."""
    host = step.url.removeprefix("http://")
    return encode_request(step.method, host, step.target, {**_HEADERS, **step.headers}, step.body)


def unreachable(step: Send, error: OSError) -> UnreachableError:
    """What became of a step without a connection."""
    return UnreachableError(f"cannot reach {step.url}: {_reason(error)}")


def unanswered(step: Send, error: Exception) -> OutcomeUnknownError:
    """What became of a step that was sent, perhaps in part."""
    if isinstance(error, TimeoutError):
        text = f"{step.url} did not answer within {step.timeout_seconds:.3g} s"
    else:
        text = f"{step.url} was lost before it answered: {_reason(error)}"
    return OutcomeUnknownError(text, is_write=step.is_write)


def _reason(error: Exception) -> str:
    """Plain words: asyncio gives a refused connection a text of its own, and a timeout has none."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
