"""A block: a sorted run of records in one string of bytes.

    block      := key* value* key_end:uN[count]? value_end:uN[count]? tombstone:uN[tombstones]
                  expiring:uN[expiries] expires_ms:u64[expiries] tail
    tail       := key_length:u32 value_length:u32 count:u32 tombstones:u32 expiries:u32 width:u8

uN is u16 or u32: width is 2 or 4. Keys that are all of one length have it in key_length, and no
key_end; else key_length is 0, and key_end says where each key ends. So do values, but for the 1 that
is added to value_length. Ends are counted from the start of the block; a key or value begins where
the one before it ends. `tombstone` numbers the records without a value; theirs is empty. `expiring`
numbers those that are there only until their `expires_ms`.

Keys lie together so that one search at C speed finds a key. Its place is then checked, since its bytes
may also turn up within another key or across two.
"""

import struct
from array import array
from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import ClassVar

from engine.coding import DecodeError, decode_integers, encode_integers
from engine.record import ABSENT, EXPIRES_MS_MAX, Expiring, Found, Run

_tail = struct.Struct("<IIIIIB")
_TYPECODES = {2: "H", 4: "I"}
_OBJECT_BYTES = 400  # of a Block with its parts, beyond their contents
_EXPIRY_BYTES = 120


@lru_cache(256)
def _fields(length: int, count: int) -> struct.Struct:
    return struct.Struct(f"{length}s" * count)


def encode_block(keys: list[bytes], values: list[bytes | None]) -> bytes:
    """The records, sorted by key, as a block."""
    count = len(keys)
    assert count == len(values) > 0, "a block has records"
    tombstones: list[int] = []
    joined_keys = b"".join(keys)
    present: list[bytes]
    try:
        joined_values = b"".join(values)  # type: ignore[arg-type]  # a tombstone ends in the except
        present = values  # type: ignore[assignment]  # as above
    except TypeError:
        tombstones = [number for number, value in enumerate(values) if value is None]
        present = [b"" if value is None else value for value in values]
        joined_values = b"".join(present)
    key_length, value_length = len(keys[0]), len(present[0]) + 1
    ends: list[int] = []
    # As many different lengths as one: the sum alone could deceive.
    if len(set(map(len, keys))) > 1:
        key_length = 0
        ends += accumulate(map(len, keys))
    if len(set(map(len, present))) > 1:
        value_length = 0
        ends += list(accumulate(map(len, present), initial=len(joined_keys)))[1:]
    width = 2 if len(joined_keys) + len(joined_values) < 1 << 16 and count < 1 << 16 else 4
    expiries: list[tuple[int, int]] = []
    if not all(present):
        expiries = [(number, value.expires_ms) for number, value in enumerate(present) if isinstance(value, Expiring)]
    numbers = times = b""
    if ends or tombstones or expiries:
        numbers = encode_integers(_TYPECODES[width], chain(ends, tombstones, [number for number, _ in expiries]))
        times = encode_integers("Q", [at for _, at in expiries])
    tail = _tail.pack(key_length, value_length, count, len(tombstones), len(expiries), width)
    return b"".join((joined_keys, joined_values, numbers, times, tail))


def append_records(raw: bytes, keys: list[bytes], values: list[bytes | None]) -> None:
    """Append those of a block that is not kept. Raises: DecodeError."""
    if len(raw) >= _tail.size:
        # Most blocks are like this; to make a Block of one takes a quarter more time.
        key_length, value_length, count, tombstones, expiries, _ = _tail.unpack_from(raw, len(raw) - _tail.size)
        keys_end = key_length * count
        values_end = keys_end + (value_length - 1) * count
        if keys_end and value_length and not (tombstones or expiries) and values_end == len(raw) - _tail.size:
            keys += _fields(key_length, count).unpack_from(raw)
            values += _fields(value_length - 1, count).unpack_from(raw, keys_end)
            return
    Block(raw).append_to(keys, values)


class Block:
    """A block in memory, as it is kept in the cache.

    raw           the block itself
    byte_size     memory it takes
    hits          uses since the cache looked at it for what to drop
    rows          those of an OpenBlock; this one has none
    """

    rows: ClassVar[None] = None

    __slots__ = (
        "_count", "_expiries", "_key_ends", "_key_length", "_keys_end", "_tombstones", "_value_ends", "_value_length",
        "byte_size", "hits", "raw",
    )  # fmt: skip

    def __init__(self, raw: bytes) -> None:
        """Raises: DecodeError."""
        if len(raw) < _tail.size:
            raise DecodeError("a block is shorter than its tail")
        key_length, value_length, count, tombstones, expiries, width = _tail.unpack_from(raw, len(raw) - _tail.size)
        self.raw = raw
        self.hits = 0
        self.byte_size = len(raw) + _OBJECT_BYTES
        self._count: int = count
        self._key_length: int = key_length
        self._value_length: int = value_length - 1
        self._key_ends: array[int] | None = None
        self._value_ends: array[int] | None = None
        self._tombstones: frozenset[int] | None = None
        self._expiries: dict[int, int] | None = None
        if key_length and value_length and not (tombstones or expiries) and count:
            self._keys_end: int = key_length * count
            start = self._keys_end + (value_length - 1) * count
            if start != len(raw) - _tail.size:
                raise DecodeError("a block's records do not fill it")
            return
        self._decode_numbers(tombstones, expiries, width)

    def _decode_numbers(self, tombstones: int, expiries: int, width: int) -> None:
        count = self._count
        key_ends = 0 if self._key_length else count
        value_ends = 0 if self._value_length >= 0 else count
        typecode = _TYPECODES.get(width)
        times_end = len(self.raw) - _tail.size
        end = times_end - 8 * expiries
        start = end - (key_ends + value_ends + tombstones + expiries) * width
        if typecode is None or start < 0 or not count:
            raise DecodeError("a block's tail does not fit it")
        numbers = decode_integers(typecode, self.raw[start:end])
        self.byte_size += end - start
        if key_ends:
            self._key_ends = numbers[:count]
        if value_ends:
            self._value_ends = numbers[key_ends : key_ends + count]
        expiring_start = key_ends + value_ends + tombstones
        if tombstones:
            self._tombstones = frozenset(numbers[key_ends + value_ends : expiring_start])
        if expiries:
            self._expiries = dict(
                zip(numbers[expiring_start:], decode_integers("Q", self.raw[end:times_end]), strict=True)
            )
            self.byte_size += _EXPIRY_BYTES * expiries
        self._keys_end = self._key_ends[-1] if self._key_ends else self._key_length * count
        last = self._value_ends[-1] if self._value_ends else self._keys_end + self._value_length * count
        if last != start or self._keys_end > start or max(self._tombstones or (), default=0) >= count:
            raise DecodeError("a block's records do not fill it")
        if self._expiries and (max(self._expiries) >= count or max(self._expiries.values()) > EXPIRES_MS_MAX):
            raise DecodeError("what expires is no record")

    def __len__(self) -> int:
        return self._count

    def get(self, key: bytes) -> Found:
        start = self.raw.find(key, 0, self._keys_end)
        if start < 0:
            return ABSENT
        key_length = self._key_length
        if key_length:
            if len(key) != key_length:
                return ABSENT
            number = start // key_length
            if number * key_length != start:
                number = self._search(key)
        else:
            number = self._check(key, start)
        if number < 0:
            return ABSENT
        if self._tombstones is not None and number in self._tombstones:
            return None
        ends = self._value_ends
        if ends is None:
            length = self._value_length
            start = self._keys_end + number * length
            value = self.raw[start : start + length]
        else:
            value = self.raw[ends[number - 1] if number else self._keys_end : ends[number]]
        if self._expiries is not None and number in self._expiries:
            return Expiring.at(self._expiries[number], value)
        return value

    def _check(self, key: bytes, start: int) -> int:
        """The number of the key if it is the one found there, else what a search finds."""
        ends = self._key_ends
        assert ends is not None, "keys of many lengths have their ends"
        end = start + len(key)
        number = bisect_left(ends, end)
        if ends[number] == end and (ends[number - 1] if number else 0) == start:
            return number
        return self._search(key)

    def _search(self, key: bytes) -> int:
        """The number of the key, -1 if it is not there."""
        number = bisect_left(range(self._count), key, key=self._key)
        return number if number < self._count and self._key(number) == key else -1

    def _key(self, number: int) -> bytes:
        ends = self._key_ends
        if ends is None:
            return self.raw[number * self._key_length : (number + 1) * self._key_length]
        return self.raw[ends[number - 1] if number else 0 : ends[number]]

    def run(self) -> Run:
        """All records."""
        run: Run = [], []
        self.append_to(*run)
        return run

    def append_to(self, keys: list[bytes], values: list[bytes | None]) -> None:
        """Append all records."""
        raw, count = self.raw, self._count
        # One unpack is 7 times as quick as slices.
        if self._key_ends is None:
            keys += _fields(self._key_length, count).unpack_from(raw)
        else:
            keys += [raw[start:end] for start, end in pairwise(chain((0,), self._key_ends))]
        first = len(values)
        if self._value_ends is None:
            values += _fields(self._value_length, count).unpack_from(raw, self._keys_end)
        else:
            values += [raw[start:end] for start, end in pairwise(chain((self._keys_end,), self._value_ends))]
        for number in self._tombstones or ():
            values[first + number] = None
        for number, expires_ms in (self._expiries or {}).items():
            values[first + number] = Expiring.at(expires_ms, values[first + number] or b"")
