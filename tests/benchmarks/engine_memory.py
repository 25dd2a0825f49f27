"""Memory of an engine with far more data than it may keep, beside its budget (Options.for_memory).

    python -m tests.benchmarks.engine_memory [--budget 256] [--pairs 2000000] [--value-bytes 100]

It is written; reopened and read back; read while it is written to; scanned; and deleted under a snapshot that
is read backward. Each phase runs in a process of its own and reports the peaks of its resident memory: how much
the engine added to what the process took without one, and all that the worker process took. The command
fails if both together exceed the budget.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine import Engine, Options, WriteBatch

BATCH_PAIRS = 100
READS = 1_000_000

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """What every phase is told."""

    directory: str
    budget_bytes: int
    count: int
    value_bytes: int

    def open(self) -> Engine:
        # Memory is what is measured, on however busy a machine.
        return Engine.open(self.directory, Options.for_memory(self.budget_bytes, stall_seconds_max=600))

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Random keys of 16 bytes; a value repeats its key, and the rest cannot be compressed."""
        rng = random.Random(1)
        filler = rng.randbytes(1 << 16)
        for _ in range(self.count):
            key = rng.randbytes(16)
            start = int.from_bytes(key[14:], "little") % (len(filler) - self.value_bytes)
            yield key, key + filler[start : start + self.value_bytes - len(key)]

    def sample(self) -> Iterator[tuple[bytes, bytes]]:
        """Evenly spread ones of the pairs, not too many to be read one by one."""
        distance = max(1, self.count // READS)
        return (pair for number, pair in enumerate(self.pairs()) if number % distance == 0)


def write(run: Run) -> None:
    """Write everything in batches, and end while compaction still has work to do."""
    engine = run.open()
    store(engine, run.pairs())
    finish(engine)


def read(run: Run) -> None:
    """Open it again, and get keys that are there, and as many that are not."""
    started = time.perf_counter()
    engine = run.open()
    print(f"opened in {(time.perf_counter() - started) * 1e3:.0f} ms")
    for key, _ in found(engine, run.sample()):
        if engine.get(key + b"x") is not None:
            raise SystemExit(f"{key!r} is there with an x")
    finish(engine)


def update(run: Run) -> None:
    """Get and write again, with every cache and memtable full."""
    engine = run.open()
    store(engine, found(engine, run.sample()))
    finish(engine)


def scan(run: Run) -> None:
    """Open it again, and read all of it in order."""
    engine = run.open()
    check(engine.scan(), run.count)
    finish(engine)


def snapshot(run: Run) -> None:
    """Read all of it backward in a snapshot, while another thread deletes all of it."""
    engine = run.open()
    with engine.snapshot() as taken, ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(store, engine, ((key, None) for key, _ in run.pairs()))
        check(taken.scan(reverse=True), run.count, reverse=True)
        deleting.result()
    if list(engine.scan(limit=1)):
        raise SystemExit("not all is deleted")
    finish(engine)


def store(engine: Engine, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Write in batches; without a value a key is deleted."""
    batch = WriteBatch()
    for key, value in records:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
        if len(batch) == BATCH_PAIRS:
            engine.write(batch, sync=False)
            batch = WriteBatch()
    engine.write(batch)


def found(engine: Engine, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Pairs, each once it was found in the store."""
    for key, value in pairs:
        if engine.get(key) != value:
            raise SystemExit(f"{key!r} is wrong")
        yield key, value


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


def finish(engine: Engine) -> None:
    """Say what the engine says, and what its worker took."""
    print(engine.stats())
    print(sum(map(peak_bytes, children())))
    engine.close()


def peak_bytes(process: int | str = "self") -> int:
    """The most resident memory that a process had; 0 if it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) * 1024 if found else 0


def children() -> list[int]:
    """The processes that this one has started."""
    lists = [path.read_text(encoding="ascii") for path in Path("/proc/self/task").glob("*/children")]
    return [int(process) for processes in lists for process in processes.split()]


PHASES = {"write": write, "read": read, "update": update, "scan": scan, "snapshot": snapshot}


def measure(phase: str, run: Run, *, quiet: bool = False) -> tuple[int, int]:
    """Run a phase in a process of its own; how many bytes the engine added to it, and its worker had."""
    arguments = ["--phase", phase, "--directory", run.directory, "--budget", str(run.budget_bytes // _MIB)]
    arguments += ["--pairs", str(run.count), "--value-bytes", str(run.value_bytes)]
    command = [sys.executable, "-m", "tests.benchmarks.engine_memory", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    *remarks, worker, added = output.splitlines()
    for remark in () if quiet else remarks:
        print(f"    {remark}")
    return int(added), int(worker)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=256, help="MiB")
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    run = Run(options.directory, options.budget * _MIB, options.pairs, options.value_bytes)
    if options.phase:
        before = peak_bytes()
        PHASES[options.phase](run)
        print(peak_bytes() - before)
        return
    is_over = False
    with tempfile.TemporaryDirectory() as directory:
        run = Run(f"{directory}/db", run.budget_bytes, run.count, run.value_bytes)
        for phase in PHASES:
            started = time.perf_counter()
            added, worker = measure(phase, run)
            elapsed = time.perf_counter() - started
            is_over |= added + worker > run.budget_bytes
            parts = f"{added / _MIB:.0f} in the process and {worker / _MIB:.0f} in the worker"
            taken = f"{(added + worker) / _MIB:.0f} of {options.budget} MiB, {parts}"
            print(f"{phase:8} {run.count:,} pairs in {elapsed:.0f} s: {taken}", flush=True)
    if is_over:
        raise SystemExit("the budget was exceeded")


if __name__ == "__main__":
    main()
