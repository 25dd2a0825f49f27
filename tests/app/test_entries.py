"""Entries: pairs as JSON, and back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entries import (
    BadEntryError,
    decode_line,
    encode_lines,
    encode_page,
    entries_of,
    key_entries_of,
    line_bytes_max,
)
from app.settings import Limits
from raftgroups import ConditionalPut, Item, Put, encode_item

LIMITS = Limits()
NOW_MS = 1_000_000


def line(**members: Any) -> bytes:
    return json.dumps({"key": "k", "value": "v", **members}).encode()


def now_ms_of(key: bytes) -> int:
    return NOW_MS


@given(
    st.binary(min_size=1, max_size=30) | st.text(min_size=1, max_size=20).map(str.encode),
    st.binary(max_size=30) | st.text(max_size=20).map(str.encode),
    st.sampled_from(["", "text/plain", "a/b;c=d"]),
    st.sampled_from([0, 1, 59_500, 86_400_000]),
)
def test_what_goes_out_comes_back(key: bytes, value: bytes, kind: str, lifetime_ms: int) -> None:
    """Bytes, content type and lifetime: in one line, within its bound."""
    item = Item(7, value, kind, NOW_MS + lifetime_ms if lifetime_ms else 0)

    encoded = encode_lines(entries_of([(key, encode_item(item))], now_ms_of))

    assert encoded.endswith(b"\n") and encoded.count(b"\n") == 1 and len(encoded) <= line_bytes_max(LIMITS)
    wanted = ConditionalPut(key, value, kind, lifetime_ms, None) if lifetime_ms else Put(key, value, kind)
    assert decode_line(encoded[:-1], LIMITS) == wanted


def test_the_longest_pair_has_a_line() -> None:
    pair = (b"\x01" * 1_024, encode_item(Item(2**62, b"\x02" * 9_216, "a/" + "\x7e" * 253, NOW_MS + 123_456_789)))

    (entry,) = entries_of([pair], now_ms_of)

    encoded = encode_lines([entry])
    assert 60_000 < len(encoded) <= line_bytes_max(LIMITS)
    assert decode_line(encoded, LIMITS) == ConditionalPut(
        b"\x01" * 1_024, b"\x02" * 9_216, "a/" + "\x7e" * 253, 123_456_789, None
    )


def test_the_simple_case_is_simple() -> None:
    page = encode_page(entries_of([(b"a", encode_item(Item(8_193, b"1")))], now_ms_of), None)

    assert page == b'{"items":[{"key":"a","value":"1","encoding":"utf8","revision":8193}],"cursor":null}'


def test_everything_else_is_said() -> None:
    pairs = [(b"\xff", encode_item(Item(7, b"\xfe", "image/png", NOW_MS + 59_500)))]

    assert json.loads(encode_page(entries_of(pairs, now_ms_of), "abc")) == {
        "items": [
            {
                "key": "/w==",
                "key_encoding": "base64",
                "value": "/g==",
                "encoding": "base64",
                "revision": 7,
                "content_type": "image/png",
                "expires_in": 59.5,
            }
        ],
        "cursor": "abc",
    }
    assert json.loads(encode_page(key_entries_of(pairs), None))["items"] == [
        {"key": "/w==", "key_encoding": "base64", "revision": 7}
    ]


def test_what_is_about_to_go_has_some_time_left() -> None:
    (entry,) = entries_of([(b"k", encode_item(Item(1, b"", "", NOW_MS - 5)))], now_ms_of)

    assert entry.expires_in == 0.001


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not an entry"),
        (b"[]", "not an entry"),
        (b"{", "not an entry"),
        (b'{"key":"k"}', "`value`"),
        (b'{"key":"k\xff","value":"v"}', "not an entry"),
        (rb'{"key":"\ud800","value":"v"}', "not an entry"),
        (line(key=""), "the key is empty"),
        (line(key=3), r"\$\.key"),
        (line(key="k" * 1_025), "1025 bytes"),
        (line(value="v" * 10_240), "10241 bytes"),
        (line(value="%%", encoding="base64"), "value is not base64"),
        (line(key="ä", key_encoding="base64"), "key is not base64"),
        (line(encoding="utf16"), r"\$\.encoding"),
        (line(color="red"), "`color`"),
        (line(content_type="a\nb"), "content_type"),
        (line(content_type="a" * 256), "content_type"),
        (line(expires_in=0), r"\$\.expires_in"),
        (line(expires_in=-1), r"\$\.expires_in"),
        (line(expires_in=1e12), r"\$\.expires_in"),
        (line(expires_in="1"), r"\$\.expires_in"),
        (line(revision="x"), r"\$\.revision"),
    ],
)
def test_what_is_no_entry_is_told_precisely(text: bytes, reason: str) -> None:
    with pytest.raises(BadEntryError, match=reason):
        decode_line(text, LIMITS)
