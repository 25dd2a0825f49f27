"""How long a single write or get takes while flush and compaction work at full speed.

    python -m tests.benchmarks.engine_stalls [--pairs 2000000] [--value-bytes 100]

Keys of 16 bytes in random order. Each write is one pair, in the log and not synced, right after the one
before it; each get is of a random key that was written, and between every two gets come writes enough to
keep flush and compaction busy. With `--rate` writes are begun at that rate instead, and each is measured
from when it should have begun. Flush and compaction run in a thread of this process, or in the worker.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import asdict

from engine import Engine, Options, WriteBatch

KEY_BYTES = 16
GET_EVERY = 20


def pairs(count: int, value_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Random keys; values of which half can be compressed."""
    rng = random.Random(1)
    filler = rng.randbytes(1 << 16)
    half = value_bytes // 2
    padding = b"v" * (value_bytes - half)
    for number in range(count):
        start = number * 7 % (len(filler) - half)
        yield rng.randbytes(KEY_BYTES), filler[start : start + half] + padding


def put(engine: Engine, key: bytes, value: bytes) -> None:
    batch = WriteBatch()
    batch.put(key, value)
    engine.write(batch, sync=False)


def writes(engine: Engine, count: int, value_bytes: int, rate: float) -> "array[int]":
    """Nanoseconds that each write took."""
    taken = array("Q")
    clock = time.perf_counter_ns
    interval = int(1e9 / rate) if rate else 0
    due = clock()
    for key, value in pairs(count, value_bytes):
        began = clock()
        if interval:
            due += interval
            while began < due:
                time.sleep((due - began) / 1e9)
                began = clock()
            began = due
        put(engine, key, value)
        taken.append(clock() - began)
    return taken


def gets(engine: Engine, count: int, value_bytes: int) -> "array[int]":
    """Nanoseconds that each get took."""
    taken = array("Q")
    rng = random.Random(2)
    clock = time.perf_counter_ns
    written = []
    for number, (key, value) in enumerate(pairs(count, value_bytes)):
        put(engine, key, value)
        written.append(key)
        if number % GET_EVERY == 0:
            sought = written[rng.randrange(len(written))]
            began = clock()
            found = engine.get(sought)
            taken.append(clock() - began)
            assert found is not None
    return taken


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    options = Options(worker_process=arguments.only == "worker")
    engine = Engine.open(arguments.directory, options)
    started = time.perf_counter()
    if arguments.kind == "write":
        taken = writes(engine, arguments.pairs, arguments.value_bytes, arguments.rate)
    else:
        taken = gets(engine, arguments.pairs, arguments.value_bytes)
    elapsed = time.perf_counter() - started
    stats = asdict(engine.stats())
    engine.close()
    ordered = sorted(taken)
    row = {f"p{share}": ordered[int(len(ordered) * share / 100)] / 1e6 for share in (50, 99, 99.9, 99.99)}
    row["max"] = ordered[-1] / 1e6
    return {"ms": row, "per_second": arguments.pairs / elapsed, "stats": stats}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--only", default="here,worker")
    parser.add_argument("--kind", default="write,get")
    parser.add_argument("--in", dest="directory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.directory:
        print(json.dumps(measure(arguments)))
        return
    print(
        "| | flush and compaction | per second | p50 ms | p99 | p99.9 | p99.99 | max | flushes | compactions | stalls |"
    )
    print("|---|---|" + "---:|" * 9)
    for kind in arguments.kind.split(","):
        for where in arguments.only.split(","):
            with tempfile.TemporaryDirectory() as directory:
                command = [sys.executable, "-m", "tests.benchmarks.engine_stalls", "--in", directory]
                command += ["--only", where, "--kind", kind, "--pairs", str(arguments.pairs)]
                command += ["--value-bytes", str(arguments.value_bytes), "--rate", str(arguments.rate)]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            result = json.loads(output)
            stats = result["stats"]
            numbers = [f"{value:.3f}" for value in result["ms"].values()]
            counts = [str(stats[name]) for name in ("flushes", "compactions", "stalls")]
            print(" | ".join([f"| {kind}", where, f"{result['per_second']:,.0f}", *numbers, *counts]) + " |")


if __name__ == "__main__":
    main()
