"""Every parameter, header and body of every route, malformed in every way: a precise refusal, and nothing applied."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from app.entries import Line
from app.server import create_app
from raftgroups import Item
from tests.app.bad_input import (
    BESIDE,
    BODIES,
    GOOD,
    LINE_MEMBERS,
    LISTS,
    MEMBERS,
    MSGPACK_BODIES,
    OF_OPERATION,
    PARAMETERS,
    Bad,
    Good,
    bodies_of,
    encode_query,
    least,
    spell,
)
from tests.app.running import GET, SETTINGS, Client, RawAnswer, Running, running

DOCUMENT: Mapping[str, Any] = create_app(SETTINGS).openapi()
OPERATIONS: Mapping[str, Mapping[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
DOCUMENTED = [
    (name, parameter["in"], parameter["name"])
    for name, operation in OPERATIONS.items()
    for parameter in operation.get("parameters", ())
]
QUERIES = [(name, parameter) for name, place, parameter in DOCUMENTED if place == "query"]
HEADERS = [(name, parameter) for name, place, parameter in DOCUMENTED if place == "header"]
WRITTEN_BODIES = {
    name: content["application/json"]["schema"]
    for name, operation in OPERATIONS.items()
    if "application/json" in (content := operation.get("requestBody", {}).get("content", {}))
}
PACKED = ("POST /v1/batch", "POST /v1/txn")
STORED = {b"k": Item(7, b"value", "text/plain"), b"number": Item(8, b"5", ""), b"other": Item(9, b"", "")}


@pytest.fixture(scope="module", params=["fast", "asgi"])
def door(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(is_fast=request.param == "fast") as started:
        yield started


@pytest.fixture(scope="module")
def fast() -> Iterator[Running]:
    with running() as started:
        yield started


@dataclass
class Talk:
    """One connection, opened again when it was closed, and what the store must stay as it was."""

    gateway: Running
    client: Client

    def refused(self, sent: bytes, bad: Bad, named: str, *, is_head: bool = False) -> None:
        """The answer is the refusal that `bad` says, it names what is wrong, and the next request is served."""
        label = f"{sent[:200]!r}: "
        answer = self.ask(sent, is_head=is_head)
        assert answer.status == bad.status, label + repr(answer)
        if not is_head:
            document = json.loads(answer.body)
            assert answer.headers["content-type"] == "application/problem+json", label
            assert document["status"] == bad.status and document["title"], label
            assert document["outcome"] == "not_applied", label + repr(document)
            assert bad.code in {"", document["code"]}, label + repr(document)
            assert named in document["detail"], label + repr(document)
            assert len(answer.body) < 3_000, label + repr(document)
        if answer.headers.get("connection") == "close":
            assert self.client.is_closed(), label
            self.client.socket.close()
            self.client = self.gateway.connect()
        assert self.client.ask(GET).status == 200, label

    def ask(self, sent: bytes, *, is_head: bool = False) -> RawAnswer:
        self.client.send(sent)
        return self.client.read_answer(is_head=is_head)


@pytest.fixture
def talk(door: Running) -> Iterator[Talk]:
    yield from _talking(door)


@pytest.fixture
def talk_fast(fast: Running) -> Iterator[Talk]:
    yield from _talking(fast)


def _talking(gateway: Running) -> Iterator[Talk]:
    fake = gateway.fake
    fake.items, fake.others, fake.targets, fake.revision = dict(STORED), {}, {}, 100
    fake.leaders = dict.fromkeys(range(4), "n1")
    talk = Talk(gateway, gateway.connect())
    yield talk
    talk.client.socket.close()
    assert (fake.items, fake.targets, set(fake.leaders.values())) == (STORED, {}, {"n1"})


# The table itself.


def test_every_parameter_has_a_row() -> None:
    """What is documented and is not here would be a parameter whose bad values nobody has tried."""
    rows = {*PARAMETERS, *((place, name) for _, place, name in OF_OPERATION)}

    assert {(place, name) for _, place, name in DOCUMENTED} == rows
    assert set(GOOD) == set(OPERATIONS)
    assert {key for key in OF_OPERATION if key not in set(DOCUMENTED)} == set()


def test_every_member_has_a_row() -> None:
    members = {
        name
        for schema in WRITTEN_BODIES.values()
        for _, inner in bodies_of(DOCUMENT, schema)
        for name in inner["properties"]
    }

    assert members == set(MEMBERS)
    assert {member.name for member in msgspec.structs.fields(Line)} == set(LINE_MEMBERS)


@pytest.mark.parametrize("name", GOOD)
def test_what_is_spoiled_is_good(door: Running, name: str) -> None:
    door.fake.items = dict(STORED)
    good = GOOD[name]
    with door.connect() as client:
        client.send(good.encode())
        if name == "GET /v1/export":
            assert client.socket.recv(12) == b"HTTP/1.1 200"
        else:
            assert client.read_answer(is_head=good.method == "HEAD").status in {200, 204}


# Parameters.


@pytest.mark.parametrize(("name", "place", "parameter"), DOCUMENTED)
def test_a_bad_value_is_named(talk: Talk, name: str, place: str, parameter: str) -> None:
    good = GOOD[name]
    for bad in OF_OPERATION.get((name, place, parameter), PARAMETERS.get((place, parameter), ())):
        named = "" if bad.code in {"PRECONDITION_FAILED", "NO_SUCH_ROUTE"} else parameter
        talk.refused(_spoiled(good, name, place, parameter, bad.value), bad, named, is_head=good.method == "HEAD")


def _spoiled(good: Good, name: str, place: str, parameter: str, value: str) -> bytes:
    if place == "header":
        return good.encode([(parameter, value)])
    if place == "path":
        path = name.partition(" ")[2].replace(f"{{{parameter}}}", value)
        return replace(good, path=path).encode()
    return good.encode(query=encode_query(_around(good, parameter, value)))


def _around(good: Good, parameter: str, value: str) -> list[tuple[str, str]]:
    """The query of a good request with this parameter, and with what it needs."""
    query: dict[str, str | None] = {**good.query, **BESIDE.get((good.method, parameter), {}), parameter: value}
    return [(name, text) for name, text in query.items() if text is not None]


@pytest.mark.parametrize(("name", "parameter"), QUERIES)
def test_a_query_parameter_twice_is_named(talk: Talk, name: str, parameter: str) -> None:
    good = GOOD[name]
    for value in ("1", "", "%31"):
        pairs = [(parameter, value), (parameter, value)]
        for query in (
            encode_query(pairs),
            f"{parameter}&{parameter}",
            f"{parameter}=1&%{ord(parameter[0]):x}{parameter[1:]}=1",
        ):
            bad = Bad("", code="DUPLICATE_PARAMETER")
            talk.refused(good.encode(query=query), bad, f"'{parameter}'", is_head=good.method == "HEAD")


@pytest.mark.parametrize(("name", "parameter"), QUERIES)
def test_a_query_parameter_that_is_badly_encoded_is_named(talk: Talk, name: str, parameter: str) -> None:
    good = GOOD[name]
    for value in ("%", "%2", "%zz", "a%f", "%%41", "%u0041"):
        bad = Bad("", code="BAD_PARAMETER")
        query = encode_query([(parameter, value)])
        talk.refused(good.encode(query=query), bad, f"'{parameter}'", is_head=good.method == "HEAD")


@pytest.mark.parametrize("name", GOOD)
def test_an_unknown_query_parameter_is_named(talk: Talk, name: str) -> None:
    good = GOOD[name]
    for query, named in (
        ("colour=red", "'colour'"),
        ("colour", "'colour'"),
        ("=red", "''"),
        ("Ttl=5", "'Ttl'"),
        ("ttl%00=5", "ttl"),
        ("%FF=1", "xff"),
        ("colour=%zz", "'colour'"),
    ):
        bad = Bad("", code="UNKNOWN_PARAMETER")
        talk.refused(good.encode(query=query), bad, named, is_head=good.method == "HEAD")


@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_a_header_twice_is_named(talk: Talk, name: str, header: str) -> None:
    good = GOOD[name]
    if header in LISTS:
        return
    for other in (header, header.lower(), header.upper()):
        bad = Bad("", code="BAD_HEADER")
        lines = [(header, "1"), (other, "1")]
        talk.refused(good.encode(lines), bad, header.lower(), is_head=good.method == "HEAD")


# Bodies.


@pytest.mark.parametrize("name", WRITTEN_BODIES)
def test_what_is_no_json_is_refused(talk: Talk, name: str) -> None:
    for body in BODIES.values():
        talk.refused(replace(GOOD[name], body=body).encode(), Bad("", code="BAD_BODY"), "body")


@pytest.mark.parametrize("name", PACKED)
def test_what_is_no_messagepack_is_refused(talk: Talk, name: str) -> None:
    for body in MSGPACK_BODIES.values():
        good = replace(GOOD[name], body=body, headers={"Content-Type": "application/msgpack"})
        talk.refused(good.encode(), Bad("", code="BAD_BODY"), "")


@pytest.mark.parametrize("name", WRITTEN_BODIES)
def test_another_content_type_is_named(talk: Talk, name: str) -> None:
    for kind in (
        "",
        "text/plain",
        "json",
        "application",
        "application/jsonx",
        "application/json, x",
        "\xff",
        "a" * 5_000,
    ):
        good = replace(GOOD[name], headers={"Content-Type": kind})
        talk.refused(good.encode(), Bad("", code="BAD_HEADER"), "header Content-Type")
    talk.refused(replace(GOOD[name], headers={}).encode(), Bad("", code="BAD_HEADER"), "header Content-Type")


@pytest.mark.parametrize("name", WRITTEN_BODIES)
def test_a_bad_member_is_named(talk: Talk, name: str) -> None:
    for around, schema in bodies_of(DOCUMENT, WRITTEN_BODIES[name]):
        for member in schema["properties"]:
            for text in MEMBERS[member]:
                body = around % spell({**least(schema), member: text})
                talk.refused(replace(GOOD[name], body=body.encode()).encode(), Bad("", code="BAD_BODY"), member)


@pytest.mark.parametrize("name", PACKED)
def test_a_bad_member_is_named_in_messagepack_too(talk_fast: Talk, name: str) -> None:
    for around, schema in bodies_of(DOCUMENT, WRITTEN_BODIES[name]):
        for member in schema["properties"]:
            for text in MEMBERS[member]:
                body = json.loads(around % spell({**least(schema), member: text}))
                try:
                    packed = msgspec.msgpack.encode(body)
                except OverflowError:  # it has no such number
                    continue
                good = replace(GOOD[name], body=packed, headers={"Content-Type": "application/msgpack"})
                talk_fast.refused(good.encode(), Bad("", code="BAD_BODY"), member)


@pytest.mark.parametrize("name", WRITTEN_BODIES)
def test_a_member_nobody_knows_or_nobody_gave_is_named(talk: Talk, name: str) -> None:
    for around, schema in bodies_of(DOCUMENT, WRITTEN_BODIES[name]):
        whole = least(schema)
        cases = {"colour": {**whole, "colour": "1"}}
        cases |= {member: {**whole, member: ""} for member in schema.get("required", ())}
        for member, members in cases.items():
            body = around % spell({name: text for name, text in members.items() if text})
            talk.refused(replace(GOOD[name], body=body.encode()).encode(), Bad("", code="BAD_BODY"), member)


@pytest.mark.parametrize("member", LINE_MEMBERS)
def test_a_bad_line_is_named(talk_fast: Talk, member: str) -> None:
    """An import goes on after it; what was wrong stands in the answer."""
    for text in LINE_MEMBERS[member]:
        line = spell({"key": '"b"', "value": '"v"', member: text}).encode()
        answer = talk_fast.ask(replace(GOOD["POST /v1/import"], body=line).encode())

        document = json.loads(answer.body)
        assert (answer.status, document["imported"], document["failed"]) == (200, 0, 1), line
        [error] = document["errors"]
        assert (error["line"], error["code"], error["outcome"]) == (1, "BAD_BODY", "not_applied"), line
        assert member in error["detail"], error


# What bounds a request, before it is read.


def _over(name: str) -> int:
    limits = SETTINGS.limits
    if "/kv/" in name:
        return limits.pair_bytes_max
    return limits.batch_bytes_max if name in PACKED else limits.body_bytes_max


BOUNDED = [name for name in GOOD if name != "POST /v1/import"]


@pytest.mark.parametrize("name", BOUNDED)
def test_a_body_over_the_bound_is_refused_unread(talk_fast: Talk, name: str) -> None:
    """Announced, the refusal comes before the body; in chunks, as soon as they are too many."""
    good, size = GOOD[name], _over(name) + 1
    for announced in (size, size + 10 * SETTINGS.limits.drain_bytes_max, 1 << 40):
        head = replace(good, body=b"").encode().replace(b"Content-Length: 0\r\n", b"")[:-2]
        with talk_fast.gateway.connect() as client:
            client.send(head + b"Content-Length: %d\r\n\r\n" % announced)
            if announced > size:
                _check_too_large(client, good)
            else:
                client.send(b"x" * announced)
                answer = client.read_answer(is_head=good.method == "HEAD")
                assert answer.status == 413 and "connection" not in answer.headers
        with talk_fast.gateway.connect() as client:
            client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            left = min(announced, size + SETTINGS.limits.drain_bytes_max + 65_536)
            try:
                while left > 0:
                    client.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
                    left -= 0x8000
                client.send(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was told so, and has not listened
            answer = client.read_answer(is_head=good.method == "HEAD")
            assert answer.status == 413, answer


def _check_too_large(client: Client, good: Good) -> None:
    answer = client.read_answer(is_head=good.method == "HEAD")
    assert answer.status == 413 and answer.headers["connection"] == "close"
    if good.method != "HEAD":
        document = json.loads(answer.body)
        assert document["outcome"] == "not_applied" and document["limit"] < document["size"]
    assert client.is_closed()


@pytest.mark.parametrize("name", GOOD)
def test_a_head_over_the_bound_is_refused(talk_fast: Talk, name: str) -> None:
    limits = SETTINGS.limits
    good, bad = GOOD[name], Bad("", 431, "HEAD_TOO_LARGE")
    for lines in (
        [("X-Long", "x" * limits.head_bytes_max)],
        [(f"X-{number}", "x" * 8_000) for number in range(3)],
        [(f"X-{number}", "") for number in range(limits.headers_max)],
    ):
        talk_fast.refused(good.encode(lines), bad, "head", is_head=good.method == "HEAD")


@pytest.mark.parametrize("name", GOOD)
def test_what_is_no_request_is_refused(talk_fast: Talk, name: str) -> None:
    good = GOOD[name]
    sent = good.encode()
    for spoiled in (
        sent.replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n"),
        sent.replace(b"Host: x\r\n", b""),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nno colon\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nBad Name: y\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nX: a\x00b\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nContent-Length: -1\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nContent-Length: 1, 1\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nContent-Length: " + b"9" * 400 + b"\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nTransfer-Encoding: gzip\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n"),
        sent.replace(b"Host: x\r\n", b"Host: x\r\nExpect: wonders\r\n"),
        sent.replace(good.path.encode(), good.path.encode() + b"#x"),
        sent.replace(b"HTTP/1.1", b"HTTP/3.7"),
        sent.replace(b"HTTP/1.1", b"HTTP"),
    ):
        talk_fast.refused(spoiled, Bad(""), "", is_head=good.method == "HEAD")
    # A target that is none tells nothing, not even that it would be a HEAD.
    talk_fast.refused(sent.replace(good.path.encode(), good.path.encode() + b"\xff"), Bad(""), "")
