"""Watches through the doors of a gateway: streams, long polls, how they begin, end, and go on."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app import watch as module
from app.changes import Renderer
from app.matching import Pattern
from app.problems import Problem
from app.watch import Watch
from app.watchid import WatchIds, encode_position
from raftgroups import Change, NoQuorumError, PartitionId, Position
from tests.app.fake_coordinator import FakeCoordinator
from tests.app.running import Running, eventually, running, settings_with

STREAM = {"Accept": "text/event-stream"}
Events = Iterator["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """A block of a stream. A comment has the event ''."""

    event: str
    id: str
    data: Any


@pytest.fixture(autouse=True, scope="module")
def client() -> Iterator[None]:
    """One for all, since each takes a while to be made."""
    global CLIENT
    with httpx.Client(timeout=5) as CLIENT:
        yield


CLIENT: httpx.Client


@pytest.fixture
def gateway() -> Iterator[Running]:
    """One of its own for every test, since all of them look at all of it."""
    with running() as started:
        yield started


def events_of(answer: httpx.Response) -> Events:
    """The events as they come; the first line of the stream says how soon to connect again."""
    lines = answer.iter_lines()
    fields: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(":")
        if line:
            assert name not in fields, f"{name} twice"
            fields[name] = text.removeprefix(" ")
            continue
        data = fields.get("data")
        yield Event(fields.get("event", ""), fields.get("id", ""), None if data is None else json.loads(data))
        fields = {}


@contextlib.contextmanager
def watching(gateway: Running, query: str, after: str | None = None) -> Iterator[Events]:
    """A stream that has begun."""
    headers = STREAM if after is None else {**STREAM, "Last-Event-ID": after}
    with CLIENT.stream("GET", f"{gateway.url}/v1/watch?{query}", headers=headers, timeout=5) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = events_of(answer)
        ready = next(events)
        assert (ready.event, ready.data) == ("ready", {})
        yield events


def put(gateway: Running, key: str, value: bytes = b"v") -> None:
    assert CLIENT.put(f"{gateway.url}/v1/kv/{key}", content=value).status_code == 204


def poll(gateway: Running, query: str) -> httpx.Response:
    return CLIENT.get(f"{gateway.url}/v1/watch?{query}", timeout=5)


def problem_code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("is_fast", [True, False])
def test_changes_are_told_as_they_happen(is_fast: bool) -> None:
    """Through both doors; everything that was before is not."""
    with running(is_fast=is_fast) as gateway:
        put(gateway, "user/0")
        with watching(gateway, "prefix=user/") as events:
            put(gateway, "user/1", b"hello")
            put(gateway, "other")
            CLIENT.delete(f"{gateway.url}/v1/kv/user/1")
            told = [next(events) for _ in range(2)]

    assert told[0].data == {
        "event": "put",
        "key": "user/1",
        "value": "hello",
        "encoding": "utf8",
        "revision": 2,
        "content_type": "application/octet-stream",
    }
    assert told[1].data == {"event": "delete", "key": "user/1", "encoding": "utf8", "revision": 4}
    assert [event.event for event in told] == ["put", "delete"]


@pytest.mark.parametrize("partitions", [4, 300])
def test_a_stream_goes_on_after_any_of_its_ids(gateway: Running, partitions: int) -> None:
    """Those of `ready` and of every event, in all partitions of a prefix; of many, most ids are short."""
    gateway.fake.leaders = dict.fromkeys(range(partitions), "n1")
    with CLIENT.stream("GET", f"{gateway.url}/v1/watch?prefix=", headers=STREAM) as answer:
        events = events_of(answer)
        ids = [next(events).id]
        for key in "abcdabcd":
            put(gateway, key)
            ids.append(next(events).id)

    for place, id_ in enumerate(ids):
        keys = [event["key"] for event in poll(gateway, f"prefix=&after={id_}").json()["events"]]
        assert sorted(keys) == sorted("abcdabcd"[place:])
        for key in "abcd":
            of_key = [event["key"] for event in poll(gateway, f"prefix={key}&after={id_}").json()["events"]]
            assert of_key == [key] * "abcdabcd"[place:].count(key)


def test_what_an_event_carries_is_bounded(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 bytes beyond the payload, all whole ids included; and each id goes on right after its event."""
    gateway.fake.leaders = dict.fromkeys(range(1_024), "n1")
    gateway.fake.revision = 1_000_000  # so that a position is as long as it is in a cluster that has lived
    count = 2 * module.SEGMENT_EVENTS + 40
    with CLIENT.stream("GET", f"{gateway.url}/v1/watch?prefix=", headers=STREAM) as answer:
        lines = answer.iter_lines()
        while next(lines):
            pass  # `ready`
        for number in range(count):
            put(gateway, f"{chr(97 + number % 26)}{number}")
        told = [[next(lines) for _ in range(4)] for _ in range(count)]
    payload = sum(len(data.removeprefix("data: ")) for _, _, data, _ in told)
    size = sum(len(line) + 1 for block in told for line in block)
    ids = [line.removeprefix("id: ") for _, line, _, _ in told]
    assert (size - payload) / count <= 64
    assert {id_[:3] for id_ in ids} == {"w1.", "w2."} and len(set(ids)) == count
    for place in (0, 1, 255, 256, 257, 511, 512, count - 2, count - 1):
        keys = [event["key"] for event in poll(gateway, f"prefix=&after={ids[place]}").json()["events"]]
        assert sorted(keys) == sorted(f"{chr(97 + number % 26)}{number}" for number in range(place + 1, count))


def test_a_segment_does_not_grow_old(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was told since it began, history goes on, and may be forgotten as far as there."""
    monkeypatch.setattr(module, "SEGMENT_SECONDS", -1.0)
    gateway.fake.leaders = dict.fromkeys(range(64), "n1")
    begun: list[bytes] = []
    began = gateway.fake.ledger.begin

    def begin(base: bytes) -> bytes:
        begun.append(base)
        return began(base)

    monkeypatch.setattr(gateway.fake.ledger, "begin", begin)
    with watching(gateway, "prefix=") as events:
        for key in "abc":
            put(gateway, key)
            next(events)

    assert len(begun) == 3


def test_a_short_id_that_nobody_knows_is_gone(gateway: Running) -> None:
    gateway.fake.leaders = dict.fromkeys(range(64), "n1")
    put(gateway, "a")
    short = WatchIds(gateway.fake.cluster().cluster_id).encode_short(b"nobody", 3).decode()
    answer = poll(gateway, f"prefix=&after={short}")
    assert problem_code(answer) == (410, "HISTORY_GONE")
    # From the very beginning; and when there is no history of that, from where there is some.
    answer = poll(gateway, f"prefix=&after={answer.json()['oldest']}")
    oldest = answer.json()["oldest"]
    assert [event["key"] for event in poll(gateway, f"prefix=&after={oldest}").json()["events"]] == ["a"]


def test_a_long_poll_waits_for_the_first_event(gateway: Running) -> None:
    begun = poll(gateway, "key=a").json()
    assert begun["events"] == []
    assert poll(gateway, f"key=a&after={begun['next']}&wait=0.05").json() == begun

    put(gateway, "a")
    waited = poll(gateway, f"key=a&after={begun['next']}&wait=5")
    assert [event["event"] for event in waited.json()["events"]] == ["put"]
    assert waited.headers["content-type"] == "application/json"
    assert poll(gateway, f"key=a&after={waited.json()['next']}").json() == {"events": [], "next": waited.json()["next"]}
    assert gateway.fake.feeds.seats == {}


def test_a_long_poll_says_where_it_goes_on_when_there_is_more() -> None:
    """Than fits into one answer."""
    with running(settings_with(watch_queue_bytes_max=300)) as gateway:
        begun = poll(gateway, "prefix=").json()
        for number in range(12):
            put(gateway, f"k{number:02}")
        seen: list[str] = []
        after = begun["next"]
        answers = 0
        while found := (answer := poll(gateway, f"prefix=&after={after}").json())["events"]:
            answers += 1
            seen += [event["key"] for event in found]
            after = answer["next"]

    assert seen == [f"k{number:02}" for number in range(12)]
    assert answers > 2


def test_a_stream_of_more_than_its_queue_holds_is_whole() -> None:
    """Its reader is waited for, not cut."""
    with running(settings_with(watch_queue_bytes_max=300)) as gateway:
        begun = poll(gateway, "prefix=").json()["next"]
        for number in range(30):
            put(gateway, f"k{number:02}")
        with watching(gateway, "prefix=k", begun) as events:
            assert [next(events).data["key"] for _ in range(30)] == [f"k{number:02}" for number in range(30)]


def test_a_client_that_reads_slowly_is_told_everything_in_order() -> None:
    numbers = [f"k{number:03}" for number in range(200)]
    with running(settings_with(watch_queue_bytes_max=100_000)) as gateway, watching(gateway, "prefix=k") as events:
        seen = []
        for number in numbers:
            put(gateway, number, b"v" * 9_000)
            if number.endswith("99"):  # far more than the socket holds has gathered
                seen += [next(events).data["key"] for _ in range(90)]
        seen += [next(events).data["key"] for _ in range(20)]

    assert seen == numbers


def test_nothing_is_pushed_past_what_was_handed_out() -> None:
    """Whoever took it may still wait for room to send it."""

    async def taken() -> list[bytes]:
        store = FakeCoordinator()
        watch = Watch(store, WatchIds("fake"), Renderer(), 1_000, is_stream=True)
        await watch.begin(Pattern(b"a", is_prefix=False), {0: Position(1)}, asyncio.get_running_loop().time() + 5)
        watch.push = lambda data: False
        store.feeds.change(0, 3, [Change(3, b"a", None)])
        events = await watch.take(5)
        watch.push = lambda data: pytest.fail("overtaken")
        store.feeds.change(0, 4, [Change(4, b"a", None)])
        return events + await watch.take(5)

    assert [b'"revision":%d' % number in event for number, event in zip((3, 4), asyncio.run(taken()), strict=True)]


def test_what_is_pushed_breaks_the_silence() -> None:
    """A comment comes after a silence, not in the middle of events."""

    async def silence() -> tuple[list[bytes], float]:
        pushed: list[bytes] = []

        def push(data: bytes) -> bool:
            pushed.append(data)
            return True

        store = FakeCoordinator()
        watch = Watch(store, WatchIds("fake"), Renderer(), 1_000, is_stream=True)
        loop = asyncio.get_running_loop()
        await watch.begin(Pattern(b"a", is_prefix=False), {0: Position(1)}, loop.time() + 5)
        watch.push = push
        began = loop.time()
        loop.call_soon(store.feeds.change, 0, 3, [Change(3, b"a", None)])
        assert await watch.take(0.05) == []
        return pushed, loop.time() - began

    pushed, seconds = asyncio.run(silence())

    assert len(pushed) == 1
    assert seconds >= 0.1


def test_silence_is_broken_by_comments(gateway: Running) -> None:
    """With an id, for what does not match is passed by, too."""
    gateway.app.state.gateway.watches.heartbeat_seconds = 0.02
    with watching(gateway, "prefix=x") as events:
        before = next(events)
        put(gateway, "other")
        eventually(lambda: next(events).id != before.id)

    assert (before.event, before.data) == ("", None)


@pytest.mark.parametrize("query", ["key=a", "prefix="])
def test_too_old_is_told_with_the_oldest_id_there_is(gateway: Running, query: str) -> None:
    put(gateway, "a")
    begun = poll(gateway, query).json()["next"]
    gateway.fake.feeds.horizon = 1_000
    gone = poll(gateway, f"{query}&after={begun}")

    assert problem_code(gone) == (410, "HISTORY_GONE")
    assert poll(gateway, f"{query}&after={gone.json()['oldest']}").status_code == 200
    answer = CLIENT.get(f"{gateway.url}/v1/watch?{query}", headers={**STREAM, "Last-Event-ID": begun})
    assert problem_code(answer) == (410, "HISTORY_GONE")
    assert gateway.fake.feeds.seats == {}


def test_who_falls_too_far_behind_is_told_at_the_end(gateway: Running) -> None:
    with watching(gateway, "key=a") as events:
        put(gateway, "a")
        gateway.do(gateway.fake.feeds.forget)
        told = list(events)

    assert [event.event for event in told] == ["put", "error"]
    assert told[1].id == told[0].id
    assert told[1].data["code"] == "HISTORY_GONE"


def test_a_client_that_leaves_is_forgotten(gateway: Running) -> None:
    with watching(gateway, "key=a"):
        assert len(gateway.fake.feeds.seats) == 1
        assert "watches_open 1" in CLIENT.get(f"{gateway.url}/metrics").text

    eventually(lambda: not gateway.fake.feeds.seats)
    assert "watches_open 0" in CLIENT.get(f"{gateway.url}/metrics").text


def test_a_client_that_says_it_will_leave_is_let_go(gateway: Running) -> None:
    """It has closed its half of the connection: the stream ends, and in good order."""
    with gateway.connect() as raw:
        raw.send(b"GET /v1/watch?key=a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        eventually(lambda: bool(gateway.fake.feeds.seats))
        raw.socket.shutdown(socket.SHUT_WR)
        received = b""
        while data := raw.socket.recv(65_536):
            received += data

    assert received.endswith(b"\r\n0\r\n\r\n")
    assert gateway.fake.feeds.seats == {}


def test_a_stream_with_requests_behind_it_is_let_go_too(gateway: Running) -> None:
    """They are answered after its end."""
    with gateway.connect() as raw:
        raw.send(b"GET /v1/watch?key=a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        raw.send(b"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: bool(gateway.fake.feeds.seats))
        raw.socket.shutdown(socket.SHUT_WR)
        received = b""
        while data := raw.socket.recv(65_536):
            received += data

    assert b"\r\n0\r\n\r\nHTTP/1.1 404 " in received and received.endswith(b'{"status":"ok"}')
    assert gateway.fake.feeds.seats == {}


@pytest.mark.parametrize("leave", [lambda raw: raw.shutdown(socket.SHUT_WR), lambda raw: raw.close()])
def test_a_long_poll_ends_when_its_client_leaves(gateway: Running, leave: Callable[[socket.socket], None]) -> None:
    """Else those who come and go would take the places of others, each for a minute."""
    with gateway.connect() as raw:
        raw.send(b"GET /v1/watch?key=a&wait=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: bool(gateway.fake.feeds.seats))
        leave(raw.socket)
        eventually(lambda: not gateway.fake.feeds.seats)


def test_all_watches_end_when_the_node_is_about_to_stop(gateway: Running) -> None:
    """Whoever was told says where to go on; nobody may begin."""
    with watching(gateway, "key=a") as events, watching(gateway, "prefix=") as others:
        put(gateway, "a")
        first = next(events)
        gateway.do(gateway.app.state.gateway.end)
        last, *_ = list(events)
        assert list(others)[-1].event == "error"

    assert (last.event, last.data["code"], last.id) == ("error", "DRAINING", first.id)
    assert problem_code(poll(gateway, "key=a")) == (503, "DRAINING")


def test_watches_are_bounded() -> None:
    with running(settings_with(watches_max=1)) as gateway:
        with watching(gateway, "key=a"):
            refused = poll(gateway, "key=a")
            assert problem_code(refused) == (503, "OVERLOADED")
            assert refused.json()["limit"] == 1
        eventually(lambda: poll(gateway, "key=a").status_code == 200)


def _ids(gateway: Running, first: int, *entries: int) -> str:
    return WatchIds("fake").encode(first, [encode_position(Position(entry)) for entry in entries]).decode()


def test_an_id_of_another_watch_is_a_mistake(gateway: Running) -> None:
    """Of a key in another partition, of a prefix for a key, or of none at all."""
    other = WatchIds("other").encode(0, [encode_position(Position(1))]).decode()
    for query, after in (
        ("key=%00", _ids(gateway, 1, 1)),
        ("key=%00", _ids(gateway, 0, 1, 1, 1, 1)),
        ("prefix=", _ids(gateway, 0, 1)),
        ("key=%00", other),
        ("key=%00", ""),
    ):
        answer = poll(gateway, f"{query}&after={after}")
        assert problem_code(answer) == (400, "BAD_PARAMETER")
        assert answer.json()["parameter"] == "after"
    answer = CLIENT.get(f"{gateway.url}/v1/watch?key=a", headers={**STREAM, "Last-Event-ID": "x"})
    assert answer.status_code == 400
    assert answer.json()["header"] == "Last-Event-ID"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("key=", 400),
        ("key=a&prefix=b", 422),
        ("key=a&wait=x", 400),
        ("prefix=a&prefix=b", 400),
        ("key=a&colour=1", 400),
    ],
)
def test_mistakes_are_refused_before_anything_begins(gateway: Running, query: str, status: int) -> None:
    assert poll(gateway, query).status_code == status
    assert gateway.fake.feeds.seats == {}


def test_a_watch_that_cannot_begin_says_why(gateway: Running) -> None:
    gateway.fake.error = NoQuorumError(PartitionId(1))
    assert problem_code(poll(gateway, "key=a")) == (503, "NO_QUORUM")

    gateway.fake.error = None
    begun = poll(gateway, "key=a").json()["next"]
    gateway.fake.feeds.is_confirming = False
    slow = CLIENT.get(f"{gateway.url}/v1/watch?key=a&after={begun}", headers={"KV-Timeout-Ms": "20"})
    assert problem_code(slow) == (503, "NO_QUORUM")
    assert gateway.fake.feeds.seats == {}


def test_a_watch_whose_last_partition_confirms_as_its_time_is_over_begins() -> None:
    async def begin() -> Problem | None:
        store = FakeCoordinator()
        watch = Watch(store, WatchIds("fake"), Renderer(), 1_000, is_stream=False)
        return await watch.begin(
            Pattern(b"a", is_prefix=False), {1: Position(1)}, asyncio.get_running_loop().time() - 1
        )

    assert asyncio.run(begin()) is None


def test_a_node_that_still_starts_says_so() -> None:
    with running(is_open=False) as gateway:
        assert problem_code(poll(gateway, "key=a")) == (503, "NOT_READY")


def test_the_head_of_a_stream_has_an_end(gateway: Running) -> None:
    answer = CLIENT.head(f"{gateway.url}/v1/watch?key=a", headers=STREAM, timeout=5)

    assert (answer.status_code, answer.content) == (200, b"")


def test_a_client_that_does_not_read_is_cut() -> None:
    """What it may leave unread is bounded, in bytes and in seconds; others go on."""
    with running(settings_with(send_seconds=0.2, watch_queue_bytes_max=50_000)) as gateway, gateway.connect() as raw:
        raw.send(b"GET /v1/watch?key=a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        eventually(lambda: bool(gateway.fake.feeds.seats))
        [watcher] = [seat.watcher for seat in gateway.fake.feeds.seats]
        with watching(gateway, "key=b") as events:
            while not watcher.is_full:
                put(gateway, "a", b"v" * 10_000)
            put(gateway, "b")
            assert next(events).data["key"] == "b"
            eventually(lambda: len(gateway.fake.feeds.seats) == 1)


def test_a_stream_is_documented(gateway: Running) -> None:
    document = CLIENT.get(f"{gateway.url}/openapi.json").json()["paths"]["/v1/watch"]["get"]

    assert {parameter["name"] for parameter in document["parameters"]} == {
        *("key", "prefix", "after", "wait", "Last-Event-ID", "KV-Timeout-Ms"),
    }
    assert set(document["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"400", "410", "414", "503"} <= document["responses"].keys()
