"""What many clients saw while leaders were killed and paused is linearizable."""

import itertools
import random
import time
from pathlib import Path

import pytest

from tests.cluster.nodes import Cluster, Node
from tests.cluster.traffic import Recorded

pytestmark = pytest.mark.cluster


def leader(cluster: Cluster, traffic: Recorded, rng: random.Random) -> Node:
    return cluster.leader_of(rng.choice(traffic.keys))


@pytest.mark.timeout(120)
def test_clients_see_one_order_while_leaders_are_killed(cluster: Cluster, tmp_path: Path) -> None:
    rng = random.Random(time.time_ns() % 10_000)

    with Recorded(cluster, seed=rng.randrange(10_000)) as traffic:
        for _ in range(6):
            traffic.advance(300)
            victim = leader(cluster, traffic, rng)
            victim.kill()
            traffic.advance(300)
            victim.start()
            victim.wait_ready()

    traffic.judge(tmp_path)


@pytest.mark.timeout(120)
def test_clients_see_one_order_while_leaders_are_paused(cluster: Cluster, tmp_path: Path) -> None:
    """A leader that was stopped and goes on must not answer from its past."""
    rng = random.Random(time.time_ns() % 10_000)

    with Recorded(cluster, seed=rng.randrange(10_000)) as traffic:
        for node in itertools.islice(itertools.cycle(cluster), 6):
            traffic.advance(300)
            node.pause()
            traffic.advance(100)
            node.resume()

    cluster.wait_ready()
    traffic.judge(tmp_path)
