"""Pace: how much of a transfer may be on its way at once.

Heartbeats share the link with what is sent, and wait behind it. So the window is held by time,
not by size: it grows while confirmations come promptly, and is halved when they come late. On a
slow link a few KiB are under way, on a quick one some MiB.

Source: RFC 6817 (LEDBAT): the delay above the lowest one seen is the queue's.
"""

from collections import deque

FIRST_BYTES = 4 << 10
WINDOW_BYTES = 4 << 20
# Together they stay well below the shortest election timeout.
BASE_SECONDS_MAX = 0.2
PROMPT_SECONDS = 0.15
LATE_SECONDS = 0.3


class Pace:
    """The window of one transfer over one link. Offsets are of the transfer's bytes.

    Invariant: FIRST_BYTES ≤ window ≤ WINDOW_BYTES.
    """

    __slots__ = ("_base", "_confirmed", "_halved_at", "_sent", "_under_way", "window")

    def __init__(self, offset: int) -> None:
        self.window = FIRST_BYTES
        self._sent = self._confirmed = self._halved_at = offset
        self._base = BASE_SECONDS_MAX
        self._under_way: deque[tuple[int, float]] = deque()

    @property
    def room(self) -> int:
        """How many bytes may be sent now."""
        return max(0, self.window - (self._sent - self._confirmed))

    def sent(self, offset: int, now: float) -> None:
        """Everything before `offset` has been sent."""
        self._sent = offset
        self._under_way.append((offset, now))

    def confirmed(self, offset: int, now: float) -> None:
        """Everything before `offset` has arrived and is stored."""
        sent_at = None
        while self._under_way and self._under_way[0][0] <= offset:
            sent_at = self._under_way.popleft()[1]
        news = offset - self._confirmed
        if sent_at is None or news <= 0:
            return
        self._confirmed = offset
        self._base = min(self._base, now - sent_at)
        queued = now - sent_at - self._base
        if queued > LATE_SECONDS:
            if offset > self._halved_at:
                # Once for all that was under way: what follows was sent into the same queue.
                self._halved_at = self._sent
                self.window = max(FIRST_BYTES, self.window // 2)
        elif queued < PROMPT_SECONDS:
            self.window = min(WINDOW_BYTES, self.window + news)
