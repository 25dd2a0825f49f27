"""A block: a sorted run of records in one string of bytes.

    block      := key* value* end:uN[2 * count] tombstone:uN[tombstones] tail
    tail       := count:u32 tombstones:u32 width:u8            uN is u16 or u32: width is 2 or 4

`end` says where each key ends, then where each value ends, counted from the start of the block;
each begins where the one before it ends. `tombstone` numbers the records without a value.
Keys lie together so that one search at C speed finds a key; its place is then checked, since its
bytes may also turn up within or across others.
"""

import struct
from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate, chain, pairwise

from engine.coding import DecodeError, decode_integers, encode_integers
from engine.record import ABSENT, Found, Run

_tail = struct.Struct("<IIB")
_TYPECODES = {2: "H", 4: "I"}
_OBJECT_BYTES = 400  # of a Block with its parts, beyond their contents


@lru_cache(maxsize=256)
def _uniform_ends(key_length: int, value_length: int, count: int) -> bytes:
    keys = range(key_length, key_length * count + 1, key_length)
    start = key_length * count
    if not value_length:
        return _ends([*keys, *[start] * count])
    return _ends([*keys, *range(start + value_length, start + value_length * count + 1, value_length)])


def _ends(ends: list[int]) -> bytes:
    return encode_integers("H" if ends[-1] < 1 << 16 else "I", ends)


def encode_block(keys: list[bytes], values: list[bytes | None]) -> bytes:
    """The records, sorted by key, as a block."""
    count = len(keys)
    assert count == len(values) > 0, "a block has records"
    tombstones: list[int] = []
    try:
        joined = b"".join(keys) + b"".join(values)  # type: ignore[arg-type]  # a tombstone ends in the except
        present: list[bytes] = values  # type: ignore[assignment]  # as above
    except TypeError:
        tombstones = [number for number, value in enumerate(values) if value is None]
        present = [b"" if value is None else value for value in values]
        joined = b"".join(keys) + b"".join(present)
    key_lengths = set(map(len, keys))
    value_lengths = set(map(len, present))
    if len(key_lengths) == len(value_lengths) == 1:
        ends = _uniform_ends(key_lengths.pop(), value_lengths.pop(), count)
    else:
        ends = _ends(list(accumulate(chain(map(len, keys), map(len, present)))))
    width = len(ends) // (2 * count)
    marked = encode_integers(_TYPECODES[width], tombstones) if tombstones else b""
    return b"".join((joined, ends, marked, _tail.pack(count, len(tombstones), width)))


class Block:
    """A block in memory, as it is kept in the cache.

    raw           the block itself
    byte_size     memory it takes
    referenced    set by every use; the cache clears it when it looks for what to drop
    """

    __slots__ = ("_count", "_ends", "_tombstones", "byte_size", "raw", "referenced")

    def __init__(self, raw: bytes) -> None:
        """Raises: DecodeError."""
        if len(raw) < _tail.size:
            raise DecodeError("a block is shorter than its tail")
        count: int
        count, tombstones, width = _tail.unpack_from(raw, len(raw) - _tail.size)
        typecode = _TYPECODES.get(width)
        start = len(raw) - _tail.size - (2 * count + tombstones) * width
        if typecode is None or start < 0 or not count:
            raise DecodeError("a block's tail does not fit it")
        numbers = decode_integers(typecode, raw[start : len(raw) - _tail.size])
        if numbers[2 * count - 1] != start:
            raise DecodeError("a block's records do not fill it")
        self.raw = raw
        self._count = count
        self._ends = numbers
        self._tombstones = frozenset(numbers[2 * count :]) if tombstones else None
        self.byte_size = len(raw) + len(numbers) * width + _OBJECT_BYTES
        self.referenced = False

    def __len__(self) -> int:
        return self._count

    def get(self, key: bytes) -> Found:
        ends = self._ends
        count = self._count
        start = self.raw.find(key, 0, ends[count - 1])
        if start < 0:
            return ABSENT
        end = start + len(key)
        number = bisect_left(ends, end, 0, count)
        if ends[number] != end or (ends[number - 1] if number else 0) != start:
            # Found within other keys: look again, by order.
            number = bisect_left(range(count), key, key=self._key)
            if number == count or self._key(number) != key:
                return ABSENT
        if self._tombstones is not None and number in self._tombstones:
            return None
        number += count
        return self.raw[ends[number - 1] : ends[number]]

    def _key(self, number: int) -> bytes:
        return self.raw[self._ends[number - 1] if number else 0 : self._ends[number]]

    def run(self) -> Run:
        """All records."""
        count = self._count
        ends = self._ends
        raw = self.raw
        uniform = self._uniform_lengths()
        values: list[bytes | None]
        if uniform is None:
            keys = [raw[start:end] for start, end in pairwise(chain((0,), ends[:count]))]
            values = [raw[start:end] for start, end in pairwise(ends[count - 1 : 2 * count])]
        else:
            # 7 times as quick as slices.
            fields = struct.unpack_from(f"{uniform[0]}s" * count + f"{uniform[1]}s" * count, raw)
            keys = list(fields[:count])
            values = list(fields[count:])
        if self._tombstones is not None:
            for number in self._tombstones:
                values[number] = None
        return keys, values

    def _uniform_lengths(self) -> tuple[int, int] | None:
        count = self._count
        ends = self._ends
        key_length = ends[0]
        value_length = ends[count] - ends[count - 1]
        expected = _uniform_ends(key_length, value_length, count) if key_length else b""
        if len(expected) != 2 * count * ends.itemsize:
            return None
        if decode_integers(ends.typecode, expected) != ends[: 2 * count]:
            return None
        return key_length, value_length
