"""The hot routes' other door: /v1/kv/{key} as ordinary ASGI, for test clients, other servers and the docs."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from app.answers import Answer
from app.fields import read_fields
from app.kv import METHODS, PREFIX
from app.kv import Request as KvRequest
from app.problems import NO_SUCH_ROUTE, Problem
from app.routes.kv_docs import OPERATIONS
from app.routes.responses import gateway_of, problem_response, raw_target, response_of

router = APIRouter(tags=["data"])


class AsgiRequest(KvRequest):
    """One ASGI request on its way through the shared handler."""

    __slots__ = ("answer",)

    def __init__(self, method: str, target: bytes, fields: dict[bytes, bytes], body: bytes) -> None:
        self.method = method.encode("latin-1")
        self.target = target
        self.fields = fields
        self.body = body
        self.received = time.monotonic()
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def reply(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


async def serve(request: Request) -> Response:
    """Read the request, bounded, and give it to the shared handler."""
    gateway = gateway_of(request)
    target = raw_target(request)
    if not target.startswith(PREFIX):
        detail = "the path of a key starts with /v1/kv/, spelled just so"
        return problem_response(Problem(NO_SUCH_ROUTE, detail))
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    limit = gateway.settings.limits.pair_bytes_max
    announced = fields.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        return problem_response(gateway.kv.too_large(int(announced)))
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            return problem_response(gateway.kv.too_large(size))
        pieces.append(piece)
    passed = AsgiRequest(request.method, target, fields, b"".join(pieces))
    gateway.kv.handle(passed)
    return response_of(await passed.answer)


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
