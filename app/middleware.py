"""Around every route: HEAD is answered wherever GET is, answers are counted, and browsers must not guess a type."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics

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
