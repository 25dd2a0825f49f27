"""Operations: what a batch or a transaction holds, as commands, and what came of each.

    batch     := {"ops": [operation, …]}
    operation := {"op": "put", "key", "value", "encoding", "content_type", "ttl", "if_match", "if_none_match"}
               | {"op": "get", "key", "encoding"}
               | {"op": "delete", "key", "encoding", "if_match"}
               | {"op": "incr", "key", "encoding", "by", "if_match", "if_none_match"}
               | {"op": "append", "key", "value", "encoding", "if_match", "if_none_match"}
               | {"op": "touch", "key", "encoding", "ttl", "if_match"}
               | {"op": "persist", "key", "encoding", "if_match"}

As JSON, or as MessagePack, where keys and values may be bytes as well, which are taken as they are. What cannot be
read is a Problem that names the place: `ops[3].key`. A pair or a key that is too large is the failure of its operation.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.expectation import expected_of
from app.fields import is_media_type
from app.pairs import key_problem, pair_problem
from app.problems import (
    BAD_BODY,
    NOT_TOGETHER,
    TOO_MANY_OPERATIONS,
    Kind,
    Problem,
    problem_of,
)
from app.requests import CommandOutcome
from app.rules import EXPECTED_MAX, INTEGER_MAX, INTEGER_MIN, TTL_SECONDS_MAX, TTL_SECONDS_MIN, left_seconds, ttl_ms_of
from app.settings import Limits
from app.spelling import Encoding, spell, spell_base64, unspell
from app.writing import refusal
from raftgroups import (
    AppendTo,
    Changed,
    ConditionalDelete,
    ConditionalPut,
    Delete,
    Expected,
    Increment,
    Item,
    Put,
    RaftGroupError,
    Repeatable,
    Touch,
    Unmet,
    Written,
)

Key = Annotated[
    Any,
    Meta(
        description="1 to 1,024 bytes, spelled as `encoding` says",
        examples=["greeting"],
        extra_json_schema={"type": "string", "minLength": 1},
    ),
]
Value = Annotated[
    Any, Meta(description="Spelled as `encoding` says", examples=["hello"], extra_json_schema={"type": "string"})
]
Spelled = Annotated[Encoding, Meta(description="How key and value are spelled, and how a value is answered")]
ContentType = Annotated[
    str,
    Meta(
        description="Kept, and given back with the value",
        examples=["text/plain"],
        extra_json_schema={"pattern": "^[a-z]{1,20}/[a-z0-9.+-]{1,40}$", "maxLength": 61},
    ),
]
Ttl = Annotated[
    float,
    Meta(ge=TTL_SECONDS_MIN, le=TTL_SECONDS_MAX, description="Seconds until the key is gone", examples=[60]),
]
_Revision = Annotated[int, Meta(ge=1, le=INTEGER_MAX)]
IfMatch = (
    Annotated[_Revision, Meta(description="Only if the key is at this revision")]
    | Annotated[list[_Revision], Meta(max_length=EXPECTED_MAX, description="Only if it is at one of these")]
    | Annotated[Literal["*"], Meta(description="Only if it exists")]
)
IfNoneMatch = Annotated[Literal["*"], Meta(description="Only if the key does not exist")]
By = Annotated[int, Meta(ge=INTEGER_MIN, le=INTEGER_MAX, description="What to add", examples=[5])]


class _Operation(msgspec.Struct, tag_field="op", forbid_unknown_fields=True, kw_only=True):
    key: Key
    encoding: Spelled = "utf8"


class PutOperation(_Operation, tag="put"):
    """Store a value."""

    value: Value
    content_type: ContentType = ""
    ttl: Ttl | UnsetType = UNSET
    if_match: IfMatch | UnsetType = UNSET
    if_none_match: IfNoneMatch | UnsetType = UNSET


class GetOperation(_Operation, tag="get"):
    """Read a value. It is answered as UTF-8 if it is that, unless `encoding` asks for base64."""


class DeleteOperation(_Operation, tag="delete"):
    """Remove a key."""

    if_match: IfMatch | UnsetType = UNSET


class IncrOperation(_Operation, tag="incr"):
    """Add to the decimal number there; an absent key counts as 0."""

    by: By = 1
    if_match: IfMatch | UnsetType = UNSET
    if_none_match: IfNoneMatch | UnsetType = UNSET


class AppendOperation(_Operation, tag="append"):
    """Add bytes to the end of the value there."""

    value: Value
    if_match: IfMatch | UnsetType = UNSET
    if_none_match: IfNoneMatch | UnsetType = UNSET


class TouchOperation(_Operation, tag="touch"):
    """Have the key, which must exist, be gone after `ttl`."""

    ttl: Ttl
    if_match: IfMatch | UnsetType = UNSET


class PersistOperation(_Operation, tag="persist"):
    """Have the key, which must exist, stay."""

    if_match: IfMatch | UnsetType = UNSET


Operation = (
    PutOperation | GetOperation | DeleteOperation | IncrOperation | AppendOperation | TouchOperation | PersistOperation
)


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Operations that have nothing to do with each other: each succeeds or fails alone."""

    ops: Annotated[list[Operation], Meta(description="At most 1,000", extra_json_schema={"maxItems": 1000})]


class OperationResult(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What became of one operation: the status that a request of its own would have had, and what belongs to it."""

    status: Annotated[int, Meta(examples=[204])]
    revision: Annotated[int, Meta(description="Of the key; of the one there, where a condition failed")] | None = None
    value: Annotated[Any, Meta(description="As MessagePack: its bytes", extra_json_schema={"type": "string"})] = None
    encoding: Annotated[Encoding, Meta(description="Of the value; not in MessagePack")] | None = None
    content_type: str | None = None
    expires_in: Annotated[int, Meta(description="Seconds until the key is gone")] | None = None
    code: Annotated[str, Meta(description="Of the problem, as are all members that follow")] | None = None
    detail: str | None = None
    outcome: Literal["not_applied", "unknown"] | None = None
    retryable: bool | None = None


class BatchAnswer(msgspec.Struct):
    """A result for each operation, in their order."""

    results: list[OperationResult]


class Lookup(msgspec.Struct, frozen=True):
    """A key to be read."""

    key: bytes


class Step(msgspec.Struct, frozen=True):
    """One operation.

    task        what is to be done, or why it cannot be
    in_base64   its value is to be answered so
    """

    task: Repeatable | Lookup | Problem
    in_base64: bool


class MemberError(Exception):
    """A member of an operation cannot be what it is, or not beside the others."""

    def __init__(self, member: str, what: str, kind: Kind = BAD_BODY) -> None:
        super().__init__(what)
        self.member = member
        self.kind = kind


DocumentT = TypeVar("DocumentT")


class Codec:
    """Documents of one type, as JSON or as MessagePack."""

    def __init__(self, kind: type[DocumentT]) -> None:
        self._kind = kind
        self._json: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
        self._msgpack: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode

    def decode(self, body: bytes, *, is_msgpack: bool) -> Any:
        """The document, or the Problem that names what is wrong."""
        try:
            return self._msgpack(body) if is_msgpack else self._json(body)
        except msgspec.ValidationError as error:
            try:
                document = msgspec.msgpack.decode(body) if is_msgpack else msgspec.json.decode(body)
                return msgspec.convert(_with_whole_numbers(document), self._kind)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return _invalid(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            what = "MessagePack" if is_msgpack else "JSON"
            return Problem(BAD_BODY, f"the body is not {what} that can be read: {error}")


def _with_whole_numbers(document: Any) -> Any:
    """The document with 7 where its operations say 7.0, which JSON Schema does not tell apart."""
    for operations in document.values() if isinstance(document, dict) else ():
        for operation in operations if isinstance(operations, list) else ():
            for name in _WHOLE.intersection(operation) if isinstance(operation, dict) else ():
                given = operation[name]
                operation[name] = [*map(_whole, given)] if isinstance(given, list) else _whole(given)
    return document


_WHOLE = frozenset(("by", "if_match", "revision"))


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


_BATCHES = Codec(BatchRequest)
encode_json = msgspec.json.Encoder().encode
encode_msgpack = msgspec.msgpack.Encoder().encode


def read_batch(body: bytes, limits: Limits, *, is_msgpack: bool) -> list[Step] | Problem:
    """The operations of a batch."""
    batch = _BATCHES.decode(body, is_msgpack=is_msgpack)
    if isinstance(batch, Problem):
        return batch
    assert isinstance(batch, BatchRequest), "that is what it decodes"
    if len(batch.ops) > limits.batch_operations_max:
        return too_many("ops", len(batch.ops), limits.batch_operations_max)
    steps: list[Step] = []
    for place, operation in enumerate(batch.ops):
        try:
            steps.append(_read_operation(operation, limits))
        except MemberError as error:
            return bad_member("ops", place, error)
    return steps


def too_many(name: str, count: int, limit: int) -> Problem:
    """The refusal of a list that is too long."""
    return Problem(TOO_MANY_OPERATIONS, f"{name} has {count} members; at most {limit} are allowed", {"limit": limit})


def bad_member(name: str, place: int, error: MemberError) -> Problem:
    """The refusal of one member of one operation."""
    detail = f"{name}[{place}].{error.member} {error}"
    return Problem(error.kind, detail, {"operation": place, "member": error.member})


def read_bytes(member: str, given: object, encoding: Encoding) -> bytes:
    """A key or a value. Raises: MemberError."""
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise MemberError(member, "must be a string")
    try:
        return unspell(given, encoding)
    except ValueError as error:
        raise MemberError(member, str(error)) from None


def read_key(given: object, encoding: Encoding) -> bytes:
    """A key of any length but none. Raises: MemberError."""
    key = read_bytes("key", given, encoding)
    if not key:
        raise MemberError("key", "is empty")
    return key


def read_content_type(given: str, limits: Limits) -> str:
    """A Content-Type to keep. Raises: MemberError."""
    if not is_media_type(given, limits.content_type_bytes_max):
        limit = limits.content_type_bytes_max
        raise MemberError("content_type", f"must be a media type, as in text/plain, of at most {limit} bytes")
    return given


def read_ttl(ttl: float | UnsetType) -> int:
    """A lifetime in whole milliseconds; 0 where none was given. Raises: MemberError."""
    if isinstance(ttl, UnsetType):
        return 0
    try:
        return ttl_ms_of(ttl)
    except ValueError as error:
        raise MemberError("ttl", str(error)) from None


def _read_operation(operation: Operation, limits: Limits) -> Step:
    """Raises: MemberError."""
    encoding = operation.encoding
    key = read_key(operation.key, encoding)
    task: Repeatable | Lookup
    if isinstance(operation, PutOperation):
        value = read_bytes("value", operation.value, encoding)
        refused, task = pair_problem(key, value, limits), _put(operation, key, value, limits)
    elif isinstance(operation, AppendOperation):
        value = read_bytes("value", operation.value, encoding)
        expected = _expected(operation.if_match, operation.if_none_match)
        refused, task = pair_problem(key, value, limits), AppendTo(key, value, limits.pair_bytes_max, expected)
    else:
        refused = key_problem(key, limits.key_bytes_max)
        task = Lookup(key) if isinstance(operation, GetOperation) else _command(operation, key)
    return Step(refused or task, encoding == "base64")


def _put(operation: PutOperation, key: bytes, value: bytes, limits: Limits) -> Repeatable:
    """Raises: MemberError."""
    content_type = read_content_type(operation.content_type, limits)
    if operation.ttl is UNSET and operation.if_match is UNSET and operation.if_none_match is UNSET:
        return Put(key, value, content_type)
    expected = _expected(operation.if_match, operation.if_none_match)
    return ConditionalPut(key, value, content_type, read_ttl(operation.ttl), expected)


def _command(operation: DeleteOperation | IncrOperation | TouchOperation | PersistOperation, key: bytes) -> Repeatable:
    """Raises: MemberError."""
    if isinstance(operation, IncrOperation):
        return Increment(key, operation.by, _expected(operation.if_match, operation.if_none_match))
    expected = _expected(operation.if_match, UNSET)
    if isinstance(operation, DeleteOperation):
        return Delete(key) if expected is None else ConditionalDelete(key, expected)
    return Touch(key, read_ttl(operation.ttl) if isinstance(operation, TouchOperation) else 0, expected)


def _expected(match: IfMatch | UnsetType, none_match: object) -> Expected:
    """What the conditions expect to be there. Raises: MemberError."""
    if none_match is not UNSET:
        if match is not UNSET:
            raise MemberError("if_none_match", "and if_match contradict each other", NOT_TOGETHER)
        return False
    if match is UNSET:
        return None
    if match == "*":
        return True
    try:
        return expected_of(match if isinstance(match, list) else (match,))
    except ValueError as error:
        raise MemberError("if_match", str(error)) from None


# What came of them.


def result_of(outcome: CommandOutcome, *, in_base64: bool, is_raw: bool) -> OperationResult:
    """The result of a write; `is_raw` where bytes can be answered as they are."""
    if isinstance(outcome, Written):
        return OperationResult(status=204, revision=outcome.revision)
    if isinstance(outcome, RaftGroupError):
        return result_of_problem(problem_of(outcome))
    if isinstance(outcome, Changed):
        item = Item(outcome.revision, outcome.value, outcome.content_type, outcome.expires_ms)
        return result_of_item(item, outcome.clock_ms, in_base64=in_base64, is_raw=is_raw)
    refused = refusal(outcome)
    assert refused is not None, "a command for one key has no other result"
    result = result_of_problem(refused)
    if isinstance(outcome, Unmet) and outcome.revision:
        result.revision = outcome.revision
    return result


def result_of_item(item: Item | None, clock_ms: int, *, in_base64: bool, is_raw: bool) -> OperationResult:
    """The result of a read; `clock_ms` is state-machine time then."""
    if item is None:
        return OperationResult(
            status=404, code="NO_SUCH_KEY", detail="there is no such key", outcome="not_applied", retryable=False
        )
    value, encoding = _spell(item.value, in_base64=in_base64, is_raw=is_raw)
    return OperationResult(
        status=200,
        revision=item.revision,
        value=value,
        encoding=encoding,
        content_type=item.content_type or None,
        expires_in=left_seconds(item.expires_ms, clock_ms) if item.expires_ms and clock_ms else None,
    )


def result_of_problem(problem: Problem) -> OperationResult:
    """The result of what failed."""
    kind = problem.kind
    outcome: Literal["not_applied", "unknown"] = "unknown" if kind.outcome == "unknown" else "not_applied"
    return OperationResult(
        status=kind.status, code=kind.code, detail=problem.detail, outcome=outcome, retryable=kind.retryable
    )


def _spell(value: bytes, *, in_base64: bool, is_raw: bool) -> tuple[str | bytes, Encoding | None]:
    if is_raw:
        return value, None
    return (spell_base64(value), "base64") if in_base64 else spell(value)


_PLACE = re.compile(r"\.(\w+)\[(\d+)\](?:\.(\w+))?")
_FIELD = re.compile(r"field `(\w+)`")


def _invalid(text: str) -> Problem:
    """The Problem that a validation error stands for: its text ends with the path."""
    what, _, path = text.partition(" - at ")
    if path.startswith("`key` in "):
        what, path = f"the name of a member: {what}", path.removeprefix("`key` in ")
    place = _PLACE.search(path)
    if place is None:
        where = path.strip("`").removeprefix("$").lstrip(".") or "the body"
        return Problem(BAD_BODY, f"{where}: {what}")
    name, number, member = place.groups()
    field = _FIELD.search(what)
    member = member or (field.group(1) if field is not None else None)
    members: dict[str, str | int | float | bool | list[str] | None] = {"operation": int(number)}
    if member is not None:
        members["member"] = member
    dotted = f".{place.group(3)}" if place.group(3) else ""
    return Problem(BAD_BODY, f"{name}[{number}]{dotted}: {what}", members)
