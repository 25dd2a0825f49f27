"""A node's life in one process, over a host that does what the test says."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from app import server
from app.settings import Settings
from raftgroups import HostError
from tests.app.fake_coordinator import FakeCoordinator


@dataclass
class FakeHost:
    """Opens when it is told to, and remembers what was done to it."""

    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str = ""
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, options: object) -> "FakeHost":
        await self.may_open.wait()
        if self.refusal:
            raise HostError(self.refusal)
        return self

    async def drain(self) -> None:
        self.done.append("drain")

    async def close(self) -> None:
        self.done.append("close")


Story = Callable[[FakeHost, int], Awaitable[None]]


def live(
    monkeypatch: pytest.MonkeyPatch, directory: Path, story: Story, drain_seconds: float = 0.0
) -> tuple[int, FakeHost]:
    """Run a node while `story` is told; its exit code, and its host."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    directory.mkdir()
    http = f"127.0.0.1:{port}"
    settings = Settings(name="n1", data=str(directory), http=http, peer="127.0.0.1:0", drain_seconds=drain_seconds)

    async def run() -> tuple[int, FakeHost]:
        host = FakeHost()
        monkeypatch.setattr(server, "Host", host)
        monkeypatch.setattr(server, "Coordinator", lambda _: FakeCoordinator())
        listener = server._listen("http", settings.http)
        node = asyncio.create_task(server._Node(settings, listener).run())
        await story(host, port)
        return await node, host

    return uvloop.run(run())


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As soon as somebody listens."""
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.001)


async def status(port: int, path: str) -> int:
    async with asyncio.timeout(20):
        reader, writer = await connected(port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def become_ready(host: FakeHost, port: int) -> None:
    host.may_open.set()
    async with asyncio.timeout(20):
        while await status(port, "/readyz") != 200:
            pass


def test_it_is_alive_before_it_is_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def story(host: FakeHost, port: int) -> None:
        assert await status(port, "/livez") == 200
        assert await status(port, "/readyz") == await status(port, "/v1/kv/k") == 503
        await become_ready(host, port)
        assert await status(port, "/v1/kv/k") == 404
        os.kill(os.getpid(), signal.SIGTERM)

    code, host = live(monkeypatch, tmp_path / "n1", story)

    assert (code, host.done) == (0, ["drain", "close"])


def test_a_host_that_cannot_open_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(host: FakeHost, port: int) -> None:
        assert await status(port, "/livez") == 200
        host.refusal = "data directory n1\nis in use"
        host.may_open.set()

    code, host = live(monkeypatch, tmp_path / "n1", story)

    assert (code, host.done) == (1, [])
    assert capsys.readouterr().err == "ringkv: data directory n1 is in use\n"


def test_a_host_that_fails_ends_the_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the disk holds is not known any more: it is not drained, the others elect without it."""

    async def story(host: FakeHost, port: int) -> None:
        await become_ready(host, port)
        host.failure.set_result("the node log cannot be synced")

    code, host = live(monkeypatch, tmp_path / "n1", story)

    assert (code, host.done) == (1, ["close"])
    assert capsys.readouterr().err == "ringkv: the node log cannot be synced\n"


def test_while_it_drains_it_serves_and_is_not_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    async def story(host: FakeHost, port: int) -> None:
        draining = asyncio.Event()
        go_on = asyncio.Event()

        async def drain() -> None:
            draining.set()
            await go_on.wait()

        monkeypatch.setattr(host, "drain", drain)
        await become_ready(host, port)
        os.kill(os.getpid(), signal.SIGTERM)
        await draining.wait()
        seen.extend([await status(port, path) for path in ("/livez", "/readyz", "/v1/kv/k")])
        go_on.set()

    code, _ = live(monkeypatch, tmp_path / "n1", story)

    assert code == 0
    assert seen == [200, 503, 404]


def test_it_goes_on_serving_for_as_long_as_it_was_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second signal ends the wait, in order; without it, it would be an hour."""
    seen: list[Any] = []

    async def story(host: FakeHost, port: int) -> None:
        await become_ready(host, port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        os.kill(os.getpid(), signal.SIGTERM)
        while await status(port, "/readyz") != 503:
            pass
        assert await status(port, "/v1/kv/k") == 404
        writer.write(b"GET /v1/kv/k HTTP/1.1\r\nHost: x\r\n\r\n")
        seen.append((await reader.read()).lower())  # to its end: it closes
        writer.close()
        assert await status(port, "/livez") == 200, "others are still taken in"
        os.kill(os.getpid(), signal.SIGTERM)

    code, host = live(monkeypatch, tmp_path / "n1", story, drain_seconds=3_600)

    assert (code, host.done) == (0, ["drain", "close"])
    assert seen[0].startswith(b"http/1.1 404") and b"connection: close" in seen[0]


def test_a_second_signal_does_not_wait_for_leaderships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def story(host: FakeHost, port: int) -> None:
        draining = asyncio.Event()

        async def drain() -> None:
            draining.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(host, "drain", drain)
        await become_ready(host, port)
        os.kill(os.getpid(), signal.SIGINT)
        await draining.wait()
        os.kill(os.getpid(), signal.SIGINT)

    code, host = live(monkeypatch, tmp_path / "n1", story)

    assert (code, host.done) == (0, ["close"])
