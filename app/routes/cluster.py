"""The cluster: who is in it, who leads what, where a key lives."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.fields import read_key
from app.problems import NO_SUCH_PARTITION, NOT_A_REPLICA, OUTCOME_UNKNOWN, Problem
from app.routes.responses import gateway_of, problem_response, problems, raw_target

router = APIRouter(tags=["cluster"])

_LOCATE = b"/v1/locate/"


class NodeModel(BaseModel):
    """One node, as this one sees it."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(examples=["n1"])
    http: str = Field(examples=["127.0.0.1:8001"])
    peer: str = Field(examples=["127.0.0.1:9001"])
    zone: str = Field(examples=[""])
    status: str = Field(examples=["up"])
    pid: int | None = Field(examples=[4711])


class PartitionModel(BaseModel):
    """One partition: its leader, if known, and what this node knows of its log."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    leader: str | None = Field(examples=["n1"])
    replicas: list[str] = Field(examples=[["n1", "n2", "n3"]])
    term: int = Field(examples=[3])
    commit_index: int = Field(examples=[120])
    applied_index: int = Field(examples=[120])


class ClusterModel(BaseModel):
    """The topology in force."""

    model_config = ConfigDict(from_attributes=True)

    cluster_id: str
    epoch: int
    nodes: list[NodeModel]
    partitions: list[PartitionModel]


class LocationModel(BaseModel):
    """Where a key lives."""

    model_config = ConfigDict(from_attributes=True)

    partition: int = Field(examples=[7])
    replicas: list[str] = Field(examples=[["n1", "n2", "n3"]])
    leader: str | None = Field(examples=["n1"])


class LeaderModel(BaseModel):
    """The node that leads, or should."""

    model_config = ConfigDict(extra="forbid")

    node: str = Field(examples=["n2"])


class TransferModel(BaseModel):
    """A leadership that has moved."""

    partition: int = Field(examples=[7])
    leader: str = Field(examples=["n2"])


@router.get("/v1/cluster", summary="Nodes and partitions", response_model=ClusterModel, responses=problems(400, 503))
async def cluster(request: Request) -> Any:
    """The whole topology, with what this node knows of each partition."""
    gateway = gateway_of(request)
    if gateway.coordinator is None:
        return problem_response(gateway.starting())
    return ClusterModel.model_validate(gateway.coordinator.cluster())


@router.get(
    "/v1/locate/{key:path}",
    summary="Where a key lives",
    response_model=LocationModel,
    responses=problems(400, 414, 503),
    openapi_extra={
        "parameters": [
            {
                "name": "key",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
                "example": "greeting",
            }
        ]
    },
)
async def locate(request: Request) -> Any:
    """Partition, replicas and leader of a key, whether or not it exists."""
    gateway = gateway_of(request)
    if gateway.coordinator is None:
        return problem_response(gateway.starting())
    raw = raw_target(request).partition(b"?")[0].removeprefix(_LOCATE)
    key = read_key(raw, gateway.settings.limits.key_bytes_max)
    if isinstance(key, Problem):
        return problem_response(key)
    return LocationModel.model_validate(gateway.coordinator.locate(key))


@router.post(
    "/v1/partitions/{partition}/leader",
    summary="Move a leadership",
    response_model=TransferModel,
    responses=problems(400, 404, 422, 503, 504),
)
async def lead(request: Request, partition: int, wanted: LeaderModel) -> Any:
    """Hand the leadership of a partition to one of its replicas; answered once it leads."""
    gateway = gateway_of(request)
    if gateway.coordinator is None:
        return problem_response(gateway.starting())
    known = {view.id: view for view in gateway.coordinator.cluster().partitions}
    if partition not in known:
        detail = f"there is no partition {partition}; they are 0 to {len(known) - 1}"
        return problem_response(Problem(NO_SUCH_PARTITION, detail, {"partition": partition}))
    if wanted.node not in known[partition].replicas:
        detail = f"{wanted.node} holds no replica of partition {partition}"
        return problem_response(Problem(NOT_A_REPLICA, detail, {"partition": partition}))
    try:
        await gateway.coordinator.transfer(partition, wanted.node)
    except TimeoutError:
        return problem_response(Problem(OUTCOME_UNKNOWN, f"{wanted.node} does not lead partition {partition} yet"))
    return TransferModel(partition=partition, leader=wanted.node)
