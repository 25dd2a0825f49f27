"""What a caller may write."""

from typing import Any

import pytest

from engine import KEY_BYTES_MAX, VALUE_BYTES_MAX, InvalidKeyError, InvalidValueError, WriteBatch


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


def test_the_longest_key_and_an_empty_value_are_accepted() -> None:
    batch = WriteBatch()
    batch.put(bytes(KEY_BYTES_MAX), b"")

    assert batch.byte_size == KEY_BYTES_MAX
