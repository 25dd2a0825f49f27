"""Memory of an engine with far more data than it may keep: written, reopened, read back, deleted.

    python -m tests.benchmarks.engine_memory [--pairs 2000000]

Each phase runs in a process of its own and reports its peak resident memory.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from engine import Engine, Options, WriteBatch

OPTIONS = Options(memtable_bytes_max=1 << 20, cache_bytes_max=8 << 20)
VALUE_BYTES = 100
BATCH_PAIRS = 100


def pairs(count: int, seed: int = 1) -> Iterator[tuple[bytes, bytes]]:
    """Random keys of 16 bytes; a value repeats its key, and the rest cannot be compressed."""
    rng = random.Random(seed)
    filler = rng.randbytes(1 << 16)
    for _ in range(count):
        key = rng.randbytes(16)
        start = int.from_bytes(key[14:], "little") % (len(filler) - VALUE_BYTES)
        yield key, key + filler[start : start + VALUE_BYTES - len(key)]


def write(directory: str, count: int) -> None:
    """Write everything in batches, and end while compaction still has work to do."""
    engine = Engine.open(directory, OPTIONS)
    batch = WriteBatch()
    for key, value in pairs(count):
        batch.put(key, value)
        if len(batch) == BATCH_PAIRS:
            engine.write(batch, sync=False)
            batch = WriteBatch()
    engine.write(batch)
    engine.close()


def read(directory: str, count: int) -> None:
    """Open it again, and get every key."""
    started = time.perf_counter()
    engine = Engine.open(directory, OPTIONS)
    print(f"opened in {(time.perf_counter() - started) * 1e3:.0f} ms")
    for key, value in pairs(count):
        if engine.get(key) != value:
            raise SystemExit(f"{key!r} is wrong")
    levels = [(level.tables, level.byte_size >> 20) for level in engine.stats().levels if level.tables]
    print(f"levels (tables, MiB): {levels}")
    engine.close()


def scan(directory: str, count: int) -> None:
    """Open it again, and read all of it in order."""
    engine = Engine.open(directory, OPTIONS)
    check(engine.scan(), count)
    engine.close()


def snapshot(directory: str, count: int) -> None:
    """Read all of it backward in a snapshot, while another thread deletes all of it."""
    engine = Engine.open(directory, OPTIONS)
    with engine.snapshot() as taken, ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(delete, engine, count)
        check(taken.scan(reverse=True), count, reverse=True)
        deleting.result()
    if list(engine.scan(limit=1)):
        raise SystemExit("not all is deleted")
    engine.close()


def delete(engine: Engine, count: int) -> None:
    batch = WriteBatch()
    for key, _ in pairs(count):
        batch.delete(key)
        if len(batch) == BATCH_PAIRS:
            engine.write(batch, sync=False)
            batch = WriteBatch()
    engine.write(batch)


def check(scanned: Iterator[tuple[bytes, bytes]], count: int, *, reverse: bool = False) -> None:
    """All pairs must be there, in order."""
    before = b"\xff" * 17 if reverse else b""
    found = 0
    for key, value in scanned:
        if (key >= before if reverse else key <= before) or value[:16] != key:
            raise SystemExit(f"{key!r} is wrong")
        before = key
        found += 1
    if found != count:
        raise SystemExit(f"{found} pairs are there, not {count}")


PHASES = {"write": write, "read": read, "scan": scan, "snapshot": snapshot}


def measure(phase: str, directory: str, count: int) -> int:
    """Run a phase in a process of its own; its peak resident memory in bytes."""
    arguments = [sys.executable, "-m", "tests.benchmarks.engine_memory", "--phase", phase]
    result = subprocess.run(
        [*arguments, "--directory", directory, "--pairs", str(count)], check=True, capture_output=True, text=True
    )
    *remarks, last = result.stdout.splitlines()
    for remark in remarks:
        print(f"  {remark}")
    return int(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        PHASES[options.phase](options.directory, options.pairs)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    with tempfile.TemporaryDirectory() as directory:
        for phase in PHASES:
            started = time.perf_counter()
            peak = measure(phase, f"{directory}/db", options.pairs)
            elapsed = time.perf_counter() - started
            rate = options.pairs / elapsed
            print(f"{phase:8} {options.pairs:,} pairs in {elapsed:.1f} s ({rate:,.0f}/s), peak {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
