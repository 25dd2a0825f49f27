"""Partitions: moving a leadership, and moving replicas from node to node."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from app.coordinator import Coordinator
from app.problems import BAD_REPLICAS, NO_SUCH_PARTITION, NOT_A_REPLICA, Problem
from app.routes.responses import ProblemError, gateway_of, problems
from app.views import ClusterView

router = APIRouter(tags=["cluster"])

_NODES_MAX = 1_024
_NUMBER = re.compile(r"-?[0-9]{1,40}")


def _read_number(text: object) -> object:
    """Plain decimals alone: what else would be taken for a number is a mistake. Raises: ValueError."""
    if isinstance(text, str) and _NUMBER.fullmatch(text) is None:
        raise ValueError("it must be a whole number")
    return text


Number = Annotated[int, BeforeValidator(_read_number), Path(description="Of the partition")]
NodeName = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class LeaderModel(BaseModel):
    """The node that leads, or should."""

    model_config = ConfigDict(extra="forbid")

    node: NodeName = Field(examples=["n2"])


class TransferModel(BaseModel):
    """A leadership that has moved."""

    partition: int = Field(examples=[7])
    leader: str = Field(examples=["n2"])


class NodesModel(BaseModel):
    """The nodes that shall hold a partition, and no others."""

    model_config = ConfigDict(extra="forbid")

    nodes: list[NodeName] = Field(examples=[["n1", "n2", "n3"]], max_length=_NODES_MAX)
    allow_fewer: StrictBool = Field(
        default=False, description="That they may be fewer than the replication factor, or than all nodes there are"
    )


class ReplicasModel(BaseModel):
    """Who holds a partition, and who shall.

    The replicas have moved when `voters` are the nodes of `target`, in any order, and there are no `learners`.
    """

    model_config = ConfigDict(from_attributes=True)

    partition: int = Field(examples=[7])
    voters: list[str] = Field(examples=[["n1", "n2", "n4"]], description="Their majority decides")
    learners: list[str] = Field(examples=[["n3"]], description="They are filled before they vote")
    target: list[str] = Field(examples=[["n1", "n2", "n3"]], description="What the voters shall be")


@router.post(
    "/v1/partitions/{partition}/leader",
    summary="Move a leadership",
    response_model=TransferModel,
    responses=problems(400, 404, 422, 503, 504),
)
async def lead(request: Request, partition: Number, wanted: LeaderModel) -> Any:
    """Hand the leadership of a partition to one of its replicas; answered once it leads."""
    coordinator, cluster = _open(request, partition)
    if wanted.node not in cluster.partitions[partition].replicas:
        detail = f"{wanted.node} holds no replica of partition {partition}"
        raise ProblemError(Problem(NOT_A_REPLICA, detail, {"partition": partition}))
    await coordinator.transfer(partition, wanted.node)
    return TransferModel(partition=partition, leader=wanted.node)


@router.get(
    "/v1/partitions/{partition}/replicas",
    summary="Who holds a partition",
    response_model=ReplicasModel,
    responses=problems(400, 404, 503),
)
async def replicas(request: Request, partition: Number) -> Any:
    """As far as this node knows: a node that holds no replica hears of a change a moment later."""
    coordinator, _ = _open(request, partition)
    return ReplicasModel.model_validate(coordinator.replicas(partition))


@router.put(
    "/v1/partitions/{partition}/replicas",
    summary="Move replicas",
    response_model=ReplicasModel,
    responses=problems(400, 404, 409, 422, 503, 504),
)
async def place(request: Request, partition: Number, wanted: NodesModel) -> Any:
    """Have these nodes hold the partition, and no others; leadership belongs with the first.

    Answered once it is decided. The leader then moves one replica at a time, new ones first, while requests go on;
    GET shows how far it is. Asked again with other nodes, it turns to those. Repeating it does no harm. Fewer nodes
    than the replication factor are refused, unless `allow_fewer` is true.
    """
    coordinator, cluster = _open(request, partition)
    members = [node.name for node in cluster.nodes]
    detail = ""
    if not wanted.nodes:
        detail = "a partition needs at least one node"
    named: set[str] = set()
    for node in wanted.nodes:
        if node not in members:
            detail = f"there is no node {node}; they are {', '.join(members)}"
        elif node in named:
            detail = f"{node} is named twice"
        named.add(node)
    wanted_count = min(cluster.replication_factor, len(members))
    if not detail and len(named) < wanted_count and not wanted.allow_fewer:
        copies = "1 copy" if len(named) == 1 else f"{len(named)} copies"
        detail = (
            f"partition {partition} would be left with {copies}, where this cluster keeps {wanted_count}:"
            f" name {wanted_count} nodes, or say that fewer are meant (allow_fewer, --allow-fewer)"
        )
    if detail:
        raise ProblemError(Problem(BAD_REPLICAS, detail, {"partition": partition}))
    await coordinator.set_target(partition, wanted.nodes)
    known = coordinator.replicas(partition)
    return ReplicasModel(
        partition=partition, voters=list(known.voters), learners=list(known.learners), target=wanted.nodes
    )


def _open(request: Request, partition: int) -> tuple[Coordinator, ClusterView]:
    """The coordinator, and the cluster that has this partition. Raises: ProblemError."""
    gateway = gateway_of(request)
    if gateway.coordinator is None:
        raise ProblemError(gateway.starting())
    cluster = gateway.coordinator.cluster()
    if not 0 <= partition < len(cluster.partitions):
        detail = f"there is no partition {partition}; they are 0 to {len(cluster.partitions) - 1}"
        raise ProblemError(Problem(NO_SUCH_PARTITION, detail, {"partition": partition}))
    return gateway.coordinator, cluster
