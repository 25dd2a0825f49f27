"""What `ringkv status` shows: the nodes, whether each is ready, and who leads and holds which partition."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from app.client import AsyncClient, ClientError


async def probe(cluster: dict[str, Any], timeout_seconds: float) -> dict[str, str]:
    """What each node says of itself: node name -> `ready`, or why not."""
    nodes = [(str(node["name"]), str(node["http"])) for node in cluster.get("nodes", [])]
    answers = await asyncio.gather(*(_readiness(http, timeout_seconds) for _, http in nodes))
    return {name: answer for (name, _), answer in zip(nodes, answers, strict=True)}


def format_status(cluster: dict[str, Any], readiness: dict[str, str]) -> str:
    """Two tables for a person: nodes, then partitions."""
    nodes = [
        (node["name"], node["http"] or "-", node.get("peer"), node.get("zone") or "-", readiness[str(node["name"])])
        for node in cluster.get("nodes", [])
    ]
    partitions = [
        (
            partition.get("id"),
            partition.get("leader") or "-",
            " ".join(partition.get("replicas", [])),
            " ".join(partition.get("learners", [])) or "-",
            " ".join(_wanted(partition)) or "-",
            partition.get("term"),
            partition.get("commit_index"),
            partition.get("applied_index"),
        )
        for partition in cluster.get("partitions", [])
    ]
    return "\n".join(
        (
            f"cluster {cluster.get('cluster_id')}, epoch {cluster.get('epoch')}",
            "",
            *_table(("NODE", "HTTP", "PEER", "ZONE", "STATE"), nodes),
            "",
            *_table(("PARTITION", "LEADER", "REPLICAS", "LEARNERS", "TARGET", "TERM", "COMMIT", "APPLIED"), partitions),
        )
    )


def _wanted(partition: dict[str, Any]) -> list[str]:
    """The target of a partition that has not reached it."""
    target: list[str] = partition.get("target", [])
    return [] if set(target) == set(partition.get("replicas", [])) else target


async def _readiness(http: str, timeout_seconds: float) -> str:
    if not http:
        return "unreachable: it has not been seen since this gateway started"
    try:
        async with AsyncClient([f"http://{http}"], timeout_seconds=timeout_seconds) as client:
            response = await client.probe("/readyz?verbose")
    except ClientError as error:
        return f"unreachable: {error}"
    if response.status == 200:
        return "ready"
    return "not ready: " + " ".join(response.body.decode(errors="replace").split())[:200]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns as wide as their widest cell, except for the last, which is as long as it is."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
