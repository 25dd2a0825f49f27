"""Deleting a range from a program and from the command line."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from app import deletion
from app.asyncclient import AsyncClient
from app.client import Client
from app.clienterrors import InvalidArgumentError, UnavailableError
from raftgroups import Item, NoQuorumError, PartitionId
from tests.app.running import Running
from tests.app.test_cli import run

KEYS = [b"k%02d" % number for number in range(20)]


@pytest.fixture
def filled(gateway: Running) -> Iterator[Running]:
    gateway.fake.items.clear()
    gateway.fake.items.update({key: Item(1, b"v") for key in [*KEYS, b"other"]})
    yield gateway
    gateway.fake.error = None


def test_a_range_is_deleted_and_counted(filled: Running) -> None:
    with Client(filled.url) as client:
        assert client.delete_range("k0", start="k02", end=b"k04") == 2
        assert client.delete_range("k") == 18
        assert client.delete_range("k") == 0
        assert list(filled.fake.items) == [b"other"]
        assert client.delete_range(everything=True) == 1
        assert client.session > "1-"


def test_the_same_with_await(filled: Running) -> None:
    async def main() -> int:
        async with AsyncClient([filled.url]) as client:
            return await client.delete_range("k")

    assert asyncio.run(main()) == 20


@pytest.mark.parametrize("is_own", [True, False])
def test_it_takes_as_many_requests_as_it_takes(filled: Running, monkeypatch: pytest.MonkeyPatch, is_own: bool) -> None:
    """And counts each key once, under the caller's own Idempotency-Key as well."""
    monkeypatch.setattr(deletion, "PIECE_KEYS_MAX", 2)
    monkeypatch.setattr(deletion, "PARTITIONS_AT_ONCE", 1)
    shares = iter([0.0, 0.8])
    monkeypatch.setattr(deletion.Deleter, "delete", slowly(deletion.Deleter.delete, shares, monkeypatch))

    with Client(filled.url) as client:
        assert client.delete_range("k", idempotency_key="mine" if is_own else None) == 20
    assert next(shares, None) is None


def slowly(delete: Any, shares: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The first request has no time at all."""

    async def patched(self: Any, request: Any) -> Any:
        monkeypatch.setattr(deletion, "TIME_SHARE", next(shares, 0.8))
        return await delete(self, request)

    return patched


def test_a_range_must_be_named(filled: Running) -> None:
    with Client(filled.url) as client:
        for wrong in ({}, {"prefix": ""}, {"prefix": "a", "everything": True}, {"end": "a", "everything": True}):
            with pytest.raises(InvalidArgumentError):
                client.delete_range(**wrong)
        with pytest.raises(TypeError, match="prefix must be"):
            client.delete_range(7)  # type: ignore[arg-type]
    assert len(filled.fake.items) == 21


def test_what_goes_wrong_is_raised(filled: Running) -> None:
    filled.fake.error = NoQuorumError(PartitionId(3))

    with Client(filled.url, timeout_seconds=0.3) as client, pytest.raises(UnavailableError):
        client.delete_range("k")


def test_the_command_says_how_many(filled: Running) -> None:
    one = run("delete", "--url", filled.url, "--start", "k00", "--end", "k01")
    some = run("delete", "--url", filled.url, "--prefix", "k", "--json")
    every = run("delete", "--url", filled.url, "--all")

    assert one.stdout == "OK, 1 key deleted\n", one.output
    assert json.loads(some.stdout)["deleted"] == 19
    assert every.stdout == "OK, 1 key deleted\n" and not filled.fake.items


@pytest.mark.parametrize(
    "arguments",
    [(), ("--prefix", ""), ("k", "--prefix", "k"), ("k", "--all"), ("--prefix", "k", "--all"), ("--all", "--end", "k")],
)
def test_the_command_must_know_which(filled: Running, arguments: tuple[str, ...]) -> None:
    failed = run("delete", "--url", filled.url, *arguments)

    assert failed.exit_code == 2 and "give a KEY, or some of --prefix, --start and --end, or --all" in failed.stderr
    assert len(filled.fake.items) == 21


def test_a_range_has_no_condition(filled: Running) -> None:
    failed = run("delete", "--url", filled.url, "--prefix", "k", "--if-match", "3")

    assert failed.exit_code == 2 and "--if-match is about a single KEY" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("put", "a", "b"), "OK, revision "),
        (("put", "a", "b", "--json"), "{"),
        (("append", "a", "b"), "OK, revision "),
        (("touch", "k00", "9"), "OK, revision "),
        (("persist", "k00"), "OK, revision "),
        (("delete", "k00"), "OK, revision "),
        (("incr", "n", "3"), "3\n"),
    ],
)
def test_a_verb_answers(filled: Running, arguments: tuple[str, ...], shown: str) -> None:
    result = run(*arguments, "--url", filled.url)

    assert result.exit_code == 0 and result.stdout.startswith(shown), result.output
