"""Where the time of one row goes, and what its calls into C alone would take.

    python -m tests.benchmarks.engine_profile ROW [--pairs 200000] [--value-bytes 100] [--seconds 5] [--store plyvel]

ROW is a name in the engine's table, or the start or a part of one: "write, batches of 100", "one level:
get, absent". A timer interrupts the thread every millisecond of processor time and notes the line it is in,
or the one after a long call into C; all times are processor time of this thread, so that flush, compaction
and other programs do not count, nor does waiting. The floor is the sum of what CPython's and the libraries'
C functions cost for the same work, called in a loop by themselves on data that is in the processor's cache:
no program in Python that does this work this way can be quicker. For rows that write it says as well what
each record costs the worker process, which flushes it meanwhile: in the long run nobody can write more quickly.
Of another store it only says what an operation costs, in processor time of the same kind.
"""

import argparse
import linecache
import os
import random
import signal
import struct
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from types import FrameType

import lz4.block
from crc32c import crc32c

from engine import Options, OsFileSystem
from engine.bloom import PATTERNS, BloomFilter, hash_key
from engine.cache import BlockCache
from engine.jobs import Workshop, flush
from engine.memtable import Memtable
from engine.orders import decode_records, encode_records
from engine.record import ABSENT
from engine.version import NOTHING
from tests.benchmarks import engine_rows as rows
from tests.benchmarks.dataset import KEY_BYTES, Pair, fresh, make_pairs, random_keys, random_value
from tests.benchmarks.engine_rows import ROWS, Row, each, hundreds
from tests.benchmarks.stores import BLOCK_BYTES, FILTER_BITS, STORES, Memory, Store, exhaust

INTERVAL_SECONDS = 0.001
LINES = 25
REPEATS = 7

WRITES = {rows.WRITE_BATCHES, rows.WRITE_BATCHES_SYNCED, rows.WRITE_SINGLY, rows.WRITE_SINGLY_SYNCED, rows.LOAD}

Lines = Counter[tuple[str, int, str]]


@contextmanager
def sampled(lines: Lines) -> Iterator[None]:
    """Count the lines the main thread is in, while it runs."""

    def note(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            lines[code.co_filename, frame.f_lineno or 0, code.co_qualname] += 1

    previous = signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def format_lines(lines: Lines) -> str:
    total = sum(lines.values())
    root = str(Path(__file__).resolve().parents[2])
    shown = []
    for (file, line, name), hits in lines.most_common(LINES):
        place = f"{file.removeprefix(root + '/')}:{line}"
        text = linecache.getline(file, line).strip()
        shown.append(f"{100 * hits / total:5.1f} %  {place:30} {name:34.34} {text[:60]}")
    return "\n".join(shown)


class Work:
    """Does the work of a row in passes of known length."""

    def __init__(self, directory: Path, count: int, value_bytes: int, store: str) -> None:
        self._new_store = STORES[store]
        self._directory = directory
        self._rng = random.Random(2)
        self.pairs = make_pairs(count, value_bytes, seed=1)
        self._sample = [key for key, _ in self._rng.sample(self.pairs, min(count, rows.SAMPLE_KEYS))]
        self._stores = 0
        self._store: Store | None = None

    def passes(self, row: Row) -> Iterator[tuple[Callable[[], object], int]]:
        """What to measure, made ready, and how many operations it is."""
        if row in {rows.WRITE_BATCHES, rows.LOAD, rows.WRITE_BATCHES_SYNCED}:
            yield from self._write_batches(row)
        elif row in {rows.WRITE_SINGLY, rows.WRITE_SINGLY_SYNCED}:
            yield from self._write_singly(row)
        else:
            yield from self._read(row)

    def _open(self, memory: Memory = rows.MEMORY) -> Store:
        self._store = self._new_store(self._directory / str(self._stores), memory)
        return self._store

    def close(self) -> None:
        """No pass is needed any more."""
        if self._store is not None:
            self._store.close()

    def _write_batches(self, row: Row) -> Iterator[tuple[Callable[[], object], int]]:
        count = rows.BATCH_PAIRS
        pairs = self.pairs
        if row is rows.WRITE_BATCHES_SYNCED:
            pairs = pairs[: rows.SYNCED_BATCHES * count]
        batches = [pairs[first : first + count] for first in range(0, len(pairs), count)]
        while True:
            self._stores += 1
            store = self._open()

            def write(store: Store = store) -> None:
                for batch in batches:
                    store.write(batch, row is rows.WRITE_BATCHES_SYNCED)
                if row is rows.LOAD:
                    store.compact()

            yield write, len(pairs)
            store.close()

    def _write_singly(self, row: Row) -> Iterator[tuple[Callable[[], object], int]]:
        pairs = self.pairs[: rows.SYNCED_BATCHES * rows.BATCH_PAIRS]
        while True:
            self._stores += 1
            store = self._open()

            def write(store: Store = store) -> None:
                put = store.put
                for number, (key, value) in enumerate(pairs):
                    if row is rows.WRITE_SINGLY_SYNCED and number % rows.BATCH_PAIRS == 0:
                        store.put_synced(key, value)
                    else:
                        put(key, value)

            yield write, len(pairs)
            store.close()

    def _read(self, row: Row) -> Iterator[tuple[Callable[[], object], int]]:
        store = self._open()
        for first in range(0, len(self.pairs), rows.BATCH_PAIRS):
            store.write(self.pairs[first : first + rows.BATCH_PAIRS], False)
        if row in {rows.GET_UNCACHED, rows.GET_ROW, rows.SCAN} or row.name.startswith("one level"):
            store.compact()
            store.close()
            memories = {rows.GET_UNCACHED: rows.NOTHING_CACHED, rows.GET_ROW: rows.ROWS_CACHED}
            store = self._open(memories.get(row, rows.MEMORY))
        read_all = each(store.get)
        if row in {rows.MULTI_GET, rows.ONE_LEVEL_MULTI_GET}:
            read_all = hundreds(store.multi_get)
        for _ in range(3):
            read_all(fresh(self._sample))
        while True:
            if row is rows.SCAN:
                yield store.scan, len(self.pairs)
                continue
            if row in {rows.GET_ABSENT, rows.ONE_LEVEL_ABSENT}:
                keys = random_keys(self._rng, len(self._sample))
            elif row is rows.GET_RECENT:
                keys = fresh([key for key, _ in self.pairs[-rows.RECENT_KEYS :]] * 20)
            else:
                self._rng.shuffle(self._sample)
                keys = fresh(self._sample)
            yield partial(read_all, keys), len(keys)


@dataclass(frozen=True, slots=True)
class Call:
    """One call into C, or a step of the interpreter: how many an operation needs, and what one costs.

    known   nanoseconds of one, where it cannot be run by itself
    """

    name: str
    per_operation: float
    run: Callable[[], object] | None = None
    known: float = 0.0

    def nanoseconds(self) -> float:
        """Of one call: the best of some repeats, less what it costs to call nothing."""
        return self.known if self.run is None else max(_best(self.run) - _best(_nothing), 0.0)


def _nothing() -> None:
    pass


def _hash_nanoseconds(keys: list[bytes]) -> float:
    """Of a key that no dict has seen."""
    taken = []
    for _ in range(REPEATS):
        new = fresh(keys)
        started = time.thread_time()
        for _ in map(hash, new):
            pass
        taken.append(time.thread_time() - started)
    return min(taken) / len(keys) * 1e9


def _lock_and_unlock(lock: threading.Lock) -> Callable[[], object]:
    def run() -> None:
        lock.acquire()
        lock.release()

    return run


def _best(run: Callable[[], object]) -> float:
    number = 1
    while True:
        started = time.thread_time()
        for _ in range(number):
            run()
        elapsed = time.thread_time() - started
        if elapsed > 0.02:
            break
        number *= 4
    best = elapsed
    for _ in range(REPEATS):
        started = time.thread_time()
        for _ in range(number):
            run()
        best = min(best, time.thread_time() - started)
    return best / number * 1e9


class Floor:
    """The calls of each row, on data like the row's."""

    def __init__(self, directory: Path, value_bytes: int) -> None:
        rng = random.Random(7)
        self._keys = random_keys(rng, 2000)
        self._batch = [(key, random_value(rng, value_bytes)) for key in self._keys[:100]]
        self._key, self._value = self._batch[50]
        per_block = max(BLOCK_BYTES // (KEY_BYTES + value_bytes), 1)
        self._block_keys = sorted(self._keys[:per_block])
        self._in_block = self._block_keys[per_block // 2]
        self._block = b"".join([*self._block_keys, *[random_value(rng, value_bytes) for _ in self._block_keys]])
        self._packed = lz4.block.compress(self._block)
        self._per_block = per_block
        self._value_bytes = value_bytes
        self._index = sorted(self._keys)
        self._words = BloomFilter.build(list(map(hash_key, self._keys)), FILTER_BITS).words
        file = os.open(directory / "floor", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.write(file, self._packed)
        self._file = file

    def calls(self, row: Row) -> list[Call]:
        if row in {rows.WRITE_BATCHES, rows.WRITE_BATCHES_SYNCED, rows.LOAD}:
            return self._write_batches(row)
        if row in {rows.WRITE_SINGLY, rows.WRITE_SINGLY_SYNCED}:
            return self._write_singly(row)
        if row is rows.SCAN:
            return self._scan()
        return self._get(row)

    def _write_batches(self, row: Row) -> list[Call]:
        batch, share = self._batch, 1 / len(self._batch)
        records = dict(batch)
        payload = b"".join(chain(records, records.values()))
        memtable: dict[bytes, bytes] = {}
        calls = [
            Call("dict(pairs)", share, lambda: dict(batch)),
            Call("types and lengths of keys and values", 4 * share, lambda: sum(map(len, records))),
            Call("b''.join of keys and values", share, lambda: b"".join(chain(records, records.values()))),
            Call("crc32c of the frame", share, lambda: crc32c(payload)),
            Call("os.write of the frame", share, lambda: os.write(self._file, payload)),
            Call("dict.update of the memtable", share, lambda: memtable.update(records)),
        ]
        if row is rows.WRITE_BATCHES_SYNCED:
            calls.append(Call("os.fdatasync", share, self._synced_write(payload)))
        if row is rows.LOAD:
            calls += self._write_table()
        return calls

    def _synced_write(self, payload: bytes) -> Callable[[], object]:
        def run() -> None:
            os.write(self._file, payload)
            os.fdatasync(self._file)

        return run

    def _write_table(self) -> list[Call]:
        """Once; each compaction that a record takes part in costs this and reading again."""
        keys = list(self._keys)
        share = 1 / self._per_block
        return [
            Call("sort", 1 / len(keys), lambda: sorted(keys)),
            Call("join of a block", share, lambda: b"".join(self._block_keys)),
            Call("LZ4 of a block", share, lambda: lz4.block.compress(self._block)),
            Call("crc32c of a block", share, lambda: crc32c(self._packed)),
            Call("hash of a key for the filter", 1, lambda: hash_key(self._key)),
            Call("os.write of a block", share, lambda: os.write(self._file, self._packed)),
        ]

    def _write_singly(self, row: Row) -> list[Call]:
        key, value = self._key, self._value
        pack = struct.Struct("<QIII").pack
        payload = pack(1, 1, len(key), len(value)) + key + value
        memtable: dict[bytes, bytes] = {}
        calls = [
            # Of put and what it calls, down to the file's write.
            Call("calls in Python", 7, lambda: _nothing()),
            Call("lock and unlock", 1, _lock_and_unlock(threading.Lock())),
            Call("pack and join the frame", 1, lambda: pack(1, 1, len(key), len(value)) + key + value),
            Call("crc32c of the frame", 1, lambda: crc32c(payload)),
            Call("os.write of the frame", 1, lambda: os.write(self._file, payload)),
            Call("into the dict of the memtable", 1, lambda: memtable.__setitem__(key, value)),
        ]
        if row is rows.WRITE_SINGLY_SYNCED:
            calls.append(Call("os.fdatasync", 1 / rows.BATCH_PAIRS, self._synced_write(payload)))
        return calls

    def _get(self, row: Row) -> list[Call]:
        recent: dict[bytes, bytes] = dict(self._batch)
        absent = bytes(bytearray(self._keys[-1]))
        calls = [
            Call("a call in Python", 1, lambda: _nothing()),
            Call("hash of a new key for dicts", 1, known=_hash_nanoseconds(self._keys)),
            Call("dict.get of the memtable", 1, lambda: recent.get(absent, ABSENT)),
        ]
        if row is rows.GET_RECENT or row is rows.GET_ROW:
            return calls
        words, count = self._words, len(self._words)
        spot = hash_key(absent)
        bits = PATTERNS[spot >> 20]
        calls += [
            Call("hash for the filters", 1, lambda: hash_key(absent)),
            Call("pattern of the hash", 1, lambda: PATTERNS[spot >> 20]),
            Call("bisect for the table, in one level", 1, lambda: bisect_left(self._block_keys, absent)),
            Call("look into a filter, in one level", 1, lambda: words[spot % count] & bits),
        ]
        if row in {rows.GET_ABSENT, rows.ONE_LEVEL_ABSENT}:
            return calls
        block, key, end = self._block, self._in_block, KEY_BYTES * self._per_block
        calls.append(Call("bisect for the block", 1, lambda: bisect_left(self._index, key)))
        if row is not rows.GET_UNCACHED:
            opened = dict.fromkeys(self._block_keys, self._value)
            return [*calls, Call("dict.get of an open block", 1, lambda: opened.get(key, ABSENT))]
        size = len(self._packed)
        return [
            *calls,
            Call("os.pread of the block", 1, lambda: os.pread(self._file, size, 0)),
            Call("crc32c of the block", 1, lambda: crc32c(self._packed)),
            Call("LZ4 of the block", 1, lambda: lz4.block.decompress(self._packed)),
            Call("find in the block", 1, lambda: block.find(key, 0, end)),
            Call("slice of the value", 1, lambda: block[end : end + self._value_bytes]),
        ]

    def _scan(self) -> list[Call]:
        count, share = self._per_block, 1 / self._per_block
        pairs = [(self._key, self._value)] * 1000
        unpack_keys = struct.Struct(f"{KEY_BYTES}s" * count).unpack_from
        unpack_values = struct.Struct(f"{self._value_bytes}s" * count).unpack_from
        return [
            Call("crc32c of a block", share, lambda: crc32c(self._packed)),
            Call("LZ4 of a block", share, lambda: lz4.block.decompress(self._packed)),
            Call("unpack the keys", share, lambda: unpack_keys(self._block)),
            Call("unpack the values", share, lambda: unpack_values(self._block, KEY_BYTES * count)),
            Call("iterate over pairs", 1 / len(pairs), lambda: exhaust(zip(pairs, pairs, strict=True))),
        ]


def flush_nanoseconds(directory: Path, pairs: list[Pair]) -> float:
    """Of the worker's processor time, for each of these records: to take it over, and to write it into a table."""
    memtable = Memtable(NOTHING)
    memtable.write(dict(pairs), sum(len(key) + len(value) for key, value in pairs), NOTHING)
    pieces = list(encode_records(memtable))
    options = Options(filter_bits_per_key=FILTER_BITS, block_bytes=BLOCK_BYTES)
    workshop = Workshop(OsFileSystem(), str(directory), options, BlockCache(0), count(1).__next__, lambda: None)
    taken = []
    for _ in range(3):
        started = time.thread_time()
        received = Memtable(NOTHING)
        for piece in pieces:
            received.records.update(decode_records(piece))
        flush(workshop, received)
        taken.append(time.thread_time() - started)
    return min(taken) / len(pairs) * 1e9


def find_row(words: str) -> Row:
    found = [row for row in ROWS if row.name == words]
    found = found or [row for row in ROWS if row.name.startswith(words)] or [row for row in ROWS if words in row.name]
    if len(found) != 1 or found[0].is_size:
        raise SystemExit(f"{words!r} is not one of:\n  " + "\n  ".join(row.name for row in ROWS if not row.is_size))
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row")
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--store", choices=STORES, default="ringkv")
    options = parser.parse_args()
    row = find_row(options.row)
    lines: Lines = Counter()
    costs: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        work = Work(directory, options.pairs, options.value_bytes, options.store)
        spent = 0.0
        for number, (run, operations) in enumerate(work.passes(row)):
            started = time.thread_time()
            if number % 2:
                # Every other pass: to be interrupted costs time as well.
                with sampled(lines):
                    run()
            else:
                run()
                costs.append((time.thread_time() - started) / operations * 1e9)
            spent += time.thread_time() - started
            if spent > options.seconds and number:
                break
        work.close()
        cost = sorted(costs)[len(costs) // 2]
        print(f"{row.name}: {cost:,.0f} ns each, {1e9 / cost:,.0f} a second\n")
        if options.store != "ringkv":
            return
        print(format_lines(lines) + "\n")
        total = 0.0
        for call in Floor(directory, options.value_bytes).calls(row):
            each_ns = call.nanoseconds()
            total += each_ns * call.per_operation
            print(f"{each_ns * call.per_operation:8,.0f} ns  {call.name}")
        print(
            f"{total:8,.0f} ns  floor: {1e9 / total:,.0f} a second at most, {100 * total / cost:.0f} % of what it takes"
        )
        if row in WRITES:
            flushed = flush_nanoseconds(directory, work.pairs)
            print(f"{flushed:8,.0f} ns  flush, in the worker process: {1e9 / flushed:,.0f} a second in the long run")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
