"""A small HTTP client for many connections at once, and what its answers prove.

An answer proves that an operation happened (2xx, and 404 for a get), proves that it did not (a
problem whose outcome is not_applied, or a connection that was never opened), or proves nothing.
"""

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Self

from app.simulation.history import History


@dataclass(frozen=True, slots=True)
class Answer:
    """headers  names in lower case"""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, object]:
        """The problem document, or nothing."""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return {}
        document: dict[str, object] = json.loads(self.body)
        return document


class LinkError(Exception):
    """The connection failed. `sent` tells whether the node can have seen the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Link:
    """One connection to one node, opened when first needed and again after a failure."""

    def __init__(self, port: int, timeout: float = 6.0) -> None:
        self._port = port
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection, if there is one, and waits until it is."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def request(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Raises: LinkError."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
        if body or method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(body)}")
        sent = False
        try:
            async with asyncio.timeout(self._timeout):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                sent = True
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                return await self._answer(reader, method)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            await self.close()
            raise LinkError(f"{type(error).__name__}: {error}", sent=sent) from error

    async def _answer(self, reader: asyncio.StreamReader, method: str) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {}
        for line in head[1:-2]:
            name, _, text = line.partition(":")
            headers[name.lower()] = text.strip()
        has_body = method != "HEAD" and status not in (204, 304)
        body = await reader.readexactly(int(headers.get("content-length", 0))) if has_body else b""
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Answer(status, headers, body)


class RecordingClient:
    """Puts, gets and deletes through one node, with every call and outcome in a history.

    levels  how many reads were answered at each level
    """

    def __init__(self, history: History, port: int, deadline_ms: int = 1_000) -> None:
        self._history = history
        self._link = Link(port, timeout=1.5 * deadline_ms / 1_000)
        self._headers = {"KV-Timeout-Ms": str(deadline_ms)}
        self._id = history.new_client()
        self.levels: Counter[str] = Counter()

    async def close(self) -> None:
        await self._link.close()

    async def put(self, key: str, value: str) -> bool | None:
        return await self._record("put", key, value)

    async def get(self, key: str, query: str = "") -> bool | None:
        return await self._record("get", key, None, query)

    async def delete(self, key: str) -> bool | None:
        return await self._record("delete", key, None)

    async def _record(self, kind: str, key: str, value: str | None, query: str = "") -> bool | None:
        call = self._history.call(self._id, kind, key, value)
        ok, output = await self._perform(kind, key + query, value)
        self._history.end(call, ok, output)
        if ok is None:
            self._id = self._history.new_client()
        return ok

    async def _perform(self, kind: str, target: str, value: str | None) -> tuple[bool | None, str | None]:
        try:
            answer = await self._link.request(kind.upper(), f"/v1/kv/{target}", (value or "").encode(), self._headers)
        except LinkError as error:
            return (None if error.sent else False), None
        self.levels[answer.headers.get("kv-consistency", "")] += 1
        if answer.status in (200, 204):
            return True, answer.body.decode() if kind == "get" else None
        if kind == "get" and answer.status == 404:
            return True, None
        return (False if answer.problem.get("outcome") == "not_applied" else None), None
