"""Without a majority nothing is acknowledged, nothing hangs, and stale reads go on."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

KEYS = [f"minority/{number}" for number in range(12)]
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


def ask_all(node: Node, method: str) -> set[tuple[int, str]]:
    """What the node answers for all keys, asked at the same time."""
    with ThreadPoolExecutor(len(KEYS)) as clients:
        return set(clients.map(lambda key: ask(node, method, key), KEYS))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_minority_refuses_all_but_stale_reads(cluster: Cluster, number: signal.Signals) -> None:
    """From the first moment on nothing is acknowledged; once the node knows that it is alone it says so."""
    alone, *others = cluster
    for key in KEYS:
        assert alone.request("PUT", f"/v1/kv/{key}", b"old")[0] == 204
    # A replica that follows may be a heartbeat behind what was acknowledged.
    wait_until(lambda: all(stale(alone, key) == (200, b"old") for key in KEYS), 5, "the last node has all")

    for node in others:
        node.kill(number)
    assert {status for status, _ in ask_all(alone, "PUT")} <= {503, 504}
    assert {status for status, _ in ask_all(alone, "GET")} <= {503, 504}
    wait_until(lambda: ask_all(alone, "PUT") == {(503, "NO_QUORUM")}, 10, "the lone node knows that it is alone")

    for method in ("PUT", "GET", "DELETE"):
        assert ask_all(alone, method) == {(503, "NO_QUORUM")}
    # The very first writes were in the log of a leader that was cut off: nobody knows, but nobody was promised.
    assert all(stale(alone, key) == (200, b"old") for key in KEYS)

    for node in others:
        node.resume()
    cluster.start()
    for node in cluster:
        for key in KEYS:
            assert node.request("PUT", f"/v1/kv/{key}", b"again")[0] == 204


def stale(node: Node, key: str) -> tuple[int, bytes]:
    status, headers, body = node.request("GET", f"/v1/kv/{key}?consistency=stale")
    if status == 200:
        assert headers["kv-consistency"] in ("stale", "linearizable")
    return status, body
