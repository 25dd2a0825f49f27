"""How long a single write or get takes while flush and compaction work at full speed.

    python -m tests.benchmarks.engine_stalls [--pairs 2000000] [--value-bytes 100] [--rate 20000]

Keys of 16 bytes in random order; a write is one pair, in the log and not synced.

    write   one right after the other
    paced   begun so many times a second, and measured from when each should have begun
    get     of random keys that are there; writes between them keep flush and compaction busy

Each row is a process of its own. Flush and compaction run in a thread of it, or in the worker process.
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
from itertools import islice

from engine import Engine, Options, WriteBatch

KEY_BYTES = 16
WRITES_PER_GET = 20
P999_MS_MAX = 5.0
SHARES = (50, 99, 99.9, 99.99)
COUNTS = ("flushes", "compactions", "slowed_seconds", "stalled_seconds")


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


def write(engine: Engine, arguments: argparse.Namespace) -> "array[int]":
    """Nanoseconds that each write took."""
    taken = array("Q")
    clock = time.perf_counter_ns
    for key, value in pairs(arguments.pairs, arguments.value_bytes):
        began = clock()
        put(engine, key, value)
        taken.append(clock() - began)
    return taken


def paced(engine: Engine, arguments: argparse.Namespace) -> "array[int]":
    """The same, from when each should have begun: one that is late because of those before it took longer."""
    taken = array("Q")
    clock = time.perf_counter_ns
    interval = int(1e9 / arguments.rate)
    due = clock()
    # What is not measured takes its time beforehand.
    made = pairs(arguments.pairs, arguments.value_bytes)
    while some := list(islice(made, 10_000)):
        due = max(due, clock())
        for key, value in some:
            due += interval
            while (now := clock()) < due:
                time.sleep((due - now) / 1e9)
            put(engine, key, value)
            taken.append(clock() - due)
    return taken


def get(engine: Engine, arguments: argparse.Namespace) -> "array[int]":
    """Nanoseconds that each get took."""
    taken = array("Q")
    rng = random.Random(2)
    clock = time.perf_counter_ns
    written = []
    for number, (key, value) in enumerate(pairs(arguments.pairs, arguments.value_bytes)):
        put(engine, key, value)
        written.append(key)
        if number % WRITES_PER_GET == 0:
            sought = written[rng.randrange(len(written))]
            began = clock()
            found = engine.get(sought)
            taken.append(clock() - began)
            assert found is not None
    return taken


KINDS = {"write": write, "paced": paced, "get": get}
PLACES = {"thread": False, "worker": True}


def measure(kind: str, place: str, arguments: argparse.Namespace) -> dict[str, object]:
    """One row, in this process."""
    engine = Engine.open(arguments.directory, Options(worker_process=PLACES[place]))
    started = time.perf_counter()
    taken = KINDS[kind](engine, arguments)
    elapsed = time.perf_counter() - started
    stats = asdict(engine.stats())
    engine.close()
    ordered = sorted(taken)
    times = {str(share): ordered[int(len(ordered) * share / 100)] / 1e6 for share in SHARES}
    return {
        "ms": {**times, "max": ordered[-1] / 1e6},
        "per_second": arguments.pairs / elapsed,
        "counts": [round(stats[name], 1) for name in COUNTS],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20_000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--places", default=",".join(PLACES))
    parser.add_argument("--in", dest="directory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.directory:
        print(json.dumps(measure(arguments.kinds, arguments.places, arguments)))
        return
    print("| | flush and compaction | writes per second | p50 ms | p99 | p99.9 | p99.99 | max | ", end="")
    print("flushes | compactions | slowed s | stalled s |")
    print("|---|---|" + "---:|" * 10)
    is_slow = False
    for kind in arguments.kinds.split(","):
        for place in arguments.places.split(","):
            count = min(arguments.pairs, int(20 * arguments.rate)) if kind == "paced" else arguments.pairs
            with tempfile.TemporaryDirectory() as directory:
                command = [sys.executable, "-m", "tests.benchmarks.engine_stalls", "--in", directory]
                command += ["--kinds", kind, "--places", place, "--pairs", str(count)]
                command += ["--value-bytes", str(arguments.value_bytes), "--rate", str(arguments.rate)]
                row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            numbers = [f"{row['per_second']:,.0f}", *[f"{value:.3f}" for value in row["ms"].values()]]
            print(" | ".join([f"| {kind}", place, *numbers, *map(str, row["counts"])]) + " |", flush=True)
            is_slow |= place == "worker" and row["ms"]["99.9"] > P999_MS_MAX
    verdict = "more than" if is_slow else "at most"
    print(f"\nwith the worker p99.9 is {verdict} {P999_MS_MAX:g} ms")


if __name__ == "__main__":
    main()
