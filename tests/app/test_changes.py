import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.changes import Renderer, render_change
from raftgroups import Change, Item, Told


def document(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_change(change).document)
    return found


def test_a_put_is_told_with_what_it_put() -> None:
    assert document(Change(4_097, "schlüssel".encode(), Item(4_097, b"v", "text/plain"))) == {
        "event": "put",
        "key": "schlüssel",
        "value": "v",
        "encoding": "utf8",
        "revision": 4_097,
        "content_type": "text/plain",
    }
    assert document(Change(1, b"k", Item(1, b"")))["content_type"] == "application/octet-stream"


def test_a_key_that_is_gone_is_told_without() -> None:
    gone = {"key": "k", "encoding": "utf8", "revision": 7}

    assert document(Change(7, b"k", None)) == {"event": "delete", **gone}
    assert document(Change(7, b"k", None, has_expired=True)) == {"event": "expire", **gone}


@given(st.binary(min_size=1), st.binary())
def test_any_key_and_value_can_be_told(key: bytes, value: bytes) -> None:
    """On one line, for it stands in an event."""
    change = Change(1, key, Item(1, value))
    told = document(change)
    decode = base64.b64decode if told["encoding"] == "base64" else str.encode

    assert (decode(told["key"]), decode(told["value"])) == (key, value)
    assert b"\n" not in render_change(change).document
    assert b"\r" not in render_change(change).document


def test_what_is_told_to_many_is_rendered_once() -> None:
    renderer = Renderer()
    one, other = (Told(2, 0, Change(1, key, None)) for key in (b"a", b"b"))

    assert renderer.render(one) is renderer.render(one)
    assert renderer.render(other) != renderer.render(one)
