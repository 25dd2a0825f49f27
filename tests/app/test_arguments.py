"""Whatever a caller may give wrongly is said at the call, before anything is sent; a table of it."""

import array
import asyncio
import json
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.arguments import read_ttl, spell_ttl
from app.client import (
    AsyncClient,
    Batch,
    Client,
    ClientError,
    InvalidArgumentError,
    InvalidArgumentTypeError,
    InvalidSessionError,
    InvalidUrlError,
    TooLargeError,
    Transaction,
)
from app.clienttxn import Branch
from tests.app.fake_gateway import FakeGateway
from tests.app.running import running

TYPE: type[ClientError] = InvalidArgumentTypeError
VALUE: type[ClientError] = InvalidArgumentError
HUGE = 10**5_000  # Python does not even spell it.
released = memoryview(b"x")
released.release()

NO_KEYS: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (None, 5, 1.5, True, [b"k"], ("k",), {"k"}, object(), Path("k"), array.array("b"))),
    *(
        (wrong, VALUE)
        for wrong in ("", b"", bytearray(), memoryview(b""), "\ud800", "a\udcff", b"k" * 65_536, released)
    ),
]
NO_VALUES: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (None, 5, 1.5, True, ["v"], {"a": 1}, object())),
    *((wrong, VALUE) for wrong in ("\ud800", b"v" * ((1 << 20) + 1), released)),
]
NO_TTLS: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in ("60", b"60", True, [1], object())),
    *((wrong, VALUE) for wrong in (0, 0.0, -1, -0.5, 0.0005, math.nan, math.inf, -math.inf, 1e300, HUGE)),
    *((wrong, VALUE) for wrong in (timedelta(0), timedelta(days=-1), timedelta.max)),
]
NO_REVISIONS: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (1.0, True, b"5", [5], object())),
    *((wrong, VALUE) for wrong in (-1, 1 << 63, HUGE)),
]
NO_CONDITIONS: list[tuple[Any, type[ClientError]]] = [
    *NO_REVISIONS,
    *((wrong, VALUE) for wrong in ("5", "", "**", '"5"')),
]
NO_INTEGERS: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (None, 1.0, "1", True, math.nan)),
    *((wrong, VALUE) for wrong in (1 << 63, -(1 << 63) - 1, HUGE, -HUGE)),
]
NO_IDEMPOTENCY_KEYS: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (5, b"t", True)),
    *((wrong, VALUE) for wrong in ("", "a b", "a\nb", "ä", "\ud800", "t" * 256)),
]
NO_CONTENT_TYPES: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (5, b"text/plain", True)),
    *((wrong, VALUE) for wrong in ("a/b\r\nX: y", "a/b\n", "text/ä", "text/\u4e2d", "a/\x00", "\ud800")),
]
NO_LEVELS: list[tuple[dict[str, Any], type[ClientError]]] = [
    ({"consistency": "eventual"}, VALUE),
    ({"consistency": ""}, VALUE),
    ({"consistency": b"stale"}, TYPE),
    ({"consistency": 1}, TYPE),
    ({"consistency": "bounded", "max_staleness": -1}, VALUE),
    ({"consistency": "bounded", "max_staleness": 86_400_001}, VALUE),
    ({"consistency": "bounded", "max_staleness": HUGE}, VALUE),
    ({"consistency": "bounded", "max_staleness": "5"}, TYPE),
    ({"consistency": "bounded", "max_staleness": 0.5}, TYPE),
    ({"consistency": "bounded", "max_staleness": True}, TYPE),
    ({"consistency": "stale", "max_staleness": 5}, VALUE),
    ({"max_staleness": 5}, VALUE),
]
NO_NAMES: list[tuple[Any, type[ClientError]]] = [(None, TYPE), (5, TYPE), (b"n1", TYPE), ("\ud800", VALUE)]

NO_IDS: list[tuple[Any, type[ClientError]]] = [
    *((wrong, TYPE) for wrong in (None, 5, b"w1.0")),
    *((wrong, VALUE) for wrong in ("a\r\nX: y", "ä", "a b")),
]

Row = tuple[str, tuple[Any, ...], dict[str, Any], type[ClientError]]


def rows() -> list[Row]:
    """Method, arguments, and what they are refused with."""
    return key_rows() + request_rows()


def key_rows() -> list[Row]:
    """Of the methods that concern one key."""
    found: list[Row] = []

    def add(name: str, arguments: tuple[Any, ...], kind: type[ClientError], **more: Any) -> None:
        found.append((name, arguments, more, kind))

    writes: dict[str, tuple[Any, ...]] = {
        "put": ("v",),
        "delete": (),
        "incr": (),
        "append": ("v",),
        "touch": (5,),
        "persist": (),
    }
    for wrong, kind in NO_KEYS:
        for name, rest in {**writes, "get": (), "head": (), "locate": ()}.items():
            add(name, (wrong, *rest), kind)
    for wrong, kind in NO_VALUES:
        add("put", ("k", wrong), kind)
        add("append", ("k", wrong), kind)
    for wrong, kind in NO_TTLS:
        add("put", ("k", "v"), kind, ttl=wrong)
        add("touch", ("k", wrong), kind)
    add("touch", ("k", None), TYPE)
    for name, rest in writes.items():
        for wrong, kind in NO_CONDITIONS:
            add(name, ("k", *rest), kind, if_match=wrong)
        for wrong, kind in NO_IDEMPOTENCY_KEYS:
            add(name, ("k", *rest), kind, idempotency_key=wrong)
    add("put", ("k", "v"), VALUE, if_match=5, if_absent=True)
    for wrong, kind in NO_INTEGERS:
        add("incr", ("k", wrong), kind)
    for wrong, kind in NO_CONTENT_TYPES:
        add("put", ("k", "v"), kind, content_type=wrong)
    for options, kind in NO_LEVELS:
        add("get", ("k",), kind, **options)
        add("head", ("k",), kind, **options)
    for wrong, kind in NO_REVISIONS:
        add("get", ("k",), kind, if_none_match=wrong)
    return found


def request_rows() -> list[Row]:
    """Of the other methods."""
    found: list[Row] = []

    def add(name: str, arguments: tuple[Any, ...], kind: type[ClientError], **more: Any) -> None:
        found.append((name, arguments, more, kind))

    for options, kind in NO_LEVELS:
        add("batch", (Batch(),), kind, **options)
    for wrong, kind in NO_IDEMPOTENCY_KEYS:
        add("batch", (Batch(),), kind, idempotency_key=wrong)
        add("txn", (Transaction(),), kind, idempotency_key=wrong)
    for nothing in (None, [], [{"op": "get"}], Branch(), "batch"):
        add("batch", (nothing,), TYPE)
        add("txn", (nothing,), TYPE)
    for wrong, kind in (*NO_INTEGERS, (-1, VALUE)):
        add("replicas", (wrong,), kind)
        add("place", (wrong, ["n1"]), kind)
        add("transfer", (wrong, "n1"), kind)
    for wrong, kind in NO_NAMES:
        add("place", (0, ["n1", wrong]), kind)
        add("transfer", (0, wrong), kind)
    for wrong in ("n1", b"n1", None, 5):
        add("place", (0, wrong), TYPE)
        add("place", (0, ["n1"]), TYPE, allow_fewer=wrong)
    for wrong, kind in NO_IDEMPOTENCY_KEYS:
        add("delete_range", ("k",), kind, idempotency_key=wrong)
    for bound in ("prefix", "start", "end"):
        for wrong in (5, ["k"], True):
            add("delete_range", (), TYPE, **{bound: wrong})
        add("delete_range", (), VALUE, **{bound: "\ud800"})
        add("delete_range", (), VALUE, **{bound: "k"}, everything=True)
        add("delete_range", (), VALUE, **{bound: ""})
    for other in (None, 1, "all"):
        add("delete_range", (), TYPE, everything=other)
    add("probe", ("readyz",), VALUE)
    add("probe", ("/readyz HTTP/1.1\r\nX: y",), VALUE)
    add("probe", (None,), TYPE)
    return found


def iterator_rows() -> list[Row]:
    """The same of methods that give an iterator, and say it before it is begun."""
    found: list[Row] = []
    for name in ("scan", "scan_keys", "scan_lines"):
        found += [(name, (wrong,), {}, kind) for wrong, kind in NO_KEYS if wrong not in ("", b"") and kind is TYPE]
        found += [(name, ("\ud800",), {}, VALUE)]
        for bound in ("start", "end"):
            found += [(name, (), {bound: wrong}, TYPE) for wrong in (5, ["k"], True)]
            found += [(name, (), {bound: "\ud800"}, VALUE)]
        found += [(name, (), {"limit": wrong}, kind) for wrong, kind in NO_INTEGERS if wrong is not None]
        found += [(name, (), {"limit": -1}, VALUE)]
        found += [(name, (), {"page_keys": wrong}, kind) for wrong, kind in (*NO_INTEGERS, (0, VALUE), (-5, VALUE))]
        found += [(name, (), options, kind) for options, kind in NO_LEVELS]
        found += [(name, (), {"prefixes": "k"}, TYPE), (name, (), {"count": 5}, TYPE)]
    found += [("import_lines", (wrong,), {}, TYPE) for wrong in (None, 5, "line", b"line")]
    found += [("watch", (), {"key": wrong}, kind) for wrong, kind in NO_KEYS if wrong is not None]
    found += [("watch", (), {"prefix": wrong}, TYPE) for wrong in (5, True, ["k"])]
    found += [("watch", (), wish, VALUE) for wish in ({}, {"key": "a", "prefix": "b"}, {"prefix": "\ud800"})]
    for wrong, kind in NO_IDS:
        found.append(("watch", (), {"prefix": "", "after": wrong}, kind))
    return found


def then() -> Branch:
    return Transaction().then


class Operations:
    """What a Batch or a Transaction refuses when it is told."""

    def __init__(self) -> None:
        self.found: list[tuple[Callable[[], object], type[ClientError]]] = []
        self._keys_and_values()
        self._others()

    def add(self, kind: type[ClientError], make: Callable[[], Any], name: str, *arguments: Any, **more: Any) -> None:
        self.found.append((lambda: getattr(make(), name)(*arguments, **more), kind))

    def _keys_and_values(self) -> None:
        for wrong, kind in NO_KEYS:
            for name in ("delete", "incr", "get", "persist"):
                self.add(kind, Batch, name, wrong)
            for name in ("put", "append"):
                self.add(kind, Batch, name, wrong, "v")
            for name in ("delete", "get"):
                self.add(kind, then, name, wrong)
            self.add(kind, then, "put", wrong, "v")
            self.add(kind, Transaction, "if_exists", wrong)
            self.add(kind, Transaction, "if_absent", wrong)
            self.add(kind, Transaction, "if_value", wrong, "v")
            self.add(kind, Transaction, "if_revision", wrong, 5)
        for wrong, kind in NO_VALUES:
            self.add(kind, Batch, "put", "k", wrong)
            self.add(kind, Batch, "append", "k", wrong)
            self.add(kind, then, "put", "k", wrong)
            self.add(kind, Transaction, "if_value", "k", wrong)

    def _others(self) -> None:
        for wrong, kind in NO_TTLS:
            self.add(kind, Batch, "put", "k", "v", ttl=wrong)
            self.add(kind, Batch, "touch", "k", wrong)
            self.add(kind, then, "put", "k", "v", ttl=wrong)
        for wrong, kind in NO_CONDITIONS:
            for name in ("delete", "incr", "persist"):
                self.add(kind, Batch, name, "k", if_match=wrong)
            for name in ("put", "append"):
                self.add(kind, Batch, name, "k", "v", if_match=wrong)
            self.add(kind, Batch, "touch", "k", 5, if_match=wrong)
        self.add(VALUE, Batch, "put", "k", "v", if_match=5, if_absent=True)
        for wrong, kind in NO_CONTENT_TYPES:
            self.add(kind, Batch, "put", "k", "v", content_type=wrong)
            self.add(kind, then, "put", "k", "v", content_type=wrong)
        for wrong, kind in NO_INTEGERS:
            self.add(kind, Batch, "incr", "k", wrong)
        for wrong, kind in (*NO_REVISIONS, (None, TYPE)):
            self.add(kind, Transaction, "if_revision", "k", wrong)
        for wrong in ("==", "", None, 5, ["eq"]):
            self.add(VALUE, Transaction, "if_value", "k", "v", wrong)
        for documents in (["put"], [None], [5]):
            self.add(TYPE, lambda: Batch, "of", documents)
            self.add(TYPE, lambda: Transaction, "of", [], documents, [])


CLIENTS: list[tuple[dict[str, Any], type[ClientError]]] = [
    *(({"urls": wrong}, TYPE) for wrong in (None, 5, b"http://h", [b"http://h"], [None], ["http://h", 5])),
    *(({"urls": wrong}, InvalidUrlError) for wrong in ("", [], (), ["http://h", ""], "http://h\n", "http://h\r\nX: y")),
    *(({"urls": wrong}, InvalidUrlError) for wrong in ("http://ä", "http://h x", "http://h#x", "http://@h", "ftp://h")),
    *(
        ({"urls": wrong}, InvalidUrlError)
        for wrong in ("http://" + "a" * 64, "http://a..b", "http://[::1", "http://h:0")
    ),
    *(({"timeout_seconds": wrong}, TYPE) for wrong in (None, "5", True, [5])),
    *(({"timeout_seconds": wrong}, VALUE) for wrong in (0, -1, math.nan, math.inf, 1e300, HUGE)),
    *(({"attempt_seconds": wrong}, TYPE) for wrong in (None, "5", True)),
    *(({"attempt_seconds": wrong}, VALUE) for wrong in (0, -0.1, math.nan, math.inf)),
    *(({"session": wrong}, TYPE) for wrong in (5, b"1-0-0", True)),
    *(({"session": wrong}, InvalidSessionError) for wrong in ("", "1-0-0\r\nX: y", "1-0-0 ", "\ud800", "1-\u0660-0")),
]


@pytest.fixture(scope="module")
def gateway() -> Any:
    with FakeGateway() as gateway:
        yield gateway


def refused(act: Callable[[], object], kind: type[ClientError]) -> str:
    """Why it was refused, which is more than one kind of error."""
    with pytest.raises(kind) as error:
        act()
    builtin: type[Exception] = TypeError if kind is TYPE else ValueError
    assert issubclass(error.type, builtin)
    assert (error.value.outcome, error.value.retryable) == ("not_applied", False)
    assert len(str(error.value)) < 400
    return str(error.value)


def test_nothing_is_sent_of_what_a_client_cannot_send(gateway: FakeGateway) -> None:
    with Client(gateway.url) as client:
        for name, arguments, more, kind in rows() + iterator_rows():
            refused(lambda: getattr(client, name)(*arguments, **more), kind)  # noqa: B023  # it is called here

    assert gateway.requests == []


def test_nor_of_what_an_async_client_cannot_send(gateway: FakeGateway) -> None:
    async def run() -> None:
        async with AsyncClient(gateway.url) as client:
            for name, arguments, more, kind in rows():
                with pytest.raises(kind):
                    await getattr(client, name)(*arguments, **more)
            for name, arguments, more, kind in iterator_rows():
                with pytest.raises(kind):
                    getattr(client, name)(*arguments, **more)

    asyncio.run(run())

    assert gateway.requests == []


def test_every_method_that_takes_anything_is_in_the_table() -> None:
    inherited = {"batch", "txn", "probe"}
    plain = {name for name in dir(Client) if not name.startswith("_") and callable(getattr(Client, name))}
    takes_nothing = {"close", "cluster", "limits", "learn"}

    assert {row[0] for row in rows() + iterator_rows()} | takes_nothing == plain
    assert inherited < plain


def test_operations_are_refused_as_they_are_added() -> None:
    for act, kind in Operations().found:
        refused(act, kind)


def test_a_refused_operation_leaves_no_trace() -> None:
    batch = Batch()
    with pytest.raises(InvalidArgumentTypeError):
        batch.put("k", None)  # type: ignore[arg-type]  # as somebody may

    assert (len(batch), batch.documents) == (0, [])


@pytest.mark.parametrize("document", [{"op": "get", "key": "\ud800"}, {"op": "put", "value": HUGE}, {"op": object()}])
def test_documents_of_the_callers_own_that_cannot_be_sent_are_refused(document: dict[str, Any]) -> None:
    with FakeGateway() as gateway, Client(gateway.url) as client:
        refused(lambda: client.batch(Batch.of([document])), VALUE)
        refused(lambda: client.txn(Transaction.of([], [document], [])), VALUE)

        assert gateway.requests == []


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_is_not_made_of_what_it_could_not_use(kind: type[Client] | type[AsyncClient]) -> None:
    for options, error in CLIENTS:
        refused(lambda: kind(**{"urls": "http://h", **options}), error)  # noqa: B023  # it is called here


def test_what_is_meant_is_said() -> None:
    with Client("http://h") as client:
        assert refused(lambda: client.put("k", None), TYPE) == "the value must be a str or bytes, not None"  # type: ignore[arg-type]
        assert refused(lambda: client.put("k", 5), TYPE) == "the value must be a str or bytes, not an int"  # type: ignore[arg-type]
        assert "0.001" in refused(lambda: client.put("k", "v", ttl=0), VALUE)
        assert "os.fsencode" in refused(lambda: client.get("\udcff"), VALUE)
        assert "consistency" in refused(lambda: client.get("k", consistency="strong"), VALUE)  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [bytearray(b"\x00v"), memoryview(b"\x00v"), memoryview(b"\x00-v-")[::2]])
def test_any_bytes_are_taken_as_they_are_now(value: bytearray | memoryview) -> None:
    with FakeGateway() as gateway, Client(gateway.url) as client:
        client.put(value, value)

        assert gateway.data == {b"\x00v": (b"\x00v", "application/octet-stream")}


def test_ttls_may_be_timedeltas_and_are_not_rounded_here() -> None:
    with FakeGateway() as gateway, Client(gateway.url) as client:
        for ttl in (60, 1.0004, 0.001, timedelta(minutes=1, microseconds=400), 1e-3, 3_153_600_000):
            client.put("k", "v", ttl=ttl)

        asked = [target.partition("=")[2] for target in gateway.targets]
        assert asked == ["60", "1.0004", "0.001", "60.0004", "0.001", "3153600000"]


def test_a_ttl_is_spelled_without_an_exponent() -> None:
    rng = Random(1)
    for _ in range(1_000):
        seconds = read_ttl(10 ** rng.uniform(-3, 9))

        assert abs(float(spell_ttl(seconds)) - seconds) <= 1e-9 * seconds
        assert "e" not in spell_ttl(seconds)


def test_numbers_of_other_libraries_are_numbers() -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    with FakeGateway() as gateway, Client(gateway.url) as client:
        client.delete("k", if_match=Index())  # type: ignore[arg-type]

        assert gateway.headers[0]["if-match"] == '"7"'


def test_a_clusters_own_words_are_no_arguments() -> None:
    """What a strange gateway says about the others is left out, and no error of the caller's."""
    with FakeGateway() as gateway, Client(gateway.url) as client:
        nodes = [{"http": "h:1"}, {"http": "a b"}, {"http": "x:99999"}, None, 5, {}]
        cluster = {"nodes": nodes, "partitions": []}
        gateway.data[b"/v1/cluster"] = (json.dumps(cluster).encode(), "application/json")
        client.learn()

        assert client.urls == (gateway.url, "http://h:1")


@pytest.mark.parametrize("key", [b"k" * 2_000, b"\xff" * 6_000, b"k" * 60_000])
def test_what_a_cluster_finds_too_long_has_a_type(key: bytes) -> None:
    """How long a key may be is a setting: the cluster says so, at once, and the client believes it."""
    with running() as gateway, Client(gateway.url) as client:
        for act in (lambda: client.get(key), lambda: client.put(key, b"v" * (1 << 20))):
            with pytest.raises(TooLargeError):
                act()
