"""An executor without threads, for whoever must know what runs when."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs each job where it is submitted, before `submit` returns: no threads, no chance.

    A job that a job submits runs after it.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._is_running = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # whatever it is, the future tells it
                future.set_exception(error)

        self._queue.append(run)
        if not self._is_running:
            self._is_running = True
            try:
                while self._queue:
                    self._queue.popleft()()
            finally:
                self._is_running = False
        return future
