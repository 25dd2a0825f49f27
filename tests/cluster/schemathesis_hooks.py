"""What is told to Schemathesis beyond the document."""

from typing import Any

import msgspec
import schemathesis

_UNKNOWN = "x-schemathesis-unknown-property"
_PATTERNED = {"if-match", "if-none-match", "kv-session"}


@schemathesis.serializer("application/x-ndjson")
def write_lines(_: object, value: object) -> bytes:
    """Lines are sent as they are made up: none of them is an entry, which an import survives."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _is_long(wait: object) -> bool:
    return isinstance(wait, int | float) and wait > 1


@schemathesis.hook
def filter_case(context: object, case: "schemathesis.Case[Any]") -> bool:  # as it is called
    """Leave out what is no mistake, and what is a mistake of its own.

    A header that nobody knows is to be ignored (RFC 9110, section 5.1). And in its coverage phase it takes "0" for
    a header whose pattern does not allow it, and expects that to be accepted. Nor can it make up a cursor, or the
    id of an event. And nobody needs to wait long for an event that does not come.
    """
    query = case.query or {}
    if query.get("cursor") or query.get("after") or _is_long(query.get("wait")):
        return False
    headers = {name.lower(): value for name, value in (case.headers or {}).items()}
    return not {_UNKNOWN, "last-event-id"} & headers.keys() and not any(headers.get(name) == "0" for name in _PATTERNED)


@schemathesis.serializer("application/msgpack")
def to_messagepack(context: object, value: Any) -> bytes:
    """What MessagePack has no number for is no MessagePack; only documents that must be refused have such."""
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return b""


@schemathesis.deserializer("application/msgpack")
def from_messagepack(context: object, response: Any) -> Any:
    """Values, which are bytes, as the text that the schema, made for JSON, says they are."""
    return msgspec.to_builtins(msgspec.msgpack.decode(response.content))
