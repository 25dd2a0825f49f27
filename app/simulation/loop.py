"""The event loop of one simulated node: asyncio's interface, on simulated time.

Callbacks run in the order in which they were made, a turn's worth at a time; a turn costs a little
time, so that nothing can go on for ever in no time. A paused loop lets everything wait; a dead one
has forgotten everything. What it calls is asyncio's public interface, of which no detail matters.
"""

import asyncio
import random
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, Protocol, TypeVar

from app.simulation.clock import NodeClock
from app.simulation.executor import NodeExecutor
from app.simulation.scheduler import Scheduler

T = TypeVar("T")

TURN_SECONDS = 20e-6
CLOCK_RESOLUTION_SECONDS = 1e-6
CLEANUP_STEPS_MAX = 100


class Streams(Protocol):
    """The network, as a node's loop sees it."""

    async def create_server(self, loop: "NodeLoop", factory: Any, host: str, port: int) -> Any: ...

    async def create_connection(self, loop: "NodeLoop", factory: Any, host: str, port: int) -> Any: ...


class NodeLoop(asyncio.AbstractEventLoop):
    """Runs one life of one node: from its start to its crash or stop.

    name        of the node
    is_paused   everything waits, as after SIGSTOP
    is_dead     nothing runs any more
    executor    the node's threads
    turned      called after each turn
    failed      told of exceptions that nothing caught
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        clock: NodeClock,
        streams: Streams,
        rng: random.Random,
        turned: Callable[[], None],
        failed: Callable[[dict[str, Any]], None],
    ) -> None:
        self.name = name
        self.scheduler = scheduler
        self.clock = clock
        self.is_paused = False
        self.is_dead = False
        self.executor = NodeExecutor(self, rng)
        self._streams = streams
        self._turned = turned
        self._failed = failed
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0
        self._turn_is_planned = False
        self._wake_at: float | None = None
        self._tasks: weakref.WeakValueDictionary[int, asyncio.Task[Any]] = weakref.WeakValueDictionary()
        self._tasks_made = 0

    # What the simulation does to it.

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self._plan_turn()
        self._plan_wake()

    def kill(self) -> None:
        """End at once: nothing that waits will happen. Not to be called from a callback of this loop."""
        self.is_dead = True
        self._ready.clear()
        self._timers.clear()
        self.run(self._close_tasks)

    def _close_tasks(self) -> None:
        for task in list(self._tasks.values()):
            coroutine = task.get_coro()
            if not task.done() and coroutine is not None:
                _close(coroutine)

    def clock_changed(self) -> None:
        """The clock runs at another rate: timers strike at other times than was thought."""
        self._wake_at = None
        self._plan_wake()

    def _plan_turn(self) -> None:
        if self._ready and not self._turn_is_planned and not self.is_paused:
            self._turn_is_planned = True
            self.scheduler.call_at(self.scheduler.now + TURN_SECONDS, self._turn)

    def _plan_wake(self) -> None:
        """Have a turn run when the first timer strikes."""
        if self._timers and not self.is_paused:
            at = max(self.clock.simulated(self._timers[0][0]), self.scheduler.now)
            if self._wake_at is None or at < self._wake_at:
                self._wake_at = at
                self.scheduler.call_at(at, self._wake, at)

    def _wake(self, at: float) -> None:
        if at == self._wake_at:
            self._wake_at = None
            self._turn()

    def _turn(self) -> None:
        self._turn_is_planned = False
        if self.is_paused or self.is_dead:
            self._wake_at = None
            return
        ready, timers = self._ready, self._timers
        horizon = self.time() + CLOCK_RESOLUTION_SECONDS
        while timers and timers[0][0] <= horizon:
            ready.append(heappop(timers)[2])
        self.run(self._run_ready)
        self._plan_turn()
        self._plan_wake()
        self._turned()

    def _run_ready(self) -> None:
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def run(self, step: Callable[[], object]) -> None:
        """Do something as this node, now."""
        asyncio._set_running_loop(self)
        try:
            step()
        finally:
            asyncio._set_running_loop(None)

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self.clock.local(self.scheduler.now)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]  # typeshed's is generic in the arguments
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._turn_is_planned:
            self._plan_turn()
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def call_later(  # type: ignore[override]  # typeshed's is generic in the arguments
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # typeshed's is generic in the arguments
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heappush(self._timers, (when, self._timers_made, handle))
        if self._timers[0][2] is handle:
            self._plan_wake()
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], *, name: str | None = None, **options: Any
    ) -> "asyncio.Task[T]":
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, **options)
        self._tasks_made += 1
        self._tasks[self._tasks_made] = task
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]  # typeshed's is generic in the arguments  # noqa: ARG002  # the node has one executor
        future = self.create_future()

        def job() -> None:
            try:
                result = self.executor.run_waiting(lambda: func(*args))
            except Exception as error:  # noqa: BLE001  # whatever it is, the future tells it
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.call_later(self.executor.duration(), job)
        return future

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return await self._streams.create_server(self, protocol_factory, host, port)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return await self._streams.create_connection(self, protocol_factory, host, port)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # A dead node's tasks complain about being destroyed whenever their memory is reclaimed.
        if not self.is_dead:
            self._failed(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.is_dead

    def is_closed(self) -> bool:
        return self.is_dead


def _close(coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any]) -> None:
    """End it where it waits, and wherever it wants to wait while it cleans up."""
    for _ in range(CLEANUP_STEPS_MAX):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        return
