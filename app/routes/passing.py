"""Passing on: a request that came in as ASGI, read and bounded, given to a handler that knows no server."""

import asyncio
import time
from collections.abc import Callable

from fastapi import Request, Response

from app.answers import Answer
from app.fields import read_fields
from app.kv import Request as KvRequest
from app.problems import Problem
from app.routes.responses import problem_response, raw_target, response_of


class AsgiRequest(KvRequest):
    """One ASGI request on its way through a handler."""

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


async def pass_on(
    request: Request, handle: Callable[[KvRequest], None], limit: int, too_large: Callable[[int], Problem]
) -> Response:
    """Read the request, with a body of at most `limit` bytes, and have it handled."""
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    announced = fields.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        return problem_response(too_large(int(announced)))
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            return problem_response(too_large(size))
        pieces.append(piece)
    passed = AsgiRequest(request.method, raw_target(request), fields, b"".join(pieces))
    handle(passed)
    return response_of(await passed.answer)
