"""Bloom filter: may a table hold this key?

    filter  := word:u64[count]

At first all bits of all words are set. A key clears five bits, or fewer where they fall together, of
one word. Its 32-bit hash (mmh3 x86, seed 0) modulo `count` chooses the word; the hash's highest 12 bits
choose the bits: with x the lower 6 of them and y the upper 6, it clears bit x, then adds y to x and, the
n-th time, n to y, all modulo 64. A key of which any bit is set is not there.

All bits of a key are in one word, as a probe costs Python more than a few false positives do:
12 bits per key let 1.2 % of absent keys through, where bits anywhere would let 0.4 %. Bits are cleared,
not set, as `word & bits` then says no without a comparison.

Source: Putze, Sanders, Singler 2007, "Cache-, Hash- and Space-Efficient Bloom Filters"; for the bits
Dillinger, Manolios 2004, "Bloom Filters in Probabilistic Verification", enhanced double hashing.
"""

from array import array
from collections.abc import Sequence

from mmh3 import mmh3_32_uintdigest

from engine.coding import DecodeError, decode_integers, encode_integers

_WORD_BITS = 64
KEY_BITS = 5
_ALL = (1 << _WORD_BITS) - 1

PATTERN_SHIFT = 20
hash_key = mmh3_32_uintdigest


def _pattern(x: int, y: int) -> int:
    bits = 0
    for n in range(1, KEY_BITS + 1):
        bits |= 1 << x
        x, y = (x + y) % _WORD_BITS, (y + n) % _WORD_BITS
    return bits


# By the highest bits of a hash: what its key clears.
PATTERNS = [_pattern(field & 63, field >> 6) for field in range(1 << 12)]
_KEPT = [_ALL ^ bits for bits in PATTERNS]


def probe(key: bytes) -> tuple[int, int]:
    """What every filter is asked about a key: where to look, and for which bits; view.py has it written out."""
    spot = hash_key(key)
    return spot, PATTERNS[spot >> PATTERN_SHIFT]


class BloomFilter:
    """Never denies a key that it was built for; `words` is there for the lookups in view.py and sstable.py."""

    __slots__ = ("words",)

    def __init__(self, words: "array[int]") -> None:
        self.words = words

    @classmethod
    def build(cls, hashes: Sequence[int], bits_per_key: int) -> "BloomFilter":
        """One for the keys with these hashes, each of them once."""
        count = max(1, len(hashes) * bits_per_key // _WORD_BITS)
        words = array("Q", b"\xff" * (8 * count))
        kept = _KEPT
        # `probe` written out: twice as quick.
        for spot in hashes:
            words[spot % count] &= kept[spot >> PATTERN_SHIFT]
        return cls(words)

    def may_contain(self, spot: int, bits: int) -> bool:
        return not self.words[spot % len(self.words)] & bits

    def encode(self) -> bytes:
        return encode_integers("Q", self.words)

    @classmethod
    def decode(cls, data: bytes) -> "BloomFilter":
        words = decode_integers("Q", data)
        if not words:
            raise DecodeError("a filter has no words")
        return cls(words)
