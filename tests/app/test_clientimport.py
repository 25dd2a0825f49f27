"""Both clients put entries as lines, part by part, and get them back as such."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app import clientimport
from app.client import (
    AsyncClient,
    Client,
    Imported,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    LineError,
    UnavailableError,
)
from raftgroups import Item, NoQuorumError, PartitionId
from tests.app.running import Running, running


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(clientimport, "PART_LINES_MAX", 3)
    monkeypatch.setattr(clientimport, "PART_BYTES_MAX", 200)
    with running() as started:
        yield started


def line(number: int, value: str = "v") -> bytes:
    return json.dumps({"key": f"k{number}", "value": value}).encode()


def put_all(url: str, lines: Any, **options: Any) -> list[Imported]:
    with Client(url, **options) as client:
        return list(client.import_lines(lines))


def put_all_awaited(url: str, lines: Any, **options: Any) -> list[Imported]:
    async def run() -> list[Imported]:
        async with AsyncClient(url, **options) as client:
            return [part async for part in client.import_lines(lines)]

    return asyncio.run(run())


both = pytest.mark.parametrize("put", [put_all, put_all_awaited])


@both
def test_lines_are_put_in_parts(gateway: Running, put: Any) -> None:
    lines = [line(1), line(2) + b"\r\n", b"", b"?", line(5, "x" * 300), line(6)]

    parts = put(gateway.url, iter(lines))

    assert [(part.lines, part.imported, part.failed) for part in parts] == [(3, 2, 0), (4, 0, 1), (5, 1, 0), (6, 1, 0)]
    [error] = parts[1].errors
    assert isinstance(error, LineError) and (error.line, error.code) == (4, "BAD_BODY")
    assert sorted(gateway.fake.items) == [b"k1", b"k2", b"k5", b"k6"]
    assert put(gateway.url, []) == []


def test_lines_may_be_awaited(gateway: Running) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(4):
            await asyncio.sleep(0)
            yield line(number)

    assert [part.lines for part in put_all_awaited(gateway.url, lines())] == [3, 4]


@both
def test_what_is_told_before_it_fails_is_stored(gateway: Running, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.importing.PATIENCE_SECONDS", 0.0)

    def lines() -> Iterator[bytes]:
        yield from (line(1), line(2), line(3), line(4))
        gateway.fake.error = NoQuorumError(PartitionId(3))
        yield from (line(5), line(6), line(7))

    with pytest.raises(UnavailableError):
        put(gateway.url, lines(), timeout_seconds=0.5)

    gateway.fake.error = None
    assert sorted(gateway.fake.items) == [b"k1", b"k2", b"k3"]


@both
@pytest.mark.parametrize(
    ("lines", "error"), [([b"a\nb"], InvalidArgumentError), ([5], InvalidArgumentTypeError), (b"a", TypeError)]
)
def test_what_is_no_line_is_refused(gateway: Running, put: Any, lines: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        put(gateway.url, lines)


def test_what_is_scanned_as_lines_can_be_put_back(gateway: Running) -> None:
    gateway.fake.items = {b"\xff%d" % number: Item(1, bytes([number]), "a/b") for number in range(7)}
    before = dict(gateway.fake.items)

    async def copy() -> None:
        async with AsyncClient(gateway.url) as client:
            found = [each async for each in client.scan_lines(page_keys=2)]
            assert len(found) == 7 and json.loads(found[0])["key_encoding"] == "base64"
            gateway.fake.items.clear()
            assert [part.lines async for part in client.import_lines(found)][-1] == 7

    asyncio.run(copy())
    assert {key: (item.value, item.content_type) for key, item in gateway.fake.items.items()} == {
        key: (item.value, item.content_type) for key, item in before.items()
    }
    with Client(gateway.url) as client:
        assert len(list(client.scan_lines(keys_only=True, limit=3))) == 3
