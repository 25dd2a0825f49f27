"""Names are identity, addresses are not: nodes come back elsewhere, and the cluster goes on."""

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, free_port

pytestmark = pytest.mark.cluster

READY_SECONDS = 60.0


def move(cluster: Cluster, names: str, told: dict[str, str]) -> None:
    """Stop all, and start them with these nodes at new ports; `told` says whose seeds know of which moves."""
    for node in cluster:
        node.kill()
    old = {node.name: node.peer_port for node in cluster}
    new = {name: free_port() if name in names.split() else port for name, port in old.items()}
    for name, node in list(cluster.nodes.items()):
        known = told[name].split()
        seeds = {other: new[other] if other in known else old[other] for other in old}
        cluster.nodes[name] = Node(name, cluster.directory, seeds, cluster.environment, node.http_port)
        cluster.nodes[name].start()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("n1", {"n1": "n1", "n2": "", "n3": ""}),
        ("n3", {"n1": "", "n2": "", "n3": "n3"}),
        ("n2 n3", {"n1": "", "n2": "n2", "n3": "n3"}),
        ("n1 n2 n3", {"n1": "n1 n2 n3", "n2": "n1 n2 n3", "n3": "n1 n2 n3"}),
    ],
    ids=["the first", "the last", "two that are told nothing of each other", "all"],
)
def test_nodes_that_moved_find_each_other(new_cluster: NewCluster, names: str, told: dict[str, str]) -> None:
    cluster = new_cluster()
    cluster.start()
    assert cluster["n1"].request("PUT", "/v1/kv/k", b"before")[0] == 204

    move(cluster, names, told)

    cluster.wait_ready(READY_SECONDS)
    for node in cluster:
        assert node.request("GET", "/v1/kv/k")[2] == b"before"
        nodes = node.json("/v1/cluster")["nodes"]
        told_of = {other["name"]: other["peer"] for other in nodes}
        assert told_of[node.name] == f"127.0.0.1:{node.peer_port}"
