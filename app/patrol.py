"""Patrol: what all connections of one server share, and the one coarse timer that looks after them."""

import asyncio
import time
from typing import Protocol

from app.answers import encode_starts
from app.kv import KvHandler
from app.metrics import Metrics
from app.originpolicy import OriginPolicy
from app.settings import Limits


class Watched(Protocol):
    """A connection, as the timer sees it."""

    def look(self, now: float) -> None:
        """Act on whatever is overdue at `now`."""

    def rested_at(self) -> float:
        """Since when it has been idle; infinity, while it is not."""

    def drain(self) -> None:
        """Let its next answer be its last, if nothing waits behind it."""


class Patrol:
    """The open connections, and what each needs to serve.

    headers      the common headers that `starts` were made of
    starts       by status, how an answer begins
    keeps_alive  a connection may be used again after an answer; it is not once the node drains

    A timer per request would cost more than the request; here one looks at everybody, about once a second.
    """

    def __init__(self, limits: Limits, kv: KvHandler, metrics: Metrics, origins: OriginPolicy) -> None:
        self.limits = limits
        self.origins = origins
        self.kv = kv
        self.metrics = metrics
        self._open: set[Watched] = set()
        self._interval = min(1.0, limits.head_seconds / 4, limits.body_seconds / 4, limits.keep_alive_seconds / 4)
        self._timer: asyncio.TimerHandle | None = None
        self.headers: list[tuple[bytes, bytes]] | None = None
        self.starts: dict[int, bytes] = {}
        self.keeps_alive = True
        metrics.connections = lambda: len(self._open)

    def add(self, connection: Watched, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether there was room for it."""
        if len(self._open) >= self.limits.connections_max:
            return False
        self._open.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._interval, self._look, loop)
        return True

    def discard(self, connection: Watched) -> None:
        self._open.discard(connection)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def drain(self) -> None:
        """Have every connection end with its next answer, which says so."""
        if self.keeps_alive:
            self.keeps_alive = False
            for connection in list(self._open):
                connection.drain()

    def is_calm(self, seconds: float) -> bool:
        """Whether every connection has been idle for so long: none is likely to be in use in the next moment."""
        idle_since = time.monotonic() - seconds
        return all(connection.rested_at() <= idle_since for connection in self._open)

    def renew(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Prepare the start of every answer; uvicorn makes a new list of common headers each second."""
        self.headers = headers
        self.starts = encode_starts(headers)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for connection in list(self._open):
            connection.look(now)
        self._timer = loop.call_later(self._interval, self._look, loop) if self._open else None
