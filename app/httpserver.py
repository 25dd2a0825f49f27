"""The HTTP server of a node: uvicorn's, with an end that cuts off nobody who comes in time.

calm      answers say Connection: close; until no connection is likely to be used in the next moment
deaf      who has connected already is taken in, then nobody listens any more; until they are answered, too
finish    connections that are idle are closed, the others once what they asked for is answered
give up   what is still not answered is told so, and what is not read is cut
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from app.front import FrontProtocol
from app.patrol import Patrol

# How long a connection must have been idle to be closed unasked, and how long such are waited for: who uses one more
# often is told with an answer that it is its last.
CALM_SECONDS = 1.0
# How long what is open may take to finish, and then to be read.
FINISH_SECONDS = 2.0
FLUSH_SECONDS = 0.2
_POLL_SECONDS = 0.02


class Server(uvicorn.Server):
    """uvicorn's server, without its own idea of signals, and with an end that cuts off nobody who comes in time.

    hurried  nobody is waited for any more
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.hurried = asyncio.Event()
        self._patrol: Patrol | None = getattr(config.http, "patrol", None)
        self._backlogs: list[socket.socket] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._backlogs = [socket.dup() for socket in sockets or ()]
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        patrol = self._patrol
        if patrol is not None:
            patrol.drain()
            await self._until(lambda: patrol.is_calm(CALM_SECONDS), CALM_SECONDS)
        if await self._stop_listening(sockets or []) and patrol is not None:
            await self._until(lambda: patrol.is_calm(CALM_SECONDS), CALM_SECONDS)
        connections = self.server_state.connections
        for connection in list(connections):
            connection.shutdown()
        await self._until(lambda: not any(map(_is_answering, connections)), FINISH_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0)
        for connection in list(connections):
            if isinstance(connection, FrontProtocol):
                connection.give_up()
        await self._until(lambda: not connections, FLUSH_SECONDS)
        for connection in list(connections):
            connection.transport.abort()
        await self._until(lambda: not connections, FLUSH_SECONDS)

    async def _stop_listening(self, sockets: list[socket.socket]) -> bool:
        """Take in who has connected already: closed with the listening socket, those connections would be reset.

        Gives whether there was anybody.
        """
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        waiting: list[socket.socket] = []
        for backlog in self._backlogs:
            backlog.setblocking(False)
            with backlog, contextlib.suppress(BlockingIOError):
                while True:
                    waiting.append(backlog.accept()[0])
        self._backlogs.clear()
        loop = asyncio.get_running_loop()
        for connected in waiting:
            connected.setblocking(False)
            with contextlib.suppress(OSError):  # it may have left
                await loop.connect_accepted_socket(self._protocol, connected)
        return bool(waiting)

    def _protocol(self) -> asyncio.Protocol:
        protocol_class: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Wait for something, but not for long."""
        give_up_at = asyncio.get_running_loop().time() + seconds
        while not is_so() and not self.hurried.is_set() and asyncio.get_running_loop().time() < give_up_at:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self.hurried.wait()


def _is_answering(connection: object) -> bool:
    return connection.is_answering if isinstance(connection, FrontProtocol) else True
