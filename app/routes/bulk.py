"""GET /v1/export and POST /v1/import: everything, as lines that are streamed."""

from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.answers import Answer
from app.exporting import EXPORTS_OPEN_MAX, Export
from app.fields import read_fields, read_timeout
from app.gateway import Gateway
from app.importing import IMPORTS_OPEN_MAX, Import
from app.problems import OVERLOADED, UNSUPPORTED, Problem, problem_of
from app.routes.responses import gateway_of, problem_response, response_of
from app.routes.scan_docs import EXPORT, IMPORT
from app.scanning import read_scan
from raftgroups import RaftGroupError

router = APIRouter(tags=["data"])

LINES = "application/x-ndjson"

# What a client would rely on, and must not believe to be heeded.
_WITHOUT = {b"idempotency-key": "Idempotency-Key", b"if-match": "If-Match", b"if-none-match": "If-None-Match"}


@router.get("/v1/export", response_class=Response, operation_id="export", **EXPORT)
async def export(request: Request) -> Response:
    """Answer with the first page, once there is one; the others follow as they are read."""
    gateway = gateway_of(request)
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    settings = gateway.settings
    wanted = read_scan(request.scope["query_string"], fields, settings.limits, settings.consistency, is_paged=False)
    if isinstance(wanted, Problem):
        return problem_response(wanted)
    if gateway.pager is None:
        return problem_response(gateway.starting())
    if request.scope.get("is_head"):
        return Response(media_type=LINES)
    if gateway.exports_open >= EXPORTS_OPEN_MAX:
        return problem_response(Problem(OVERLOADED, f"{EXPORTS_OPEN_MAX} exports are under way on this node already"))
    made = Export(gateway.pager, wanted, lambda: gateway.is_ending)
    gateway.exports_open += 1
    try:
        first = await made.begin()
    except BaseException as error:
        gateway.exports_open -= 1
        if isinstance(error, RaftGroupError):
            return problem_response(problem_of(error, writes=False))
        raise
    headers = {"cache-control": "no-store", "kv-consistency": first.level()}
    return _Exported(gateway, made.lines(first), headers)


class _Exported(StreamingResponse):
    """Counted as long as it is under way, however it ends."""

    def __init__(self, gateway: Gateway, lines: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(lines, headers=headers, media_type=LINES)
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._gateway.exports_open -= 1


@router.post("/v1/import", response_class=Response, operation_id="import", **IMPORT)
async def import_(request: Request) -> Response:
    """Take the body in as it comes, and answer with what came of its lines."""
    gateway = gateway_of(request)
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    limits = gateway.settings.limits
    timeout = read_timeout(fields, limits)
    if isinstance(timeout, Problem):
        return problem_response(timeout)
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        detail = "header Content-Encoding is not supported"
        return problem_response(Problem(UNSUPPORTED, detail, {"header": "Content-Encoding"}))
    for name, text in _WITHOUT.items():
        if name in fields:
            detail = f"header {text} is not supported: each line is written for itself"
            return problem_response(Problem(UNSUPPORTED, detail, {"header": text}))
    if gateway.coordinator is None:
        return problem_response(gateway.starting())
    if gateway.imports_open >= IMPORTS_OPEN_MAX:
        return problem_response(Problem(OVERLOADED, f"{IMPORTS_OPEN_MAX} imports are under way on this node already"))
    gateway.imports_open += 1
    try:
        made = Import(gateway.coordinator, limits, timeout, lambda: gateway.is_ending)
        await made.run(request.stream())
    except ClientDisconnect:
        return Response(status_code=204)  # nobody reads it
    finally:
        gateway.imports_open -= 1
    problem = made.problem()
    if problem is not None:
        return problem_response(problem)
    return response_of(Answer(200, b"content-type: application/json\r\n", msgspec.json.encode(made.document())))
