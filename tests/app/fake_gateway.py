"""A gateway that is only a dict, and that fails on demand: what the client and the loader are tested against."""

import asyncio
import json
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Self
from urllib.parse import unquote_to_bytes


class Fate(Enum):
    """What becomes of a request."""

    SERVED = auto()
    REFUSED = auto()  # 503, not applied
    APPLIED_UNKNOWN = auto()  # applied, yet answered 504
    CUT_BEFORE = auto()  # the connection is cut, nothing applied
    CUT_AFTER = auto()  # applied, then the connection is cut
    TOO_LARGE = auto()  # 413


class FakeGateway:
    """Serves /v1/kv from a thread of its own, on a free port unless one is given.

    fate   decides over each request from its method, key and how many came before it
    """

    def __init__(
        self, fate: Callable[[str, bytes, int], Fate] = lambda method, key, count: Fate.SERVED, port: int = 0
    ) -> None:
        self.data: dict[bytes, tuple[bytes, str]] = {}
        self.requests: list[tuple[str, bytes]] = []
        self.targets: list[str] = []
        self.port = port
        self._fate = fate
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._converse, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._end.wait()
        server.close()
        conversations = asyncio.all_tasks() - {asyncio.current_task()}
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:-2])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = self._answer(method, target, headers, body)
                if answer is None:
                    break
                writer.write(answer)
        except (EOFError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes | None:
        self.targets.append(target)
        key = unquote_to_bytes(target.partition("?")[0].removeprefix("/v1/kv/"))
        fate = self._fate(method, key, len(self.requests))
        self.requests.append((method, key))
        if fate is Fate.REFUSED:
            return _problem(503, "NO_QUORUM", "partition 7 has no leader that reaches a majority", "not_applied")
        if fate is Fate.TOO_LARGE:
            return _problem(413, "PAIR_TOO_LARGE", "key and value have 10241 bytes, the limit is 10240", "not_applied")
        if fate is Fate.CUT_BEFORE:
            return None
        if method == "PUT":
            self.data[key] = (body, headers.get("content-type", ""))
        if method == "DELETE":
            self.data.pop(key, None)
        if fate is Fate.CUT_AFTER:
            return None
        if fate is Fate.APPLIED_UNKNOWN:
            return _problem(504, "DEADLINE", "the deadline passed after the proposal", "unknown")
        if method in {"PUT", "DELETE"}:
            return b'HTTP/1.1 204 No Content\r\nETag: "1"\r\n\r\n'
        if key not in self.data:
            return _problem(404, "NO_SUCH_KEY", "there is no such key", "not_applied")
        value, content_type = self.data[key]
        return (
            f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(value)}\r\n\r\n".encode() + value
        )


def _problem(status: int, code: str, detail: str, outcome: str) -> bytes:
    body = json.dumps({"status": status, "code": code, "detail": detail, "outcome": outcome}).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
