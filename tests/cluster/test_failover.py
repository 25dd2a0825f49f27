"""How long writes are refused after the node that leads most partitions is killed."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.cluster.client import Link, LinkError
from tests.cluster.nodes import Cluster, Node

pytestmark = pytest.mark.cluster

KILLS = 10
OUTAGE_SECONDS_MAX = 1.0


def keys_led_by(leader: Node) -> list[str]:
    """One key of every partition that the node leads."""
    keys: dict[int, str] = {}
    for number in range(200):
        place = leader.json(f"/v1/locate/failover/{number}")
        if place["leader"] == leader.name:
            keys.setdefault(place["partition"], f"failover/{number}")
    return list(keys.values())


async def outages(keys: list[str], ports: list[int], victim: Node) -> list[float]:
    """Kills the victim; seconds from then to the first acknowledged write of each key."""
    links = [Link(ports[number % len(ports)]) for number in range(len(keys))]
    for link, key in zip(links, keys, strict=True):
        assert (await link.request("PUT", f"/v1/kv/{key}", b"before")).status == 204
    victim.kill()
    killed = time.monotonic()

    async def first_success(link: Link, key: str) -> float:
        while time.monotonic() - killed < 10:
            try:
                if (await link.request("PUT", f"/v1/kv/{key}", b"after", {"KV-Timeout-Ms": "500"})).status == 204:
                    return time.monotonic() - killed
            except LinkError:
                pass
            await asyncio.sleep(0.005)
        raise AssertionError(f"{key} cannot be written 10 s after the kill")

    seconds = await asyncio.gather(*map(first_success, links, keys))
    for link in links:
        await link.close()
    return list(seconds)


@pytest.mark.timeout(120)
def test_writes_return_within_a_second(cluster: Cluster, measured: Callable[[str], None]) -> None:
    """Ten kills; the slowest partition of each counts."""
    slowest = []

    for _ in range(KILLS):
        victim = cluster.leader_of_most()
        keys = keys_led_by(victim)
        ports = [node.http_port for node in cluster if node is not victim]
        seconds = asyncio.run(outages(keys, ports, victim))
        slowest.append(max(seconds))
        print(f"{victim.name}: {len(keys)} partitions, {min(seconds):.3f} to {max(seconds):.3f} s")
        cluster.start()

    measured(f"seconds without writes after each of {KILLS} kills: " + " ".join(f"{s:.3f}" for s in sorted(slowest)))
    assert max(slowest) < OUTAGE_SECONDS_MAX
