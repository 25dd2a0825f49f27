"""Records, what a caller writes, and the bounds of both.

    batch  := sequence:u64 count:u32 key_length:u32[count] value_length:u32[count] key* value* extras?
    extras := expiring:u32 ranges:u32 number:u32[expiring] expires_ms:u64[expiring]
              start_length:u32[ranges] end_length:u32[ranges] start* end*

A key has at most one visible record: the newest. A value of None is a tombstone: it hides every
older record of its key until compaction finds none left to hide. In a batch the length of a
tombstone's value is 2^32 - 1, and so is that of the end of a range that has none. `number` says
which records expire. The ranges of a batch are deleted before its records are written.
"""

import struct
from collections.abc import ItemsView, Iterable, Mapping
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


class Expiring(bytes):
    """A value that is there only until the clock of its store reaches `expires_ms`.

    It counts as false, so that one `all` tells, at C speed, whether any of many values needs a second look.
    """

    expires_ms: int

    def __bool__(self) -> bool:
        return False

    def has_expired(self, clock_ms: int) -> bool:
        return self.expires_ms <= clock_ms

    @classmethod
    def at(cls, expires_ms: int, value: bytes) -> "Expiring":
        expiring = cls(value)
        expiring.expires_ms = expires_ms
        return expiring


def unless_expired(value: bytes | None, clock_ms: int) -> bytes | None:
    """The plain value that is there at this time on the clock of its store."""
    if value.__class__ is not Expiring:
        return value
    return None if value.has_expired(clock_ms) else bytes(value)


# From a key up to, not including, another; None is beyond the last.
Range = tuple[bytes, bytes | None]

# Keys in order, each once, and their values.
Run = tuple[list[bytes], list[bytes | None]]

KEY_BYTES_MAX = 64 << 10
VALUE_BYTES_MAX = 32 << 20

EXPIRES_MS_MAX = (1 << 63) - 1
_NO_LENGTH = (1 << 32) - 1
_head = struct.Struct("<QI")
_single = struct.Struct("<QIII")
_extras = struct.Struct("<II")


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


def check_range(start: bytes, end: bytes | None) -> None:
    """Raises: InvalidKeyError."""
    for bound in (start, b"" if end is None else end):
        if bound.__class__ is not bytes or len(bound) > KEY_BYTES_MAX:
            raise InvalidKeyError(f"the bounds of a range are up to {KEY_BYTES_MAX} bytes, not {bound!r:.40}")


def is_covered(key: bytes, ranges: Iterable[Range]) -> bool:
    """Whether a key is in one of the ranges."""
    return any(start <= key and (end is None or key < end) for start, end in ranges)


class WriteBatch:
    """Puts and deletes that become visible, and durable, together or not at all.

    Of several records of one key the last one counts. `len()` is the number of keys,
    `byte_size` the bytes of their keys and values, those that count no more included.

    ranges   deleted before the records are written
    """

    __slots__ = ("byte_size", "ranges", "records")

    def __init__(self, pairs: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]] = ()) -> None:
        # A dict, because the memtable is one: a write is then a single dict.update at C speed.
        self.records: dict[bytes, bytes | None] = {}
        self.ranges: tuple[Range, ...] = ()
        self.byte_size = 0
        if pairs:
            self.update(pairs)

    def put(self, key: bytes, value: bytes, *, expires_ms: int | None = None) -> None:
        """Store a value; with `expires_ms` it is there until Engine.advance_clock reaches that time.

        Raises: InvalidKeyError, InvalidValueError.
        """
        # The checks are spelled out here, as a call costs more than both.
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        if value.__class__ is not bytes or len(value) > VALUE_BYTES_MAX:
            check_value(value)
        if expires_ms is not None:
            value = _expiring(value, expires_ms)
        self.records[key] = value
        self.byte_size += len(key) + len(value)

    def update(self, pairs: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]) -> None:
        """Store many values, several times as quick as one `put` for each.

        Raises: InvalidKeyError, InvalidValueError; then none is stored.
        """
        records = dict(pairs)
        values = records.values()
        is_plain = {*map(type, records), *map(type, values)} <= _PLAIN
        key_bytes = sum(map(len, records)) if is_plain else 0
        value_bytes = sum(map(len, values)) if is_plain else 0
        # None is longer than all of them together, which spares most batches a look for the longest.
        if (
            not is_plain
            or b"" in records
            or (key_bytes > KEY_BYTES_MAX and max(map(len, records)) > KEY_BYTES_MAX)
            or value_bytes > VALUE_BYTES_MAX
        ):
            # At least one is wrong, or the values are very many.
            for key, value in records.items():
                check_key(key)
                check_value(value)
        self.records.update(records)
        self.byte_size += key_bytes + value_bytes

    def delete(self, key: bytes) -> None:
        """Raises: InvalidKeyError."""
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        self.records[key] = None
        self.byte_size += len(key)

    def delete_range(self, start: bytes, end: bytes | None) -> None:
        """Delete every key with start <= key < end, what this batch has put before included; None is beyond the last.

        Raises: InvalidKeyError.
        """
        check_range(start, end)
        if end is not None and end <= start:
            return
        deleted = (start, end)
        self.records = {key: value for key, value in self.records.items() if not is_covered(key, (deleted,))}
        self.ranges = (*self.ranges, deleted)
        self.byte_size += len(start) + len(end or b"")

    @property
    def is_frugal(self) -> bool:
        """Whether it deletes, and puts nothing."""
        return not any(value is not None for value in self.records.values())

    def items(self) -> ItemsView[bytes, bytes | None]:
        return self.records.items()

    def __len__(self) -> int:
        return len(self.records)


_PLAIN = {bytes}


def _expiring(value: bytes, expires_ms: int) -> Expiring:
    if expires_ms.__class__ is not int or not 0 <= expires_ms <= EXPIRES_MS_MAX:
        raise InvalidValueError(f"a value expires at 0 to {EXPIRES_MS_MAX} ms, not {expires_ms!r}")
    return Expiring.at(expires_ms, value)


def encoded_size(batch: WriteBatch) -> int:
    """How many bytes `encode_batch` makes of it, or fewer if it puts a key more than once."""
    expiring = sum(value.__class__ is Expiring for value in batch.records.values())
    extras = _extras.size + 12 * expiring + 8 * len(batch.ranges) if expiring or batch.ranges else 0
    return _head.size + 8 * len(batch) + batch.byte_size + extras


def encode_put(sequence: int, key: bytes, value: bytes) -> bytes:
    """What `encode_batch` makes of a batch of one record that does not expire."""
    return _single.pack(sequence, 1, len(key), len(value)) + key + value


def encode_batch(sequence: int, batch: WriteBatch) -> bytes:
    """The records of one write, as they stand in the commit log."""
    records = batch.records
    if len(records) == 1 and not batch.ranges:
        # The most frequent of all, and four times as quick.
        ((key, value),) = records.items()
        if value.__class__ is bytes:
            return _single.pack(sequence, 1, len(key), len(value)) + key + value
    values = list(records.values())
    # Neither tombstones nor what expires, which count as false; empty values do, too, and get a second look.
    is_plain = all(values)
    lengths = list(map(len, records))
    if is_plain:
        lengths += map(len, values)  # type: ignore[arg-type]  # none of them is None
    else:
        lengths += [_NO_LENGTH if value is None else len(value) for value in values]
    parts = [_head.pack(sequence, len(records)), encode_integers("I", lengths), *records]
    parts += values if is_plain else [value for value in values if value is not None]  # type: ignore[arg-type]
    if batch.ranges or (not is_plain and Expiring in set(map(type, values))):
        parts.append(_encode_extras(values, batch.ranges))
    return b"".join(parts)


def _encode_extras(values: list[bytes | None], ranges: tuple[Range, ...]) -> bytes:
    expiring = [(number, value.expires_ms) for number, value in enumerate(values) if isinstance(value, Expiring)]
    ends = [end for _, end in ranges]
    lengths = [len(start) for start, _ in ranges] + [_NO_LENGTH if end is None else len(end) for end in ends]
    return b"".join(
        (
            _extras.pack(len(expiring), len(ranges)),
            encode_integers("I", [number for number, _ in expiring]),
            encode_integers("Q", [at for _, at in expiring]),
            encode_integers("I", lengths),
            *[start for start, _ in ranges],
            *[end for end in ends if end is not None],
        )
    )


def decode_batch(data: bytes) -> tuple[int, WriteBatch]:
    """The sequence and what was written. Raises: DecodeError."""
    if len(data) < _head.size:
        raise DecodeError("a batch is cut off")
    sequence, count = _head.unpack_from(data)
    keys_start = _head.size + 8 * count
    if keys_start > len(data):
        raise DecodeError("a batch is cut off")
    lengths = decode_integers("I", data[_head.size : keys_start])
    value_lengths = [0 if length == _NO_LENGTH else length for length in lengths[count:]]
    ends = list(accumulate(chain((keys_start,), lengths[:count], value_lengths)))
    if ends[-1] > len(data):
        raise DecodeError("a batch is cut off")
    fields = [data[start:end] for start, end in pairwise(ends)]
    values = [
        None if length == _NO_LENGTH else value for length, value in zip(lengths[count:], fields[count:], strict=True)
    ]
    batch = WriteBatch()
    if ends[-1] < len(data):
        batch.ranges = _decode_extras(data, ends[-1], values)
    batch.records = dict(zip(fields[:count], values, strict=True))
    batch.byte_size = ends[-1] - keys_start + sum(len(start) + len(end or b"") for start, end in batch.ranges)
    return sequence, batch


def _decode_extras(data: bytes, at: int, values: list[bytes | None]) -> tuple[Range, ...]:
    """The ranges of a batch; values that expire are replaced. Raises: DecodeError."""
    if len(data) - at < _extras.size:
        raise DecodeError("the extras of a batch are cut off")
    expiring, ranges = _extras.unpack_from(data, at)
    borders = list(accumulate((at + _extras.size, 4 * expiring, 8 * expiring, 8 * ranges)))
    if borders[-1] > len(data) or not (expiring or ranges):
        raise DecodeError("the extras of a batch are cut off")
    numbers = decode_integers("I", data[borders[0] : borders[1]])
    times = decode_integers("Q", data[borders[1] : borders[2]])
    lengths = decode_integers("I", data[borders[2] : borders[3]])
    for number, expires_ms in zip(numbers, times, strict=True):
        value = values[number] if number < len(values) else None
        if value is None or expires_ms > EXPIRES_MS_MAX:
            raise DecodeError("what expires is no value")
        values[number] = Expiring.at(expires_ms, value)
    sizes = [0 if length == _NO_LENGTH else length for length in lengths]
    ends = list(accumulate(chain((borders[3],), sizes)))
    if ends[-1] != len(data):
        raise DecodeError("the lengths in a batch do not add up")
    bounds = [data[start:end] for start, end in pairwise(ends)]
    upper = [
        None if length == _NO_LENGTH else end for length, end in zip(lengths[ranges:], bounds[ranges:], strict=True)
    ]
    return tuple(zip(bounds[:ranges], upper, strict=True))
