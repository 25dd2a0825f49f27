"""An iterator that may block, run in a thread of its own, for the event loop to wait for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from typing import TypeVar

T = TypeVar("T")

AHEAD_MAX = 2


async def off_thread(iterator: Iterator[T]) -> AsyncIterator[T]:
    """What the iterator gives, and raises. Its thread ends with the process, even while it waits for a terminal.

    Cost: keeps what it gives that was not taken yet, AHEAD_MAX at most.
    """
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue[tuple[T] | BaseException | None](AHEAD_MAX)
    is_over = False

    def put(found: tuple[T] | BaseException | None) -> bool:
        """Whether more is wanted."""
        if is_over:
            return False
        try:
            asyncio.run_coroutine_threadsafe(queue.put(found), loop).result()
        except (CancelledError, RuntimeError):  # the loop has ended
            return False
        return True

    def run() -> None:
        try:
            for found in iterator:
                if not put((found,)):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            put(error)

    threading.Thread(target=run, daemon=True, name="off_thread").start()
    try:
        while (found := await queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        is_over = True
        while not queue.empty():  # let the thread, which may wait for room, see that it is over
            queue.get_nowait()
