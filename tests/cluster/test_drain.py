"""SIGTERM: leadership is handed over, open requests finish, the node exits 0 within five seconds."""

import http.client
import signal
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.cluster.balancer import Balancer
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, wait_until
from tests.cluster.traffic import Ledger

pytestmark = pytest.mark.cluster

EXIT_SECONDS_MAX = 5.0

Measured = Callable[[str], None]


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


def test_rolling_restarts_behind_a_balancer_fail_no_request(new_cluster: NewCluster, measured: Measured) -> None:
    """Whoever checks the nodes' health, and waits less than they drain, loses no request, neither old nor new."""
    cluster = new_cluster(environment={"RINGKV_DRAIN_SECONDS": "1.5"})
    cluster.start()
    statuses: Counter[int] = Counter()
    stopped = threading.Event()
    lock = threading.Lock()

    def ask(number: int, pause: float) -> None:
        turn = 0
        while not stopped.wait(pause):
            turn += 1
            put = turn % 3 == 0
            status = balancer.ask("PUT" if put else "GET", f"/v1/kv/{number}-{turn % 7}", b"v" if put else None)
            with lock:
                statuses[status] += 1

    with Balancer(list(cluster)) as balancer:
        # Some are busy, some use their connections now and then.
        askers = [threading.Thread(target=ask, args=(number, 0.002 if number < 4 else 0.3)) for number in range(8)]
        for asker in askers:
            asker.start()
        for node in cluster:
            others = [other.name for other in cluster if other is not node]
            node.send(signal.SIGTERM)
            wait_until(lambda others=others: balancer.ready() == others, 10, "the balancer notices")  # type: ignore[misc]
            assert node.wait(15) == 0
            node.start()
            node.wait_ready()
            wait_until(lambda: len(balancer.ready()) == 3, 10, "the balancer notices")
        stopped.set()
        for asker in askers:
            asker.join()

    measured(f"rolling restart behind a balancer: {sum(statuses.values())} requests, {dict(statuses)}")
    assert balancer.failures == []
    assert balancer.closes > 0
    # A write whose leader steps down meanwhile may be answered with what it is: unknown.
    assert sum(count for status, count in statuses.items() if status >= 500) < 0.01 * sum(statuses.values())


def test_a_connection_in_use_learns_that_it_ends(cluster: Cluster) -> None:
    """Without drain_seconds, too: it is told with an answer, and not cut off."""
    victim = cluster["n1"]
    link = http.client.HTTPConnection("127.0.0.1", victim.http_port, timeout=10)
    told = 0
    link.request("GET", "/v1/kv/k")
    link.getresponse().read()
    victim.send(signal.SIGTERM)
    while not told:
        link.request("GET", "/v1/kv/k")
        answer = link.getresponse()
        answer.read()
        assert answer.status == 404
        told += answer.will_close
    link.close()

    assert victim.wait(EXIT_SECONDS_MAX) == 0


def test_a_second_signal_ends_the_drain(new_cluster: NewCluster) -> None:
    cluster = new_cluster(size=1, environment={"RINGKV_DRAIN_SECONDS": "600"})
    cluster.start()
    node = cluster["n1"]
    node.send(signal.SIGTERM)
    wait_until(lambda: not node.is_ready(), 5, "it says that it is to end")
    assert node.request("PUT", "/v1/kv/k", b"v")[0] == 204
    node.send(signal.SIGTERM)

    assert node.wait(EXIT_SECONDS_MAX) == 0
