"""Replicas move from node to node while clients write and nodes die: nobody notices, and nothing is lost."""

import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.moves import held_on_disk, place, running, voters, wait_moved
from tests.cluster.nodes import Cluster, Node, wait_until
from tests.cluster.traffic import Ledger, Recorded

pytestmark = pytest.mark.cluster

PARTITIONS = 4
OUTAGE_SECONDS_MAX = 2.0


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    """Five nodes, of which three hold each partition."""
    made = new_cluster(size=5, partitions=PARTITIONS)
    made.start()
    return made


def spare(cluster: Cluster, partition: int) -> list[str]:
    """Who holds no replica."""
    holders = voters(running(cluster)[0], partition)
    return [node.name for node in cluster if node.name not in holders]


def leader(cluster: Cluster, partition: int) -> Node | None:
    """Who leads by its own account."""
    for node in running(cluster):
        if node.json("/v1/cluster")["partitions"][partition]["leader"] == node.name:
            return node
    return None


def wait_leader(cluster: Cluster, partition: int) -> Node:
    wait_until(lambda: leader(cluster, partition) is not None, 10, f"somebody leads partition {partition}")
    found = leader(cluster, partition)
    assert found is not None
    return found


def key_in(node: Node, partition: int) -> str:
    """A key of the partition that no traffic touches."""
    keys = (f"apart/{number}" for number in itertools.count())
    return next(key for key in keys if node.json(f"/v1/locate/{key}")["partition"] == partition)


def wait_gone(node: Node, partition: int) -> None:
    wait_until(lambda: partition not in held_on_disk(node), 10, f"{node.name} has no data of partition {partition}")


@pytest.mark.timeout(240)
def test_every_replica_moves_under_load_while_nodes_are_killed(
    cluster: Cluster, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """Each partition goes to other nodes, one of which, or a holder, is killed in the middle of it."""
    rng = random.Random(time.time_ns() % 10_000)
    took = []

    with Recorded(cluster, keys=12, seed=rng.randrange(10_000)) as traffic, Ledger(cluster, clients=4) as ledger:
        for partition in range(PARTITIONS):
            traffic.advance(200)
            before = voters(running(cluster)[0], partition)
            after = [*spare(cluster, partition), rng.choice(before)]
            rng.shuffle(after)
            print(f"partition {partition}: {' '.join(before)} to {' '.join(after)}")
            place(cluster, partition, after)
            victim = cluster[rng.choice([*before, *after])]
            traffic.advance(rng.choice((1, 5, 20)))
            victim.kill()
            traffic.advance(100)
            victim.start()
            victim.wait_ready()
            took.append(wait_moved(cluster, partition, after))
            for name in set(before) - set(after):
                wait_gone(cluster[name], partition)
            traffic.advance(100)

    measured("seconds until replicas had moved, a node killed in between: " + " ".join(f"{s:.1f}" for s in took))
    traffic.judge(tmp_path)
    assert ledger.lost(cluster) == []


def test_a_leader_removes_itself(cluster: Cluster, tmp_path: Path) -> None:
    """Each of the three in turn, while clients write: they are cut off for a moment at most."""
    with Recorded(cluster, seed=7) as traffic:
        partition = cluster["n1"].json(f"/v1/locate/{traffic.keys[0]}")["partition"]
        key = key_in(cluster["n1"], partition)
        for _ in range(3):
            traffic.advance(100)
            old = wait_leader(cluster, partition)
            after = [name for name in voters(old, partition) if name != old.name] + spare(cluster, partition)[:1]
            place(cluster, partition, after)
            wait_moved(cluster, partition, after)
            assert traffic.advance(50) < OUTAGE_SECONDS_MAX
            new = wait_leader(cluster, partition)
            assert new.name in after
            wait_gone(old, partition)
            status, headers, _ = old.request("PUT", f"/v1/kv/{key}", b"by the old leader")
            assert status == 204 and headers["etag"]

    cluster.wait_ready()
    traffic.judge(tmp_path)


@pytest.mark.timeout(180)
def test_a_dead_node_is_replaced(cluster: Cluster) -> None:
    """Afterwards another may die; and when the first comes back it learns that it is not needed, and passes on."""
    with Ledger(cluster) as ledger:
        ledger.advance(200)
        dead = cluster["n2"]
        dead.kill()
        held = [partition for partition in range(PARTITIONS) if "n2" in voters(cluster["n1"], partition)]
        assert held
        for partition in held:
            (another, *_) = (name for name in spare(cluster, partition) if name != "n2")
            after = [another if name == "n2" else name for name in voters(cluster["n1"], partition)]
            place(cluster, partition, after)
            wait_moved(cluster, partition, after)
        second = cluster["n3"]
        second.kill()
        ledger.advance(400)
        assert ledger.lost(running(cluster)) == []
        second.start()
        second.wait_ready()
        ledger.advance(100)

        dead.start()
        dead.wait_ready()
        for partition in held:
            wait_gone(dead, partition)
        assert held_on_disk(dead) == set()
        ledger.advance(100)

    assert ledger.lost(cluster) == []
    assert all(not has_replicas(dead, partition) for partition in held)


def has_replicas(node: Node, partition: int) -> bool:
    return node.name in voters(node, partition)


def test_a_partition_grows_shrinks_and_stays_so_over_a_restart(cluster: Cluster) -> None:
    """Five replicas, then one, then three others; all nodes are killed after each."""
    everybody = [node.name for node in cluster]
    with Ledger(cluster, clients=4) as ledger:
        ledger.advance(200)

    for after in (everybody, ["n4"], ["n5", "n1", "n4"]):
        place(cluster, 0, after)
        wait_moved(cluster, 0, after)
        for node in cluster:
            node.kill()
        cluster.start()
        wait_moved(cluster, 0, after)
        for node in cluster:
            assert (0 in held_on_disk(node)) == (node.name in after)
        assert ledger.lost(cluster) == []

    wait_until(lambda: leader(cluster, 0) is cluster["n5"], 20, "the first of the replicas leads")


def test_two_changes_at_once_and_a_change_of_mind(cluster: Cluster) -> None:
    """The last target wins, whatever was on its way."""
    rng = random.Random(time.time_ns() % 10_000)
    after: list[str] = []
    with Ledger(cluster, clients=4) as ledger:
        ledger.advance(100)
        for _ in range(6):
            after = rng.sample([node.name for node in cluster], 3)
            place(cluster, 0, after)
            ledger.advance(rng.randrange(30))
        wait_moved(cluster, 0, after)

    for node in cluster:
        if node.name not in after:
            wait_gone(node, 0)
    assert ledger.lost(cluster) == []


def test_what_cannot_be_is_refused(cluster: Cluster) -> None:
    for nodes, status, code in (
        ([], 422, "BAD_REPLICAS"),
        (["n1", "n9"], 422, "BAD_REPLICAS"),
        (["n1", "n1"], 422, "BAD_REPLICAS"),
        (["n1"], 422, "BAD_REPLICAS"),
    ):
        for node in cluster:
            answer = node.request(
                "PUT",
                "/v1/partitions/0/replicas",
                json.dumps({"nodes": nodes}).encode(),
                content_type="application/json",
            )
            assert (answer[0], json.loads(answer[2])["code"]) == (status, code)


def test_without_a_majority_no_replica_moves(cluster: Cluster) -> None:
    """It is refused, or its outcome is unknown, and then it is done once a majority is back."""
    before = voters(cluster["n1"], 0)
    alone, *others = (cluster[name] for name in before)
    for node in others:
        node.kill()

    status, _, answer = alone.request(
        "PUT",
        "/v1/partitions/0/replicas",
        b'{"nodes":["%s"],"allow_fewer":true}' % alone.name.encode(),
        content_type="application/json",
    )

    assert status in (503, 504), answer
    assert voters(alone, 0) == before
    cluster.start()
    place(cluster, 0, before)
    wait_moved(cluster, 0, before)


def test_replicas_move_by_command(cluster: Cluster) -> None:
    def ringkv(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.cli", arguments[0], "--url", cluster["n1"].url, *arguments[1:]]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    after = [*spare(cluster, 1), voters(cluster["n1"], 1)[0]]
    moved = ringkv("replicas", "1", *after, "--wait")
    assert (moved.returncode, moved.stderr) == (0, "")
    assert set(moved.stdout.removeprefix("partition 1: voters ").split()) == set(after)

    assert ringkv("transfer", "1", after[1]).returncode == 0
    assert leader(cluster, 1) is cluster[after[1]]
    gone = next(node.name for node in cluster if node.name not in after)
    refused = ringkv("transfer", "1", gone)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "NOT_A_REPLICA" in refused.stderr

    status = ringkv("status")
    assert status.returncode == 0
    assert "PARTITION  LEADER  REPLICAS  LEARNERS  TARGET  TERM" in status.stdout
