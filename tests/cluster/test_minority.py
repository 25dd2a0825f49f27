"""Without a majority nothing is acknowledged, nothing hangs, and stale reads go on."""

import json
import signal
import time

import pytest

from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

KEYS = [f"minority/{number}" for number in range(10)]
DEADLINE_MS = 800
SLACK_SECONDS = 0.5


def ask(node: Node, method: str, key: str) -> tuple[int, str]:
    """Status and problem code; fails if the answer comes after the deadline."""
    begun = time.monotonic()
    body = b"new" if method == "PUT" else None
    status, _, answer = node.request(method, f"/v1/kv/{key}", body, kv_timeout_ms=str(DEADLINE_MS))
    took = time.monotonic() - begun
    assert took < DEADLINE_MS / 1_000 + SLACK_SECONDS, f"{method} {key} took {took:.2f} s: {status} {answer!r}"
    return status, json.loads(answer)["code"] if status >= 400 else ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_minority_refuses_all_but_stale_reads(cluster: Cluster, number: signal.Signals) -> None:
    alone, *others = cluster
    for key in KEYS:
        assert alone.request("PUT", f"/v1/kv/{key}", b"old")[0] == 204
    # A replica that follows may be a heartbeat behind what was acknowledged.
    wait_until(lambda: all(stale(alone, key) == (200, b"old") for key in KEYS), 5, "the last node has all")

    for node in others:
        node.kill(number)
    first = [ask(alone, "PUT", key) for key in KEYS[:5]]
    assert all(status in (503, 504) for status, _ in first), first
    wait_until(lambda: ask(alone, "PUT", KEYS[0])[1] == "NO_QUORUM", 10, "the lone leader notices")
    wait_until(lambda: all(ask(alone, "GET", key)[1] == "NO_QUORUM" for key in KEYS), 20, "and for all partitions")

    for key in KEYS:
        assert ask(alone, "PUT", key) == (503, "NO_QUORUM")
        assert ask(alone, "GET", key) == (503, "NO_QUORUM")
        assert ask(alone, "DELETE", key) == (503, "NO_QUORUM")
        status, body = stale(alone, key)
        assert status == 200
        assert body == b"old"

    for node in others:
        node.resume()
    cluster.start()
    for node in cluster:
        assert node.request("PUT", f"/v1/kv/{KEYS[0]}", b"again")[0] == 204


def stale(node: Node, key: str) -> tuple[int, bytes]:
    status, headers, body = node.request("GET", f"/v1/kv/{key}?consistency=stale")
    if status == 200:
        assert headers["kv-consistency"] in ("stale", "linearizable")
    return status, body
