"""Real processes, really killed: reopening gives what was acknowledged.

    python -m tests.engine.kills [--kills N] [--seed N]      make crash-kill

A child writes with several threads, flushes, compacts and ingests, and says on a pipe what was acknowledged.
It is killed at a moment of chance, also while it opens the store. Whoever opens it then finds everything that
was acknowledged, and of each thread at most one batch more, whole.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine import Engine, Options, WriteBatch, verify_engine

ROOT = Path(__file__).resolve().parents[2]
THREADS = 3
COPIES = 5
KEPT = 40
KILLS_PER_STORE = 10
ACKNOWLEDGED_MAX = 1500
OPENING_SECONDS = 0.4
INGEST = "ingest"
# Small enough that everything happens all the time; and with memtables that a worker process flushes.
SIZES = {
    100: Options(
        memtable_bytes_max=32 << 10, table_bytes_max=16 << 10, level1_bytes_max=32 << 10, manifest_bytes_max=2000
    ),
    20_000: Options(memtable_bytes_max=3 << 20, level1_bytes_max=4 << 20, level0_tables_compact=2),
}


def batch_of(thread: int, number: int, value_bytes: int) -> WriteBatch:
    """The batch of this number: one value in many places, and a trace of the batch that a later one removes."""
    batch = WriteBatch()
    if number % 20 == 0:
        batch.delete_range(b"%d trace" % thread, b"%d trace %08d" % (thread, number - KEPT + 1))
    else:
        batch.delete(b"%d trace %08d" % (thread, number - KEPT))
    for copy in range(COPIES):
        batch.put(b"%d copy %d" % (thread, copy), b"%d" % number * (value_bytes // len(str(number))))
    batch.put(b"%d trace %08d" % (thread, number), b"%d" % number)
    return batch


def pairs_of(number: int) -> list[tuple[bytes, bytes]]:
    """What is ingested as the one of this number."""
    return [(b"ingested %d" % copy, b"%d" % number) for copy in range(COPIES)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a store holds: the number of the last batch of each thread, and of the last ingest.

    Raises: AssertionError, if any of them is there in part.
    """

    batches: tuple[int, ...]
    ingests: int
    sequence: int

    @classmethod
    def read(cls, engine: Engine, value_bytes: int) -> "Found":
        content = dict(engine.scan())
        batches = tuple(cls._batches(content, thread, value_bytes) for thread in range(THREADS))
        ingests = {content.pop(b"ingested %d" % copy, b"0") for copy in range(COPIES)}
        assert len(ingests) == 1, f"an ingest is there in part: {ingests}"
        assert content == {}, f"nobody has written {list(content)[:5]}"
        assert sum(batches) == engine.applied_sequence, f"{batches} are not {engine.applied_sequence} batches"
        return cls(batches, int(ingests.pop()), engine.applied_sequence)

    @staticmethod
    def _batches(content: dict[bytes, bytes], thread: int, value_bytes: int) -> int:
        traces = [key for key in content if key.startswith(b"%d trace" % thread)]
        number = max((int(content[key]) for key in traces), default=0)
        for key in traces:
            assert key == b"%d trace %08d" % (thread, int(content.pop(key)))
        expected = range(max(number - KEPT, 0) + 1, number + 1)
        assert sorted(traces) == [b"%d trace %08d" % (thread, each) for each in expected], f"thread {thread}: {traces}"
        for key, value in batch_of(thread, number, value_bytes).items() if number else ():
            if b"copy" in key:
                assert content.pop(key) == value, f"thread {thread}: batch {number} is there in part"
        return number


# The child.


def write(directory: str, value_bytes: int, seed: str) -> None:
    """Open the store, and write until killed."""
    engine = Engine.open(directory, SIZES[value_bytes])
    found = Found.read(engine, value_bytes)

    def keep_writing(thread: int) -> None:
        number = found.batches[thread]
        while True:
            number += 1
            engine.write(batch_of(thread, number, value_bytes), sync=number % 5 == 0)
            acknowledge(f"{thread} {number}")

    for thread in range(THREADS):
        threading.Thread(target=keep_writing, args=(thread,), daemon=True).start()
    rng = random.Random(seed)
    number = found.ingests
    while True:
        act = rng.choice(["flush", "compact", INGEST])
        if act == INGEST:
            number += 1
            engine.ingest(pairs_of(number))
            acknowledge(f"{INGEST} {number}")
        else:
            getattr(engine, act)()


def acknowledge(what: str) -> None:
    # In one piece: several threads write.
    os.write(1, f"{what}\n".encode())


# Who kills it.


def kill_one(directory: str, value_bytes: int, rng: random.Random) -> Counter[str]:
    """Let a child write for a while, and kill it; gives what it acknowledged last."""
    command = [sys.executable, "-m", "tests.engine.kills", "--child", directory, str(value_bytes), str(rng.random())]
    acknowledged: Counter[str] = Counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stderr
        if rng.random() < 0.15:
            try:
                # Perhaps it is opening the store, perhaps not even that.
                child.wait(rng.random() * OPENING_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            lines = []
        else:
            lines = [child.stdout.readline() for _ in range(rng.randint(1, ACKNOWLEDGED_MAX))]
        child.send_signal(signal.SIGKILL)
        # The last line may be cut short, as the pipe is.
        lines += child.stdout.read().split(b"\n")[:-1]
        complaint = child.stderr.read().decode()
        assert child.wait() == -signal.SIGKILL, f"it ended before it was killed: {complaint}"
    for line in lines:
        who, _, number = line.decode().strip().rpartition(" ")
        acknowledged[who] = max(acknowledged[who], int(number))
    return acknowledged


def check(directory: str, value_bytes: int, before: Found, acknowledged: Counter[str]) -> Found:
    """Everything that was acknowledged is there, whole, and at most one batch more of each thread."""
    problems = verify_engine(directory) if os.path.exists(f"{directory}/CURRENT") else []
    assert problems == [], problems
    engine = Engine.open(directory, SIZES[value_bytes])
    found = Found.read(engine, value_bytes)
    engine.close()
    for thread, (old, new) in enumerate(zip(before.batches, found.batches, strict=True)):
        least = max(old, acknowledged[str(thread)])
        assert least <= new <= least + 1, f"thread {thread}: {least} batches were acknowledged, {new} are there"
    least = max(before.ingests, acknowledged[INGEST])
    assert least <= found.ingests <= least + 1, f"{least} ingests were acknowledged, {found.ingests} are there"
    return found


def campaign(kills: range, seed: int, place: str) -> Iterator[tuple[int, Found]]:
    """Kill the children of these numbers, some of them one after the other in a store; gives what each has left."""
    found = Found((0,) * THREADS, 0, 0)
    for number in kills:
        rng = random.Random(f"{seed} {number}")
        store, turn = divmod(number, KILLS_PER_STORE)
        directory = f"{place}/{store}"
        value_bytes = list(SIZES)[store % len(SIZES)]
        if not turn:
            found = Found((0,) * THREADS, 0, 0)
        acknowledged = kill_one(directory, value_bytes, rng)
        try:
            found = check(directory, value_bytes, found, acknowledged)
        except BaseException as error:
            error.add_note(f"kill {number} of seed {seed}, in {directory}")
            raise
        yield number, found


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill processes that write, and look at what they have left.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=3, metavar=("DIRECTORY", "BYTES", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        write(given.child[0], int(given.child[1]), given.child[2])
    began = time.monotonic()
    batches = ingests = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        for number, found in campaign(range(given.kills), given.seed, place):
            if (number + 1) % KILLS_PER_STORE == 0 or number + 1 == given.kills:
                batches, ingests = batches + found.sequence, ingests + found.ingests
                print(
                    f"{number + 1:4} kills, {batches:,} batches and {ingests:,} ingests: nothing was lost", flush=True
                )
    print(f"{time.monotonic() - began:,.0f} s")


if __name__ == "__main__":
    main()
