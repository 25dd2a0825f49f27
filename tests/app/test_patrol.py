"""The patrol: who is looked after, and how often."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

from app.kv import KvHandler
from app.metrics import Metrics
from app.originpolicy import OriginPolicy
from app.patrol import Patrol
from app.settings import Limits
from tests.app.running import SETTINGS


class Loop:
    """Holds the one timer, and counts how many were made."""

    def __init__(self, seconds: float = 0.5) -> None:
        self.seconds = seconds
        self.timers = 0
        self.cancelled = 0
        self.due: Callable[[], None] = lambda: None

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: object) -> "Loop":
        assert seconds == self.seconds
        self.timers += 1
        self.due = lambda: call(*arguments)
        return self

    def cancel(self) -> None:
        self.cancelled += 1


class Connection:
    """Counts how often it is looked at, and may leave then."""

    def __init__(self, patrol: Patrol) -> None:
        self.patrol = patrol
        self.looks = 0
        self.drains = 0
        self.rested = 0.0

    def rested_at(self) -> float:
        return self.rested

    def drain(self) -> None:
        self.drains += 1

    def look(self, now: float) -> None:
        self.looks += 1
        if self.looks == 3:
            self.patrol.discard(self)


def test_one_timer_looks_after_everybody_while_there_is_anybody() -> None:
    limits = Limits(head_seconds=2.0, connections_max=2)
    metrics = Metrics()
    patrol = Patrol(limits, KvHandler(limits), metrics, OriginPolicy(SETTINGS))
    loop = Loop()
    one, two, three = (Connection(patrol) for _ in range(3))

    assert patrol.add(one, cast(asyncio.AbstractEventLoop, loop))
    assert patrol.add(two, cast(asyncio.AbstractEventLoop, loop))
    assert not patrol.add(three, cast(asyncio.AbstractEventLoop, loop))
    assert (loop.timers, metrics.connections()) == (1, 2)
    loop.due()
    assert loop.timers == 2
    patrol.discard(one)
    loop.due()
    loop.due()

    assert (one.looks, two.looks, three.looks) == (1, 3, 0)
    assert (loop.timers, loop.cancelled, metrics.connections()) == (3, 1, 0)


def test_the_start_of_an_answer_follows_the_common_headers() -> None:
    patrol = Patrol(Limits(), KvHandler(Limits()), Metrics(), OriginPolicy(SETTINGS))

    patrol.renew([(b"date", b"now")])

    assert patrol.starts[404] == b"HTTP/1.1 404 Not Found\r\nx-content-type-options: nosniff\r\ndate: now\r\n"


def test_a_drain_is_told_once_to_each_connection() -> None:
    patrol = Patrol(Limits(), KvHandler(Limits()), Metrics(), OriginPolicy(SETTINGS))
    one = Connection(patrol)
    patrol.add(one, cast(asyncio.AbstractEventLoop, Loop(1.0)))

    patrol.drain()
    patrol.drain()

    assert (one.drains, patrol.keeps_alive) == (1, False)


def test_it_is_calm_when_nobody_has_been_busy_for_a_while() -> None:
    patrol = Patrol(Limits(), KvHandler(Limits()), Metrics(), OriginPolicy(SETTINGS))
    one, two = Connection(patrol), Connection(patrol)
    for connection in (one, two):
        patrol.add(connection, cast(asyncio.AbstractEventLoop, Loop(1.0)))
    one.rested = two.rested = time.monotonic() - 10
    assert patrol.is_calm(5) and not patrol.is_calm(20)
    two.rested = float("inf")

    assert not patrol.is_calm(5)
