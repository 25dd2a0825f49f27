"""What is written into the stores that are compared: random keys, and values of known compressibility.

Keys are 16 random bytes in random order. A value is a random half, repeated: what LevelDB's and RocksDB's
own benchmarks take for data that compresses to half. No value is like another, so that nothing is to be
gained across records.
"""

import random
from collections.abc import Iterator

KEY_BYTES = 16
_VALUES = 200_000  # as many as cannot meet in a block or a dictionary
_CHUNK = 1000

Pair = tuple[bytes, bytes]


def random_keys(rng: random.Random, count: int) -> list[bytes]:
    """Such keys as the stores hold; those of another generator they do not hold."""
    data = rng.randbytes(KEY_BYTES * count)
    return [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]


def random_value(rng: random.Random, value_bytes: int) -> bytes:
    half = rng.randbytes((value_bytes + 1) // 2)
    return (half + half)[:value_bytes]


def make_pairs(count: int, value_bytes: int, seed: int) -> list[Pair]:
    """All at once, for a store that is to be measured without them being made meanwhile."""
    rng = random.Random(seed)
    values = [random_value(rng, value_bytes) for _ in range(min(count, _VALUES))]
    return [(key, values[number % len(values)]) for number, key in enumerate(random_keys(rng, count))]


def stream_pairs(count: int, value_bytes: int, seed: int) -> Iterator[list[Pair]]:
    """A thousand at a time, for more than memory may hold."""
    keys_rng = random.Random(seed)
    filler = random.Random(seed + 1).randbytes(1 << 20)
    half = (value_bytes + 1) // 2
    for first in range(0, count, _CHUNK):
        pairs = []
        for key in random_keys(keys_rng, min(_CHUNK, count - first)):
            start = int.from_bytes(key[:4], "little") % (len(filler) - half)
            part = filler[start : start + half]
            pairs.append((key, (part + part)[:value_bytes]))
        yield pairs


def fresh(keys: list[bytes]) -> list[bytes]:
    """Equal keys that are other objects, as a caller's are: Python remembers the hash of those it knows."""
    return list(map(bytes, map(bytearray, keys)))
