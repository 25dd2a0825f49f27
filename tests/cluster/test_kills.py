"""SIGKILL of one node or of all: what was acknowledged is there afterwards, whoever is asked."""

import time

import pytest

from tests.cluster.nodes import Cluster
from tests.cluster.traffic import Ledger

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_no_acknowledged_write_is_lost_with_one_node(cluster: Cluster, role: str) -> None:
    """Writes go on without the node, and it has all of them when it is back."""
    victim = cluster.leader_of("ledger/1/0") if role == "leader" else cluster.followers_of("ledger/1/0")[0]
    others = [node for node in cluster if node is not victim]

    with Ledger(cluster) as ledger:
        ledger.advance(500)
        victim.kill()
        ledger.advance(500)

    assert ledger.lost(others) == []
    cluster.start()
    assert ledger.lost(cluster) == []


def test_no_acknowledged_write_is_lost_with_all_nodes(cluster: Cluster) -> None:
    """Three times all three at once, in the middle of writing."""
    for _ in range(3):
        with Ledger(cluster, seed=int(time.time())) as ledger:
            ledger.advance(300)
            for node in cluster:
                node.kill()

        cluster.start()
        assert ledger.lost(cluster) == []


def test_a_restarted_node_leads_and_follows_again(cluster: Cluster) -> None:
    """After each node has been killed once, every one of them can be missed."""
    with Ledger(cluster) as ledger:
        for node in cluster:
            ledger.advance(100)
            node.kill()
            ledger.advance(100)
            node.start()
            node.wait_ready()

    assert ledger.lost(cluster) == []
