"""What `ringkv status` shows: a verdict, the nodes, each as it speaks for itself, and the partitions."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from app.asyncclient import AsyncClient
from app.clienterrors import ClientError
from app.verdict import Verdict, judge

# Of so many partitions all are listed; of more, only those with something to say.
PARTITIONS_SHOWN = 32

Document = Mapping[str, Any]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(slots=True)
class NodeStatus:
    """One node, asked by itself.

    failure   why it did not answer; "" if it did
    report    what /v1/node said
    held      the partitions of which it has a replica, by number, as that replica sees them
    """

    name: str
    failure: str = ""
    report: Document = field(default_factory=dict)
    held: dict[int, Document] = field(default_factory=dict)

    @property
    def state(self) -> str:
        if self.failure:
            return "unreachable"
        return "ready" if self.report.get("ready") else "not ready"

    @property
    def troubles(self) -> list[str]:
        """Why it is not as it should be, a sentence each."""
        if self.failure:
            return [self.failure]
        return [str(text) for name in ("reasons", "warnings") for text in self.report.get(name, [])]


@dataclass(slots=True)
class Status:
    """The cluster as one gateway sees it, and each node as it sees itself."""

    cluster: Document
    nodes: dict[str, NodeStatus]

    @property
    def verdict(self) -> Verdict:
        reached = [name for name, node in self.nodes.items() if not node.failure]
        ready = sum(node.state == "ready" for node in self.nodes.values())
        return judge(self.cluster.get("partitions", []), reached, ready, len(self.nodes))

    def lag(self, name: str) -> int:
        """How many entries of the log, of the partition where it is most, the node has yet to apply."""
        committed: dict[int, int] = {}
        for node in self.nodes.values():
            for number, seen in node.held.items():
                committed[number] = max(seen["commit_index"], committed.get(number, 0))
        mine = self.nodes[name].held
        return max((committed[number] - seen["applied_index"] for number, seen in mine.items()), default=0)

    def document(self) -> dict[str, Any]:
        """All of it, as JSON: what the gateway says, and more."""
        verdict = self.verdict
        nodes = [
            {
                **node,
                "state": self.nodes[node["name"]].state,
                "troubles": self.nodes[node["name"]].troubles,
                "lag": self.lag(node["name"]),
                "report": self.nodes[node["name"]].report or None,
            }
            for node in self.cluster.get("nodes", [])
        ]
        told = {"text": str(verdict), "is_well": verdict.is_well, **asdict(verdict)}
        return {**self.cluster, "verdict": told, "nodes": nodes}


async def look(cluster: Document, timeout_seconds: float) -> Status:
    """Ask every node of the cluster, all at once."""
    members = [(str(node["name"]), str(node["http"])) for node in cluster.get("nodes", [])]
    found = await asyncio.gather(*(_ask(name, http, timeout_seconds) for name, http in members))
    partitions = [_newest(partition, found) for partition in cluster.get("partitions", [])]
    return Status({**cluster, "partitions": partitions}, {node.name: node for node in found})


def _newest(partition: Document, nodes: Iterable[NodeStatus]) -> Document:
    """A partition as the replica sees it that knows most of it."""
    seen = (node.held[partition["id"]] for node in nodes if partition["id"] in node.held)
    return max((partition, *seen), key=lambda view: (view["term"], bool(view["leader"]), view["commit_index"]))


def format_status(status: Status, *, shows_all: bool = False) -> str:
    """For a person: the verdict, what is wrong, the nodes, the partitions."""
    cluster = status.cluster
    troubles = [f"  {node.name}: {trouble}" for node in status.nodes.values() for trouble in node.troubles]
    partitions = cluster.get("partitions", [])
    shown = partitions if shows_all or len(partitions) <= PARTITIONS_SHOWN else list(filter(_is_noteworthy, partitions))
    more = len(partitions) - len(shown)
    return "\n".join(
        (
            str(status.verdict),
            *troubles,
            "",
            *_table(
                ("NODE", "STATE", "LEADS", "HOLDS", "LAG", "RECORDS", "STORED", "DISK FREE", "VERSION", "ZONE", "HTTP"),
                (_node_row(status, node) for node in cluster.get("nodes", [])),
            ),
            "",
            *_table(
                ("PARTITION", "LEADER", "REPLICAS", "LEARNERS", "TARGET", "TERM", "COMMIT", "APPLIED"),
                map(_partition_row, shown),
            ),
            *([f"and {more} more partitions that are well; --all shows them"] if more else ()),
            f"cluster {cluster.get('cluster_id')}, epoch {cluster.get('epoch')}",
        )
    )


def _node_row(status: Status, node: Document) -> Sequence[object]:
    name = str(node["name"])
    asked = status.nodes[name]
    report = asked.report
    numbers = ("-", "-") if asked.failure else (report.get("partitions_led"), report.get("partitions_held"))
    return (
        name,
        asked.state,
        *("-" if number is None else number for number in numbers),
        "-" if asked.failure else status.lag(name),
        "-" if report.get("records") is None else f"{report['records']:,}",
        "-" if report.get("stored_bytes") is None else _size(report["stored_bytes"]),
        _free(report),
        report.get("version", "-"),
        node.get("zone") or "-",
        node["http"] or "-",
    )


def _partition_row(partition: Document) -> Sequence[object]:
    return (
        partition.get("id"),
        partition.get("leader") or "-",
        " ".join(partition.get("replicas", [])),
        " ".join(partition.get("learners", [])) or "-",
        " ".join(_wanted(partition)) or "-",
        partition.get("term"),
        partition.get("commit_index"),
        partition.get("applied_index"),
    )


def _is_noteworthy(partition: Document) -> bool:
    return not partition.get("leader") or bool(partition.get("learners") or _wanted(partition))


def _wanted(partition: Document) -> list[str]:
    """The target of a partition that has not reached it."""
    target: list[str] = partition.get("target", [])
    return [] if set(target) == set(partition.get("replicas", [])) else target


async def _ask(name: str, http: str, timeout_seconds: float) -> NodeStatus:
    if not http:
        return NodeStatus(name, "it has not been seen since this gateway started")
    try:
        async with AsyncClient([f"http://{http}"], timeout_seconds=timeout_seconds) as client:
            report = json.loads((await client.probe("/v1/node")).body)
            if not isinstance(report, dict) or not {"name", "ready"} <= report.keys():
                return NodeStatus(name, f"what answers at {http} is no node of ringkv")
            if report["name"] != name:
                return NodeStatus(name, f"at {http} answers node {report['name']}")
            view = json.loads((await client.probe("/v1/cluster")).body)
    except ClientError as error:
        return NodeStatus(name, str(error))
    except ValueError:
        return NodeStatus(name, f"what answers at {http} is no node of ringkv")
    found = view.get("partitions", []) if isinstance(view, dict) else []
    held = [each for each in found if name in (*each.get("replicas", ()), *each.get("learners", ()))]
    return NodeStatus(name, report=report, held={each["id"]: each for each in held})


def _free(report: Document) -> str:
    """Of the disk, and in words where it is full."""
    free, total = report.get("disk_free_bytes"), report.get("disk_total_bytes")
    shown = "-" if free is None or not total else f"{_size(free)} ({100 * free / total:.0f} %)"
    return f"{shown}, full" if report.get("disk_full") else shown


def _size(count: float) -> str:
    """Bytes for a person, in three digits."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} {_UNITS[-1]}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns as wide as their widest cell, except for the last, which is as long as it is."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
