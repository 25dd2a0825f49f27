"""The hot routes' other door: /v1/kv/{key} as ordinary ASGI, for test clients, other servers and the docs."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.kv import METHODS, PREFIX
from app.problems import NO_SUCH_ROUTE, Problem
from app.routes.kv_docs import OPERATIONS
from app.routes.passing import pass_on
from app.routes.responses import gateway_of, problem_response, raw_target

router = APIRouter(tags=["data"])


async def serve(request: Request) -> Response:
    """Give the request to the shared handler."""
    if not raw_target(request).startswith(PREFIX):
        detail = "the path of a key starts with /v1/kv/, spelled just so"
        return problem_response(Problem(NO_SUCH_ROUTE, detail))
    gateway = gateway_of(request)
    return await pass_on(request, gateway.kv.handle, gateway.settings.limits.pair_bytes_max, gateway.kv.too_large)


def _document(method: str, operation: dict[str, Any]) -> None:
    router.add_api_route(
        "/v1/kv/{key:path}",
        serve,
        methods=[method],
        response_class=Response,
        operation_id=f"{method.lower()}_key",
        name=f"{method.lower()}_key",
        **operation,
    )


for _method, _operation in OPERATIONS.items():
    _document(_method, _operation)
assert {*OPERATIONS, "OPTIONS"} == set(METHODS), "each method of the handler is documented"
