"""Integers, arrays and strings as bytes, and checksums.

    u32, u64   := little-endian
    varint     := seven bits a byte, lowest first; the high bit says that another byte follows
    bytes      := length:varint u8[length]

A Decoder never reads past its end and never loops without reading: damage is a DecodeError.
"""

import sys
from array import array
from collections.abc import Iterable
from itertools import chain
from operator import lt

from crc32c import crc32c

_VARINT_BYTES_MAX = 10

__all__ = [
    "DecodeError",
    "Decoder",
    "ascend",
    "crc32c",
    "decode_integers",
    "encode_bytes",
    "encode_integers",
    "encode_varint",
]


class DecodeError(Exception):
    """The bytes do not follow the grammar; who knows the file makes it a CorruptionError."""


def encode_varint(number: int) -> bytes:
    """A number of any size in as few bytes as it needs."""
    assert number >= 0, "a varint is never negative"
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def encode_bytes(data: bytes) -> bytes:
    """The data behind its length."""
    return encode_varint(len(data)) + data


def encode_integers(typecode: str, numbers: Iterable[int]) -> bytes:
    """Fixed-width integers in a row; typecode H is u16, I is u32, Q is u64."""
    encoded = array(typecode, numbers)
    if sys.byteorder == "big":
        encoded.byteswap()
    return encoded.tobytes()


def decode_integers(typecode: str, data: bytes) -> "array[int]":
    """The reverse of encode_integers. Raises: DecodeError, if they do not fill the data."""
    decoded = array(typecode)
    try:
        decoded.frombytes(data)
    except ValueError as error:
        raise DecodeError("not a whole number of integers") from error
    if sys.byteorder == "big":
        decoded.byteswap()
    return decoded


def ascend(numbers: "array[int]") -> bool:
    """Whether they begin above 0 and each is greater than the one before."""
    return all(map(lt, chain((0,), numbers), numbers))


class Decoder:
    """Reads the fields of a short message one after the other."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_done(self) -> bool:
        return self._at == len(self._data)

    def varint(self) -> int:
        number = 0
        for position, byte in enumerate(self._data[self._at : self._at + _VARINT_BYTES_MAX]):
            number |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                self._at += position + 1
                return number
        raise DecodeError("a varint has no end")

    def bytes(self) -> bytes:
        length = self.varint()
        end = self._at + length
        if end > len(self._data):
            raise DecodeError("a string is longer than what holds it")
        taken = self._data[self._at : end]
        self._at = end
        return taken
