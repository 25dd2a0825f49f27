"""GET and DELETE /v1/kv: keys in order, over all partitions, page by page; and all of them away."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from app.answers import Answer
from app.batch import session_line
from app.deletion import read_deletion
from app.entries import encode_page, entries_of, key_entries_of
from app.fields import read_fields
from app.problems import Problem, problem_of
from app.routes.responses import gateway_of, problem_response, response_of
from app.routes.scan_docs import DELETE, SCAN
from app.scanning import read_scan, receipt_lines
from raftgroups import RaftGroupError

router = APIRouter(tags=["data"])

# As with single keys: a page is only as fresh as its receipt says.
_HEAD = b"content-type: application/json\r\ncache-control: no-cache\r\n"


@router.get("/v1/kv", response_class=Response, operation_id="scan_keys", **SCAN)
async def scan(request: Request) -> Response:
    """Read the request, put a page together, answer."""
    gateway = gateway_of(request)
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    settings = gateway.settings
    wanted = read_scan(request.scope["query_string"], fields, settings.limits, settings.consistency)
    if isinstance(wanted, Problem):
        return problem_response(wanted)
    if gateway.pager is None:
        return problem_response(gateway.starting())
    deadline = asyncio.get_running_loop().time() + wanted.timeout_seconds
    try:
        page = await gateway.pager.page(wanted, wanted.after, deadline)
    except RaftGroupError as error:
        return problem_response(problem_of(error, writes=False))
    cursor = None if page.after is None else wanted.keys.encode_cursor(page.after)
    if wanted.keys_only:
        body = encode_page(key_entries_of(page.pairs), cursor)
    else:
        body = encode_page(entries_of(page.pairs, page.clock_ms_of), cursor)
    return response_of(Answer(200, _HEAD + receipt_lines(page, wanted.session), body))


@router.delete("/v1/kv", response_class=Response, operation_id="delete_keys", **DELETE)
async def delete(request: Request) -> Response:
    """Read the request, delete what there is time for, and say how much that was."""
    gateway = gateway_of(request)
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    wanted = read_deletion(request.scope["query_string"], fields, gateway.settings.limits)
    if isinstance(wanted, Problem):
        return problem_response(wanted)
    if gateway.deleter is None:
        return problem_response(gateway.starting())
    deletion = await gateway.deleter.delete(wanted)
    problem = deletion.problem()
    if problem is not None:
        return problem_response(problem)
    seen = dict(wanted.marks)
    for partition, revision in deletion.marks.items():
        seen[partition] = max(revision, seen.get(partition, 0))
    document = {"deleted": deletion.deleted, "complete": deletion.is_complete}
    head = b"content-type: application/json\r\n" + session_line(seen)
    return response_of(Answer(200, head, msgspec.json.encode(document)))
