"""Pools: what an AsyncClient sends with, some connections to each gateway with one request at a time on each.

httpx has a pool as well, which looks at every connection, with a system call for each that is idle, whenever a request
begins or ends, and searches the disk for a module that it may do without several times a request. 64 puts at once cost
4,700 µs of processor time each that way, and 80 to 100 came through in a second; this takes 120 µs, and 1,020 do (in
turn against one node, on two cores that had much other work).
"""

import asyncio
from time import monotonic
from urllib.parse import urlsplit

from app.attempts import Send
from app.clienterrors import ClientError, OutcomeUnknownError, Response, UnreachableError
from app.connection import Connection, ConnectionLostError, encode_request, reason_of
from app.sending import CONNECT_SECONDS_MAX, CONNECTIONS_MAX, IDLE_SECONDS
from app.urls import place_of


class Pools:
    """A pool for each gateway, made when it is first needed: one that is busy keeps nobody from the others."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}

    async def send(self, step: Send) -> Response | ClientError:
        pool = self._pools.get(step.url)
        if pool is None:
            pool = self._pools[step.url] = _Pool(step.url)
        return await pool.send(step)

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


class _Pool:
    """The connections to one gateway: those that carry a request, and those that wait for one, the newest last."""

    def __init__(self, url: str) -> None:
        self._host, self._port = place_of(url)
        self._netloc = urlsplit(url).netloc
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[tuple[Connection, float]] = []
        self._busy: set[Connection] = set()

    def close(self) -> None:
        for connection in [*self._busy, *(connection for connection, _ in self._idle)]:
            connection.close()
        self._idle.clear()

    async def send(self, step: Send) -> Response | ClientError:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(step.timeout_seconds), self._slots:
                connection = await self._take(min(step.timeout_seconds, CONNECT_SECONDS_MAX))
                self._busy.add(connection)
                request = encode_request(step.method, self._netloc, step.target, step.headers, step.body)
                answer = await connection.send(request, is_head=step.method == "HEAD")
                self._give_back(connection)
                return answer
        except OSError as error:
            if connection is None:
                return UnreachableError(f"cannot reach {step.url}: {reason_of(error)}")
            text = f"{step.url} did not answer within {step.timeout_seconds:.3g} s"
        except ConnectionLostError as error:
            text = f"{step.url} was lost before it answered: {error}"
        finally:
            # Without its answer it is of no use to anybody: the next one on it would be that of this request.
            if connection in self._busy:
                self._busy.discard(connection)
                connection.close()
        return OutcomeUnknownError(text, is_write=step.is_write)

    async def _take(self, timeout_seconds: float) -> Connection:
        """One that waits, or a new one. Raises: OSError."""
        fresh = monotonic() - IDLE_SECONDS
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_open and since > fresh:
                return connection
            connection.close()
        async with asyncio.timeout(timeout_seconds):
            return await Connection.open(self._host, self._port)

    def _give_back(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection.is_open:
            self._idle.append((connection, monotonic()))
