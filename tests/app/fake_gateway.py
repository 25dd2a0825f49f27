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
    BUSY = auto()  # 409, the same request is still running
    TOLD_TO_WAIT = auto()  # 503 with a Retry-After of one second
    SILENT = auto()  # applied, and never answered


REFUSALS: dict[Fate, tuple[int, str, str, str, str]] = {
    Fate.REFUSED: (503, "NO_QUORUM", "partition 7 has no leader that reaches a majority", "not_applied", ""),
    Fate.TOLD_TO_WAIT: (503, "OVERLOADED", "too much is on its way", "not_applied", "Retry-After: 1\r\n"),
    Fate.BUSY: (409, "IDEMPOTENCY_KEY_BUSY", "the same request is still running", "not_applied", ""),
    Fate.TOO_LARGE: (413, "PAIR_TOO_LARGE", "key and value have 10241 bytes, the limit is 10240", "not_applied", ""),
}


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
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.port = port
        self._fate = fate
        self._revision = 0
        self._answers: dict[str, bytes] = {}
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
        conversations: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            conversations[asyncio.create_task(self._converse(reader, writer))] = writer

        server = await asyncio.start_server(accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._end.wait()
        server.close()
        await asyncio.sleep(0)  # Whoever was just accepted joins the others.
        for conversation, writer in conversations.items():
            conversation.cancel()
            writer.transport.abort()
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
        self.headers.append(headers)
        key = unquote_to_bytes(target.partition("?")[0].removeprefix("/v1/kv/"))
        fate = self._fate(method, key, len(self.requests))
        self.requests.append((method, key))
        if fate is Fate.CUT_BEFORE:
            return None
        if fate in REFUSALS:
            return _problem(*REFUSALS[fate], retryable=fate is not Fate.TOO_LARGE)
        answer = self._apply(method, key, target, headers, body)
        if fate is Fate.CUT_AFTER:
            return None
        if fate is Fate.SILENT:
            return b""
        if fate is Fate.APPLIED_UNKNOWN:
            return _problem(
                504, "OUTCOME_UNKNOWN", "the deadline passed after the proposal", "unknown", retryable=False
            )
        return answer

    def _apply(self, method: str, key: bytes, target: str, headers: dict[str, str], body: bytes) -> bytes:
        token = headers.get("idempotency-key")
        if token in self._answers:
            return self._answers[token]
        answer = (
            self._read(key, headers) if method in {"GET", "HEAD"} else self._write(method, key, target, headers, body)
        )
        if token is not None:
            self._answers[token] = answer
        return answer

    def _write(self, method: str, key: bytes, target: str, headers: dict[str, str], body: bytes) -> bytes:
        if headers.get("if-none-match") == "*" and key in self.data:
            return _problem(412, "PRECONDITION_FAILED", "the key is at revision 1", "not_applied", 'ETag: "1"\r\n')
        self._revision += 1
        answered = f'ETag: "{self._revision}"\r\nKV-Session: 1-7-{self._revision:x}\r\n'
        if method == "POST":
            value = int(self.data.get(key, (b"0", ""))[0]) + 1
            self.data[key] = (b"%d" % value, "application/json")
            return f"HTTP/1.1 200 OK\r\n{answered}Content-Length: {len(str(value))}\r\n\r\n{value}".encode()
        if method == "PUT":
            self.data[key] = (body, headers.get("content-type", ""))
        else:
            self.data.pop(key, None)
        return f"HTTP/1.1 204 No Content\r\n{answered}\r\n".encode()

    def _read(self, key: bytes, headers: dict[str, str]) -> bytes:
        if key not in self.data:
            return _problem(404, "NO_SUCH_KEY", "there is no such key", "not_applied", retryable=False)
        value, content_type = self.data[key]
        answered = (
            f'Content-Type: {content_type}\r\nContent-Length: {len(value)}\r\nETag: "5"\r\n'
            "KV-Consistency: linearizable\r\nKV-Staleness-Ms: 0\r\nKV-Served-By: n2;role=leader\r\n"
        )
        if "kv-session" in headers:
            answered += f"KV-Session: 1-9-{self._revision:x}\r\n"
        return f"HTTP/1.1 200 OK\r\n{answered}\r\n".encode() + value


def _problem(status: int, code: str, detail: str, outcome: str, head: str = "", *, retryable: bool = True) -> bytes:
    document = {"status": status, "code": code, "detail": detail, "outcome": outcome, "retryable": retryable}
    body = json.dumps(document).encode()
    head += f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body
