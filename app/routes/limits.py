"""/v1/limits: what one request may take, so that a client need not find out by being refused."""

from fastapi import APIRouter, Request

from app.routes.responses import gateway_of, problems
from app.settings import Limits

router = APIRouter(tags=["cluster"])


@router.get("/v1/limits", summary="The limits in force", responses=problems(400))
async def limits(request: Request) -> Limits:
    """Every bound that a request can run into; each name ends with its unit."""
    return gateway_of(request).settings.limits
