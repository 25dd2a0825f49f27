import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from app.client import Client, InvalidUrlError, OutcomeUnknownError, RefusedError, UnreachableError
from tests.app.fake_gateway import FakeGateway, Fate


def talk(
    urls: list[str],
    drive: Callable[[Client], Awaitable[None]],
    *,
    sole_writer: bool = False,
    timeout_seconds: float = 5.0,
) -> None:
    async def run() -> None:
        async with Client(urls, timeout_seconds=timeout_seconds, sole_writer=sole_writer) as client:
            await drive(client)

    asyncio.run(run())


@pytest.mark.parametrize(
    "url", ["", "localhost:8001", "https://h", "http://", "http://h/path", "http://h:x", "http://h?q", "http://u@h"]
)
def test_what_is_no_url_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrlError):
        Client([url], timeout_seconds=1)


def test_every_byte_of_a_key_goes_percent_encoded() -> None:
    async def drive(client: Client) -> None:
        key = bytes(range(256))
        await client.put(key, b"v")
        assert await client.get(key) == b"v"
        await client.delete(key)
        assert await client.get(key) is None

    with FakeGateway() as gateway:
        talk([gateway.url], drive)
        assert gateway.targets[0].startswith("/v1/kv/%00%01")


def test_many_requests_share_one_connection() -> None:
    async def drive(client: Client) -> None:
        await asyncio.gather(*(client.put(b"%d" % number, b"%d" % number) for number in range(200)))
        values = await asyncio.gather(*(client.get(b"%d" % number) for number in range(200)))
        assert values == [b"%d" % number for number in range(200)]

    with FakeGateway() as gateway:
        talk([gateway.url], drive)


def test_every_gateway_is_tried_before_a_call_is_given_up() -> None:
    async def drive(client: Client) -> None:
        await client.put(b"k", b"v")

    with FakeGateway(lambda _, __, ___: Fate.REFUSED) as electing, FakeGateway() as ready:
        talk([electing.url, ready.url], drive)
        assert ready.data[b"k"][0] == b"v"


def test_time_bounds_the_attempts() -> None:
    async def drive(client: Client) -> None:
        with pytest.raises(RefusedError) as refusal:
            await client.put(b"k", b"v")
        assert not refusal.value.may_have_applied
        assert refusal.value.is_lasting

    with FakeGateway(lambda _, __, ___: Fate.REFUSED) as gateway:
        talk([gateway.url], drive, timeout_seconds=0.3)
        assert 1 < len(gateway.requests) < 10


def test_a_gateway_that_never_answers_leaves_the_outcome_unknown() -> None:
    async def drive(client: Client) -> None:
        with pytest.raises(OutcomeUnknownError):
            await client.put(b"k", b"v")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        talk([f"http://127.0.0.1:{silent.getsockname()[1]}"], drive, timeout_seconds=0.2)


def test_nobody_there_is_said_at_once() -> None:
    async def drive(client: Client) -> None:
        with pytest.raises(UnreachableError):
            await client.put(b"k", b"v")
        with pytest.raises(UnreachableError):
            await client.reach()

    with FakeGateway() as gateway:
        gone = gateway.url
    talk([gone, gone], drive, timeout_seconds=60)


def test_the_rest_of_the_cluster_takes_over_where_the_given_gateway_is_gone() -> None:
    async def drive(client: Client) -> None:
        await client.learn()
        given.__exit__()
        await asyncio.gather(*(client.put(b"%d" % number, b"v") for number in range(20)))

    with FakeGateway() as other:
        given = FakeGateway().__enter__()
        cluster = {"nodes": [{"http": url.removeprefix("http://")} for url in (given.url, other.url)], "partitions": []}
        given.data[b"/v1/cluster"] = (json.dumps(cluster).encode(), "application/json")
        talk([given.url], drive, sole_writer=True)

        assert len(other.data) == 20


def test_a_sole_writer_waits_for_a_gateway_to_come_back() -> None:
    """A loader goes on when the only gateway it knows is started again."""

    async def drive(client: Client) -> None:
        putting = asyncio.create_task(client.put(b"k", b"v"))
        await asyncio.wait([putting], timeout=0.2)
        assert not putting.done()
        with FakeGateway(port=port) as gateway:
            await putting
            assert gateway.data[b"k"][0] == b"v"

    with FakeGateway() as gateway:
        port = gateway.port
    talk([f"http://127.0.0.1:{port}"], drive, sole_writer=True)
