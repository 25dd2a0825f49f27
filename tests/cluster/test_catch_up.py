"""A node that was away comes back: from the others' logs, or by a snapshot when they go back no further."""

import asyncio
import json
import random

import pytest

from tests.cluster.client import Link
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

VALUE_BYTES = 9_000
KEYS = 400
WORKERS = 8  # divides KEYS: a key has one writer


def write_much(node: Node, seed: int, megabytes: int) -> dict[str, bytes]:
    """Overwrites a few hundred keys until so much has been written; what they hold in the end."""
    newest: dict[str, bytes] = {}
    rounds = megabytes * 1_000_000 // VALUE_BYTES // KEYS

    async def write(worker: int) -> None:
        rng = random.Random(seed + worker)
        async with Link(node.http_port) as link:
            for number in range(worker, rounds * KEYS, WORKERS):
                key, value = f"big/{number % KEYS}", rng.randbytes(VALUE_BYTES)
                assert (await link.request("PUT", f"/v1/kv/{key}", value)).status == 204
                newest[key] = value

    async def write_all() -> None:
        await asyncio.gather(*map(write, range(WORKERS)))

    asyncio.run(write_all())
    return newest


def has_all(node: Node, newest: dict[str, bytes]) -> bool:
    """The node itself holds every value: it is asked to answer from what it has."""
    for key, value in newest.items():
        status, headers, body = node.request("GET", f"/v1/kv/{key}?consistency=stale")
        if status != 200 or body != value or not headers["kv-served-by"].startswith(f"{node.name};"):
            return False
    return True


def followers(cluster: Cluster) -> list[Node]:
    leader = cluster.leaders()[0]
    return [node for node in cluster if node.name != leader]


def test_a_short_absence_is_caught_up_from_the_log(new_cluster: NewCluster) -> None:
    cluster = new_cluster(partitions=1)
    cluster.start()
    absent, present = followers(cluster)

    absent.kill()
    newest = {f"key/{number}": b"%d" % number for number in range(200)}
    for key, value in newest.items():
        assert present.request("PUT", f"/v1/kv/{key}", value)[0] == 204
    cluster.start()

    wait_until(lambda: has_all(absent, newest), 10, f"{absent.name} has all")
    assert "snapshot" not in absent.log_text()


def test_a_long_absence_is_caught_up_by_a_snapshot(new_cluster: NewCluster) -> None:
    """Killed again afterwards, the node still has everything, and it can lead."""
    cluster = new_cluster(partitions=1)
    cluster.start()
    absent, present = followers(cluster)

    absent.kill()
    newest = write_much(present, seed=1, megabytes=16)
    cluster.start()
    wait_until(lambda: has_all(absent, newest), 20, f"{absent.name} has all")
    assert "snapshot" in absent.log_text()

    absent.kill()
    cluster.start()
    wait_until(lambda: has_all(absent, newest), 20, f"{absent.name} still has all")
    wish = json.dumps({"node": absent.name}).encode()
    assert present.request("POST", "/v1/partitions/0/leader", wish, content_type="application/json")[0] < 300
    wait_until(lambda: cluster.leaders()[0] == absent.name, 5, f"{absent.name} leads")
    for key, value in newest.items():
        assert present.request("GET", f"/v1/kv/{key}")[2] == value
