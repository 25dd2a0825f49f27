"""A node whose data directory is lost has forgotten its votes and all that it acknowledged: it must not come back."""

import json
import shutil

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, wait_until

pytestmark = pytest.mark.cluster

TOLD_SECONDS = 10.0


def refusals(cluster: Cluster, lost: str) -> list[str]:
    """The lines in the others' logs that say that `lost` is refused."""
    return [
        line
        for node in cluster
        if node.name != lost
        for line in node.log_text().splitlines()
        if f"node '{lost}' runs on another data directory" in line
    ]


@pytest.mark.parametrize("lost", ["n1", "n3"])
def test_a_node_that_lost_its_directory_is_refused_and_the_others_go_on(new_cluster: NewCluster, lost: str) -> None:
    """n3 dials the others, n1 is dialed by them."""
    cluster = new_cluster()
    cluster.start()
    node = cluster[lost]
    others = [other for other in cluster if other is not node]
    assert others[0].request("PUT", "/v1/kv/before", b"1")[0] == 204
    node.kill()
    kept = node.directory.rename(node.directory.with_name("kept"))
    node.start()

    def is_told() -> bool:
        return len(refusals(cluster, lost)) == 2 and node.log_text().count("refuses this node: node") == 2

    wait_until(is_told, TOLD_SECONDS, "everybody's log tells of the refusal")
    status, _, body = node.request("GET", "/readyz?verbose=1")
    assert status == 503
    told = [reason for reason in json.loads(body)["reasons"] if "another data directory" in reason]
    assert {reason.split()[1] for reason in told} == {other.name for other in others}
    assert all("start it on that one" in reason for reason in told)
    for other in others:
        other.wait_ready()
        assert other.request("PUT", f"/v1/kv/after-{other.name}", b"2")[0] == 204
    assert node.request("GET", "/v1/kv/before", kv_timeout_ms="500")[0] == 503
    assert len(refusals(cluster, lost)) == 2, "one line for each reason, however often it dials"

    node.kill()
    shutil.rmtree(node.directory)
    kept.rename(node.directory)
    node.start()
    node.wait_ready(60)
    assert node.request("GET", "/v1/kv/before")[2] == b"1"
