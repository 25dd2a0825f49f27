"""POST /v1/txn: comparisons, and what to do if all of them hold, and what else; atomic, in one partition.

    transaction := {"if": [comparison, …], "then": [step, …], "else": [step, …]}        all of them may be left out
    comparison  := {"key", "encoding", "revision" | "value" | "exists", "is": "eq" | "ne" | "lt" | "le" | "gt" | "ge"}
    step        := {"op": "put", "key", "value", "encoding", "content_type", "ttl"}
                 | {"op": "get", "key", "encoding"}
                 | {"op": "delete", "key", "encoding"}

It is one command in one log entry: nobody sees half of it. A step sees what the steps before it wrote.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.batch import document_answer, session_line
from app.envelope import Envelope, read_envelope
from app.fields import read_query
from app.kv import Request
from app.operations import (
    Codec,
    ContentType,
    Key,
    MemberError,
    OperationResult,
    Spelled,
    Ttl,
    Value,
    bad_member,
    read_bytes,
    read_content_type,
    read_key,
    read_ttl,
    result_of,
    result_of_item,
    too_many,
)
from app.pairs import key_problem, pair_problem
from app.problems import NOT_ONE_PARTITION, NOT_READY, NOT_TOGETHER, Problem, problem_of
from app.settings import IDEMPOTENCY_SECONDS, Limits
from app.writing import once, refusal
from raftgroups import (
    INTEGER_MAX,
    STEPS_MAX,
    Command,
    Comparison,
    ConditionalDelete,
    ConditionalPut,
    Decided,
    Field,
    Found,
    Get,
    Level,
    Operator,
    RaftGroupError,
    Result,
    Transaction,
)

PATH = b"/v1/txn"

# Its Idempotency-Keys are apart from those of keys, none of which is empty.
_SCOPE = b""
_NAMED_KEYS_MAX = 8


class Condition(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Holds if the revision, the value or the existence of a key stands in this relation to what is given.

    The revision of an absent key is 0; its value is equal to none. Exactly one of the three is given.
    """

    key: Key
    encoding: Spelled = "utf8"
    revision: Annotated[int, Meta(ge=0, le=INTEGER_MAX)] | UnsetType = UNSET
    value: Annotated[Value, Meta()] | UnsetType = UNSET
    exists: bool | UnsetType = UNSET
    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"] = msgspec.field(default="eq", name="is")


class _Step(msgspec.Struct, tag_field="op", forbid_unknown_fields=True, kw_only=True):
    key: Key
    encoding: Spelled = "utf8"


class PutStep(_Step, tag="put"):
    """Store a value."""

    value: Value
    content_type: ContentType = ""
    ttl: Ttl | UnsetType = UNSET


class GetStep(_Step, tag="get"):
    """Read a value."""


class DeleteStep(_Step, tag="delete"):
    """Remove a key."""


Steps = Annotated[list[PutStep | GetStep | DeleteStep], Meta(extra_json_schema={"maxItems": STEPS_MAX})]


class TransactionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """If all comparisons hold, the steps of `then` are taken, else those of `else`: all or none."""

    conditions: Annotated[list[Condition], Meta(extra_json_schema={"maxItems": STEPS_MAX})] = msgspec.field(
        default_factory=list, name="if"
    )
    then: Steps = []
    otherwise: Steps = msgspec.field(default_factory=list, name="else")


class TransactionAnswer(msgspec.Struct):
    """Whether the comparisons held, and a result for each step that was taken."""

    succeeded: bool
    results: list[OperationResult]


class Store(Protocol):
    """What the handler asks of a Coordinator."""

    def write(
        self, key: bytes, command: Command, deadline: float, done: Callable[[Result | RaftGroupError], None]
    ) -> None: ...

    def partition_of(self, key: bytes) -> int: ...


class Read:
    """A transaction that was read.

    in_base64   of each step of `then`, and of each of `otherwise`, whether its value is to be answered so
    """

    def __init__(self) -> None:
        self.command = Transaction([], [], [])
        self.in_base64: dict[bool, list[bool]] = {True: [], False: []}
        self.keys: list[bytes] = []


_TRANSACTIONS = Codec(TransactionRequest)


def read_transaction(body: bytes, limits: Limits, *, is_msgpack: bool) -> Read | Problem:
    """The command of a transaction."""
    document = _TRANSACTIONS.decode(body, is_msgpack=is_msgpack)
    if isinstance(document, Problem):
        return document
    assert isinstance(document, TransactionRequest), "that is what it decodes"
    read = Read()
    for name, members in (("if", document.conditions), ("then", document.then), ("else", document.otherwise)):
        if len(members) > STEPS_MAX:
            return too_many(name, len(members), STEPS_MAX)
        for place, member in enumerate(members):
            try:
                refused = _add(read, name, member, limits)
            except MemberError as error:
                return bad_member(name, place, error)
            if refused is not None:
                named = {**refused.members, "operation": place, "list": name}
                return Problem(refused.kind, f"{name}[{place}]: {refused.detail}", named)
    return read if read.keys else Problem(NOT_ONE_PARTITION, "the transaction names no key", {"keys": []})


def _add(read: Read, name: str, member: Condition | _Step, limits: Limits) -> Problem | None:
    """Raises: MemberError."""
    key = read_key(member.key, member.encoding)
    value = b""
    refused = key_problem(key, limits.key_bytes_max)
    if isinstance(member, PutStep) or (isinstance(member, Condition) and member.value is not UNSET):
        value = read_bytes("value", member.value, member.encoding)
        refused = pair_problem(key, value, limits)
    if refused is not None:
        return refused
    read.keys.append(key)
    if isinstance(member, Condition):
        read.command.comparisons.append(_comparison(key, value, member))
        return None
    steps = read.command.then if name == "then" else read.command.otherwise
    read.in_base64[name == "then"].append(member.encoding == "base64")
    if isinstance(member, PutStep):
        content_type = read_content_type(member.content_type, limits)
        steps.append(ConditionalPut(key, value, content_type, read_ttl(member.ttl)))
    else:
        steps.append(Get(key) if isinstance(member, GetStep) else ConditionalDelete(key))
    return None


def _comparison(key: bytes, value: bytes, condition: Condition) -> Comparison:
    """Raises: MemberError."""
    given = {
        Field.REVISION: condition.revision,
        Field.VALUE: UNSET if condition.value is UNSET else value,
        Field.EXISTS: condition.exists,
    }
    named = [field for field, operand in given.items() if operand is not UNSET]
    if len(named) != 1:
        raise MemberError("revision", "or value or exists must be given, and only one of them", NOT_TOGETHER)
    [field] = named
    operator = Operator(condition.operator)
    if field is Field.EXISTS and operator not in (Operator.EQ, Operator.NE):
        raise MemberError("is", f"must be eq or ne where exists is given, not {operator}", NOT_TOGETHER)
    operand: Any = given[field]
    return Comparison(key, field, operator, operand)


class TxnHandler:
    """Parses, calls the store, answers.

    keep_seconds  how long the result of one with an Idempotency-Key is kept
    """

    def __init__(self, limits: Limits, keep_seconds: float = IDEMPOTENCY_SECONDS) -> None:
        self._limits = limits
        self._keep_seconds = keep_seconds
        self._store: Store | None = None

    def open(self, store: Store) -> None:
        """Answer from `store` from now on; before, every request is told to come back."""
        self._store = store

    def handle(self, request: Request) -> None:
        """Answer one request through its `reply`."""
        refused = self._take(request)
        if refused is not None:
            request.reply(refused.answer())

    def _take(self, request: Request) -> Problem | None:
        parameters = read_query(request.target.partition(b"?")[2], ())
        if isinstance(parameters, Problem):
            return parameters
        envelope = read_envelope(request.fields, self._limits, Level.LINEARIZABLE)
        if isinstance(envelope, Problem):
            return envelope
        read = read_transaction(request.body, self._limits, is_msgpack=envelope.is_msgpack)
        if isinstance(read, Problem):
            return read
        store = self._store
        if store is None:
            return Problem(NOT_READY, "the node is still starting")
        by_partition = {store.partition_of(key): key for key in reversed(read.keys)}
        if len(by_partition) > 1:
            return _not_one_partition(list(by_partition.values())[::-1])
        [(partition, key)] = by_partition.items()
        command: Command = read.command
        if envelope.token is not None:
            command = once(_SCOPE, envelope.token, read.command, self._keep_seconds)

        def done(result: Result | RaftGroupError) -> None:
            if isinstance(result, RaftGroupError):
                request.reply(problem_of(result).answer())
            elif isinstance(result, Decided):
                marks = dict(envelope.marks)
                if result.revision:
                    marks[partition] = max(result.revision, marks.get(partition, 0))
                document = TransactionAnswer(result.succeeded, _results(result, read, envelope))
                head = session_line(marks)
                request.reply(document_answer(document, head, is_msgpack=envelope.answers_msgpack))
            else:
                refused = refusal(result)
                assert refused is not None, "a transaction is decided or refused"
                request.reply(refused.answer())

        store.write(key, command, request.received + envelope.timeout_seconds, done)
        return None


def _results(decided: Decided, read: Read, envelope: Envelope) -> list[OperationResult]:
    is_raw = envelope.answers_msgpack
    return [
        result_of_item(result.item, decided.clock_ms, in_base64=in_base64, is_raw=is_raw)
        if isinstance(result, Found)
        else result_of(result, in_base64=in_base64, is_raw=is_raw)
        for result, in_base64 in zip(decided.results, read.in_base64[decided.succeeded], strict=True)
    ]


def _not_one_partition(keys: Sequence[bytes]) -> Problem:
    """One key of each partition is named, or of several, if they are many."""
    names = [key.decode("utf-8", "backslashreplace") for key in keys[:_NAMED_KEYS_MAX]]
    detail = (
        f"these keys are in {len(keys)} partitions, and must be in one: {', '.join(map(repr, names))}; "
        "keys that share a {tag} are in one partition"
    )
    return Problem(NOT_ONE_PARTITION, detail, {"keys": names})
