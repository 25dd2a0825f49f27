"""A node whose disk is slow: others lead until it is quick again, on real nodes."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from raftgroups.balance import SETTLED_SECONDS
from tests.chaos.shim import Shim, compile_shim, missing
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

SLOW_MS = 300
PARTITIONS = 8


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = missing()
    if reason:
        pytest.skip(reason)
    return compile_shim(tmp_path_factory.mktemp("shim"))


class Disks:
    """A cluster whose disks can be made slow, and a client of it."""

    def __init__(self, cluster: Cluster, shims: dict[str, Shim]) -> None:
        self.cluster = cluster
        self._shims = shims
        self._numbers = itertools.count()

    def slow(self, name: str) -> None:
        self._shims[name].set(fsync_delay_ms=SLOW_MS)

    def mend(self, name: str) -> None:
        self._shims[name].clear()

    def put(self) -> float:
        """Put a key of any partition through the last node; how long that took."""
        begun = time.monotonic()
        status, _, body = self.cluster["n3"].request("PUT", f"/v1/kv/key{next(self._numbers)}", b"value")
        assert status == 204, body
        return time.monotonic() - begun

    def puts_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Keep disks at work until then."""

        def is_so() -> bool:
            self.put()
            return condition()

        wait_until(is_so, seconds, what)

    def is_balanced(self) -> bool:
        """Every partition is led by its first replica."""
        partitions = self.cluster["n3"].json("/v1/cluster")["partitions"]
        return all(partition["leader"] == partition["replicas"][0] for partition in partitions)

    def led(self, name: str) -> int:
        return list(self.cluster.leaders().values()).count(name)


def metric(node: Node, name: str) -> float:
    lines = node.request("GET", "/metrics")[2].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def disks(new_cluster: NewCluster, library: Path, tmp_path: Path) -> Disks:
    cluster = new_cluster(3, partitions=PARTITIONS)
    shims = {node.name: Shim(library, tmp_path, node.name) for node in cluster}
    for node in cluster:
        node.environment.update(shims[node.name].environment)
    cluster.start()
    return Disks(cluster, shims)


@pytest.mark.timeout(240)
def test_a_node_with_a_slow_disk_leads_nothing_until_it_is_quick(disks: Disks, measured: Callable[[str], None]) -> None:
    node = disks.cluster["n1"]
    wait_until(disks.is_balanced, 30, "each leads its share")
    assert disks.led("n1") > 0

    disks.slow("n1")
    begun = time.monotonic()
    disks.puts_until(lambda: disks.led("n1") == 0, 60, "the slow one leads nothing")
    measured(f"slow disk: {time.monotonic() - begun:.1f} s until its node led nothing")

    took = median(disks.put() for _ in range(30))
    measured(f"slow disk: puts took {took:.3f} s then, at the median")
    assert took < SLOW_MS / 2000
    assert metric(node, "ringkv_disk_slow") == 1
    assert metric(node, "ringkv_disk_sync_seconds") >= SLOW_MS / 1000
    assert any("this disk takes 0.3" in text for text in node.json("/readyz?verbose")["warnings"])
    assert not disks.cluster["n2"].json("/readyz?verbose")["warnings"]

    # Balance would have handed it all back by then.
    later = time.monotonic() + SETTLED_SECONDS + PARTITIONS
    while time.monotonic() < later:
        disks.put()
        assert disks.led("n1") == 0

    disks.mend("n1")
    # Without a request: the node tries its disk itself.
    wait_until(disks.is_balanced, 90, "it has its share again")
    assert metric(node, "ringkv_disk_slow") == 0
    assert not node.json("/readyz?verbose")["warnings"]
    assert node.log_text().count("this disk takes") == 1
    assert "this disk is quick again" in node.log_text()


@pytest.mark.timeout(120)
def test_of_two_slow_ones_neither_leads(disks: Disks) -> None:
    disks.slow("n1")
    disks.slow("n2")

    disks.puts_until(lambda: disks.led("n3") == PARTITIONS, 90, "the quick one leads all")


@pytest.mark.timeout(120)
def test_where_all_are_slow_nobody_moves(disks: Disks) -> None:
    wait_until(disks.is_balanced, 30, "each leads its share")
    for name in ("n1", "n2", "n3"):
        disks.slow(name)

    disks.puts_until(
        lambda: all(metric(node, "ringkv_disk_sync_seconds") > 0.2 for node in disks.cluster), 90, "all are slow"
    )
    for _ in range(20):
        disks.put()

    for node in disks.cluster:
        assert metric(node, "ringkv_disk_slow") == 0
        assert "this disk takes" not in node.log_text()
