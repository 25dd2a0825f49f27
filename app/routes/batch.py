"""/v1/batch and /v1/txn: read by handlers of their own, for speed; documented from the types that they decode."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from app.operations import BatchAnswer, BatchRequest
from app.problems import BODY_TOO_LARGE, Problem
from app.routes.kv_docs import CONSISTENCY, IDEMPOTENCY_KEY, RECEIPT, SESSION, STALENESS, TIMEOUT, TOKEN
from app.routes.passing import pass_on
from app.routes.responses import gateway_of, problems
from app.settings import Limits
from app.txn import TransactionAnswer, TransactionRequest

router = APIRouter(tags=["data"])

(_BATCH, _RESULTS, _TXN, _DECISION), SCHEMAS = msgspec.json.schema_components(
    [BatchRequest, BatchAnswer, TransactionRequest, TransactionAnswer], ref_template="#/components/schemas/{name}"
)
_IN_BASE64 = {"pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"}
for _schema in SCHEMAS.values():
    if {"key", "encoding"} <= set(_schema["properties"]):
        _schema["if"] = {"properties": {"encoding": {"const": "base64"}}, "required": ["encoding"]}
        _schema["then"] = {
            "properties": {name: _IN_BASE64 for name in ("key", "value") if name in _schema["properties"]}
        }

_BATCH_EXAMPLE = {
    "ops": [
        {"op": "put", "key": "greeting", "value": "hello", "content_type": "text/plain", "ttl": 60},
        {"op": "get", "key": "another"},
        {"op": "incr", "key": "counter", "by": 5},
        {"op": "delete", "key": "AP8=", "encoding": "base64"},
    ]
}
_RESULTS_EXAMPLE = {
    "results": [
        {"status": 204, "revision": 8193},
        {
            "status": 404,
            "code": "NO_SUCH_KEY",
            "detail": "there is no such key",
            "outcome": "not_applied",
            "retryable": False,
        },
        {
            "status": 200,
            "revision": 8194,
            "value": "5",
            "encoding": "utf8",
            "content_type": "application/json",
        },
        {"status": 204, "revision": 4097},
    ]
}
_TXN_EXAMPLE = {
    "if": [{"key": "{account 1}/balance", "value": "100", "is": "eq"}, {"key": "{account 1}/lock", "exists": False}],
    "then": [
        {"op": "put", "key": "{account 1}/balance", "value": "90"},
        {"op": "put", "key": "{account 1}/last", "value": "-10"},
    ],
    "else": [{"op": "get", "key": "{account 1}/balance"}],
}
_DECISION_EXAMPLE = {
    "succeeded": True,
    "results": [{"status": 204, "revision": 8193}, {"status": 204, "revision": 8193}],
}


def _content(schema: Any, example: Any) -> dict[str, Any]:
    return {
        "application/json": {"schema": schema, "example": example},
        "application/msgpack": {"schema": schema},
    }


def _extra(schema: Any, example: Any, *parameters: Any) -> dict[str, Any]:
    return {
        "parameters": [*parameters, IDEMPOTENCY_KEY, TIMEOUT, SESSION],
        "requestBody": {"required": True, "content": _content(schema, example)},
    }


@router.post(
    "/v1/batch",
    summary="Do many operations",
    operation_id="batch",
    response_class=Response,
    responses={
        200: {
            "description": "A result for each operation, in their order; its `status` says what became of it",
            "headers": {**RECEIPT, **TOKEN},
            "content": _content(_RESULTS, _RESULTS_EXAMPLE),
        },
        **problems(400, 409, 413, 422, 503, 504),
    },
    openapi_extra=_extra(_BATCH, _BATCH_EXAMPLE, CONSISTENCY, STALENESS),
)
async def batch(request: Request) -> Response:
    """Each operation succeeds or fails alone, as a request of its own would: nothing is atomic but each of them.

    Those of one partition travel together; writes there are applied in their order. What a batch writes it need not
    read. The receipt is that of all reads together: the weakest level, the greatest age. With an Idempotency-Key the
    same batch may be sent again, and no write is done twice; an operation whose status is 504 may or may not have been
    applied.
    """
    gateway = gateway_of(request)
    return await _pass_on(request, gateway.batch.handle, gateway.settings.limits)


@router.post(
    "/v1/txn",
    summary="Do all or nothing, if",
    operation_id="txn",
    response_class=Response,
    responses={
        200: {
            "description": "Decided; on disk at a majority",
            "headers": TOKEN,
            "content": _content(_DECISION, _DECISION_EXAMPLE),
        },
        **problems(400, 409, 413, 414, 422, 503, 504, 507),
    },
    openapi_extra=_extra(_TXN, _TXN_EXAMPLE),
)
async def txn(request: Request) -> Response:
    """If all comparisons hold, the steps of `then` are taken, else those of `else`: all or none, seen by all at once.

    All keys must be in one partition, as those that share a `{tag}` are. All writes have one revision; a step sees what
    the steps before it wrote.
    """
    gateway = gateway_of(request)
    return await _pass_on(request, gateway.txn.handle, gateway.settings.limits)


async def _pass_on(request: Request, handle: Any, limits: Limits) -> Response:
    def too_large(size: int) -> Problem:
        limit = limits.batch_bytes_max
        return Problem(
            BODY_TOO_LARGE, f"{size} bytes were sent; a body may have {limit}", {"limit": limit, "size": size}
        )

    return await pass_on(request, handle, limits.batch_bytes_max, too_large)
