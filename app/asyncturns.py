"""Turns, for asyncio: as turns.py."""

import asyncio
import time
from typing import Self


class AsyncTurn:
    """One call's turn; as Turn."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._has_it = False
        self.waited = 0.0

    async def __aenter__(self) -> Self:
        await self._take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._give()

    async def pause(self, seconds: float) -> None:
        """Let others go first for so long."""
        self._give()
        await asyncio.sleep(seconds)
        before = time.monotonic()
        await self._take()
        self.waited += time.monotonic() - before

    async def _take(self) -> None:
        await self._turns.acquire()
        self._has_it = True

    def _give(self) -> None:
        """A call that was cancelled while it paused has none to give."""
        if self._has_it:
            self._has_it = False
            self._turns.release()
