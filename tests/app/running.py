"""A gateway that really listens, on a thread of its own, over a fake coordinator."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import uvicorn
import uvloop

from app.front import front_protocol
from app.httpserver import Server
from app.server import create_app
from app.settings import Limits, Settings
from tests.app.fake_coordinator import FakeCoordinator

GET = b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n\r\n"
SETTINGS = Settings(name="n1", data="unused", http="127.0.0.1:0", peer="127.0.0.1:0")


def settings_with(**limits: Any) -> Settings:
    return replace(SETTINGS, limits=replace(Limits(), **limits))


def put(key: str, value: bytes = b"v") -> bytes:
    return f"PUT /v1/kv/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(value)}\r\n\r\n".encode() + value


def eventually(claim: Callable[[], bool], seconds: float = 5.0) -> None:
    """Poll what another thread brings about."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.001)


@dataclass
class Running:
    """One gateway and the fake behind it."""

    port: int
    fake: FakeCoordinator
    app: Any
    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def do(self, step: Any) -> None:
        """Run `step` on the gateway's thread, and wait for it."""
        done = threading.Event()

        def run() -> None:
            step()
            done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(5)

    def connect(self) -> "Client":
        return Client(self.port)


class Client:
    """A raw connection: what is sent is up to the test."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_answer(self, *, is_head: bool = False) -> "RawAnswer":
        """The next answer, framed by Content-Length or by having none."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, _, rest = self._received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status = int(lines[0].split()[1])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        length = 0 if is_head or status in {100, 204, 304} else int(headers["content-length"])
        self._received = rest
        while len(self._received) < length:
            self._more()
        body, self._received = self._received[:length], self._received[length:]
        return RawAnswer(status, headers, body)

    def ask(self, data: bytes) -> "RawAnswer":
        self.send(data)
        return self.read_answer()

    def is_closed(self) -> bool:
        """Whether the other side ends the connection, having sent nothing more."""
        try:
            return not self._received and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        data = self.socket.recv(65_536)
        assert data, f"closed after {self._received!r}"
        self._received += data


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def running(settings: Settings = SETTINGS, *, is_fast: bool = True, is_open: bool = True) -> Iterator[Running]:
    """A gateway on a free port; without `is_fast`, uvicorn as shipped serves the same app."""
    fake = FakeCoordinator()
    app = create_app(settings, fake if is_open else None)  # type: ignore[arg-type]  # has the methods that are used
    config = uvicorn.Config(
        app,
        http=front_protocol(app.state.gateway.patrol) if is_fast else "httptools",
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        started.set()
        await server.serve([listener])

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(5)
    try:
        yield Running(listener.getsockname()[1], fake, app, server, loops[0])
    finally:
        server.should_exit = True
        with contextlib.suppress(RuntimeError):  # the test may have ended it already
            loops[0].call_soon_threadsafe(server.hurried.set)
        thread.join(10)
        assert not thread.is_alive(), "the gateway does not stop"
