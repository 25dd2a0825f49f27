"""/v1/watch: changes as they happen, as a stream of events or by long poll."""

import asyncio
import json

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from app.fields import read_fields
from app.line import PUSH
from app.problems import HISTORY_GONE, Problem
from app.routes.responses import gateway_of, problem_response, problems
from app.watch import Watch, Watches
from app.watching import WAIT_SECONDS_MAX, read_watch

router = APIRouter(tags=["data"])

# How long a client waits before it connects again, if it knows no better.
_RETRY_MS = 500

_ID = "w1.AKggAKggADkZ5Xk"
_EVENT = {
    "event": "put",
    "key": "greeting",
    "value": "hello",
    "encoding": "utf8",
    "revision": 16_384,
    "content_type": "text/plain",
}
_EVENT_SCHEMA = {
    "type": "object",
    "required": ["event", "key", "encoding", "revision"],
    "properties": {
        "event": {"type": "string", "enum": ["put", "delete", "expire"]},
        "key": {"type": "string"},
        "value": {"type": "string", "description": "Of a put"},
        "encoding": {"type": "string", "enum": ["utf8", "base64"], "description": "Of key and value"},
        "revision": {"type": "integer", "description": "As ETag; the writes of one transaction share it"},
        "content_type": {"type": "string", "description": "Of a put"},
    },
}
_POLL_SCHEMA = {
    "type": "object",
    "required": ["events", "next"],
    "properties": {
        "events": {"type": "array", "items": _EVENT_SCHEMA},
        "next": {"type": "string", "description": "The id to go on from, as `after`"},
    },
}
_STREAM = (
    f"retry: {_RETRY_MS}\nevent: ready\nid: {_ID}\ndata: {{}}\n\n"
    f"event: put\nid: {_ID}\ndata: {json.dumps(_EVENT, separators=(',', ':'))}\n\n"
)
_HEAD = {"cache-control": "no-store", "x-accel-buffering": "no"}
_PARAMETERS = [
    {
        "name": "key",
        "in": "query",
        "description": "Watch this key",
        "schema": {"type": "string", "minLength": 1},
        "example": "greeting",
    },
    {
        "name": "prefix",
        "in": "query",
        "description": "Or, instead, every key that begins so; empty: all there are",
        "schema": {"type": "string"},
    },
    {
        "name": "after",
        "in": "query",
        "description": "Go on right after this id, instead of from now on",
        "schema": {"type": "string", "pattern": "^w[12]\\.[A-Za-z0-9_-]{8,32768}$"},
    },
    {
        "name": "wait",
        "in": "query",
        "description": "Long poll: seconds to wait for a first event",
        "schema": {"type": "number", "minimum": 0, "maximum": WAIT_SECONDS_MAX, "default": 0},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "As `after`, and goes before it",
        "schema": {"type": "string", "pattern": "^w[12]\\.[A-Za-z0-9_-]{8,32768}$"},
    },
    {
        "name": "KV-Timeout-Ms",
        "in": "header",
        "description": "How long it may take until the watch has begun",
        "schema": {"type": "integer", "minimum": 1, "maximum": 60_000, "default": 5_000},
    },
]


class EventStream(Response):
    """Sends what a watch hands out until it ends, the client leaves, or the node does."""

    media_type = "text/event-stream"

    def __init__(self, watches: Watches, watch: Watch) -> None:
        super().__init__(None, 200, _HEAD)
        del self.headers["content-length"]
        self._watches = watches
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._watch.push = scope.get("extensions", {}).get(PUSH, {}).get("push")
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_until_gone(scope, receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._watches.end(self._watch)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if sending.cancelled():
            # It may still listen, though it will say nothing more.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            sending.result()

    async def _send(self, send: Send) -> None:
        watch = self._watch
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        last = watch.first_id
        body = b"retry: %d\nevent: ready\nid: %b\ndata: {}\n\n" % (_RETRY_MS, last)
        while True:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            events = await watch.take(self._watches.heartbeat_seconds)
            body = b"".join(events)
            if watch.end is not None:
                break
            if not events:
                # Nobody hears of it but the client's library, which goes on from there when it must.
                body = b": heartbeat\nid: %b\n\n" % watch.id()
        body += b"event: error\nid: %b\ndata: %b\n\n" % (watch.id(), watch.end.answer().body)
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def _until_gone(scope: Scope, receive: Receive) -> None:
    """Returns when the client has left, or has said that it will, which our own front tells (`eof_received`)."""
    while (await receive())["type"] != "http.disconnect":
        if scope["state"].get("is_leaving"):
            return


@router.get(
    "/v1/watch",
    summary="Watch keys",
    operation_id="watch",
    response_class=Response,
    responses={
        200: {
            "description": "With Accept: text/event-stream a stream of events without end; else one answer",
            "content": {
                "application/json": {"schema": _POLL_SCHEMA, "example": {"events": [_EVENT], "next": _ID}},
                "text/event-stream": {"schema": {"type": "string"}, "example": _STREAM},
            },
        },
        **problems(400, 410, 414, 422, 503),
    },
    openapi_extra={"parameters": _PARAMETERS},
)
async def watch_keys(request: Request) -> Response:
    """Every change of the keys watched, exactly once, in order within each partition.

    A watch without an id begins after everything that was acknowledged before the request. Each event has an id; with
    the last one as `Last-Event-ID`, any node goes on right after it, whatever has become of leaders and nodes since.
    In a cluster of more than 16 partitions most ids are short, and begin with w2.: the nodes remember what they stand
    for, some hundred thousand of them. A long one, w1., comes with `ready`, with every 256th event and after silence.
    When the changes after it are not kept any more, the answer is 410, and says from which id on they are.

    The stream: `ready` first, whose id says where the watch begins; then `put`, `delete` (also of a key that was
    absent) and `expire`; every 10 seconds of silence a comment, with an id; and at the end, if the server ends it,
    `error` with a problem document.
    """
    gateway = gateway_of(request)
    fields = read_fields(request.scope["headers"])
    if isinstance(fields, Problem):
        return problem_response(fields)
    wish = read_watch(request.scope["query_string"], fields, gateway.settings.limits)
    if isinstance(wish, Problem):
        return problem_response(wish)
    watch = await gateway.watches.begin(wish)
    if isinstance(watch, Problem):
        return problem_response(watch)
    if wish.is_stream and "is_head" not in request.scope:
        return EventStream(gateway.watches, watch)
    try:
        return await _poll(request, watch, wish.wait_seconds)
    finally:
        gateway.watches.end(watch)


async def _poll(request: Request, watch: Watch, seconds: float) -> Response:
    events, last = await _take_unless_gone(request, watch, seconds)
    if watch.end is not None and watch.end.kind is HISTORY_GONE and not events:
        return problem_response(watch.end)
    body = b'{"events":[%b],"next":"%b"}' % (b",".join(events), last)
    return Response(body, media_type="application/json", headers=_HEAD)


async def _take_unless_gone(request: Request, watch: Watch, seconds: float) -> tuple[list[bytes], bytes]:
    """The events, and the id right after them; who leaves waits for no more of them."""
    if not seconds:
        return await _take(watch, 0)
    taking = asyncio.ensure_future(_take(watch, seconds))
    leaving = asyncio.ensure_future(_until_gone(request.scope, request.receive))
    try:
        await asyncio.wait((taking, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (taking, leaving):
            task.cancel()
        await asyncio.gather(taking, leaving, return_exceptions=True)
    return await _take(watch, 0) if taking.cancelled() else taking.result()


async def _take(watch: Watch, seconds: float) -> tuple[list[bytes], bytes]:
    # Nothing may come between the two: the id says that what was told before it has been handed out.
    return await watch.take(seconds), watch.id()
