"""Health: /livez depends on nothing; /readyz says whether requests should be sent here, and why not."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from app.problems import NOT_READY, Problem
from app.routes.responses import gateway_of, problem_response, problems

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The node listens."""

    status: str = "ok"


class Ready(BaseModel):
    """The node can serve."""

    status: str = "ready"
    warnings: list[str] | None = None


@router.get("/livez", summary="Whether the node listens")
async def livez() -> Live:
    """Answered as soon as the node listens; restart it only when this fails."""
    return Live()


@router.get(
    "/readyz",
    summary="Whether the node should get requests",
    response_model=Ready,
    response_model_exclude_none=True,
    responses=problems(400, 503),
)
async def readyz(
    request: Request,
    verbose: Annotated[
        str | None, Query(description="Say every reason why not, and what else is not as it should be")
    ] = None,
) -> Any:
    """200 once every partition held here has a known leader, and the node is not shutting down."""
    gateway = gateway_of(request)
    reasons = gateway.unready()
    if not reasons:
        return Ready() if verbose is None else Ready(warnings=gateway.warnings())
    detail = reasons[0] if len(reasons) == 1 else f"{reasons[0]}, and {len(reasons) - 1} more reasons"
    members = {} if verbose is None else {"reasons": reasons, "warnings": gateway.warnings()}
    return problem_response(Problem(NOT_READY, detail, members))
