"""Bloom filters never deny what is there, and seldom confirm what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bloom import BloomFilter, hash_key, probe
from engine.coding import DecodeError


@given(st.sets(st.binary(min_size=1, max_size=40)), st.integers(1, 20))
def test_a_key_that_was_added_is_never_denied(keys: set[bytes], bits_per_key: int) -> None:
    bloom = BloomFilter.decode(BloomFilter.build(list(map(hash_key, keys)), bits_per_key).encode())

    assert all(bloom.may_contain(*probe(key)) for key in keys)


@pytest.mark.parametrize(("bits_per_key", "most"), [(8, 0.045), (12, 0.0145), (16, 0.007)])
def test_few_absent_keys_get_through(bits_per_key: int, most: float) -> None:
    """Each bound is a third above what the mathematics say."""
    bloom = BloomFilter.build([hash_key(b"in%d" % i) for i in range(10_000)], bits_per_key)

    wrong = sum(bloom.may_contain(*probe(b"out%d" % i)) for i in range(10_000))

    assert wrong / 10_000 < most


@pytest.mark.parametrize("data", [b"", b"1234567"])
def test_a_filter_has_whole_words(data: bytes) -> None:
    with pytest.raises(DecodeError):
        BloomFilter.decode(data)


def test_a_filter_is_what_its_grammar_says() -> None:
    """Written by other releases, it must be read the same: one key, its word and the rest untouched."""
    spot, bits = probe(b"a key")
    encoded = BloomFilter.build([hash_key(b"a key")], bits_per_key=192).encode()

    assert (spot, spot % 3) == (0x19DAFE33, 2)
    assert bits == 1 << 29 | 1 << 35 | 1 << 42 | 1 << 51 | 1 << 63
    assert encoded == bytes.fromhex("ff" * 16 + "ffffffdff7fbf77f")
