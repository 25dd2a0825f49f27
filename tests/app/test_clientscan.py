"""Scans of both clients, page by page, and what becomes of them when gateways fail."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.client import AsyncClient, Client, Item, Key, NotAGatewayError, ProblemError, UnavailableError
from app.clienterrors import Response
from app.clientscan import Scan, items_of
from raftgroups import Item as Stored
from raftgroups import NoQuorumError, PartitionId
from tests.app.running import Running, running


def with_client(urls: str | list[str], act: Callable[[Any], Any], **options: Any) -> list[Any]:
    """All that an iterator of the client gives."""
    with Client(urls, **options) as client:
        return list(act(client))


def with_async_client(urls: str | list[str], act: Callable[[Any], Any], **options: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with AsyncClient(urls, **options) as client:
            return [found async for found in act(client)]

    return asyncio.run(run())


Do = Callable[..., list[Any]]
both = pytest.mark.parametrize("do", [with_client, with_async_client])
KEYS = [b"k%04d" % number for number in range(2_500)]


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        started.fake.items = {key: Stored(number + 1, b"v%d" % number) for number, key in enumerate(KEYS)}
        yield started


@both
def test_every_key_comes_once_in_order(gateway: Running, do: Do) -> None:
    found = do(gateway.url, lambda client: client.scan())

    assert [item.key for item in found] == KEYS
    assert found[7] == Item(key=b"k0007", value=b"v7", revision=8, content_type="", expires_in=None)


@both
def test_bytes_types_and_ends_are_told(gateway: Running, do: Do) -> None:
    gateway.fake.items = {b"\xff k": Stored(1, b"\xfe", "image/png", 1 << 50), b"u": Stored(2, "ä".encode())}

    text, binary = do(gateway.url, lambda client: client.scan())

    assert (text.key, text.value, text.expires_in) == (b"u", "ä".encode(), None)
    assert (binary.key, binary.value, binary.content_type) == (b"\xff k", b"\xfe", "image/png")
    assert binary.expires_in > 1
    assert do(gateway.url, lambda client: client.scan(b"\xff "))[0].key == binary.key


@both
def test_a_scan_takes_bounds(gateway: Running, do: Do) -> None:
    def keys(*arguments: Any, **options: Any) -> list[bytes]:
        return [found.key for found in do(gateway.url, lambda client: client.scan(*arguments, **options))]

    assert keys("k00", page_keys=7) == KEYS[:100]
    assert keys(start="k0010", end=b"k0013") == KEYS[10:13]
    assert keys("k00", reverse=True, limit=2) == [KEYS[99], KEYS[98]]
    assert keys(limit=1_500, page_keys=999) == KEYS[:1_500]
    assert keys(limit=0) == []
    assert keys("none") == []
    keys(limit=1, consistency="bounded", max_staleness=70)
    fresh = gateway.fake.spans[-1][2]
    assert (fresh.level, fresh.staleness_ms) == ("bounded", 70)


@both
def test_keys_come_without_values(gateway: Running, do: Do) -> None:
    assert do(gateway.url, lambda client: client.scan_keys("k000", limit=2)) == [
        Key(key=b"k0000", revision=1),
        Key(key=b"k0001", revision=2),
    ]


def test_pages_are_asked_for_as_they_are_needed(gateway: Running) -> None:
    with Client(gateway.url) as client:
        found = client.scan(page_keys=10)
        assert gateway.fake.spans == []
        assert next(found).key == KEYS[0]
        asked = len(gateway.fake.spans)
        assert [next(found).key for _ in range(9)] == KEYS[1:10]
        assert len(gateway.fake.spans) == asked
        assert next(found).key == KEYS[10]
        assert len(gateway.fake.spans) > asked


@both
def test_a_scan_goes_on_at_another_gateway(gateway: Running, do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three is gone before it begins; another one fails while it is under way."""
    with running() as other:
        nobody = other.url
    with running() as failing:
        fake, scan = failing.fake, failing.fake.scan
        fake.items = gateway.fake.items

        def scan_for_a_while(*arguments: Any) -> None:
            fake.error = NoQuorumError(PartitionId(1)) if len(fake.spans) > 20 else None
            scan(*arguments)

        monkeypatch.setattr(fake, "scan", scan_for_a_while)
        found = do([failing.url, nobody, gateway.url], lambda client: client.scan(page_keys=100))

        assert fake.error is not None
    assert [item.key for item in found] == KEYS


@both
def test_it_is_given_up_with_the_time_of_a_call(gateway: Running, do: Do) -> None:
    gateway.fake.error = NoQuorumError(PartitionId(3))

    with pytest.raises(UnavailableError, match="partition 3 has no leader"):
        do(gateway.url, lambda client: client.scan(), timeout_seconds=0.9)


@both
def test_a_page_larger_than_allowed_is_refused(gateway: Running, do: Do) -> None:
    with pytest.raises(ProblemError, match="limit"):
        do(gateway.url, lambda client: client.scan(page_keys=1_001))


@pytest.mark.parametrize("options", [{"limit": -1}, {"page_keys": 0}])
def test_wrong_bounds_are_refused_at_once(options: dict[str, Any]) -> None:
    with Client("http://h") as client, pytest.raises(ValueError):
        client.scan(**options)


@pytest.mark.parametrize("level", ["session", "stale"])
def test_a_session_goes_along_where_it_means_something(level: Any) -> None:
    call = Scan("", {"consistency": level}, keys_only=False).call()

    assert call is not None and call.takes_session is (level == "session")


@pytest.mark.parametrize(
    "document",
    [
        "<html>",
        [],
        {"items": []},
        {"items": [{}], "cursor": None},
        {"items": [{"key": "A", "key_encoding": "base64", "revision": 1}], "cursor": None},
    ],
)
def test_what_is_no_page_is_said(document: Any) -> None:
    call = Scan("", {}, keys_only=False).call()
    assert call is not None

    with pytest.raises(NotAGatewayError):
        items_of(call.read(Response(200, {}, json.dumps(document).encode())))
