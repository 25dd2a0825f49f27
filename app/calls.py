"""Calls: what a client's methods send, and what they make of the answers; without sending anything.

A Call is the same whether it is then sent by Client or by AsyncClient.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Generic, TypeVar
from urllib.parse import quote_from_bytes, urlencode

from app import rules
from app.arguments import (
    IfMatch,
    Level,
    Seconds,
    Text,
    read_condition,
    read_content_type,
    read_flag,
    read_freshness,
    read_idempotency_key,
    read_integer,
    read_key,
    read_name,
    read_names,
    read_revision,
    read_ttl,
    read_value,
    spell_ttl,
)
from app.clienterrors import ClientError, NotAGatewayError, OutcomeUnknownError, Response, error_of

T_co = TypeVar("T_co", covariant=True)

# The system's: two processes that were one before a fork must not draw the same Idempotency-Key.
_chance = SystemRandom()
_JSON = {"Content-Type": "application/json"}
_OCTETS, _TEXT = "application/octet-stream", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A put or a delete that is done: on disk at a majority.

    revision   of the key now; grows with every write in its partition
    """

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """What a counter is at now.

    expires_in   seconds until the key is gone; None if it stays
    """

    value: int
    revision: int
    expires_in: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What is under a key now that it was changed; fields as of Value."""

    value: bytes
    revision: int
    content_type: str
    expires_in: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a key, and how far that can be trusted.

    content_type   empty where it was not told: a key that has not changed
    expires_in     seconds until the key is gone; None if it stays
    consistency    the level really served, never weaker than asked
    staleness_ms   a bound on the age of the answer
    served_by      the node whose replica answered, and its role: "n2;role=leader"
    """

    revision: int
    content_type: str
    expires_in: int | None
    consistency: str
    staleness_ms: int
    served_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Value(Entry):
    """A value, byte for byte as it was put."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request, and how its answer is read.

    read             makes the result of the answer; raises ClientError
    is_write         it changes something
    is_repeatable    doing it twice is doing it once: it reads, or has an Idempotency-Key
    takes_session    False: a session's token has no meaning with it; None: that is for the cluster's default level to
                     say
    read_in_doubt    as `read`, where an attempt before came to this error and may have been applied all the same; None:
                     the answer says what became of it, whatever was before
    """

    method: str
    target: str
    read: Callable[[Response], T_co]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_write: bool = False
    is_repeatable: bool = True
    takes_session: bool | None = True
    read_in_doubt: Callable[[Response, ClientError], T_co] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What every write may say about being done once.

    token            the Idempotency-Key; None is a new one for each call
    is_sole_writer   nobody else writes the key: a plain put or delete needs none, doing it again changes nothing
    """

    token: str | None = None
    is_sole_writer: bool = False

    def headers(self, *, is_plain: bool) -> dict[str, str]:
        if self.token is not None:
            return {"Idempotency-Key": read_idempotency_key(self.token)}
        return {} if is_plain and self.is_sole_writer else {"Idempotency-Key": f"{_chance.getrandbits(128):032x}"}


def put(
    key: Text,
    value: Text,
    *,
    once: Once,
    ttl: Seconds | None = None,
    if_match: IfMatch = None,
    if_absent: bool = False,
    content_type: str | None = None,
) -> Call[Written]:
    headers = {"Content-Type": content_type_of(value, content_type), **_condition(if_match, if_absent=if_absent)}
    lifetime = None if ttl is None else spell_ttl(read_ttl(ttl))
    return _write("PUT", kv_target(key, ttl=lifetime), _read_written, once, headers, read_value(value))


def delete(key: Text, *, once: Once, if_match: IfMatch = None) -> Call[Written]:
    return _write("DELETE", kv_target(key), _read_written, once, _condition(if_match))


def incr(key: Text, by: int = 1, *, once: Once, if_match: IfMatch = None) -> Call[Number]:
    target = kv_target(key, op="incr", by=str(read_integer("by", by)))
    return _write("POST", target, _read_number, once, _condition(if_match))


def append(key: Text, value: Text, *, once: Once, if_match: IfMatch = None) -> Call[Changed]:
    return _write("POST", kv_target(key, op="append"), _read_changed, once, _condition(if_match), read_value(value))


def touch(key: Text, ttl: Seconds, *, once: Once, if_match: IfMatch = None) -> Call[Changed]:
    target = kv_target(key, op="touch", ttl=spell_ttl(read_ttl(ttl)))
    return _write("POST", target, _read_changed, once, _condition(if_match))


def persist(key: Text, *, once: Once, if_match: IfMatch = None) -> Call[Changed]:
    return _write("POST", kv_target(key, op="persist"), _read_changed, once, _condition(if_match))


def get(
    key: Text,
    *,
    consistency: Level | None = None,
    max_staleness: int | None = None,
    if_none_match: int | None = None,
    is_head: bool = False,
) -> Call[Entry | None]:
    """A Value, an Entry if the client has it already or asks for no value, or None where there is none."""
    headers = {}
    if if_none_match is not None:
        headers["If-None-Match"] = f'"{read_revision("if_none_match", if_none_match)}"'
    return Call(
        "HEAD" if is_head else "GET",
        kv_target(key, **read_freshness(consistency, max_staleness)),
        _read_head if is_head else _read_value,
        headers,
        takes_session=takes_session(consistency),
    )


def cluster() -> Call[dict[str, Any]]:
    return Call("GET", "/v1/cluster", lambda answer: read_object(answer, {"nodes", "partitions"}), takes_session=False)


def limits() -> Call[dict[str, Any]]:
    return Call("GET", "/v1/limits", lambda answer: read_object(answer, {"key_bytes_max"}), takes_session=False)


def locate(key: Text) -> Call[dict[str, Any]]:
    target = "/v1/locate/" + encode_key(key)
    return Call("GET", target, lambda answer: read_object(answer, {"partition", "leader"}), takes_session=False)


def replicas(partition: int) -> Call[dict[str, Any]]:
    return Call("GET", _of_partition(partition, "replicas"), _read_replicas, takes_session=False)


def place(partition: int, nodes: Sequence[str], *, allow_fewer: bool = False) -> Call[dict[str, Any]]:
    fewer = {"allow_fewer": True} if read_flag("allow_fewer", allow_fewer) else {}
    body = json.dumps({"nodes": read_names("nodes", nodes), **fewer}).encode()
    return _manage("PUT", _of_partition(partition, "replicas"), _read_replicas, body)


def transfer(partition: int, node: str) -> Call[dict[str, Any]]:
    body = json.dumps({"node": read_name("node", node)}).encode()
    return _manage("POST", _of_partition(partition, "leader"), lambda answer: read_object(answer, set()), body)


def content_type_of(value: Text, given: str | None) -> str:
    """What a value is stored as."""
    kind = read_content_type(given) if given is not None else ""
    return kind or (_TEXT if isinstance(value, str) else _OCTETS)


def encode_key(key: Text) -> str:
    """Percent-encoded for a path. Raises: InvalidArgumentError, if it is none."""
    raw = read_key(key)
    # A path of dots alone would be resolved on its way.
    return "%2E" * len(raw) if raw in {b".", b".."} else quote_from_bytes(raw, safe="")


def kv_target(key: Text, **query: str | None) -> str:
    return f"/v1/kv/{encode_key(key)}" + query_of(**query)


def query_of(**parameters: str | bytes | None) -> str:
    """A query of those that are given."""
    given = {name: text for name, text in parameters.items() if text is not None}
    return f"?{urlencode(given)}" if given else ""


def takes_session(consistency: Level | None) -> bool | None:
    """Whether a session's token means anything to a read at this level; None: the cluster's default decides."""
    return None if consistency is None else rules.takes_session(consistency)


def expect(response: Response, *statuses: int, is_write: bool) -> None:
    """Raises: ClientError for any other status."""
    if response.status not in statuses:
        raise error_of(response, is_write=is_write)


def read_object(response: Response, members: set[str], *, is_write: bool = False) -> dict[str, Any]:
    """The JSON object of an answer, which has these members."""
    expect(response, 200, is_write=is_write)
    try:
        found = json.loads(response.body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not members <= found.keys():
        raise stranger(is_write=is_write)
    return found


def _write(
    method: str,
    target: str,
    read: Callable[[Response], T_co],
    once: Once,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> Call[T_co]:
    is_plain = method != "POST" and "If-Match" not in headers and "If-None-Match" not in headers
    return Call(method, target, read, {**headers, **once.headers(is_plain=is_plain)}, body, is_write=True)


def _manage(method: str, target: str, read: Callable[[Response], dict[str, Any]], body: bytes) -> Call[dict[str, Any]]:
    return Call(method, target, read, _JSON, body, is_write=True, is_repeatable=False, takes_session=False)


def _of_partition(partition: int, what: str) -> str:
    return f"/v1/partitions/{read_integer('partition', partition, 0)}/{what}"


def _condition(if_match: IfMatch, *, if_absent: bool = False) -> dict[str, str]:
    expected = read_condition(if_match, if_absent=if_absent)
    if if_absent:
        return {"If-None-Match": "*"}
    if expected is None:
        return {}
    return {"If-Match": "*" if expected == "*" else f'"{expected}"'}


def _read_written(response: Response) -> Written:
    expect(response, 204, is_write=True)
    return Written(revision=_revision(response, is_write=True))


def _read_number(response: Response) -> Number:
    expect(response, 200, is_write=True)
    try:
        value = int(response.body)
    except ValueError as error:
        raise stranger(is_write=True) from error
    return Number(
        value=value, revision=_revision(response, is_write=True), expires_in=_integer(response, "kv-expires-in")
    )


def _read_changed(response: Response) -> Changed:
    expect(response, 200, is_write=True)
    return Changed(
        value=response.body,
        revision=_revision(response, is_write=True),
        content_type=response.headers.get("content-type", ""),
        expires_in=_integer(response, "kv-expires-in"),
    )


def _read_value(response: Response) -> Entry | None:
    return _read_entry(response, is_head=False)


def _read_head(response: Response) -> Entry | None:
    return _read_entry(response, is_head=True)


def _read_entry(response: Response, *, is_head: bool) -> Entry | None:
    headers = response.headers
    if response.status == 404 and headers.get("content-type", "").startswith("application/problem+json"):
        return None
    expect(response, 200, 304, is_write=False)
    entry: dict[str, Any] = {
        "revision": _revision(response, is_write=False),
        "content_type": headers.get("content-type", ""),
        "expires_in": _integer(response, "kv-expires-in"),
        **read_receipt(response),
    }
    if is_head or response.status == 304:
        return Entry(**entry)
    return Value(value=response.body, **entry)


def read_receipt(response: Response) -> dict[str, Any]:
    """What the answer to a read says of how far it can be trusted: the last three of an Entry."""
    headers = response.headers
    return {
        "consistency": headers.get("kv-consistency", ""),
        "staleness_ms": _integer(response, "kv-staleness-ms") or 0,
        "served_by": headers.get("kv-served-by", ""),
    }


def _read_replicas(response: Response) -> dict[str, Any]:
    return read_object(response, {"partition", "voters", "learners", "target"})


def _revision(response: Response, *, is_write: bool) -> int:
    tag = response.headers.get("etag", "")
    if tag[:1] == tag[-1:] == '"' and tag[1:-1].isdigit():
        return int(tag[1:-1])
    raise stranger(is_write=is_write)


def _integer(response: Response, name: str) -> int | None:
    text = response.headers.get(name, "")
    return int(text) if text.isdigit() else None


def stranger(*, is_write: bool) -> NotAGatewayError | OutcomeUnknownError:
    """What to raise of an answer that no gateway gives."""
    text = "what answers there is no gateway of ringkv"
    return OutcomeUnknownError(text) if is_write else NotAGatewayError(text)
