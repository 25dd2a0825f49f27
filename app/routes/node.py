"""/v1/node: what a node says of itself alone."""

from importlib.metadata import version
from time import monotonic

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.routes.responses import gateway_of, problems

router = APIRouter(tags=["cluster"])


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
    }
    return NodeReport(
        name=gateway.settings.name,
        version=version("ringkv"),
        uptime_seconds=round(monotonic() - gateway.started, 3),
        ready=not reasons,
        reasons=reasons,
        warnings=gateway.warnings(),
        **(
            {name: int(number) for name, number in held.items()}
            if held
            else dict.fromkeys(("partitions_held", "partitions_led", "records", "stored_bytes"))
        ),
    )
