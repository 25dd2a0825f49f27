"""What carries an Idempotency-Key is done once, however often it is asked for, whatever befalls the nodes."""

import random
import time

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.counting import Counting
from tests.cluster.nodes import Cluster

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(120)
@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_counters_end_exact_though_every_request_is_repeated(cluster: Cluster, harm: str) -> None:
    """Through kills of leaders, or pauses in which requests time out, over all nodes."""
    rng = random.Random(time.time_ns() % 10_000)

    with Counting(cluster, seed=rng.randrange(10_000)) as counting:
        for _ in range(2):
            counting.advance(60)
            victim = cluster.leader_of(f"counter/{rng.randrange(4)}")
            if harm == "kill":
                victim.kill()
                counting.advance(30)
                victim.start()
                victim.wait_ready()
            else:
                victim.pause()
                counting.advance(30)
                victim.resume()
        counting.advance(60)

    cluster.wait_ready()
    for node in cluster:
        assert counting.wrong(node) == []
    assert counting.repeated > counting.succeeded / 2


def test_what_was_done_is_remembered_after_all_have_been_restarted(new_cluster: NewCluster) -> None:
    """And after another has become the leader; the same key with another body is refused all the while."""
    cluster = new_cluster(partitions=1)
    cluster.start()
    first = cluster["n1"].request("POST", "/v1/kv/n?op=incr&by=5", b"", idempotency_key="one")
    cluster.leader_of("n").kill()
    cluster.start()
    second = cluster["n2"].request("POST", "/v1/kv/n?op=incr&by=5", b"", idempotency_key="one")
    for node in cluster:
        node.kill()
    cluster.start()

    third = cluster["n3"].request("POST", "/v1/kv/n?op=incr&by=5", b"", idempotency_key="one")
    assert {(status, headers["etag"], body) for status, headers, body in (first, second, third)} == {
        (200, first[1]["etag"], b"5")
    }
    assert cluster["n1"].request("POST", "/v1/kv/n?op=incr&by=6", b"", idempotency_key="one")[0] == 422
    assert cluster["n1"].request("GET", "/v1/kv/n")[2] == b"5"
