"""Every row of the engine's table, for one store in a process of its own.

    python -m tests.benchmarks.engine_rows STORE DIRECTORY [--pairs 1000000] [--value-bytes 100] [--cpu]

1. All pairs are written in batches of 100; what the store does in the background meanwhile, and the
   stalls that come of it, are part of the rate. Then the store settles, and is read as it has come to be,
   with all its levels and with what it still has in memory: keys just written; keys whose blocks are all
   in the block cache, which is large enough for them; absent keys; 100 keys at a time.
2. All is merged into one level: "load until compacted" is the time from the first write to that, less
   the reading. Reopened, it is read once more: the same; everything in order; without a block cache, so
   that each get reads a block from the page cache; and with a row cache, where there is one.
3. A second, empty store: pairs written one by one; then with a sync for every hundred, in batches and
   one by one.

A reading row is the median of many passes over 20,000 keys of those written first, in random order, which
are new objects each time. Files are on disk before a phase begins. It prints the rows as JSON.

With --cpu reading rows go by the processor time of the thread that reads, which is the same on an idle
machine, and of use on one that is not.
"""

import argparse
import gc
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.activity import disk_bytes, settle
from tests.benchmarks.dataset import Pair, fresh, make_pairs, random_keys
from tests.benchmarks.stores import HAVE_ROW_CACHE, STORES, Memory, Store

MEMORY = Memory()
NOTHING_CACHED = replace(MEMORY, blocks=0)
ROWS_CACHED = replace(MEMORY, blocks=0, rows=MEMORY.blocks)
BATCH_PAIRS = 100
RECENT_KEYS = 1000
SAMPLE_KEYS = 20_000
CHECKED_PAIRS = 1000
SYNCED_BATCHES = 200
SECONDS = 1.0  # for each reading row


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured: operations per second, or bytes.

    target   the ratio to the better of rocksdict and plyvel that the engine is to reach, None if there is none
    """

    name: str
    target: float | None = None
    is_size: bool = False


WRITE_BATCHES = Row("write, batches of 100", 3.0)
WRITE_BATCHES_SYNCED = Row("write, batches of 100, each synced")
WRITE_SINGLY = Row("write, one by one", 1.5)
WRITE_SINGLY_SYNCED = Row("write, one by one, each 100th synced")
LOAD = Row("load until compacted", 0.5)
GET_RECENT = Row("get, recent key", 5.0)
GET_CACHED = Row("get, cached block", 1.0)
GET_ABSENT = Row("get, absent key", 2.0)
MULTI_GET = Row("multi_get of 100", 1.0)
GET_UNCACHED = Row("get, no block cache", 0.4)
SCAN = Row("scan of everything", 1.0)
GET_ROW = Row("get, row cache")
ONE_LEVEL_CACHED = Row("one level: get, cached block", 1.0)
ONE_LEVEL_ABSENT = Row("one level: get, absent key", 2.0)
ONE_LEVEL_MULTI_GET = Row("one level: multi_get of 100", 1.0)
SIZE = Row("bytes on disk per pair", 1.1, is_size=True)
ROWS = (
    *(WRITE_BATCHES, WRITE_BATCHES_SYNCED, WRITE_SINGLY, WRITE_SINGLY_SYNCED, LOAD),
    *(GET_RECENT, GET_CACHED, GET_ABSENT, MULTI_GET, GET_UNCACHED, GET_ROW, SCAN),
    *(ONE_LEVEL_CACHED, ONE_LEVEL_ABSENT, ONE_LEVEL_MULTI_GET, SIZE),
)


def each(get: Callable[[bytes], object]) -> Callable[[list[bytes]], None]:
    def read_all(keys: list[bytes]) -> None:
        for key in keys:
            get(key)

    return read_all


def hundreds(multi_get: Callable[[Sequence[bytes]], object]) -> Callable[[list[bytes]], None]:
    def read_all(keys: list[bytes]) -> None:
        for first in range(0, len(keys), BATCH_PAIRS):
            multi_get(keys[first : first + BATCH_PAIRS])

    return read_all


class Run:
    """All rows of one store."""

    def __init__(self, name: str, directory: Path, count: int, value_bytes: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._new_store: Callable[[Path, Memory], Store] = STORES[name]
        self._has_row_cache = name in HAVE_ROW_CACHE
        self._directory = directory / name
        self._directory.mkdir()
        self._rng = random.Random(2)
        self._pairs = make_pairs(count, value_bytes, seed=1)
        # Written first, so that no store has them in a memtable any more.
        first = self._pairs[: max(count // 4, 1)]
        self._sample = [key for key, _ in self._rng.sample(first, min(len(first), SAMPLE_KEYS))]
        self.rows: dict[str, float] = {}
        # The pairs are no concern of the collector's, whoever causes it to run.
        gc.collect()
        gc.freeze()

    def measure(self) -> None:
        self._load()
        self._read_one_level()
        self._trickle()

    def _rate(self, read_all: Callable[[list[bytes]], object], make_keys: Callable[[], list[bytes]]) -> float:
        """Keys per second: the median of passes over keys that are made anew for each."""
        rates: list[float] = []
        spent = 0.0
        while spent < SECONDS or len(rates) < 5:
            keys = make_keys()
            started = self._clock()
            read_all(keys)
            elapsed = self._clock() - started
            rates.append(len(keys) / elapsed)
            spent += elapsed
        return statistics.median(rates)

    def _open(self, name: str, memory: Memory = MEMORY) -> Store:
        os.sync()
        return self._new_store(self._directory / name, memory)

    def _load(self) -> None:
        store, rows = self._open("loaded"), self.rows
        batches = _batches(self._pairs)
        started = time.perf_counter()
        for batch in batches:
            store.write(batch, False)
        written = time.perf_counter()
        rows[WRITE_BATCHES.name] = len(self._pairs) / (written - started)
        spent = max(settle(), written) - started
        recent = [key for key, _ in self._pairs[-RECENT_KEYS:]]
        rows[GET_RECENT.name] = self._rate(each(store.get), lambda: fresh(recent * (SAMPLE_KEYS // RECENT_KEYS)))
        self._read(store, GET_CACHED, GET_ABSENT, MULTI_GET)
        started = time.perf_counter()
        store.compact()
        rows[LOAD.name] = len(self._pairs) / (spent + time.perf_counter() - started)
        store.close()
        rows[SIZE.name] = disk_bytes(self._directory / "loaded") / len(self._pairs)

    def _read(self, store: Store, cached: Row, absent: Row, multi_get: Row) -> None:
        for key, value in self._rng.sample(self._pairs, min(len(self._pairs), CHECKED_PAIRS)):
            assert store.get(key) == value
        for _ in range(3):
            each(store.get)(self._fresh_sample())
        self.rows[cached.name] = self._rate(each(store.get), self._fresh_sample)
        self.rows[multi_get.name] = self._rate(hundreds(store.multi_get), self._fresh_sample)
        self.rows[absent.name] = self._rate(each(store.get), self._absent)

    def _absent(self) -> list[bytes]:
        return random_keys(self._rng, len(self._sample))

    def _fresh_sample(self) -> list[bytes]:
        self._rng.shuffle(self._sample)
        return fresh(self._sample)

    def _read_one_level(self) -> None:
        store, rows = self._open("loaded"), self.rows
        self._read(store, ONE_LEVEL_CACHED, ONE_LEVEL_ABSENT, ONE_LEVEL_MULTI_GET)
        rows[SCAN.name] = self._scan(store)
        store.close()
        store = self._open("loaded", NOTHING_CACHED)
        each(store.get)(self._fresh_sample())  # the files into the page cache, indexes and filters into memory
        rows[GET_UNCACHED.name] = self._rate(each(store.get), self._fresh_sample)
        store.close()
        if self._has_row_cache:
            store = self._open("loaded", ROWS_CACHED)
            for _ in range(3):
                each(store.get)(self._fresh_sample())
            rows[GET_ROW.name] = self._rate(each(store.get), self._fresh_sample)
            store.close()

    def _scan(self, store: Store) -> float:
        rates = []
        for _ in range(3):
            started = self._clock()
            found = store.scan()
            rates.append(found / (self._clock() - started))
            assert found == len(self._pairs), f"{found} pairs were found"
        return statistics.median(rates)

    def _trickle(self) -> None:
        store, rows = self._open("trickled"), self.rows
        pairs = self._pairs[: max(len(self._pairs) // 4, BATCH_PAIRS)]
        started = time.perf_counter()
        put = store.put
        for key, value in pairs:
            put(key, value)
        rows[WRITE_SINGLY.name] = len(pairs) / (time.perf_counter() - started)
        settle()
        os.sync()
        batches = _batches(self._pairs[-SYNCED_BATCHES * BATCH_PAIRS :])
        started = time.perf_counter()
        for batch in batches:
            store.write(batch, True)
        rows[WRITE_BATCHES_SYNCED.name] = BATCH_PAIRS * len(batches) / (time.perf_counter() - started)
        started = time.perf_counter()
        for batch in batches:
            for key, value in batch[1:]:
                put(key, value)
            store.put_synced(*batch[0])
        rows[WRITE_SINGLY_SYNCED.name] = BATCH_PAIRS * len(batches) / (time.perf_counter() - started)
        store.close()


def _batches(pairs: list[Pair]) -> list[list[Pair]]:
    return [pairs[first : first + BATCH_PAIRS] for first in range(0, len(pairs), BATCH_PAIRS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", choices=STORES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    run = Run(options.store, options.directory, options.pairs, options.value_bytes, clock)
    run.measure()
    print(json.dumps(run.rows))


if __name__ == "__main__":
    main()
