"""Reads under a lease: by the leader alone, and as fresh as any while the clocks of one machine agree."""

import itertools
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until
from tests.cluster.traffic import Recorded

pytestmark = pytest.mark.cluster

LEASE = {"RINGKV_LEASE_SECONDS": "0.8"}
QUERY = "?consistency=lease"


def is_served(cluster: Cluster, key: str, node: Node, level: str) -> bool:
    """Whether a lease read is served as `level`, and by the leader."""
    _, headers, _ = node.request("GET", f"/v1/kv/{key}{QUERY}")
    by = f"{cluster.leader_of(key).name};role=leader"
    return (headers["kv-consistency"], headers["kv-served-by"]) == (level, by)


@pytest.mark.parametrize(("environment", "served"), [(LEASE, "lease"), ({}, "linearizable")])
def test_the_receipt_says_what_was_served(new_cluster: NewCluster, environment: dict[str, str], served: str) -> None:
    """By the leader, whoever is asked; where leases are off it is an ordinary read."""
    cluster = new_cluster(environment=environment)
    cluster.start()
    key = "leased"
    assert cluster["n1"].request("PUT", f"/v1/kv/{key}", b"v")[0] == 204

    for node in cluster:
        wait_until(partial(is_served, cluster, key, node, served), 10, f"lease reads of {node.name} are {served}")
        head, headers, body = node.request("HEAD", f"/v1/kv/{key}{QUERY}")
        assert (head, headers["kv-consistency"], headers["kv-staleness-ms"], body) == (200, served, "0", b"")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_lease_reads_see_one_order(new_cluster: NewCluster, tmp_path: Path, harm: str) -> None:
    """While leaders are killed, or stopped for longer than their lease and then go on."""
    cluster = new_cluster(environment=LEASE)
    cluster.start()
    rng = random.Random(time.time_ns() % 10_000)

    with Recorded(cluster, seed=rng.randrange(10_000), query=QUERY) as traffic:
        for number in range(4):
            traffic.advance(300)
            victim = cluster.leader_of(traffic.keys[number])
            if harm == "kill":
                victim.kill()
                traffic.advance(100)
                victim.start()
                victim.wait_ready()
            else:
                victim.pause()
                traffic.advance(50)
                victim.resume()
        traffic.advance(300)

    cluster.wait_ready()
    traffic.judge(tmp_path)
    assert traffic.levels["lease"] > traffic.levels["linearizable"]


def test_without_a_majority_a_lease_ends(new_cluster: NewCluster, measured: Callable[[str], None]) -> None:
    """A leader that is left alone answers lease reads for the rest of its lease, and then no more."""
    cluster = new_cluster(partitions=1, environment=LEASE)
    cluster.start()
    assert cluster["n1"].request("PUT", "/v1/kv/k", b"v")[0] == 204
    alone = cluster.leader_of("k")
    wait_until(partial(is_served, cluster, "k", alone, "lease"), 10, "there is a lease")

    begun = time.monotonic()
    for node in cluster:
        if node is not alone:
            node.pause()
    answered = 0.0
    for _ in itertools.count():
        status, headers, _ = alone.request("GET", f"/v1/kv/k{QUERY}", kv_timeout_ms="200")
        if status != 200:
            break
        assert headers["kv-consistency"] == "lease"
        answered = time.monotonic() - begun
        assert answered < 1.0

    measured(f"seconds of lease reads after the majority was stopped: {answered:.2f}")
    for node in cluster:
        node.resume()
