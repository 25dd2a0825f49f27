"""Around every route: HEAD is answered wherever GET is, answers are counted, and browsers are kept at bay."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import Answer, header_pairs
from app.fields import read_fields
from app.metrics import Metrics
from app.originpolicy import OriginPolicy
from app.problems import Problem

_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class Observe:
    """Counts each request by method and status, and takes its time."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        method: bytes = scope["method"].encode("latin-1")

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), _NO_SNIFFING]
                self._metrics.observe(method, message["status"], time.monotonic() - started)
            await send(message)

        await self._app(scope, receive, observed)


class AnswerHead:
    """Serves HEAD as GET without the body, and says so to who would go on for ever; a key's own is left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith("/v1/kv/"):
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET", "is_head": True}, receive, bodiless)


class CheckOrigin:
    """Refuses what a page of another origin must not do, and lets those that may read every answer, errors too."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method: bytes = scope["method"].encode("latin-1")
        fields = read_fields(scope["headers"])
        if isinstance(fields, Problem):
            await _send(send, fields.answer(), b"", method)
            return
        grant = self._policy.grant(fields)
        refused = self._policy.refusal(method, fields)
        answer = refused.answer() if refused is not None else self._policy.preflight(method, fields)
        if answer is not None:
            await _send(send, answer, grant, method)
            return
        if not grant:
            await self._app(scope, receive, send)
            return

        async def granted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *header_pairs(Answer(204, grant))]
            await send(message)

        await self._app(scope, receive, granted)


async def _send(send: Send, answer: Answer, grant: bytes, method: bytes) -> None:
    headers = header_pairs(Answer(answer.status, answer.head + grant, answer.body))
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, _NO_SNIFFING]})
    await send({"type": "http.response.body", "body": b"" if method == b"HEAD" else answer.body})
