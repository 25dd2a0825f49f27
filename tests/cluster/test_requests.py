"""Any node answers for any key."""

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, wait_until

pytestmark = pytest.mark.cluster


def test_every_node_serves_every_key(cluster: Cluster) -> None:
    """Written through one node, read through all, whoever leads the key's partition."""
    nodes = list(cluster)
    keys = [f"key/{number}" for number in range(48)]

    for number, key in enumerate(keys):
        status, headers, _ = nodes[number % 3].request("PUT", f"/v1/kv/{key}", key.encode(), content_type="text/plain")
        assert (status, headers["etag"][:1]) == (204, '"')

    for node in nodes:
        for key in keys:
            status, headers, body = node.request("GET", f"/v1/kv/{key}")
            assert (status, body, headers["content-type"]) == (200, key.encode(), "text/plain")
            assert headers["kv-consistency"] == "linearizable"
    assert len({nodes[0].json(f"/v1/locate/{key}")["partition"] for key in keys}) > 8


def test_a_delete_is_seen_by_every_node(cluster: Cluster) -> None:
    for number, node in enumerate(cluster):
        assert node.request("PUT", f"/v1/kv/gone/{number}", b"there")[0] == 204
        assert node.request("DELETE", f"/v1/kv/gone/{number}")[0] == 204

        assert [other.request("GET", f"/v1/kv/gone/{number}")[0] for other in cluster] == [404, 404, 404]


def test_nodes_agree_on_who_leads_and_share_the_work(cluster: Cluster) -> None:
    """Whoever starts first leads, and hands over to the first replicas on the ring when all is calm."""

    def views() -> list[dict[int, str | None]]:
        return [{p["id"]: p["leader"] for p in node.json("/v1/cluster")["partitions"]} for node in cluster]

    def agreed() -> bool:
        first, *others = views()
        return all(view == first for view in others) and set(first.values()) == {"n1", "n2", "n3"}

    wait_until(agreed, 30, "every node leads something, and all know")
    assert len(views()[0]) == 16


def test_a_node_without_a_replica_serves_too(new_cluster: NewCluster) -> None:
    """Five nodes, three replicas: two nodes in five only pass on, and find new leaders when one dies."""
    cluster = new_cluster(size=5, partitions=8)
    cluster.start()
    keys = [f"key/{number}" for number in range(16)]

    for key in keys:
        for node in cluster:
            assert node.request("PUT", f"/v1/kv/{key}", node.name.encode())[0] == 204
    victim = cluster.leader_of_most()
    victim.kill()

    for node in cluster:
        if node is not victim:
            for key in keys:
                assert node.request("GET", f"/v1/kv/{key}")[2] == b"n5"
                assert node.request("GET", f"/v1/kv/{key}?consistency=stale")[0] == 200
                assert node.request("PUT", f"/v1/kv/{key}", b"n5")[0] == 204


def test_one_node_alone_is_a_cluster(new_cluster: NewCluster) -> None:
    cluster = new_cluster(size=1)
    cluster.start()

    assert cluster["n1"].request("PUT", "/v1/kv/a", b"1")[0] == 204
    cluster["n1"].kill()
    cluster.start()
    assert cluster["n1"].request("GET", "/v1/kv/a")[2] == b"1"
