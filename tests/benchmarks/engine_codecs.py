"""What each way to pack tables costs, and what it saves, for values of three kinds.

    python -m tests.benchmarks.engine_codecs [--pairs 200000] [--rounds 3]

Each run has a process of its own, and does the work of flush and compaction in the thread that writes:
so times are those of one processor, whoever else needs the machine. The store is small in its options,
so that nearly all of it comes to be in level 2. Gets have no cache, but the files are in the page cache.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine import Engine, InlineExecutor, Options, WriteBatch
from tests.engine.contents import documents

KEY_BYTES = 16
BATCH_PAIRS = 100
SAMPLE = 10_000
SETTINGS = {
    "LZ4": Options(zstd_from_level=7),
    "zstd": Options(zstd_from_level=2),
    "zstd, dictionary": Options(zstd_from_level=2, dictionary_bytes=16 << 10),
    "zstd at 1": Options(zstd_from_level=2, zstd_compression_level=1),
    "zstd at 1, dictionary": Options(zstd_from_level=2, zstd_compression_level=1, dictionary_bytes=16 << 10),
}


def make_values(kind: str, count: int, rng: random.Random) -> list[bytes]:
    if kind == "JSON":
        return documents(count)
    if kind == "half noise":
        return [rng.randbytes(50) + b"v" * 50 for _ in range(count)]
    return [rng.randbytes(100) for _ in range(count)]


def quickest(times: int, operation: Callable[[], object]) -> float:
    """Seconds of this thread's processor."""
    found = []
    for _ in range(times):
        started = time.thread_time()
        operation()
        found.append(time.thread_time() - started)
    return min(found)


def measure(directory: Path, kind: str, setting: str, count: int) -> dict[str, float]:
    rng = random.Random(1)
    pairs = [(rng.randbytes(KEY_BYTES), value) for value in make_values(kind, count, rng)]
    options = replace(
        SETTINGS[setting],
        memtable_bytes_max=1 << 20,
        level1_bytes_max=0,
        table_bytes_max=0,
        cache_bytes_max=0,
        row_cache_bytes_max=0,
    )

    def load() -> None:
        for first in range(0, count, BATCH_PAIRS):
            batch = WriteBatch()
            for key, value in pairs[first : first + BATCH_PAIRS]:
                batch.put(key, value)
            engine.write(batch, sync=False)
        engine.compact()

    engine = Engine.open(str(directory), options, executor=InlineExecutor())
    load_seconds = quickest(1, load)
    engine.close()
    byte_size = sum(file.stat().st_size for file in directory.glob("*.sst"))
    engine = Engine.open(str(directory), options, executor=InlineExecutor())
    sample = [key for key, _ in rng.sample(pairs, min(count, SAMPLE))]
    rows = {
        "bytes a pair": byte_size / count,
        "load, us a pair": load_seconds / count * 1e6,
        "get, us": quickest(5, lambda: [engine.get(key) for key in sample]) / len(sample) * 1e6,
        "scan, us a pair": quickest(3, lambda: sum(1 for _ in engine.scan())) / count * 1e6,
    }
    engine.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as directory:
            kind, setting = arguments.one
            print(json.dumps(measure(Path(directory), kind, setting, arguments.pairs)))
        return
    for kind in ("JSON", "half noise", "noise"):
        best: dict[str, dict[str, float]] = {}
        for _ in range(arguments.rounds):
            for setting in SETTINGS:
                command = [sys.executable, "-m", "tests.benchmarks.engine_codecs", "--one", kind, setting]
                command += ["--pairs", str(arguments.pairs)]
                rows = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                known = best.setdefault(setting, rows)
                best[setting] = {name: min(known[name], value) for name, value in rows.items()}
        print(f"\n{arguments.pairs:,} pairs, {KEY_BYTES}-byte keys, values of 100 bytes: {kind}\n")
        print("| | " + " | ".join(best["LZ4"]) + " |")
        print("|---|" + "---:|" * len(best["LZ4"]))
        for setting, rows in best.items():
            print(f"| {setting} | " + " | ".join(f"{value:.2f}" for value in rows.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
