"""AsyncSender: what brings one request of an AsyncClient to one gateway; as sending.py."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

from app.asyncturns import AsyncTurn
from app.attempts import Pause, Send, Steps
from app.clienterrors import ClientClosedError, ClientError, Response
from app.connection import Connection, ConnectionLostError
from app.forks import never_collect, tell_of_forks
from app.idleconnections import IdleConnections
from app.sending import CALLS_MAX, CONNECT_SECONDS_MAX, request_of, unanswered, unreachable
from app.urls import place_of

T = TypeVar("T")


async def run_async(
    steps: Steps[T],
    send: Callable[[Send], Awaitable[Response | ClientError]],
    pause: Callable[[Pause], Awaitable[object]],
) -> T:
    """As run, where sending is awaited."""
    answer: Response | ClientError | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)
        if isinstance(step, Pause):
            await pause(step)
            answer = None
        else:
            answer = await send(step)


class AsyncSender(Protocol):
    """What brings one request to one gateway."""

    def turn(self) -> AsyncTurn: ...

    async def send(self, step: Send) -> Response | ClientError: ...

    async def close(self) -> None: ...


class ConnectionSender:
    """What an AsyncClient sends with unless it is told otherwise; as Sender.

    Connections and turns belong to an event loop: whoever comes with another one, as after a second `asyncio.run`, or
    in a child process, begins anew.
    """

    def __init__(self) -> None:
        self._closed = False
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._places: dict[asyncio.AbstractEventLoop, _Place] = {}

    def forked(self) -> None:
        """What the parent has open is let go of, and its event loops are not touched."""
        places, self._places = self._places, {}
        never_collect(places)
        for place in places.values():
            for connection in [*place.idle.take_all(), *place.busy]:
                connection.let_go()

    async def close(self) -> None:
        """End all connections; what is on its way is lost."""
        self._closed = True
        place = self._here()
        for connection in [*place.busy, *place.idle.take_all()]:
            connection.close()

    def _is_closed(self) -> bool:  # Another may close it while this one sends.
        return self._closed

    def turn(self) -> AsyncTurn:
        """A turn for one call."""
        return AsyncTurn(self._here().turns)

    async def send(self, step: Send) -> Response | ClientError:
        if self._is_closed():
            return ClientClosedError()
        place = self._here()
        started = time.monotonic()
        connection = place.idle.take(step.url, started)
        if connection is None:
            try:
                host, port = place_of(step.url)
                async with asyncio.timeout(min(step.timeout_seconds, CONNECT_SECONDS_MAX)):
                    connection = await Connection.open(host, port)
            except OSError as error:
                return unreachable(step, error)
        place.busy.add(connection)
        try:
            async with asyncio.timeout(step.timeout_seconds - (time.monotonic() - started)):
                answer = await connection.send(request_of(step), is_head=step.method == "HEAD")
        except (OSError, ConnectionLostError) as error:
            connection.close()
            return unanswered(step, error)
        except BaseException:  # Cancelled: the answer may still come, and must not be taken for the next one's.
            connection.close()
            raise
        finally:
            place.busy.discard(connection)
        if self._is_closed():
            connection.close()
        elif connection.is_open:
            place.idle.keep(step.url, connection, time.monotonic())
        return answer

    def _here(self) -> "_Place":
        loop = asyncio.get_running_loop()
        place = self._places.get(loop)
        if place is None:
            for other in [other for other in self._places if other.is_closed()]:
                del self._places[other]
            place = self._places[loop] = _Place()
        return place


class _Place:
    """What belongs to one event loop."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(CALLS_MAX)
        self.idle: IdleConnections[Connection] = IdleConnections()
        self.busy: set[Connection] = set()
