"""/v1/node: what a node says of itself alone."""

from importlib.metadata import version
from time import monotonic

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.routes.responses import gateway_of, problems

router = APIRouter(tags=["cluster"])

_NUMBERS = ("partitions_held", "partitions_led", "records", "stored_bytes", "disk_free_bytes", "disk_total_bytes")


class NodeReport(BaseModel):
    """One node, about itself. Numbers are null until it has opened its data."""

    name: str = Field(examples=["n1"])
    version: str = Field(examples=["0.1.0"])
    uptime_seconds: float = Field(examples=[3600.5])
    ready: bool = Field(examples=[True])
    reasons: list[str] = Field(examples=[[]], description="Why it is not ready")
    warnings: list[str] = Field(examples=[[]], description="What else is not as it should be")
    partitions_held: int | None = Field(examples=[16])
    partitions_led: int | None = Field(examples=[5])
    records: int | None = Field(
        examples=[120_000], description="Keys and notes about them, in all replicas here; deletions are subtracted"
    )
    stored_bytes: int | None = Field(examples=[52_428_800], description="Of tables and of the log")
    disk_free_bytes: int | None = Field(examples=[8_589_934_592], description="Of the disk that its data is on")
    disk_total_bytes: int | None = Field(examples=[68_719_476_736])
    disk_full: bool | None = Field(examples=[False], description="Whether puts are refused for lack of space")


@router.get("/v1/node", summary="This node", responses=problems(400))
async def node(request: Request) -> NodeReport:
    """Name, version, readiness, and how much this node holds."""
    gateway = gateway_of(request)
    reasons = gateway.unready()
    counts = gateway.coordinator.statistics() if gateway.coordinator is not None else None
    held = counts and {
        "partitions_held": counts["partitions_held"],
        "partitions_led": counts["partitions_led"],
        "records": max(0, counts["engine_memtable_records"] + counts["engine_records"] - counts["engine_tombstones"]),
        "stored_bytes": counts["engine_table_bytes"] + counts["node_log_bytes"],
        **{name: counts[name] for name in ("disk_free_bytes", "disk_total_bytes") if name in counts},
    }
    return NodeReport(
        name=gateway.settings.name,
        version=version("ringkv"),
        uptime_seconds=round(monotonic() - gateway.started, 3),
        ready=not reasons,
        reasons=reasons,
        warnings=gateway.warnings(),
        disk_full=bool(counts["disk_full"]) if counts is not None else None,
        **{**dict.fromkeys(_NUMBERS), **{name: int(number) for name, number in (held or {}).items()}},
    )
