"""Blocks hold what was put into them, and find each key however alike the keys are."""

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.block import Block, append_records, encode_block
from engine.coding import DecodeError
from engine.record import ABSENT, Expiring
from tests.strategies import keys as any_key
from tests.strategies import records


def make(content: dict[bytes, bytes | None]) -> Block:
    keys = sorted(content)
    return Block(encode_block(keys, [content[key] for key in keys]))


@given(records, any_key)
def test_a_block_answers_as_a_dict_does(content: dict[bytes, bytes | None], other: bytes) -> None:
    assume(content)
    block = make(content)

    for key, value in content.items():
        assert block.get(key) == value
    assert block.get(other) == content.get(other, ABSENT)
    keys, values = block.run()
    assert keys == sorted(content)
    assert dict(zip(keys, values, strict=True)) == content
    assert len(block) == len(content)
    for key, value in [*content.items(), *zip(keys, values, strict=True)]:
        wanted, found = content[key], block.get(key)
        assert value.__class__ is found.__class__ is wanted.__class__
        if isinstance(wanted, Expiring):
            assert value.expires_ms == found.expires_ms == wanted.expires_ms  # type: ignore[union-attr]  # as just seen


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 400))
def test_records_of_one_size_are_read_the_quick_way(count: int, key_length: int, value_length: int) -> None:
    content = {i.to_bytes(key_length, "big"): bytes([i % 256]) * value_length for i in range(min(count, 255))}

    keys, values = make(dict(content)).run()

    assert dict(zip(keys, values, strict=True)) == content


@given(st.lists(records.filter(len), min_size=1, max_size=4), st.booleans())
def test_records_of_several_blocks_are_appended(contents: list[dict[bytes, bytes | None]], are_kept: bool) -> None:
    keys: list[bytes] = []
    values: list[bytes | None] = []

    for content in contents:
        block = make(content)
        if are_kept:
            block.append_to(keys, values)
        else:
            append_records(block.raw, keys, values)

    expected = [(key, content[key]) for content in contents for key in sorted(content)]
    assert list(zip(keys, values, strict=True)) == expected
    assert [value.__class__ for value in values] == [value.__class__ for _, value in expected]


@given(records.filter(len), st.integers(0, 1 << 16), st.integers(1, 255), st.integers(0, 30))
def test_a_damaged_block_is_appended_no_more_than_it_is_kept(
    content: dict[bytes, bytes | None], place: int, flipped: int, cut: int
) -> None:
    raw = bytearray(make(content).raw)
    raw[-1 - place % len(raw)] ^= flipped
    damaged = bytes(raw[: len(raw) - cut])

    try:
        run = Block(damaged).run()
    except DecodeError:
        with pytest.raises(DecodeError):
            append_records(damaged, [], [])
    else:
        keys: list[bytes] = []
        values: list[bytes | None] = []
        append_records(damaged, keys, values)
        assert (keys, values) == run


def test_a_key_found_inside_others_is_not_taken_for_itself() -> None:
    content = {b"ab": b"1", b"abab": b"2", b"b": None, b"ba": b"3", b"bab": b"4"}
    block = make(content)

    assert block.get(b"a") is ABSENT
    assert block.get(b"aba") is ABSENT
    assert block.get(b"abb") is ABSENT
    assert [block.get(key) for key in content] == list(content.values())


def test_a_value_is_not_a_key() -> None:
    assert make({b"a": b"xyz"}).get(b"xyz") is ABSENT


def test_a_block_may_be_larger_than_64_kib() -> None:
    content: dict[bytes, bytes | None] = {b"a" * 65_536: b"1" * 100_000, b"b": None, b"c": b""}

    assert [make(content).get(key) for key in content] == list(content.values())


def test_a_block_knows_the_memory_it_takes() -> None:
    block = make({b"%04d" % i: b"v" * 100 for i in range(40)})

    assert len(block.raw) < block.byte_size < 2 * len(block.raw)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_block_or_refused(data: bytes) -> None:
    try:
        block = Block(data)
    except DecodeError:
        return
    block.get(b"a")


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_block_that_was_cut_is_refused(cut: int) -> None:
    raw = make({b"a": b"1", b"b": b"22"}).raw

    with pytest.raises(DecodeError):
        Block(raw[:-cut])


def test_keys_that_would_reach_beyond_the_records_are_refused() -> None:
    """The ends of the values are right, and the keys have one length, but it is not theirs."""
    raw = make({b"a": b"1", b"b": b"22"}).raw
    tail = struct.Struct("<IIIIIB")
    key_length, *rest = tail.unpack(raw[-tail.size :])
    assert key_length == 1

    with pytest.raises(DecodeError, match="do not fill it"):
        Block(raw[: -tail.size] + tail.pack(1000, *rest))
