"""Server-sent events out of bytes, however they are cut."""

import pytest

from app.events import Event, EventParser

STREAM = (
    b"retry: 500\nevent: ready\nid: w1.0\ndata: {}\n\n: heartbeat\nid: w1.5\n\nevent: put\nid: w1.7\ndata: \xc3\xa4\n\n"
)
EVENTS = [Event("ready", "w1.0", "{}"), Event("message", "w1.5", ""), Event("put", "w1.7", "ä")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1_000])
def test_events_come_out_whole_however_they_came_in(size: int) -> None:
    parser = EventParser()

    parts = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]

    assert [event for part in parts for event in parser.feed(part)] == EVENTS


@pytest.mark.parametrize("cut", range(1, 24))
def test_one_that_is_cut_off_is_none(cut: int) -> None:
    assert EventParser().feed(STREAM[:-cut]) == EVENTS[:2]


def test_an_event_without_an_id_has_the_newest() -> None:
    assert EventParser("w1.3").feed(b"data: x\r\n\r\n\n\n") == [Event("message", "w1.3", "x")]


def test_what_is_no_text_is_an_error() -> None:
    with pytest.raises(ValueError):
        EventParser().feed(b"data: \xff\n\n")
