"""Transactions of a client: comparisons, and what to do if all of them hold, and what else; all or nothing."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, get_args

import msgspec

from app.arguments import Seconds, Text, check_is, read_key, read_revision, read_value
from app.calls import Call, Once, Written, expect
from app.clienterrors import InvalidArgumentError, Response
from app.clientoperations import MSGPACK, Done, Operations, Results, Slot, decode_answer, encode_document, written

Relation = Literal["eq", "ne", "lt", "le", "gt", "ge"]

_RELATIONS = get_args(Relation)


class Branch(Operations):
    """The steps of one branch; each sees what those before it wrote."""

    def __init__(self, documents: Iterable[Mapping[str, Any]] = ()) -> None:
        """Of steps as `POST /v1/txn` takes them."""
        super().__init__()
        self._adopt(documents)

    def put(
        self, key: Text, value: Text, *, ttl: Seconds | None = None, content_type: str | None = None
    ) -> Slot[Written]:
        """As Client.put."""
        return self._put(key, value, ttl, content_type)

    def delete(self, key: Text) -> Slot[Written]:
        """As Client.delete."""
        return self._add("delete", key, written)


class Transaction:
    """If all comparisons hold, the steps of `then` are taken, else those of `otherwise`: all or none, at one moment.

    All keys must be in one partition, as those are that share a {tag}.
    """

    def __init__(self) -> None:
        self.then = Branch()
        self.otherwise = Branch()
        self.comparisons: list[Mapping[str, Any]] = []

    @classmethod
    def of(
        cls,
        comparisons: Iterable[Mapping[str, Any]],
        then: Iterable[Mapping[str, Any]],
        otherwise: Iterable[Mapping[str, Any]],
    ) -> Self:
        """One of what `POST /v1/txn` takes."""
        transaction = cls()
        transaction.comparisons += comparisons
        transaction.then, transaction.otherwise = Branch(then), Branch(otherwise)
        return transaction

    def if_revision(self, key: Text, revision: int, relation: Relation = "eq") -> None:
        """Only if the revision of the key is this, or stands in this relation to it; that of an absent key is 0."""
        self._compare(key, relation, revision=read_revision("revision", revision))

    def if_value(self, key: Text, value: Text, relation: Relation = "eq") -> None:
        """Only if its value is this, byte for byte, or comes before or after it; an absent key has none."""
        self._compare(key, relation, value=read_value(value))

    def if_exists(self, key: Text) -> None:
        """Only if there is such a key."""
        self._compare(key, "eq", exists=True)

    def if_absent(self, key: Text) -> None:
        """Only if there is no such key."""
        self._compare(key, "eq", exists=False)

    def _compare(self, key: Text, relation: Relation, **operand: int | bytes) -> None:
        if relation not in _RELATIONS:
            raise InvalidArgumentError(f"a relation is one of {', '.join(_RELATIONS)}, not {relation!r}")
        self.comparisons.append({"key": read_key(key), "is": relation, **operand})


class Decided(Results):
    """What was decided, and the results of the steps that were taken.

    succeeded   all comparisons held: the results are those of `then`, else those of `otherwise`
    """

    def __init__(self, transaction: Transaction, answer: "_Answer") -> None:
        """Raises: OutcomeUnknownError, if a step has no answer."""
        branch = transaction.then if answer.succeeded else transaction.otherwise
        super().__init__(branch, branch.read_all(answer.results, is_write=True))
        self.succeeded = answer.succeeded


def call_of(transaction: Transaction, *, token: str | None) -> Call[Decided]:
    """The request that a transaction is."""
    check_is("what is sent", transaction, Transaction)
    document = {
        "if": transaction.comparisons,
        "then": transaction.then.documents,
        "else": transaction.otherwise.documents,
    }

    def read(response: Response) -> Decided:
        expect(response, 200, is_write=True)
        return Decided(transaction, decode_answer(response.body, _Answer, is_write=True))

    headers = {**MSGPACK, **Once(token=token).headers(is_plain=False)}
    return Call("POST", "/v1/txn", read, headers, encode_document(document), is_write=True)


class _Answer(msgspec.Struct):
    succeeded: bool
    results: list[Done]
