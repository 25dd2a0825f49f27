"""Transactions of both clients, against a gateway over a fake."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from app.calls import Written
from app.client import (
    Decided,
    NotOnePartitionError,
    OutcomeUnknownError,
    TooLargeError,
    Transaction,
    UnavailableError,
)
from app.clienterrors import Response
from app.clienttxn import Relation, call_of
from raftgroups import Item, NoQuorumError, PartitionId
from tests.app.both import Do, both, with_client
from tests.app.running import Running, running


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running() as started:
        yield started


@both
def test_the_branch_that_was_taken_has_results(gateway: Running, do: Do) -> None:
    gateway.fake.items = {b"a": Item(4_096, b"\xff1"), b"a2": Item(8_192, b"x")}
    transaction = Transaction()
    transaction.if_value("a", b"\xff1")
    transaction.if_absent("a9")
    put = transaction.then.put("a", "2", ttl=60, content_type="text/html")
    seen = transaction.then.get("a")
    gone = transaction.then.delete("a2")
    other = transaction.otherwise.get("a")

    first = do(gateway.url, lambda client: client.txn(transaction))
    second = do(gateway.url, lambda client: client.txn(transaction))

    assert (first.succeeded, second.succeeded) == (True, False)
    assert len(first) == 3
    assert first[put].revision == first[gone].revision == first[seen].revision
    item = first[seen]
    assert (item.key, item.value, item.content_type) == (b"a", b"2", "text/html")
    assert item.expires_in is not None
    assert [result.value for result in second] == [second[other].value] == [b"2"]
    assert b"a2" not in gateway.fake.items
    for decided, slot in ((first, other), (second, put)):
        with pytest.raises(KeyError):
            decided[slot]


@pytest.mark.parametrize(
    ("name", "arguments", "holds"),
    [
        ("if_revision", ("a", 4_096), True),
        ("if_revision", ("a", 4_096, "ne"), False),
        ("if_revision", ("a", 5_000, "lt"), True),
        ("if_revision", ("a9", 0), True),
        ("if_value", ("a", "1"), True),
        ("if_value", ("a", "1", "gt"), False),
        ("if_value", ("a", "0", "ge"), True),
        ("if_exists", ("a",), True),
        ("if_exists", ("a9",), False),
        ("if_absent", ("a",), False),
        ("if_absent", ("a9",), True),
    ],
)
def test_comparisons_are_what_they_say(gateway: Running, name: str, arguments: tuple[Any, ...], holds: bool) -> None:
    gateway.fake.items = {b"a": Item(4_096, b"1")}
    transaction = Transaction()
    getattr(transaction, name)(*arguments)

    assert with_client(gateway.url, lambda client: client.txn(transaction)).succeeded is holds


@pytest.mark.parametrize(
    ("relation", "holds"), [("eq", True), ("ne", False), ("lt", False), ("le", True), ("gt", False), ("ge", True)]
)
def test_every_relation_is_known_to_the_gateway(gateway: Running, relation: Relation, holds: bool) -> None:
    transaction = Transaction()
    transaction.if_revision("a", 0, relation)

    assert with_client(gateway.url, lambda client: client.txn(transaction)).succeeded is holds


@both
def test_the_same_key_does_nothing_twice(gateway: Running, do: Do) -> None:
    transaction = Transaction()
    transaction.if_absent("a")
    transaction.then.put("a", "1")

    decided = [do(gateway.url, lambda client: client.txn(transaction, idempotency_key="mine")) for _ in range(2)]
    other = do(gateway.url, lambda client: client.txn(transaction))

    assert [one.succeeded for one in (*decided, other)] == [True, True, False]
    assert list(decided[0]) == list(decided[1]) == [Written(revision=decided[0][0].revision)]


@both
def test_refusals_have_types(gateway: Running, do: Do) -> None:
    apart, large = Transaction(), Transaction()
    apart.if_exists("a")
    apart.then.put("b", "1")
    large.then.put("a", b"x" * 11_000)

    with pytest.raises(NotOnePartitionError, match=r"share a \{tag\}") as error:
        do(gateway.url, lambda client: client.txn(apart))
    assert (error.value.outcome, error.value.members["keys"]) == ("not_applied", ["a", "b"])
    with pytest.raises(NotOnePartitionError):
        do(gateway.url, lambda client: client.txn(Transaction()))
    with pytest.raises(TooLargeError):
        do(gateway.url, lambda client: client.txn(large))
    gateway.fake.error = NoQuorumError(PartitionId(3))
    apart = Transaction()
    apart.then.put("b", "1")
    with pytest.raises(UnavailableError):
        do(gateway.url, lambda client: client.txn(apart), timeout_seconds=0.9)


def test_no_key_is_empty() -> None:
    for add in (Transaction().if_absent, Transaction().then.get, Transaction().otherwise.delete):
        with pytest.raises(ValueError, match="the key is empty"):
            add("")


@pytest.mark.parametrize("document", [{}, {"succeeded": True, "results": []}, {"succeeded": False, "results": [{}]}])
def test_an_answer_that_is_none_leaves_it_in_doubt(document: dict[str, Any]) -> None:
    transaction = Transaction()
    transaction.then.put("a", "1")
    call = call_of(transaction, token=None)

    with pytest.raises(OutcomeUnknownError):
        call.read(Response(200, {}, msgspec.msgpack.encode(document)))


def test_a_branch_without_steps_has_no_results() -> None:
    decided: Decided = call_of(Transaction(), token="t").read(
        Response(200, {}, msgspec.msgpack.encode({"succeeded": False, "results": []}))
    )

    assert (decided.succeeded, list(decided), decided.errors) == (False, [], {})
