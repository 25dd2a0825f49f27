"""A span of keys holds those between its ends, as far as they are known."""

from hypothesis import given
from hypothesis import strategies as st

from engine.keyspan import KeySpan

bounds = st.one_of(st.none(), st.binary(max_size=2))


@given(bounds, bounds, bounds, bounds, st.binary(max_size=2))
def test_a_key_is_in_it_unless_a_bound_excludes_it(
    after: bytes | None, first: bytes | None, last: bytes | None, before: bytes | None, key: bytes
) -> None:
    span = KeySpan(after, first, last, before)

    assert span.is_above(key) == ((after is not None and key <= after) or (first is not None and key < first))
    assert span.is_below(key) == ((last is not None and key > last) or (before is not None and key >= before))
    assert (key in span) == (not span.is_above(key) and not span.is_below(key))


@given(bounds, bounds, bounds, bounds, st.binary(max_size=2))
def test_spans_with_a_key_in_common_overlap(
    low: bytes | None, high: bytes | None, other_low: bytes | None, other_high: bytes | None, key: bytes
) -> None:
    for one in (KeySpan(after=low, last=high), KeySpan(first=low, before=high)):
        for other in (KeySpan(after=other_low, last=other_high), KeySpan(first=other_low, before=other_high)):
            assert one.overlaps(other) == other.overlaps(one)
            assert one.overlaps(other) or not (key in one and key in other)


def test_spans_that_only_touch_do_not_overlap() -> None:
    assert not KeySpan(first=b"a", before=b"b").overlaps(KeySpan(first=b"b"))
    assert not KeySpan(first=b"a", last=b"b").overlaps(KeySpan(after=b"b"))
    assert KeySpan(first=b"a", last=b"b").overlaps(KeySpan(first=b"b", last=b"c"))


def test_it_reads_as_a_sentence() -> None:
    assert str(KeySpan()) == "any key"
    assert str(KeySpan(first=b"a", last=b"b")) == "keys from b'a' to b'b'"
    assert str(KeySpan(after=b"a", last=b"b")) == "keys after b'a', up to b'b'"
    assert str(KeySpan(after=b"a", before=b"c")) == "keys after b'a', before b'c'"
    assert str(KeySpan(before=b"c")) == "keys before b'c'"
    assert str(KeySpan(last=b"c")) == "keys up to b'c'"
    assert str(KeySpan(after=b"a")) == "keys after b'a'"
    assert str(KeySpan(first=b"k" * 100)) == f"keys from b'{'k' * 60}'... (100 bytes)"
