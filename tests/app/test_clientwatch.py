"""What a watch makes of its streams, without any."""

import json
from typing import Any

import pytest

from app.client import Change, CompactedError, NotAGatewayError
from app.clienterrors import Response
from app.clientwatch import Following

READY = b"retry: 500\nevent: ready\nid: w1.0\ndata: {}\n\n"


def event(number: int, kind: str = "put", **members: Any) -> bytes:
    document = {"event": kind, "key": f"k{number}", "encoding": "utf8", "revision": number, **members}
    return f"event: {kind}\nid: w1.{number}\ndata: {json.dumps(document)}\n\n".encode()


def put(number: int) -> bytes:
    return event(number, value=str(number), content_type="text/plain")


def problem(status: int, code: str, **members: Any) -> bytes:
    document = {"status": status, "code": code, "detail": "so it is", "outcome": "not_applied", **members}
    return f"event: error\nid: w1.90\ndata: {json.dumps(document)}\n\n".encode()


def following(after: str = "") -> Following:
    return Following(key=None, prefix="k", after=after)


def take_all(followed: Following) -> list[Change]:
    found = []
    while (change := followed.take()) is not None:
        found.append(change)
    return found


def test_changes_are_told_as_they_are() -> None:
    followed = following()
    had_begun = followed.has_begun
    odd = event(3, key="/w==", encoding="base64", value="/g==", content_type="image/png")

    assert followed.received(READY + put(1) + event(2, "delete") + odd + event(4, "expire"))

    assert (had_begun, followed.has_begun) == (False, True)
    assert take_all(followed) == [
        Change(event="put", key=b"k1", value=b"1", revision=1, content_type="text/plain", id="w1.1"),
        Change(event="delete", key=b"k2", value=None, revision=2, content_type=None, id="w1.2"),
        Change(event="put", key=b"\xff", value=b"\xfe", revision=3, content_type="image/png", id="w1.3"),
        Change(event="expire", key=b"k4", value=None, revision=4, content_type=None, id="w1.4"),
    ]


def test_the_id_is_that_of_what_was_handed_out() -> None:
    """Whoever stops in the middle of what came at once misses nothing later."""
    followed = following()

    followed.received(READY + put(1) + put(2) + b": heartbeat\nid: w1.9\n\n")

    ids = [followed.id]
    for _ in range(2):
        followed.take()
        ids.append(followed.id)
    assert ids == ["", "w1.1", "w1.9"]
    followed.received(b": heartbeat\nid: w1.12\n\n")
    assert followed.id == "w1.12"


@pytest.mark.parametrize("cut", range(1, len(put(2))))
def test_an_event_that_was_cut_off_is_asked_for_again(cut: int) -> None:
    followed = following()
    followed.received(READY + put(1) + put(2)[:-cut])

    followed.lost()

    assert followed.call().headers["Last-Event-ID"] == "w1.1"
    followed.received(put(2) + put(3))
    assert [change.revision for change in take_all(followed)] == [1, 2, 3]


def test_it_begins_after_an_id() -> None:
    assert following("w1.5").call().headers == {"Accept": "text/event-stream", "Last-Event-ID": "w1.5"}
    assert following().call().headers == {"Accept": "text/event-stream"}


def test_a_stream_that_brings_nothing_is_asked_for_less_and_less_often() -> None:
    followed = following()

    pauses = []
    for _ in range(8):
        followed.received(READY)
        pauses.append(followed.lost())
    followed.received(READY + put(1))

    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.05, 1.0)
    assert followed.lost() == 0.05


def test_a_gateway_that_stops_ends_its_stream_and_nothing_else() -> None:
    followed = following()

    assert not followed.received(READY + put(1) + problem(503, "DRAINING", retryable=True))

    assert [change.revision for change in take_all(followed)] == [1]
    assert followed.lost() > 0
    assert followed.call().headers["Last-Event-ID"] == "w1.90"


def test_a_history_that_is_gone_is_the_end_after_what_came_before() -> None:
    followed = following()

    assert not followed.received(READY + put(1) + problem(410, "HISTORY_GONE", oldest="w1.70"))

    assert followed.lost() == 0
    first = followed.take()
    assert first is not None and first.revision == 1
    with pytest.raises(CompactedError, match="so it is") as error:
        followed.take()
    assert (error.value.oldest, error.value.status) == ("w1.70", 410)


@pytest.mark.parametrize(
    "data",
    [
        b"data: \xff\n\n",
        b"data: x\n\n",
        b"event: error\ndata: x\n\n",
        event(1, key="A", encoding="base64"),
        event(1, kind="melt"),
    ],
)
def test_what_no_gateway_says_is_said(data: bytes) -> None:
    with pytest.raises(NotAGatewayError):
        following().received(data)


def test_another_answer_than_a_stream_is_none() -> None:
    call = following().call()

    call.read(Response(200, {"content-type": "text/event-stream; charset=utf-8"}, b""))
    with pytest.raises(NotAGatewayError):
        call.read(Response(200, {"content-type": "text/html"}, b""))


def test_what_is_watched_is_in_the_query_byte_for_byte() -> None:
    assert Following(key=b"\xff a&b", prefix=None, after="").call().target == "/v1/watch?key=%FF+a%26b"
    assert Following(key=None, prefix="", after="").call().target == "/v1/watch?prefix="


@pytest.mark.parametrize(
    "wish", [{"key": None, "prefix": None}, {"key": "a", "prefix": "b"}, {"key": "", "prefix": None}]
)
def test_a_watch_is_of_one_thing(wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Following(**wish, after="")


def test_a_short_id_that_all_have_forgotten_is_no_loss() -> None:
    """It goes on from the last whole one, and leaves out what it was told since."""
    followed = following()
    short = [put(number).replace(b"id: w1.", b"id: w2.") for number in range(1, 6)]
    assert not followed.falls_back()
    followed.received(READY + short[0] + put(2) + short[2] + short[3])
    told = [change.revision for change in take_all(followed)]

    assert followed.falls_back()
    assert followed.call().headers["Last-Event-ID"] == "w1.2"
    assert not followed.falls_back(), "a whole id that is too old is the end"
    # In another order, for they are of several partitions.
    followed.received(READY.replace(b"w1.0", b"w1.2") + short[3] + short[4] + short[2])

    assert told + [change.revision for change in take_all(followed)] == [1, 2, 3, 4, 5]


def test_what_a_copy_was_not_handed_out_is_told_again() -> None:
    followed = following()
    followed.received(READY + put(1).replace(b"w1.", b"w2.") + put(2).replace(b"w1.", b"w2."))
    followed.take()
    followed.rewind()

    assert not followed.falls_back(), "what lies between the whole id and the short one was not all handed out"
