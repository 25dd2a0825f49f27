"""The cluster: who is in it, who holds and who leads what, where a key lives."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.fields import read_key
from app.problems import Problem
from app.routes.responses import gateway_of, problem_response, problems, raw_target

router = APIRouter(tags=["cluster"])

_LOCATE = b"/v1/locate/"
_AGE = (
    "How many milliseconds ago this node knew for certain that it was so: 0 where it leads itself, null where nobody"
    " has told it yet"
)


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
    """One partition: its leader, if known, who holds it, and what this node knows of its log.

    A node that holds a replica says what that knows. Any other says what the leader has told it, about twice a second
    and at once when the leader is another.

    `replicas` vote. `learners` are filled before they do. `target` is what the voters shall be.
    """

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[7])
    leader: str | None = Field(examples=["n1"])
    replicas: list[str] = Field(examples=[["n1", "n2", "n3"]])
    learners: list[str] = Field(examples=[[]])
    target: list[str] = Field(examples=[["n1", "n2", "n3"]])
    term: int = Field(examples=[3])
    commit_index: int = Field(examples=[120])
    applied_index: int = Field(examples=[120])
    age_ms: int | None = Field(examples=[140], description=_AGE)


class ClusterModel(BaseModel):
    """The topology in force."""

    model_config = ConfigDict(from_attributes=True)

    cluster_id: str
    epoch: int
    replication_factor: int = Field(examples=[3], description="How many nodes are to hold each partition")
    nodes: list[NodeModel]
    partitions: list[PartitionModel]


class LocationModel(BaseModel):
    """Where a key lives."""

    model_config = ConfigDict(from_attributes=True)

    partition: int = Field(examples=[7])
    replicas: list[str] = Field(examples=[["n1", "n2", "n3"]])
    leader: str | None = Field(examples=["n1"])
    term: int = Field(examples=[3])
    age_ms: int | None = Field(examples=[140], description=_AGE)


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
