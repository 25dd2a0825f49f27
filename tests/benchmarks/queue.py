"""The engine as a queue, beside LevelDB: the first key is taken and deleted, over and over.

    python -m tests.benchmarks.queue [--pairs 50000] [--taken 20000]

Both are filled first; the log is written and not synced. Prints seconds, and the ratio of the two.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import plyvel

from engine import Engine, WriteBatch

VALUE = bytes(100)


def ringkv(directory: str, pairs: int, taken: int) -> float:
    """Seconds to take so many of so many."""
    store = Engine.open(directory)
    for number in range(pairs):
        store.put(b"%016d" % number, VALUE, sync=False)
    began = time.perf_counter()
    for _ in range(taken):
        ((key, _value),) = store.scan(limit=1)
        batch = WriteBatch()
        batch.delete(key)
        store.write(batch, sync=False)
    seconds = time.perf_counter() - began
    store.close()
    return seconds


def leveldb(directory: str, pairs: int, taken: int) -> float:
    """The same of LevelDB."""
    store = plyvel.DB(directory, create_if_missing=True)
    for number in range(pairs):
        store.put(b"%016d" % number, VALUE)
    began = time.perf_counter()
    for _ in range(taken):
        with store.iterator() as pairs_left:
            key, _value = next(pairs_left)
        store.delete(key)
    seconds = time.perf_counter() - began
    store.close()
    return seconds


def _measure(take: Callable[[str, int, int], float], pairs: int, taken: int) -> float:
    with tempfile.TemporaryDirectory() as directory:
        return take(f"{directory}/db", pairs, taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--taken", type=int, default=20_000)
    given = parser.parse_args()
    ours, theirs = (_measure(take, given.pairs, given.taken) for take in (ringkv, leveldb))
    print(
        f"{given.taken} of {given.pairs} taken: ringkv {ours:.2f} s, plyvel {theirs:.2f} s, ratio {ours / theirs:.2f}"
    )


if __name__ == "__main__":
    main()
