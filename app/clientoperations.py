"""Operations, as a client collects them to send many in one request, and the results that it finds by their Slots.

They travel as MessagePack, in which keys and values are bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, overload

import msgspec

from app.arguments import Seconds, Text, check_is, read_key, read_ttl, read_value
from app.calls import Changed, Number, Written, content_type_of, stranger
from app.clienterrors import ClientError, InvalidArgumentError, Response, error_in
from app.clientitem import Item
from app.spelling import unspell

MSGPACK = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_OF_PROBLEM = ("status", "code", "detail", "outcome", "retryable")


class Done(msgspec.Struct, kw_only=True):
    """What became of one operation, as it was answered."""

    status: int
    revision: int | None = None
    value: bytes = b""
    content_type: str = ""
    expires_in: int | None = None
    code: str | None = None
    detail: str | None = None
    outcome: str | None = None
    retryable: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Slot(Generic[T_co]):
    """The place of one operation among others, by which its result is found."""

    operations: "Operations"
    number: int
    read: Callable[[Done], T_co]


class Operations:
    """Operations in the order in which they were added; each method gives the Slot of its result."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.slots: list[Slot[Any]] = []

    def __len__(self) -> int:
        return len(self.slots)

    def get(self, key: Text) -> Slot[Item | None]:
        """Read a value; None where there is none."""
        return self._add("get", key, partial(_item, read_key(key)))

    def _put(
        self, key: Text, value: Text, ttl: Seconds | None, content_type: str | None, **conditions: Any
    ) -> Slot[Written]:
        kind = content_type_of(value, content_type)
        members = conditions if ttl is None else {**conditions, "ttl": read_ttl(ttl)}
        return self._add("put", key, written, value=read_value(value), content_type=kind, **members)

    def _add(self, operation: str, key: Text, read: Callable[[Done], T], **members: Any) -> Slot[T]:
        """Raises: InvalidArgumentError, if the key is none."""
        document = {"op": operation, "key": read_key(key), **members}
        slot = Slot(self, len(self.slots), read)
        self.documents.append(document)
        self.slots.append(slot)
        return slot

    def _adopt(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Add operations as the interface takes them; whether they are such, the gateway says."""
        for document in documents:
            check_is("an operation", document, Mapping)
            read = _READERS.get(str(document.get("op")), changed)
            key = _spelled_key(document)
            self.slots.append(Slot(self, len(self.slots), read or partial(_item, key)))
            self.documents.append(dict(document))

    def writes(self, number: int) -> bool:
        """Whether this one changes something."""
        return self.documents[number].get("op") != "get"

    def read_all(self, answered: Sequence[Done], *, is_write: bool) -> list[object]:
        """All results, errors among them. Raises: NotAGatewayError, OutcomeUnknownError, if one has no answer."""
        if len(answered) != len(self):
            raise stranger(is_write=is_write)
        return [self.read(number, done) for number, done in enumerate(answered)]

    def read(self, number: int, done: Done) -> object:
        """The result of an operation, or the error that it came to."""
        is_absent = done.status == 404 and not self.writes(number)
        if done.status in {200, 204} or is_absent:
            result: object = self.slots[number].read(done)
            return result
        headers = {} if done.revision is None else {"etag": f'"{done.revision}"'}
        members = {name: told for name in _OF_PROBLEM if (told := getattr(done, name)) is not None}
        return error_in(Response(done.status, headers, b""), members, is_write=self.writes(number))


class Results:
    """What came of operations, in their order.

    Asked for by its Slot, or by its number, a result is given, or the error raised that it is. Going through them gives
    them all, errors among them, as `asyncio.gather` does with `return_exceptions`.
    """

    def __init__(self, operations: Operations, results: Sequence[object]) -> None:
        self._operations = operations
        self._results = list(results)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._results)

    @overload
    def __getitem__(self, place: Slot[T]) -> T: ...

    @overload
    def __getitem__(self, place: int) -> Any: ...

    def __getitem__(self, place: Slot[Any] | int) -> Any:
        """Raises: the ClientError that the operation came to; LookupError, if it is none of these."""
        if isinstance(place, Slot):
            if place.operations is not self._operations:
                raise KeyError("this Slot is of other operations than these results")
            place = place.number
        result = self._results[place]
        if isinstance(result, ClientError):
            raise result
        return result

    @property
    def errors(self) -> Mapping[int, ClientError]:
        """Those that failed, by number."""
        return {place: result for place, result in enumerate(self) if isinstance(result, ClientError)}


def encode_document(document: object) -> bytes:
    """What is sent of operations. Raises: InvalidArgumentError, if a document of the caller's own cannot be."""
    try:
        return msgspec.msgpack.encode(document)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgumentError(f"the operations cannot be sent: {error}") from error


def decode_answer(body: bytes, kind: type[T], *, is_write: bool) -> T:
    """What a gateway answered. Raises: NotAGatewayError, OutcomeUnknownError."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise stranger(is_write=is_write) from error


def written(done: Done) -> Written:
    """What a put or a delete came to."""
    return Written(revision=done.revision or 0)


def number(done: Done) -> Number:
    """What a counter is at. Raises: OutcomeUnknownError, if it is no counter."""
    try:
        value = int(done.value)
    except ValueError as error:
        raise stranger(is_write=True) from error
    return Number(value=value, revision=done.revision or 0, expires_in=done.expires_in)


def changed(done: Done) -> Changed:
    """What a change left there."""
    return Changed(
        value=done.value, revision=done.revision or 0, content_type=done.content_type, expires_in=done.expires_in
    )


def _item(key: bytes, done: Done) -> Item | None:
    if done.status == 404:
        return None
    return Item(
        key=key,
        value=done.value,
        revision=done.revision or 0,
        content_type=done.content_type,
        expires_in=done.expires_in,
    )


def _spelled_key(document: Mapping[str, Any]) -> bytes:
    """The key of an operation as the interface takes it; empty, if it is none."""
    key = document.get("key")
    if not isinstance(key, str):
        return b""
    try:
        return unspell(key, "base64" if document.get("encoding") == "base64" else "utf8")
    except ValueError:
        return b""


_READERS: Mapping[str, Callable[[Done], object] | None] = {
    "put": written,
    "delete": written,
    "incr": number,
    "get": None,
}
