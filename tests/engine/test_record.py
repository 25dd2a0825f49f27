"""What a caller may write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import KEY_BYTES_MAX, VALUE_BYTES_MAX, InvalidKeyError, InvalidValueError, WriteBatch
from engine.record import EXPIRES_MS_MAX, Expiring, encode_batch, encoded_size
from tests.models import batch_of
from tests.strategies import ranges, records


def test_the_last_record_of_a_key_counts() -> None:
    batch = WriteBatch()
    batch.put(b"a", b"1")
    batch.delete(b"b")
    batch.put(b"b", b"2")
    batch.delete(b"a")

    assert dict(batch.items()) == {b"a": None, b"b": b"2"}
    assert len(batch) == 2
    assert batch.byte_size == 6


@pytest.mark.parametrize("key", [b"", bytes(KEY_BYTES_MAX + 1), "text", bytearray(b"a"), None])
def test_a_bad_key_is_refused(key: Any) -> None:
    batch = WriteBatch()

    with pytest.raises(InvalidKeyError):
        batch.put(key, b"")
    with pytest.raises(InvalidKeyError):
        batch.delete(key)
    assert len(batch) == 0


@pytest.mark.parametrize("value", [None, "text", bytes(VALUE_BYTES_MAX + 1)], ids=["none", "text", "long"])
def test_a_bad_value_is_refused(value: Any) -> None:
    batch = WriteBatch()

    with pytest.raises(InvalidValueError):
        batch.put(b"a", value)
    assert len(batch) == 0


@given(records, st.lists(ranges, max_size=2))
def test_the_size_in_the_log_is_known_before(
    content: dict[bytes, bytes | None], deleted: list[tuple[bytes, bytes | None]]
) -> None:
    batch = batch_of(content)
    for start, end in deleted:
        batch.delete_range(start, end)

    assert len(encode_batch(1, batch)) <= encoded_size(batch)
    assert deleted or len(encode_batch(1, batch)) == encoded_size(batch)


def test_many_pairs_are_put_at_once() -> None:
    batch = WriteBatch({b"a": b"1"})
    batch.delete(b"b")
    batch.update([(b"b", b"2"), (b"c", b"3"), (b"c", b"44")])
    batch.update([])

    assert dict(batch.items()) == {b"a": b"1", b"b": b"2", b"c": b"44"}
    assert batch.byte_size >= 7
    batch.update({b"k": bytes(VALUE_BYTES_MAX)})


@pytest.mark.parametrize(
    "pair",
    [
        (b"", b"v"),
        ("text", b"v"),
        (bytes(KEY_BYTES_MAX + 1), b"v"),
        (b"k", "text"),
        (b"k", None),
        (b"k", bytearray(b"v")),
        (b"k", Expiring.at(1, b"v")),
        (b"k", bytes(VALUE_BYTES_MAX + 1)),
    ],
    ids=["empty", "text", "long", "text value", "none", "array", "expiring", "long value"],
)
def test_of_many_pairs_one_that_is_bad_lets_none_in(pair: Any) -> None:
    batch = WriteBatch()

    with pytest.raises((InvalidKeyError, InvalidValueError)):
        batch.update([(b"good", b"v"), pair])
    assert len(batch) == batch.byte_size == 0


@pytest.mark.parametrize("expires_ms", [-1, EXPIRES_MS_MAX + 1, 1.5, "soon", True])
def test_a_bad_time_of_expiry_is_refused(expires_ms: Any) -> None:
    with pytest.raises(InvalidValueError, match="expires"):
        WriteBatch().put(b"k", b"v", expires_ms=expires_ms)


@pytest.mark.parametrize(("start", "end"), [("a", b"b"), (b"a", "b"), (None, b"b"), (bytes(KEY_BYTES_MAX + 1), None)])
def test_bad_bounds_are_refused(start: Any, end: Any) -> None:
    with pytest.raises(InvalidKeyError, match="bounds"):
        WriteBatch().delete_range(start, end)


def test_a_range_deletes_what_its_batch_has_put_before_but_not_after() -> None:
    batch = WriteBatch([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")])
    batch.delete_range(b"b", b"c")
    batch.delete_range(b"x", b"x")
    batch.put(b"bb", b"2")

    assert dict(batch.items()) == {b"a": b"1", b"bb": b"2", b"c": b"1"}
    assert batch.ranges == ((b"b", b"c"),)


def test_the_longest_key_and_an_empty_value_are_accepted() -> None:
    batch = WriteBatch()
    batch.put(bytes(KEY_BYTES_MAX), b"")

    assert batch.byte_size == KEY_BYTES_MAX
