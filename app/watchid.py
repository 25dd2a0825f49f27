"""Ids of a watch: how far it has come in each of its partitions. To the client they are opaque.

    id       := "w1." base64url(body crc:u32)                  without padding
    body     := first:varint (entry:varint ordinal:varint)*    positions of partitions `first`, `first` + 1, …
    short    := "w2." base64url(segment:u8[6] count:varint crc:u32)        what Ledger.find resolves
    place    := partition:varint entry:varint ordinal:varint               of a segment

A varint has seven bits a byte, the lowest first. The checksum (CRC-32, little-endian) is of the cluster's id and the
body: what another cluster gave out, or what was cut or made up, is no id here.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from zlib import crc32

from raftgroups import Position

_START = b"w1."
_SHORT_START = b"w2."
_ID = re.compile(rb"w[12]\.[A-Za-z0-9_-]{8,32768}")
_SEGMENT_BYTES = 6
_CRC_BYTES = 4
_INTEGER_BITS_MAX = 63


def encode_position(position: Position) -> bytes:
    """Its part of a body."""
    return _encode_varint(position.entry) + _encode_varint(position.ordinal)


class WatchIds:
    """The ids of one cluster."""

    def __init__(self, cluster_id: str) -> None:
        self._seed = crc32(cluster_id.encode())

    def encode(self, first: int, parts: Iterable[bytes]) -> bytes:
        """The id of these positions, each encoded."""
        return self._seal(_START, encode_body(first, parts))

    def decode(self, text: bytes) -> dict[int, Position] | None:
        """The positions by partition; None, if it is no id of this cluster, or a short one."""
        body = self._open(_START, text)
        return None if body is None else decode_body(body)

    def encode_short(self, segment: bytes, count: int) -> bytes:
        """The id of so many events of a segment."""
        return self._seal(_SHORT_START, segment + _encode_varint(count))

    def decode_short(self, text: bytes) -> tuple[bytes, int] | None:
        """The segment, and how many of its events; None, if it is no short id of this cluster."""
        body = self._open(_SHORT_START, text)
        numbers = None if body is None else _decode_varints(body[_SEGMENT_BYTES:])
        if body is None or numbers is None or len(numbers) != 1:
            return None
        return body[:_SEGMENT_BYTES], numbers[0]

    def _seal(self, start: bytes, body: bytes) -> bytes:
        crc = crc32(body, self._seed).to_bytes(_CRC_BYTES, "little")
        return start + urlsafe_b64encode(body + crc).rstrip(b"=")

    def _open(self, start: bytes, text: bytes) -> bytes | None:
        if not text.startswith(start) or _ID.fullmatch(text) is None:
            return None
        encoded = text[len(start) :]
        try:
            data = urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
        except binascii.Error:
            return None
        body, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
        return body if crc32(body, self._seed).to_bytes(_CRC_BYTES, "little") == crc else None


def encode_body(first: int, parts: Iterable[bytes]) -> bytes:
    """Positions, each encoded, of the partitions from `first` on."""
    return _encode_varint(first) + b"".join(parts)


def decode_body(body: bytes) -> dict[int, Position] | None:
    """The positions by partition; None, if it is malformed."""
    numbers = _decode_varints(body)
    if numbers is None or len(numbers) % 2 == 0:
        return None
    places = zip(numbers[1::2], numbers[2::2], strict=True)
    return {numbers[0] + place: Position(*position) for place, position in enumerate(places)}


def encode_place(partition: int, position: Position) -> bytes:
    """The place of one event."""
    return _encode_varint(partition) + encode_position(position)


def decode_places(data: bytes) -> list[tuple[int, Position]]:
    """The places of events, in their order; what is malformed is none."""
    numbers = _decode_varints(data) or []
    return [(numbers[at], Position(numbers[at + 1], numbers[at + 2])) for at in range(0, len(numbers) - 2, 3)]


def _encode_varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _decode_varints(data: bytes) -> list[int] | None:
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if byte >= 0x80:
            shift += 7
            if shift >= _INTEGER_BITS_MAX:
                return None
        else:
            numbers.append(number)
            number = shift = 0
    return numbers if not shift else None
