"""Records, what a caller writes, and the bounds of both.

    batch  := sequence:u64 count:u32 key_length:u32[count] value_length:u32[count] key* value*

A key has at most one visible record: the newest. A value of None is a tombstone: it hides every
older record of its key until compaction finds none left to hide. In a batch the length of a
tombstone's value is 2^32 - 1.
"""

import struct
from collections.abc import ItemsView, Mapping
from enum import Enum
from itertools import accumulate, chain, pairwise
from typing import Final, Literal, NewType

from engine.coding import DecodeError, decode_integers, encode_integers
from engine.errors import InvalidKeyError, InvalidValueError

SequenceNumber = NewType("SequenceNumber", int)


class Absence(Enum):
    """Its one member is what a lookup answers when it knows of no record, not even a tombstone."""

    ABSENT = 0


ABSENT: Final = Absence.ABSENT
Found = bytes | None | Literal[Absence.ABSENT]

# Keys in order, each once, and their values.
Run = tuple[list[bytes], list[bytes | None]]

KEY_BYTES_MAX = 64 << 10
VALUE_BYTES_MAX = 32 << 20

_TOMBSTONE_LENGTH = (1 << 32) - 1
_head = struct.Struct("<QI")
_single = struct.Struct("<QIII")


def check_key(key: bytes) -> None:
    """Raises: InvalidKeyError."""
    if key.__class__ is not bytes:
        raise InvalidKeyError(f"a key is bytes, not {type(key).__name__}")
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise InvalidKeyError(f"a key has 1 to {KEY_BYTES_MAX} bytes, not {len(key)}")


def check_value(value: bytes) -> None:
    """Raises: InvalidValueError."""
    if value.__class__ is not bytes:
        raise InvalidValueError(f"a value is bytes, not {type(value).__name__}")
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidValueError(f"a value has at most {VALUE_BYTES_MAX} bytes, not {len(value)}")


class WriteBatch:
    """Puts and deletes that become visible, and durable, together or not at all.

    Of several records of one key the last one counts. `len()` is the number of keys,
    `byte_size` the bytes of their keys and values.
    """

    __slots__ = ("byte_size", "records")

    def __init__(self) -> None:
        # A dict, because the memtable is one: a write is then a single dict.update at C speed.
        self.records: dict[bytes, bytes | None] = {}
        self.byte_size = 0

    def put(self, key: bytes, value: bytes) -> None:
        # The checks are spelled out here, as a call costs more than both.
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        if value.__class__ is not bytes or len(value) > VALUE_BYTES_MAX:
            check_value(value)
        self.records[key] = value
        self.byte_size += len(key) + len(value)

    def delete(self, key: bytes) -> None:
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        self.records[key] = None
        self.byte_size += len(key)

    def items(self) -> ItemsView[bytes, bytes | None]:
        return self.records.items()

    def __len__(self) -> int:
        return len(self.records)


def encoded_size(batch: WriteBatch) -> int:
    """How many bytes `encode_batch` makes of it, or fewer if it puts a key more than once."""
    return _head.size + 8 * len(batch) + batch.byte_size


def encode_batch(sequence: int, records: Mapping[bytes, bytes | None]) -> bytes:
    """The records of one write, as they stand in the commit log."""
    if len(records) == 1:
        # The most frequent of all, and four times as quick.
        ((key, value),) = records.items()
        if value is not None:
            return _single.pack(sequence, 1, len(key), len(value)) + key + value
    values = list(records.values())
    try:
        lengths = list(map(len, values))  # type: ignore[arg-type]  # a tombstone is rare: it ends in the except
        joined = b"".join(values)  # type: ignore[arg-type]  # as above
    except TypeError:
        lengths = [_TOMBSTONE_LENGTH if value is None else len(value) for value in values]
        joined = b"".join([value for value in values if value is not None])
    lengths[:0] = map(len, records)
    return b"".join((_head.pack(sequence, len(records)), encode_integers("I", lengths), *records, joined))


def decode_batch(data: bytes) -> tuple[int, dict[bytes, bytes | None]]:
    """The sequence and the records. Raises: DecodeError."""
    if len(data) < _head.size:
        raise DecodeError("a batch is cut off")
    sequence, count = _head.unpack_from(data)
    keys_start = _head.size + 8 * count
    if keys_start > len(data):
        raise DecodeError("a batch is cut off")
    lengths = decode_integers("I", data[_head.size : keys_start])
    value_lengths = [0 if length == _TOMBSTONE_LENGTH else length for length in lengths[count:]]
    ends = list(accumulate(chain((keys_start,), lengths[:count], value_lengths)))
    if ends[-1] != len(data):
        raise DecodeError("the lengths in a batch do not add up")
    fields = [data[start:end] for start, end in pairwise(ends)]
    values = [
        None if length == _TOMBSTONE_LENGTH else value
        for length, value in zip(lengths[count:], fields[count:], strict=True)
    ]
    return sequence, dict(zip(fields[:count], values, strict=True))
