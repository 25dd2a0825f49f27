"""Batches and transactions on real nodes: through each of them, and while a leader is killed."""

import contextlib
import http.client
import json
import threading
from typing import Any

import msgspec
import pytest

from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

COUNTERS = [f"counter/{number}" for number in range(24)]
ROUNDS = 12
ATTEMPTS_MAX = 200


def post(node: Node, path: str, document: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    status, fields, body = node.request(
        "POST", path, json.dumps(document).encode(), timeout=10, content_type="application/json", **headers
    )
    return status, fields, json.loads(body)


def test_every_node_takes_batches_and_transactions(cluster: Cluster) -> None:
    """Keys of all partitions, written through one node and read through all, at every level that a session allows."""
    for node in cluster:
        keys = [f"{node.name}/{number}" for number in range(48)]
        puts = [{"op": "put", "key": key, "value": key} for key in keys]
        status, headers, answer = post(node, "/v1/batch", {"ops": puts})
        assert (status, {result["status"] for result in answer["results"]}) == (200, {204})

        gets = {"ops": [{"op": "get", "key": key} for key in [*keys, "absent"]]}
        for other in cluster:
            for level in ("linearizable", "session", "lease"):
                session = headers["kv-session"]
                _, receipt, found = post(other, f"/v1/batch?consistency={level}", gets, kv_session=session)
                assert [result.get("value") for result in found["results"]] == [*keys, None]
                assert [result["status"] for result in found["results"]] == [200] * 48 + [404]
                assert receipt["kv-consistency"] in ("linearizable", level)

        tag = f"{{{node.name}}}"
        move = {
            "if": [{"key": f"{tag}/lock", "exists": False}],
            "then": [{"op": "put", "key": f"{tag}/lock", "value": node.name}, {"op": "get", "key": f"{tag}/lock"}],
            "else": [{"op": "get", "key": f"{tag}/lock"}],
        }
        first, second = (post(node, "/v1/txn", move)[2] for _ in range(2))
        assert (first["succeeded"], first["results"][1]["value"]) == (True, node.name)
        assert (second["succeeded"], second["results"][0]["value"]) == (False, node.name)
        steps = [{"op": "get", "key": f"key/{number}"} for number in range(9)]
        assert post(node, "/v1/txn", {"then": steps})[0] == 422


def test_a_batch_is_repeated_through_another_node(cluster: Cluster) -> None:
    """In MessagePack, too; and another body is refused by whichever node gets it."""
    nodes = list(cluster)
    body = msgspec.msgpack.encode({"ops": [{"op": "incr", "key": key.encode()} for key in COUNTERS]})
    results = []
    for node in nodes:
        status, headers, answer = node.request(
            "POST", "/v1/batch", body, content_type="application/msgpack", idempotency_key="once"
        )
        assert (status, headers["content-type"]) == (200, "application/msgpack")
        results.append(msgspec.msgpack.decode(answer)["results"])

    assert results[0] == results[1] == results[2]
    assert {result["value"] for result in results[0]} == {b"1"}
    for node in nodes:
        status, _, problem = post(node, "/v1/batch", {"ops": [{"op": "incr", "key": "n"}]}, idempotency_key="once")
        assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert nodes[0].request("GET", "/v1/kv/n")[0] == 404


class Counting:
    """Sends rounds of work through all nodes in turn, each until all of it is known to be applied."""

    def __init__(self, cluster: Cluster) -> None:
        self._nodes = list(cluster)
        self.rounds = 0
        self.statuses: set[int] = set()

    def run(self) -> None:
        for number in range(ROUNDS):
            incr = {"ops": [{"op": "incr", "key": key} for key in COUNTERS]}
            self._repeat("/v1/batch", incr, f"batch-{number}")
            move = {
                "if": [{"key": "{pair}/a", "exists": False, "is": "ne" if number else "eq"}],
                "then": [
                    {"op": "put", "key": "{pair}/a", "value": str(number)},
                    {"op": "put", "key": "{pair}/b", "value": str(number)},
                ],
            }
            self._repeat("/v1/txn", move, f"txn-{number}")
            self.rounds += 1

    def _repeat(self, path: str, document: Any, token: str) -> None:
        for attempt in range(ATTEMPTS_MAX):
            node = self._nodes[attempt % len(self._nodes)]
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _, answer = post(node, path, document, idempotency_key=token, kv_timeout_ms="1000")
                results = answer.get("results", [answer])
                for result in results:
                    self.statuses.add(result["status"])
                    if result["status"] >= 400:
                        assert result["outcome"] == ("unknown" if result["status"] == 504 else "not_applied"), result
                if status == 200 and all(result["status"] < 300 for result in results):
                    assert answer.get("succeeded", True)
                    return
        raise AssertionError(f"{token} does not succeed in {ATTEMPTS_MAX} attempts")


def test_each_is_done_once_though_a_leader_is_killed(cluster: Cluster) -> None:
    """Whoever repeats what failed, under the same Idempotency-Key, ends with exact counters."""
    counting = Counting(cluster)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            counting.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: counting.rounds >= 3 or not thread.is_alive(), 30, "some rounds are done")
        victim = cluster.leader_of_most()
        victim.kill()
        wait_until(lambda: counting.rounds >= 6 or not thread.is_alive(), 30, "some more are done without it")
        victim.start()
    finally:
        thread.join(60)
    assert not thread.is_alive() and failures == []

    cluster.wait_ready()
    for node in cluster:
        gets = [{"op": "get", "key": key} for key in [*COUNTERS, "{pair}/a", "{pair}/b"]]
        *counters, first, second = post(node, "/v1/batch", {"ops": gets})[2]["results"]
        assert {result["value"] for result in counters} == {str(ROUNDS)}
        assert first == second and first["value"] == str(ROUNDS - 1)
