"""A node's threads, as one that never runs beside the loop: a job takes a while, and happens at the end of it."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from engine import InlineExecutor

P = ParamSpec("P")
T = TypeVar("T")

QUICK_SECONDS = 0.005
SLOW_SECONDS = 0.5
SLOW_SHARE = 0.02


class NodeExecutor(Executor):
    """Runs jobs on a node's event loop, each as one step at the end of the time that it takes.

    A job may wait for another, as a checkpoint does for a flush. There is nobody else to run that
    one meanwhile, so what waits its turn is run before such a job, and what it submits within it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self._pending: deque[Callable[[], None]] = deque()
        self._inline: InlineExecutor | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        if self._inline is not None:
            return self._inline.submit(fn, *args, **kwargs)
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001  # whatever it is, the future tells it
                    future.set_exception(error)

        self._pending.append(run)
        self._loop.call_later(self.duration(), self._run_next)
        return future

    def run_waiting(self, job: Callable[[], T]) -> T:
        """Run, at once, a job that may wait for others."""
        if self._inline is not None:
            return job()
        while self._pending:
            self._pending.popleft()()
        self._inline = InlineExecutor()
        try:
            return job()
        finally:
            self._inline = None

    def duration(self) -> float:
        """How long the next job takes, in seconds."""
        rng = self._rng
        return rng.random() * (SLOW_SECONDS if rng.random() < SLOW_SHARE else QUICK_SECONDS)

    def _run_next(self) -> None:
        if self._pending:
            self._pending.popleft()()
