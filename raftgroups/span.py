"""Span: the keys of one partition that a scan asks for, and the piece of them that a replica gives."""

from collections.abc import Iterator

import msgspec

from raftgroups.item import Item, decode_item, encode_item, is_absent
from raftgroups.level import Receipt
from raftgroups.schema import EXPIRY, USER

# The engine copies its memtable for a scan of more; and so much of a disk may be waited for by one worker.
SPAN_KEYS_MAX = 1_000
SPAN_BYTES_MAX = 1 << 20

Pair = tuple[bytes, bytes]
"""A user's key, and the encoded Item under it."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """start <= key < end, in key order.

    end        None is above every key
    limit      how many keys to look at, 1 to SPAN_KEYS_MAX
    bytes_max  look no further once the keys and items are so long; one pair is always taken
    keys_only  of each item give the revision alone
    reverse    the last key first
    """

    start: bytes = b""
    end: bytes | None = None
    limit: int = SPAN_KEYS_MAX
    bytes_max: int = SPAN_BYTES_MAX
    keys_only: bool = False
    reverse: bool = False

    def stored(self) -> tuple[bytes, bytes]:
        """The bounds of the records in the engine."""
        return USER + self.start, EXPIRY if self.end is None else USER + self.end


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a Span.

    pairs    those that are there; fewer than were looked at where some had expired
    reached  the last key looked at; None at the end of the Span
    """

    pairs: list[Pair]
    reached: bytes | None = None


class Scanned(msgspec.Struct, frozen=True):
    """What a scan found, and its receipt."""

    piece: Piece
    receipt: Receipt


def take_piece(records: Iterator[tuple[bytes, bytes]], span: Span, clock_ms: int) -> Piece:
    """What begins the records of a Span, at this state-machine time."""
    pairs: list[Pair] = []
    looked_at = size = 0
    key = b""
    for stored_key, stored in records:
        if looked_at >= span.limit or size >= span.bytes_max:
            return Piece(pairs, key)
        key = stored_key[1:]
        looked_at += 1
        if is_absent(stored, clock_ms):
            continue
        item = encode_item(Item(decode_item(stored).revision, b"")) if span.keys_only else stored
        size += len(key) + len(item)
        pairs.append((key, item))
    return Piece(pairs)
