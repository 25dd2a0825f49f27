"""Pools of connections against servers that answer as a test says."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from app import pool
from app.attempts import Send
from app.client import AsyncClient, ClientError, OutcomeUnknownError, UnreachableError
from app.clienterrors import Response
from app.pipeline import PipelinedClient
from app.pool import Pools
from app.sending import CONNECTIONS_MAX
from tests.app.running import running


class Server:
    """Answers every request with its target as the body.

    links      connections so far
    requests   that wait for their answers
    is_open    answers are given; else when it is set
    """

    def __init__(self) -> None:
        self.links: list[asyncio.StreamWriter] = []
        self.waiting = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.head = b""
        self.url = ""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                self.waiting += 1
                await self.is_open.wait()
                self.waiting -= 1
                writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (self.head, len(target), target))


def drive(act: Callable[[Server, Pools], Awaitable[None]]) -> None:
    """Runs `act` with a server and what sends to it."""

    async def run() -> None:
        server, pools = Server(), Pools()
        listener = await asyncio.start_server(server.converse, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            async with asyncio.timeout(10):
                await act(server, pools)
        finally:
            await pools.close()
            listener.close()
            server.is_open.set()
            for link in server.links:
                link.transport.abort()

    asyncio.run(run())


def step(server: Server, target: str = "/a", *, seconds: float = 5.0, method: str = "GET") -> Send:
    return Send(server.url, method, target, {}, b"", seconds, is_write=True)


def bodies(answers: list[Response | ClientError]) -> list[bytes]:
    return [answer.body if isinstance(answer, Response) else repr(answer).encode() for answer in answers]


async def until(claim: Callable[[], bool]) -> None:
    while not claim():  # noqa: ASYNC110  # who brings it about tells nobody
        await asyncio.sleep(0)


def test_many_at_once_share_a_bounded_number_of_connections() -> None:
    async def act(server: Server, pools: Pools) -> None:
        wanted = [f"/{number}" for number in range(200)]

        answers = await asyncio.gather(*(pools.send(step(server, target)) for target in wanted))

        assert bodies(answers) == [target.encode() for target in wanted]
        assert len(server.links) == CONNECTIONS_MAX

    drive(act)


def test_one_after_the_other_is_sent_over_one_connection() -> None:
    async def act(server: Server, pools: Pools) -> None:
        answers = [await pools.send(step(server, target)) for target in ("/a", "/b", "/c")]

        assert bodies(answers) == [b"/a", b"/b", b"/c"]
        assert len(server.links) == 1

    drive(act)


def test_a_connection_that_waited_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway may be about to close it."""
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)

    async def act(server: Server, pools: Pools) -> None:
        answers = [await pools.send(step(server, target)) for target in ("/a", "/b")]

        assert bodies(answers) == [b"/a", b"/b"]
        assert len(server.links) == 2

    drive(act)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_connection_that_the_gateway_closed_is_not_used_again(is_told: bool) -> None:
    async def act(server: Server, pools: Pools) -> None:
        server.head = b"Connection: close\r\n" if is_told else b""
        first = await pools.send(step(server, "/a"))
        if not is_told:
            server.links[0].close()
            await until(lambda: not pools._pools[server.url]._idle[0][0].is_open)

        assert bodies([first, await pools.send(step(server, "/b"))]) == [b"/a", b"/b"]
        assert len(server.links) == 2

    drive(act)


def test_who_is_cancelled_leaves_no_answer_to_the_next() -> None:
    async def act(server: Server, pools: Pools) -> None:
        server.is_open.clear()
        sending = asyncio.create_task(pools.send(step(server, "/a")))
        await until(lambda: server.waiting == 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        server.is_open.set()

        assert bodies([await pools.send(step(server, "/b"))]) == [b"/b"]
        assert len(server.links) == 2

    drive(act)


def test_what_was_sent_and_not_answered_is_unknown() -> None:
    async def act(server: Server, pools: Pools) -> None:
        server.is_open.clear()

        late = await pools.send(step(server, seconds=0.05))
        sending = asyncio.create_task(pools.send(step(server)))
        await until(lambda: server.waiting == 2)
        server.links[1].transport.abort()
        lost = await sending

        assert isinstance(late, OutcomeUnknownError) and "did not answer within 0.05 s" in str(late)
        assert isinstance(lost, OutcomeUnknownError) and "was lost before it answered" in str(lost)

    drive(act)


def test_what_found_no_connection_in_time_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECTIONS_MAX", 1)

    async def act(server: Server, pools: Pools) -> None:
        server.is_open.clear()
        first = asyncio.create_task(pools.send(step(server, "/a")))
        await until(lambda: server.waiting == 1)

        second = await pools.send(step(server, seconds=0.05))
        server.is_open.set()

        assert isinstance(second, UnreachableError) and second.outcome == "not_applied"
        assert bodies([await first]) == [b"/a"]
        assert bodies([await pools.send(step(server, "/c"))]) == [b"/c"]
        assert len(server.links) == 1

    drive(act)


def test_closing_cuts_all_connections() -> None:
    async def act(server: Server, pools: Pools) -> None:
        server.is_open.clear()
        sending = asyncio.create_task(pools.send(step(server)))
        await until(lambda: server.waiting == 1)

        await pools.close()

        assert isinstance(await sending, OutcomeUnknownError)

    drive(act)


@pytest.mark.parametrize("kind", [AsyncClient, PipelinedClient])
def test_the_answer_to_head_has_no_body_to_wait_for(kind: type[AsyncClient]) -> None:
    with running() as gateway:

        async def run() -> None:
            async with kind(gateway.url, timeout_seconds=5, attempt_seconds=1) as client:
                put = await client.put("k", "value")
                for _ in range(2):
                    found = await client.head("k")
                    assert found is not None and found.revision == put.revision
                    assert await client.head("none") is None
                value = await client.get("k")
                assert value is not None and value.value == b"value"

        asyncio.run(run())
