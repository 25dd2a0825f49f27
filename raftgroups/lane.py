"""Lane: jobs for a worker thread, one after the other."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

ResultT = TypeVar("ResultT")


class Elsewhere(Protocol):
    """Runs `job` in a worker thread; `done` is told its result, or its exception, on the event loop."""

    def __call__(self, job: Callable[[], ResultT], done: Callable[[ResultT | BaseException], None]) -> None: ...


class Lane:
    """Keeps jobs in the order in which they were given.

    Invariant: one job at a time, and `done` of a job is called before the next one begins.
    """

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere
        self._jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._is_busy = False
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        return not self._is_busy and not self._jobs

    def run(self, job: Callable[[], ResultT], done: Callable[[ResultT | BaseException], None]) -> None:
        """Run `job` after all that were given before; after `close` not at all."""
        if not self._is_closed:
            self._jobs.append((job, done))
            self._next()

    def close(self) -> None:
        """The job that runs is the last, and nobody is told of it."""
        self._is_closed = True
        self._jobs.clear()

    def _next(self) -> None:
        if self._jobs and not self._is_busy:
            job, done = self._jobs.popleft()
            self._is_busy = True
            self._elsewhere(job, lambda outcome: self._finished(done, outcome))

    def _finished(self, done: Callable[[Any], None], outcome: object) -> None:
        self._is_busy = False
        if self._is_closed:
            return
        try:
            done(outcome)
        finally:
            self._next()
