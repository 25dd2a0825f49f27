"""Watches of both clients, against a gateway over a fake, and against what cuts them off."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from app import watchstream
from app.client import AsyncClient, Change, Client, ClientError, CompactedError, ProblemError, UnreachableError
from app.pipeline import PipelinedClient
from tests.app.running import Running, eventually, running
from tests.app.scripted import HEAD, Scripted, Silent
from tests.app.test_clientwatch import READY, problem, put

Act = Callable[[], object]


def with_client(urls: str | list[str], count: int, act: Act = lambda: None, **wish: Any) -> list[Change]:
    """So many changes, of what `act` does once the watch has begun."""
    options = {name: wish.pop(name) for name in ("timeout_seconds", "attempt_seconds") if name in wish}
    with Client(urls, **options) as client, client.watch(**wish or {"prefix": ""}) as changes:
        act()
        return [next(changes) for _ in range(count)]


def with_async_client(urls: str | list[str], count: int, act: Act = lambda: None, **wish: Any) -> list[Change]:
    options = {name: wish.pop(name) for name in ("timeout_seconds", "attempt_seconds") if name in wish}

    async def run() -> list[Change]:
        async with AsyncClient(urls, **options) as client, client.watch(**wish or {"prefix": ""}) as changes:
            await asyncio.to_thread(act)
            return [await anext(changes) for _ in range(count)]

    return asyncio.run(run())


Do = Callable[..., list[Change]]
both = pytest.mark.parametrize("do", [with_client, with_async_client])


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


def write(gateway: Running, *requests: tuple[str, str, bytes]) -> None:
    with httpx.Client(base_url=gateway.url) as client:
        for method, key, value in requests:
            client.request(method, f"/v1/kv/{key}", content=value).raise_for_status()


ACT = [("PUT", "user/1", b"hello"), ("PUT", "other", b"x"), ("PUT", "user/2", b"\xff\n"), ("DELETE", "user/1", b"")]


@both
def test_changes_come_as_they_happen(gateway: Running, do: Do) -> None:
    changes = do(gateway.url, 3, lambda: write(gateway, *ACT), prefix="user/")

    assert [(change.event, change.key, change.value) for change in changes] == [
        ("put", b"user/1", b"hello"),
        ("put", b"user/2", b"\xff\n"),
        ("delete", b"user/1", None),
    ]
    assert do(gateway.url, 1, lambda: write(gateway, ("PUT", "other", b"y")), key="other")[0].value == b"y"


@both
def test_another_watch_goes_on_from_an_id(gateway: Running, do: Do) -> None:
    first, second, third = do(gateway.url, 3, lambda: write(gateway, *ACT), prefix="user/")

    later = do(gateway.url, 2, prefix="user/", after=first.id)
    assert [(change.event, change.key) for change in later] == [("put", second.key), ("delete", third.key)]


@both
@pytest.mark.parametrize(
    ("end", "asked"),
    [(b"", "w1.1"), (put(2)[:-9], "w1.1"), (problem(503, "DRAINING", retryable=True), "w1.90")],
    ids=["cut", "cut within an event", "draining"],
)
def test_what_is_cut_off_goes_on_at_another_gateway(do: Do, end: bytes, asked: str) -> None:
    first = Scripted(HEAD + READY + put(1) + end, HEAD + READY + put(4))
    second = Scripted(HEAD + READY + put(2) + put(3))

    changes = do([second.url, first.url], 4)

    assert [change.revision for change in changes] == [1, 2, 3, 4]
    assert (first.asked, second.asked) == (["", "w1.3"], [asked])


@both
def test_a_gateway_that_accepts_and_says_nothing_is_left_for_another(gateway: Running, do: Do) -> None:
    with Silent() as silent:
        changes = do(
            [gateway.url, silent.url], 1, lambda: write(gateway, ("PUT", "k", b"v")), attempt_seconds=0.2, prefix="k"
        )

    assert changes[0].key == b"k"


@both
def test_a_stream_without_a_heartbeat_is_left(gateway: Running, do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was stopped keeps its connections open."""
    monkeypatch.setattr(watchstream, "SILENCE_SECONDS", 0.2)
    begun = httpx.get(f"{gateway.url}/v1/watch?prefix=k").json()["next"].encode()
    with Silent(HEAD + READY.replace(b"w1.0", begun)) as silent:
        changes = do([gateway.url, silent.url], 1, lambda: write(gateway, ("PUT", "k", b"v")), prefix="k")

    assert changes[0].key == b"k"


@both
def test_a_history_that_is_gone_has_a_type(gateway: Running, do: Do) -> None:
    changes = do(gateway.url, 1, lambda: write(gateway, ("PUT", "k", b"v")), prefix="k")
    gateway.do(gateway.fake.feeds.forget)

    with pytest.raises(CompactedError) as error:
        do(gateway.url, 1, prefix="k", after=changes[0].id)

    assert error.value.oldest.startswith("w1.")
    assert (error.value.status, error.value.retryable) == (410, False)


@both
def test_so_has_one_that_goes_while_it_is_watched(gateway: Running, do: Do) -> None:
    def forget() -> None:
        gateway.do(gateway.fake.feeds.forget)

    with pytest.raises(CompactedError) as error:
        do(gateway.url, 1, forget, prefix="k")

    assert error.value.oldest.startswith("w1.")


@both
def test_a_bad_id_is_refused(gateway: Running, do: Do) -> None:
    with pytest.raises(ProblemError, match="Last-Event-ID is not an id"):
        do(gateway.url, 1, prefix="k", after="nonsense")


@both
def test_it_gives_up_when_nobody_has_the_stream_for_as_long_as_a_call_may_take(do: Do) -> None:
    once = Scripted(HEAD + READY + put(1))

    with pytest.raises(UnreachableError, match="connection refused"):
        do(once.url, 2, timeout_seconds=0.3)


def test_what_failed_is_over() -> None:
    with running() as gone:
        nobody = gone.url
    with Client(nobody, timeout_seconds=0.2) as client:
        changes = client.watch(prefix="")
        with pytest.raises(ClientError):
            next(changes)
        with pytest.raises(StopIteration):
            next(changes)


def test_closing_ends_whoever_waits_in_another_thread(gateway: Running) -> None:
    with Client(gateway.url) as client:
        found: list[Change] = []
        changes = client.watch(prefix="").__enter__()
        reader = threading.Thread(target=lambda: found.extend(changes))
        reader.start()
        write(gateway, ("PUT", "k", b"v"))
        eventually(lambda: len(found) == 1)

        changes.close()
        reader.join(5)  # its gateway would say something after ten seconds

        assert not reader.is_alive()
        eventually(lambda: not gateway.fake.feeds.seats)


def test_closing_ends_whoever_waits_in_another_task(gateway: Running) -> None:
    async def run() -> None:
        async with AsyncClient(gateway.url) as client:
            changes = await client.watch(prefix="").__aenter__()
            reading = asyncio.create_task(anext(changes, None))
            await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await changes.close()
                assert await reading is None

    asyncio.run(run())
    eventually(lambda: not gateway.fake.feeds.seats)


def test_closing_ends_the_wait_for_a_gateway() -> None:
    with running() as gone:
        nobody = gone.url
    with Client(nobody, timeout_seconds=60) as client:
        changes = client.watch(prefix="")
        reader = threading.Thread(target=lambda: list(changes))
        reader.start()
        changes.close()
        reader.join(5)

        assert not reader.is_alive()


def test_a_client_that_closes_ends_its_watches(gateway: Running) -> None:
    client = Client(gateway.url)
    changes = client.watch(prefix="").__enter__()
    client.close()

    assert list(changes) == []
    eventually(lambda: not gateway.fake.feeds.seats)

    async def run() -> list[Change]:
        async with PipelinedClient(gateway.url) as client:
            changes = await client.watch(prefix="").__aenter__()
        return [change async for change in changes]

    assert asyncio.run(run()) == []
    eventually(lambda: not gateway.fake.feeds.seats)


def test_a_task_that_is_cancelled_misses_nothing(gateway: Running) -> None:
    """The stream is opened again right after what was handed out."""

    async def run() -> list[bytes]:
        async with AsyncClient(gateway.url) as client, client.watch(prefix="") as changes:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(changes)
            await asyncio.to_thread(write, gateway, ("PUT", "a", b"1"), ("PUT", "b", b"2"))
            return [(await anext(changes)).key for _ in range(2)]

    assert sorted(asyncio.run(run())) == [b"a", b"b"]


def test_watches_leave_room_for_calls(gateway: Running) -> None:
    """Each has a connection of its own: many of them do not use up those of their client."""
    with Client(gateway.url) as client:
        watches = [client.watch(prefix="k").__enter__() for _ in range(40)]

        client.put("k", json.dumps("v"))

        assert {next(changes).key for changes in watches} == {b"k"}
