"""Moving the replicas of a cluster of real nodes, and what is left of them."""

import contextlib
import http.client
import itertools
import json
from collections.abc import Sequence

from tests.cluster.nodes import Cluster, Node, wait_until

DECIDED_SECONDS = 20.0
MOVED_SECONDS = 40.0
# Not now: nobody leads, another change is on its way, or nobody knows whether it was done. To repeat it does no harm.
REPEATED = (409, 503, 504)


def running(cluster: Cluster) -> list[Node]:
    return [node for node in cluster if node.is_running]


def voters(node: Node, partition: int) -> list[str]:
    found: list[str] = node.json(f"/v1/partitions/{partition}/replicas")["voters"]
    return found


def place(cluster: Cluster, partition: int, nodes: Sequence[str]) -> None:
    """Has these nodes hold the partition, asking one node after the other until it is decided."""
    body = json.dumps({"nodes": list(nodes), "allow_fewer": len(nodes) < 3}).encode()
    askers = itertools.cycle(running(cluster))

    def is_decided() -> bool:
        node = next(askers)
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _, answer = node.request(
                "PUT", f"/v1/partitions/{partition}/replicas", body, content_type="application/json"
            )
            assert status == 200 or status in REPEATED, answer
            return status == 200
        return False

    wait_until(is_decided, DECIDED_SECONDS, f"partition {partition} shall be on {' '.join(nodes)}")


def has_moved(node: Node, partition: int, nodes: Sequence[str]) -> bool:
    """Whether that is what the node knows: these vote, nobody learns, nothing is left to do."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        found = node.json(f"/v1/partitions/{partition}/replicas")
        return bool(found == {"partition": partition, "voters": list(nodes), "learners": [], "target": list(nodes)})
    return False


def wait_moved(cluster: Cluster, partition: int, nodes: Sequence[str]) -> float:
    """Until every running node knows that these nodes hold the partition; returns how long that took."""

    def is_moved() -> bool:
        return all(has_moved(node, partition, nodes) for node in running(cluster))

    return wait_until(is_moved, MOVED_SECONDS, f"partition {partition} is on {' '.join(nodes)}")


def held_on_disk(node: Node) -> set[int]:
    """The partitions that the node's data directory has replicas of."""
    return {int(path.name[1:5]) for path in node.directory.iterdir() if path.is_dir() and path.name.startswith("p0")}
