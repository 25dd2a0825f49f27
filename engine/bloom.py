"""Bloom filter: may a table hold this key?

    filter  := word:u64[count]

A key sets four bits, or fewer where they fall together, of one word. The high half of its
128-bit hash (mmh3 x64) modulo `count` chooses the word; two fields of 12 bits, from the low
half's lowest bit up, choose the bits: each field is two bit numbers of 6 bits.

All bits of a key are in one word, as a probe costs Python more than a few false positives do:
12 bits per key let 1.1 % of absent keys through, where bits anywhere would let 0.4 %.

Source: Putze, Sanders, Singler 2007, "Cache-, Hash- and Space-Efficient Bloom Filters".
"""

from array import array
from collections.abc import Sequence

from mmh3 import mmh3_x64_128_utupledigest

from engine.coding import DecodeError, decode_integers, encode_integers

_WORD_BITS = 64
_BITS = [1 << (field & 63) | 1 << (field >> 6) for field in range(1 << 12)]


def probe(key: bytes) -> tuple[int, int]:
    """What every filter is asked about a key: where to look, and for which bits."""
    low, high = mmh3_x64_128_utupledigest(key)
    return high, _BITS[low & 4095] | _BITS[low >> 12 & 4095]


class BloomFilter:
    """Never denies a key it was built with; `words` is there for the lookup in sstable.py."""

    __slots__ = ("words",)

    def __init__(self, words: "array[int]") -> None:
        self.words = words

    @classmethod
    def build(cls, keys: Sequence[bytes], bits_per_key: int) -> "BloomFilter":
        count = max(1, len(keys) * bits_per_key // _WORD_BITS)
        words = array("Q", bytes(8 * count))
        bits = _BITS
        # `probe` written out, as this takes a fifth of a compaction's time.
        for low, high in map(mmh3_x64_128_utupledigest, keys):
            words[high % count] |= bits[low & 4095] | bits[low >> 12 & 4095]
        return cls(words)

    def may_contain(self, spot: int, bits: int) -> bool:
        return self.words[spot % len(self.words)] & bits == bits

    def encode(self) -> bytes:
        return encode_integers("Q", self.words)

    @classmethod
    def decode(cls, data: bytes) -> "BloomFilter":
        words = decode_integers("Q", data)
        if not words:
            raise DecodeError("a filter has no words")
        return cls(words)
