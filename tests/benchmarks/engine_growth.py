"""Stores with far more data than they may have in memory: what they cost to fill, to open and to read.

    python -m tests.benchmarks.engine_growth [--pairs 10000000] [--value-bytes 100] [--only ringkv,plyvel] [--json FILE]

Random keys and values (dataset.py) are written in batches of 100, not synced, each store set up as in
stores.py, but so that 256 MiB resident are enough: ringkv is told that number, the others get memtables of
16 MiB and a block cache of 128. "settled" is when nothing is left to do in the background; nothing is merged
beyond that. Write amplification is what was written to files, logs included, for each byte of keys and
values. Then another process opens the store and gets keys all over it: with nothing in the page cache, with
all of it there, and keys that are absent. Resident is the most that a process and its children ever had;
with LMDB and LevelDB, which map their files, that has pages of these, which the kernel may take back.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.activity import disk_bytes, peak_bytes, settle, written_bytes
from tests.benchmarks.dataset import KEY_BYTES, random_keys, stream_pairs
from tests.benchmarks.stores import STORES, Memory

BATCH_PAIRS = 100
RESIDENT_MIB_MAX = 256
MEMORY = Memory(memtable=16 << 20, blocks=128 << 20, resident=RESIDENT_MIB_MAX << 20)
COLD_GETS = 2_000
WARM_GETS = 50_000
SEED = 1

Facts = dict[str, float]

WRITE_RATE = "written, pairs/s"
SETTLED_RATE = "settled, pairs/s"
AMPLIFICATION = "write amplification"
SIZE = "bytes on disk per pair"
OPEN = "open and first get, ms"
COLD = "get, cold page cache, us"
WARM = "get, warm page cache, us"
WARM_P99 = "same, p99, us"
ABSENT = "get, absent key, us"
WRITE_MEMORY = "resident while writing, MiB"
READ_MEMORY = "resident while reading, MiB"
FACTS = (
    *(WRITE_RATE, SETTLED_RATE, AMPLIFICATION, SIZE, OPEN, COLD, WARM, WARM_P99, ABSENT),
    *(WRITE_MEMORY, READ_MEMORY),
)


def load(name: str, path: Path, count: int, value_bytes: int) -> Facts:
    before = written_bytes()
    store = STORES[name](path, MEMORY)
    spent = 0.0
    for pairs in stream_pairs(count, value_bytes, SEED):
        batches = [pairs[first : first + BATCH_PAIRS] for first in range(0, len(pairs), BATCH_PAIRS)]
        started = time.perf_counter()
        for batch in batches:
            store.write(batch, False)
        spent += time.perf_counter() - started
    ended = time.perf_counter()
    rest = settle()
    written = written_bytes() - before
    peak = peak_bytes()
    store.close()
    return {
        WRITE_RATE: count / spent,
        SETTLED_RATE: count / (spent + max(rest - ended, 0)),
        AMPLIFICATION: written / (count * (KEY_BYTES + value_bytes)),
        SIZE: disk_bytes(path) / count,
        WRITE_MEMORY: peak / (1 << 20),
    }


def read(name: str, path: Path, count: int, value_bytes: int) -> Facts:
    rng = random.Random(2)
    present = list(_sample(count, value_bytes, WARM_GETS + COLD_GETS))
    rng.shuffle(present)
    STORES[name](path.with_name("other"), MEMORY).close()  # its modules into memory
    forget_pages(path)
    started = time.perf_counter()
    store = STORES[name](path, MEMORY)
    assert store.get(present[-1]) is not None
    opened = time.perf_counter() - started
    cold = _time(store.get, present[:COLD_GETS])
    warm_pages(path)
    _time(store.get, present[COLD_GETS : COLD_GETS + WARM_GETS // 5])  # indexes and filters into memory
    warm = _time(store.get, present[COLD_GETS:])
    absent = _time(store.get, random_keys(rng, WARM_GETS), is_there=False)
    peak = peak_bytes()
    store.close()
    return {
        OPEN: opened * 1e3,
        COLD: statistics.mean(cold) * 1e6,
        WARM: statistics.mean(warm) * 1e6,
        WARM_P99: statistics.quantiles(warm, n=100)[98] * 1e6,
        ABSENT: statistics.mean(absent) * 1e6,
        READ_MEMORY: peak / (1 << 20),
    }


def _sample(count: int, value_bytes: int, size: int) -> Iterator[bytes]:
    """Keys that were written, from all over them."""
    step = max(count // size, 1)
    number = 0
    for pairs in stream_pairs(count, value_bytes, SEED):
        for key, _ in pairs:
            if number % step == 0:
                yield key
            number += 1


def _time(get: Callable[[bytes], bytes | None], keys: list[bytes], *, is_there: bool = True) -> list[float]:
    """Seconds that each get took."""
    clock = time.perf_counter
    taken = []
    for key in keys:
        started = clock()
        value = get(key)
        taken.append(clock() - started)
        assert (value is not None) == is_there
    return taken


def forget_pages(path: Path) -> None:
    """Take a store's files out of the page cache."""
    os.sync()
    for file in path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def warm_pages(path: Path) -> None:
    """Bring them back."""
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                while opened.read(1 << 20):
                    pass


def measure(name: str, count: int, value_bytes: int) -> Facts:
    """Both phases of a store, each in a process of its own."""
    facts: Facts = {}
    with tempfile.TemporaryDirectory() as directory:
        for phase in PHASES:
            command = [sys.executable, "-m", "tests.benchmarks.engine_growth", "--only", name, "--phase", phase]
            command += ["--in", directory, "--pairs", str(count), "--value-bytes", str(value_bytes)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            facts |= json.loads(output)
    return facts


def format_table(results: dict[str, Facts]) -> str:
    lines = ["| | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for fact in FACTS:
        values = [facts[fact] for facts in results.values()]
        lines.append(f"| {fact} | " + " | ".join(f"{v:,.0f}" if v >= 100 else f"{v:.1f}" for v in values) + " |")
    return "\n".join(lines)


PHASES = {"load": load, "read": read}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--only", default=",".join(STORES))
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        facts = PHASES[options.phase](options.only, options.directory / "db", options.pairs, options.value_bytes)
        print(json.dumps(facts))
        return
    results = {}
    started = time.monotonic()
    for name in options.only.split(","):
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = measure(name, options.pairs, options.value_bytes)
    print(f"\n{options.pairs:,} pairs, {KEY_BYTES}-byte keys, {options.value_bytes}-byte values\n")
    print(format_table(results))
    print(f"\n{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"pairs": options.pairs, "stores": results}, indent=1) + "\n")
    if "ringkv" in results:
        resident = max(results["ringkv"][fact] for fact in (WRITE_MEMORY, READ_MEMORY))
        print(f"ringkv had at most {resident:.0f} of {RESIDENT_MIB_MAX} MiB resident")
        if resident > RESIDENT_MIB_MAX:
            sys.exit("that is too much")


if __name__ == "__main__":
    main()
