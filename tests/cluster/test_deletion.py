"""A range of keys is deleted through any node of real ones, one of which is killed meanwhile."""

import json
from itertools import cycle
from typing import Any

import pytest

from app.client import Client
from tests.cluster.nodes import Cluster, Node
from tests.cluster.test_scan import KEYS, fill, page

pytestmark = pytest.mark.cluster


def delete(node: Node, query: str, **headers: Any) -> tuple[int, Any]:
    status, _, body = node.request("DELETE", f"/v1/kv?{query}", timeout=20, **headers)
    return status, json.loads(body)


def test_a_prefix_is_deleted_and_every_watch_is_told_of_each_key(cluster: Cluster) -> None:
    """The events name each key once, as those of single deletes do."""
    wanted = fill(cluster["n1"])
    doomed = {key.encode() for key in wanted if key.startswith("k/00")}
    assert cluster["n1"].request("PUT", "/v1/kv/last", b"v")[0] == 204

    with Client(cluster["n3"].url) as client, client.watch(prefix=b"") as changes:
        assert delete(cluster["n2"], "prefix=k/00") == (200, {"deleted": len(doomed), "complete": True})
        assert cluster["n1"].request("DELETE", "/v1/kv/last")[0] == 204
        told = []
        for change in changes:
            told.append((change.event, change.key))
            if len(told) == len(doomed) + 1:
                break

    assert sorted(told) == sorted([("delete", key) for key in doomed] + [("delete", b"last")])
    assert page(cluster["n3"], "prefix=k/00")["items"] == []
    assert len(page(cluster["n1"], "limit=1000&prefix=k/01")["items"]) == 1_000
    assert delete(cluster["n2"], "prefix=k/00") == (200, {"deleted": 0, "complete": True})


def test_a_deletion_is_repeated_until_all_is_gone_while_a_leader_is_killed(cluster: Cluster) -> None:
    """Under one Idempotency-Key, through any node; what it counts is what was there, whoever died meanwhile."""
    fill(cluster["n1"])
    victim = cluster.leader_of_most()
    others = [node for node in cluster if node is not victim]

    answers = []
    for number, node in enumerate(cycle(others)):
        if number == 1:
            victim.kill()
        # The first has no time for more than a few pieces.
        answer = delete(node, "all=true", idempotency_key="all", kv_timeout_ms="30" if number == 0 else "15000")
        answers.append(answer)
        if answer[1].get("complete"):
            break
        assert number < 20, answers

    assert answers[-1] == (200, {"deleted": KEYS + 1, "complete": True})
    assert page(others[0], "limit=10")["items"] == []
    cluster.start()
    assert page(victim, "limit=10")["items"] == []
