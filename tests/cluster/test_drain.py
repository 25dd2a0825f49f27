"""SIGTERM: leadership is handed over, open requests finish, the node exits 0 within five seconds."""

import signal

import pytest

from tests.cluster.nodes import Cluster
from tests.cluster.traffic import Ledger

pytestmark = pytest.mark.cluster

EXIT_SECONDS_MAX = 5.0


def test_a_draining_node_hands_over_and_loses_nothing(cluster: Cluster) -> None:
    victim = cluster.leader_of_most()
    others = [node for node in cluster if node is not victim]

    with Ledger(cluster) as ledger:
        ledger.advance(300)
        victim.send(signal.SIGTERM)
        assert victim.wait(EXIT_SECONDS_MAX) == 0
        assert victim.name not in cluster.leaders().values()
        ledger.advance(300)

    assert ledger.lost(others) == []
    cluster.start()
    assert ledger.lost(cluster) == []


def test_a_whole_cluster_drains_under_load(cluster: Cluster) -> None:
    with Ledger(cluster) as ledger:
        ledger.advance(300)
        for node in cluster:
            node.send(signal.SIGTERM)
        assert [node.wait(EXIT_SECONDS_MAX) for node in cluster] == [0, 0, 0]

    cluster.start()
    assert ledger.lost(cluster) == []


def test_rolling_restarts_fail_no_request_for_long(cluster: Cluster) -> None:
    """One node after the other; writes never stop for a second."""
    with Ledger(cluster) as ledger:
        for node in cluster:
            ledger.advance(100)
            node.send(signal.SIGTERM)
            assert node.wait(EXIT_SECONDS_MAX) == 0
            assert ledger.advance(1) < 1.0
            node.start()
            node.wait_ready()

    assert ledger.lost(cluster) == []
