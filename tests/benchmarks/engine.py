"""The engine beside RocksDB (rocksdict, raw mode), LevelDB (plyvel) and LMDB, in one run.

    python -m tests.benchmarks.engine [--pairs 200000] [--value-bytes 100] [--only ringkv,plyvel]

Each store runs in a process of its own, one after the other, with the same 16-byte keys in the same
random order. A write is in the store's log, not synced, unless the row says so. The ratio is that of
operations per second to the better of rocksdict and plyvel; of bytes on disk less is better.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.stores import STORES, Pair, Store

BATCH_PAIRS = 100
KEY_BYTES = 16
CACHE_BYTES = 256 << 20
RECENT_KEYS = 1000
SECONDS = 1.5  # for each reading row
BYTES_ON_DISK = "bytes on disk per pair"


def make_pairs(count: int, value_bytes: int, seed: int) -> list[Pair]:
    """Random keys; values of which half can be compressed, as much real data can."""
    rng = random.Random(seed)
    half = value_bytes // 2
    return [(rng.randbytes(KEY_BYTES), rng.randbytes(value_bytes - half) + b"v" * half) for _ in range(count)]


def rate(operation: Callable[[bytes], object], keys: list[bytes]) -> float:
    """Operations per second over the keys, again and again for a while."""
    done = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        for key in keys:
            operation(key)
        done += len(keys)
    return done / elapsed


class Run:
    """All rows of one store."""

    def __init__(self, name: str, directory: Path, count: int, value_bytes: int) -> None:
        self._open: Callable[[Path, int], Store] = STORES[name]
        self._path = directory / name
        self._rng = random.Random(2)
        self._pairs = make_pairs(count, value_bytes, seed=1)
        self._others = make_pairs(max(count // 10, BATCH_PAIRS), value_bytes, seed=3)
        self._few = min(count, 20_000)
        self._rows: dict[str, float] = {}

    def measure(self) -> dict[str, float]:
        self._write()
        self._read(cold=True)
        self._read(cold=False)
        return self._rows

    def _sample(self) -> list[bytes]:
        return [key for key, _ in self._rng.sample(self._pairs, self._few)]

    def _write(self) -> None:
        rows, pairs = self._rows, self._pairs
        store = self._open(self._path, CACHE_BYTES)
        started = time.perf_counter()
        for first in range(0, len(pairs), BATCH_PAIRS):
            store.write(pairs[first : first + BATCH_PAIRS], False)
        written = time.perf_counter()
        rows["write, batches of 100"] = len(pairs) / (written - started)
        recent = [key for key, _ in pairs[-RECENT_KEYS:]]
        rows["get, recent key"] = rate(store.get, recent)
        compacting = time.perf_counter()
        store.compact()
        total = written - started + time.perf_counter() - compacting
        rows["load until compacted"] = len(pairs) / total
        size = sum(file.stat().st_blocks * 512 for file in self._path.rglob("*") if file.is_file())
        started = time.perf_counter()
        for key, value in self._others:
            store.put(key, value)
        rows["write, one by one"] = len(self._others) / (time.perf_counter() - started)
        synced = self._others[: 200 * BATCH_PAIRS]
        started = time.perf_counter()
        for first in range(0, len(synced), BATCH_PAIRS):
            store.write(synced[first : first + BATCH_PAIRS], True)
        rows["write, batches of 100, synced"] = len(synced) / (time.perf_counter() - started)
        store.compact()
        store.close()
        rows[BYTES_ON_DISK] = size / len(pairs)

    def _read(self, *, cold: bool) -> None:
        rows = self._rows
        store = self._open(self._path, 0 if cold else CACHE_BYTES)
        sample = self._sample()
        if cold:
            store.multi_get(sample)  # the files into the page cache, indexes and filters into memory
            rows["get, no block cache"] = rate(store.get, sample)
            store.close()
            return
        for key, value in self._rng.sample(self._pairs, self._few):
            assert store.get(key) == value
        for key, _ in self._pairs:
            store.get(key)
        rows["get, cached block"] = rate(store.get, sample)
        rows["get, absent key"] = rate(store.get, [self._rng.randbytes(KEY_BYTES) for _ in sample])
        groups = [sample[first : first + 100] for first in range(0, len(sample), 100)]
        numbers = [number.to_bytes(4, "big") for number in range(len(groups))]
        by_number = dict(zip(numbers, groups, strict=True))
        rows["multi_get of 100"] = 100 * rate(lambda number: store.multi_get(by_number[number]), numbers)
        started = time.perf_counter()
        found = store.scan()
        rows["scan of everything"] = found / (time.perf_counter() - started)
        assert found == len(self._pairs) + len(self._others), f"{found} pairs were found"
        store.close()


def print_table(results: dict[str, dict[str, float]], count: int, value_bytes: int) -> None:
    names = list(results)
    print(f"\n{count:,} pairs, {KEY_BYTES}-byte keys, {value_bytes}-byte values; operations per second\n")
    print("| | " + " | ".join(names) + " | ratio |")
    print("|---|" + "---:|" * (len(names) + 1))
    for row in results[names[0]]:
        values = {name: results[name][row] for name in names}
        peers = [values[name] for name in ("rocksdict", "plyvel") if name in values]
        if not peers or "ringkv" not in values:
            ratio = ""
        elif row == BYTES_ON_DISK:
            ratio = f"{values['ringkv'] / min(peers):.2f}"
        else:
            ratio = f"{values['ringkv'] / max(peers):.2f}"
        print(f"| {row} | " + " | ".join(f"{value:,.0f}" for value in values.values()) + f" | {ratio} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--only", default=",".join(STORES))
    parser.add_argument("--in", dest="directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.directory:
        run = Run(options.only, Path(options.directory), options.pairs, options.value_bytes)
        print(json.dumps(run.measure()))
        return
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in options.only.split(","):
            print(f"{name} ...", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "tests.benchmarks.engine", "--in", directory, "--only", name]
            command += ["--pairs", str(options.pairs), "--value-bytes", str(options.value_bytes)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            results[name] = json.loads(output)
    print_table(results, options.pairs, options.value_bytes)


if __name__ == "__main__":
    main()
