"""Ranges of keys, and the cursors that go on in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.keyrange import KeyRange

keys = st.binary(max_size=4) | st.text("ab\xff", max_size=3).map(lambda text: text.encode("latin-1"))
ranges = st.builds(KeyRange, keys, keys, keys, st.booleans())


def holds(within: KeyRange, key: bytes, after: bytes | None) -> bool:
    """What the words say, key by key."""
    if not key.startswith(within.prefix) or key < within.start or (within.end and key >= within.end):
        return False
    return after is None or (key < after if within.reverse else key > after)


@given(ranges, keys, st.none() | keys)
def test_the_bounds_hold_just_the_keys_of_the_range(within: KeyRange, key: bytes, after: bytes | None) -> None:
    low, high = within.bounds(after)

    assert (low <= key and (high is None or key < high)) == holds(within, key, after)


@given(ranges, st.binary(max_size=1_024))
def test_a_cursor_says_where_it_was_made(within: KeyRange, after: bytes) -> None:
    cursor = within.encode_cursor(after)

    assert within.decode_cursor(cursor) == after
    assert cursor.isascii() and cursor.replace("-", "").replace("_", "").isalnum()


@given(ranges, ranges, keys)
def test_a_cursor_of_another_range_is_none_of_this(one: KeyRange, other: KeyRange, after: bytes) -> None:
    assert (other.decode_cursor(one.encode_cursor(after)) == after) == (one == other)


@given(st.binary(max_size=20), st.integers(0), st.sampled_from("abcABC019-_"))
def test_a_changed_cursor_is_none(after: bytes, at: int, letter: str) -> None:
    within = KeyRange(b"p")
    cursor = within.encode_cursor(after)
    at %= len(cursor)
    changed = cursor[:at] + letter + cursor[at + 1 :]

    assert within.decode_cursor(changed) == (after if changed == cursor else None)


@pytest.mark.parametrize("text", ["", "=", "a", "ä", "a b", "a" * 9, "AAAAAAAAAAA", "A" * 3_000, "../x", "\0"])
def test_what_is_no_cursor(text: str) -> None:
    assert KeyRange().decode_cursor(text) is None
