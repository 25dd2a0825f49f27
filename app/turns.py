"""Turns: how many calls of one client may be on their way at once; the others wait for theirs, first come first served.

The time of a call begins with its turn: what it waits before that is not the gateway's fault. It gives its turn away
while it pauses between two attempts, and that it then waits again does not count either.
"""

import threading
import time
from collections import deque
from typing import Self


class Turns:
    """So many turns for threads."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def take(self) -> None:
        """Wait for a turn."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()
        except BaseException:  # Ctrl-C, perhaps just when the turn had come
            with self._lock:
                has_come = mine not in self._waiting
                if not has_come:
                    self._waiting.remove(mine)
            if has_come:
                self.give()
            raise

    def give(self) -> None:
        """Give a turn to who has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Turn:
    """One call's turn, as a context manager.

    waited   seconds that it has waited for others since it began, which count as nobody's
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._has_it = False
        self.waited = 0.0

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give()

    def pause(self, seconds: float) -> None:
        """Let others go first for so long."""
        self._give()
        time.sleep(seconds)
        before = time.monotonic()
        self._take()
        self.waited += time.monotonic() - before

    def _take(self) -> None:
        self._turns.take()
        self._has_it = True

    def _give(self) -> None:
        """A call that was interrupted while it paused has none to give."""
        if self._has_it:
            self._has_it = False
            self._turns.give()
