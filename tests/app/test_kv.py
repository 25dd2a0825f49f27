"""The hot routes' handler, without any server."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import Answer
from app.kv import KvHandler, Request
from app.settings import Limits
from raftgroups import Command, Delete, Freshness, Item, Level, Put, RaftGroupError, Reading, Receipt, Result, Written


class Asked(Request):
    """One request, and the answers to it."""

    def __init__(self, method: str, target: str, body: bytes = b"", **fields: str) -> None:
        self.method = method.encode()
        self.target = target.encode()
        self.fields = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
        self.body = body
        self.received = 100.0
        self.answers: list[Answer] = []

    def reply(self, answer: Answer) -> None:
        self.answers.append(answer)


class Store:
    """Remembers what it was asked, and answers what it is told to."""

    def __init__(self) -> None:
        self.commands: list[tuple[Command, float]] = []
        self.reads: list[tuple[bytes, Freshness, float]] = []
        self.result: Result | RaftGroupError = Written(255)
        self.reading = Reading(Item(7, b"value", "text/plain"), Receipt(Level.STALE, 12, "n2", "follower", 9))

    def write(
        self, key: bytes, command: Command, deadline: float, done: Callable[[Result | RaftGroupError], None]
    ) -> None:
        self.commands.append((command, deadline))
        done(self.result)

    def read(
        self, key: bytes, fresh: Freshness, deadline: float, done: Callable[[Reading | RaftGroupError], None]
    ) -> None:
        self.reads.append((key, fresh, deadline))
        done(self.reading)

    def partition_of(self, key: bytes) -> int:
        return 11


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def handler(store: Store) -> KvHandler:
    handler = KvHandler(Limits())
    handler.open(store)
    return handler


def ask(handler: KvHandler, request: Asked) -> Answer:
    handler.handle(request)
    (answer,) = request.answers
    return answer


def test_a_put_becomes_a_command(handler: KvHandler, store: Store) -> None:
    answer = ask(handler, Asked("PUT", "/v1/kv/a%00", b"v", content_type="text/x; y=z", kv_timeout_ms="250"))

    assert store.commands == [(Put(b"a\x00", b"v", "text/x; y=z"), 100.25)]
    assert (answer.status, answer.head, answer.body) == (204, b'etag: "255"\r\nkv-session: 1-b-ff\r\n', b"")


def test_a_delete_becomes_a_command(handler: KvHandler, store: Store) -> None:
    ask(handler, Asked("DELETE", "/v1/kv/a"))

    assert store.commands == [(Delete(b"a"), 105.0)]


def test_a_read_comes_with_its_receipt(handler: KvHandler, store: Store) -> None:
    answer = ask(handler, Asked("GET", "/v1/kv/a?consistency=stale"))

    assert store.reads == [(b"a", Freshness(Level.STALE), 105.0)]
    assert (answer.status, answer.body) == (200, b"value")
    assert b"kv-consistency: stale\r\nkv-served-by: n2;role=follower\r\nkv-staleness-ms: 12\r\n" in answer.head


def test_what_is_refused_never_reaches_the_store(handler: KvHandler, store: Store) -> None:
    for request in (
        Asked("GET", "/v1/kv/%"),
        Asked("PUT", "/v1/kv/a", b"v" * 10_240),
        Asked("PUT", "/v1/kv/a?x=1", b"v"),
        Asked("DELETE", "/v1/kv/a", if_none_match="*"),
        Asked("POST", "/v1/kv/a"),
    ):
        assert ask(handler, request).status >= 400

    assert not store.commands and not store.reads


def test_a_malformed_request_is_told_so_even_before_the_store_is_there() -> None:
    handler = KvHandler(Limits())

    assert ask(handler, Asked("GET", "/v1/kv/%")).status == 400
    assert ask(handler, Asked("GET", "/v1/kv/a")).status == 503
    assert ask(handler, Asked("PUT", "/v1/kv/a")).status == 503


def test_the_limits_are_those_of_the_settings(store: Store) -> None:
    handler = KvHandler(Limits(key_bytes_max=4, pair_bytes_max=8, timeout_ms=100, timeout_ms_max=200))
    handler.open(store)

    assert ask(handler, Asked("PUT", "/v1/kv/abcd", b"1234")).status == 204
    assert ask(handler, Asked("PUT", "/v1/kv/abcd", b"12345")).status == 413
    assert ask(handler, Asked("PUT", "/v1/kv/abcde")).status == 414
    assert ask(handler, Asked("GET", "/v1/kv/a", kv_timeout_ms="201")).status == 400
    assert store.commands[0][1] == 100.1


def test_any_number_of_content_types_takes_bounded_memory(handler: KvHandler, store: Store) -> None:
    for number in range(1_000):
        store.reading = Reading(Item(1, b"", f"a/b{number}"), Receipt(Level.LINEARIZABLE, 0, "n1", "leader"))
        assert f"content-type: a/b{number}\r\n".encode() in ask(handler, Asked("GET", "/v1/kv/a")).head

    assert len(handler._content_types) <= 256


@given(target=st.binary(max_size=60), query=st.binary(max_size=30), method=st.sampled_from(["GET", "PUT", "DELETE"]))
def test_any_target_has_one_answer(target: bytes, query: bytes, method: str) -> None:
    handler = KvHandler(Limits())
    handler.open(Store())
    request = Asked(method, "", b"v")
    request.target = b"/v1/kv/" + target + b"?" + query

    answer = ask(handler, request)

    assert answer.status in {200, 204, 400}
    assert b"\n" not in answer.head.replace(b"\r\n", b"")
