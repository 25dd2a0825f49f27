"""/metrics: counters and histograms for Prometheus."""

from fastapi import APIRouter, Request, Response

from app.routes.responses import gateway_of, problems

router = APIRouter(tags=["health"])

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={
        **problems(400),
        200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
async def metrics(request: Request) -> Response:
    """Everything this node counts, in Prometheus' text format."""
    return Response(gateway_of(request).metrics.text(), headers={"content-type": _TEXT})
