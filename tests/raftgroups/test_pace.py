import heapq
from dataclasses import dataclass

import pytest

from raftgroups.pace import FIRST_BYTES, LATE_SECONDS, WINDOW_BYTES, Pace
from raftgroups.timing import Timing

CHUNK_BYTES = 64 << 10
SECONDS = 60.0


def confirm(pace: Pace, offset: int, sent_at: float, delay: float) -> int:
    """Fill the window, and have all of it confirmed after `delay`; gives where it ends."""
    offset += pace.room
    pace.sent(offset, sent_at)
    pace.confirmed(offset, sent_at + delay)
    return offset


def test_it_begins_small() -> None:
    pace = Pace(1000)

    assert pace.room == FIRST_BYTES
    pace.sent(1000 + FIRST_BYTES, 0.0)
    assert pace.room == 0


def test_the_window_grows_while_confirmations_are_prompt() -> None:
    pace = Pace(0)
    offset, rounds = 0, 0

    while pace.window < WINDOW_BYTES:
        offset = confirm(pace, offset, rounds * 1.0, 0.001)
        rounds += 1

    assert rounds <= 12, "it doubles"
    confirm(pace, offset, 100.0, 0.001)
    assert pace.window == WINDOW_BYTES


def test_the_window_is_halved_once_for_all_that_came_late() -> None:
    pace = Pace(0)
    offset = 0
    for number in range(5):
        offset = confirm(pace, offset, float(number), 0.001)
    before = pace.window
    for _ in range(4):
        offset += before // 4
        pace.sent(offset, 10.0)

    for part in range(4):
        pace.confirmed(offset - before + (part + 1) * (before // 4), 10.0 + LATE_SECONDS + 0.1)

    assert pace.window == before // 2


def test_the_window_never_closes() -> None:
    pace = Pace(0)
    offset = 0

    for number in range(20):
        offset = confirm(pace, offset, number * 100.0, 60.0)

    assert pace.window == FIRST_BYTES


def test_a_distant_peer_is_not_taken_for_a_slow_one() -> None:
    """What every confirmation takes is not a queue."""
    pace = Pace(0)
    offset = 0
    for number in range(9):
        offset = confirm(pace, offset, float(number), 0.25)

    assert pace.window >= 1 << 20


def test_a_confirmation_that_says_nothing_new_changes_nothing() -> None:
    pace = Pace(0)
    pace.sent(FIRST_BYTES, 0.0)
    pace.confirmed(0, 0.1)

    assert (pace.window, pace.room) == (FIRST_BYTES, 0)


@dataclass
class Queue:
    """A link that carries so many bytes a second, one after the other, with a delay each way."""

    rate: float
    delay: float
    free_at: float = 0.0

    def arrival(self, size: int, now: float) -> float:
        self.free_at = max(self.free_at, now) + size / self.rate
        return self.free_at + self.delay


@pytest.mark.parametrize("delay", [0.0002, 0.02, 0.1])
@pytest.mark.parametrize("kbit", [200, 1_000, 10_000, 1_000_000])
def test_heartbeats_are_not_starved(kbit: int, delay: float) -> None:
    """What waits in front of one passes within the shortest election timeout; and yet the link is used.

    (Fault N8.)
    """
    rate = kbit * 1000 / 8
    link = Queue(rate, delay)
    pace = Pace(0)
    confirmations: list[tuple[float, int]] = []
    sent = 0
    now = longest = 0.0
    while now < SECONDS:
        while room := min(pace.room, CHUNK_BYTES):
            sent += room
            pace.sent(sent, now)
            heapq.heappush(confirmations, (link.arrival(room, now) + delay, sent))
        longest = max(longest, link.free_at - now)
        now, offset = heapq.heappop(confirmations)
        pace.confirmed(offset, now)

    assert longest + Timing().heartbeat_seconds < Timing().election_seconds_min
    assert sent / SECONDS > 0.4 * min(rate, WINDOW_BYTES / (2 * delay + 0.01) / 2)
