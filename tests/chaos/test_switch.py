"""The lanes of the switch: what each quality does to a thousand packets."""

import itertools
import random

import pytest

from tests.chaos.switch import QUEUE_SECONDS_MAX, Lane, Quality

PACKETS = 1_000
BYTES = 1_000


def arrivals(quality: Quality, gap: float = 1.0) -> list[list[float]]:
    """How long each of many packets takes, one entering every `gap` seconds."""
    lane = Lane(random.Random(1))
    lane.quality = quality
    return [[at - number * gap for at in lane.arrivals(BYTES, number * gap)] for number in range(PACKETS)]


def test_a_perfect_lane_delivers_at_once() -> None:
    assert arrivals(Quality()) == [[0.0]] * PACKETS


def test_a_lane_delays_by_its_delay_and_some_jitter() -> None:
    times = [at for (at,) in arrivals(Quality(delay_ms=100, jitter_ms=50))]

    assert 0.05 <= min(times) < 0.06 and 0.14 < max(times) <= 0.15


def test_a_lane_loses_its_share() -> None:
    assert sum(not times for times in arrivals(Quality(loss=0.3))) == pytest.approx(300, abs=60)


def test_a_lane_doubles_its_share() -> None:
    assert sum(len(times) == 2 for times in arrivals(Quality(duplicate=0.2))) == pytest.approx(200, abs=60)


def test_only_a_reordering_lane_lets_packets_overtake() -> None:
    def overtaken(reorder: float) -> int:
        gap = 0.001
        found = arrivals(Quality(delay_ms=20, jitter_ms=10, reorder=reorder), gap)
        times = [number * gap + at for number, (at,) in enumerate(found)]
        return sum(later < earlier for earlier, later in itertools.pairwise(times))

    assert overtaken(0.0) == 0
    assert overtaken(0.1) > 50


def test_a_thin_lane_queues_and_then_drops() -> None:
    """A kilobyte every 10 ms, but 100 kbit/s carry one in 80: what would wait too long is lost."""
    found = arrivals(Quality(kbit=100), gap=0.01)

    delivered = [times[0] for times in found if times]
    assert max(delivered) <= QUEUE_SECONDS_MAX
    assert len(delivered) == pytest.approx(PACKETS / 8 + QUEUE_SECONDS_MAX / 0.08, rel=0.1)


def test_the_same_seed_has_the_same_weather() -> None:
    quality = Quality(delay_ms=5, jitter_ms=5, loss=0.1, duplicate=0.1, reorder=0.1)

    assert arrivals(quality) == arrivals(quality)
