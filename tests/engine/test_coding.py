"""Integers and strings as bytes."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.coding import (
    DecodeError,
    Decoder,
    ascend,
    crc32c,
    decode_integers,
    encode_bytes,
    encode_integers,
    encode_varint,
)


@given(st.lists(st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=40))))
def test_a_message_is_decoded_as_encoded(fields: list[int | bytes]) -> None:
    message = b"".join(encode_varint(f) if isinstance(f, int) else encode_bytes(f) for f in fields)
    decoder = Decoder(message)

    assert [decoder.varint() if isinstance(f, int) else decoder.bytes() for f in fields] == fields
    assert decoder.is_done


@given(st.binary(max_size=30))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    decoder = Decoder(data)

    while not decoder.is_done:
        try:
            decoder.bytes()
        except DecodeError:
            break


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11])
def test_a_varint_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Decoder(data).varint()


def test_integers_are_little_endian() -> None:
    assert encode_integers("H", [1, 258]) == b"\1\0\2\1"
    assert list(decode_integers("I", b"\1\0\0\0\0\1\0\0")) == [1, 256]
    with pytest.raises(DecodeError):
        decode_integers("Q", bytes(9))


def test_the_checksum_is_crc32c() -> None:
    """RFC 3720, appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], True), ([1], True), ([1, 2, 9], True), ([0], False), ([1, 1], False), ([2, 1, 3], False)],
)
def test_numbers_ascend_or_do_not(numbers: list[int], expected: bool) -> None:
    assert ascend(array("Q", numbers)) == expected
