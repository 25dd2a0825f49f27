"""How long a node with much data takes to be ready again: it must depend on its memtables, not on its data.

    python -m tests.benchmarks.restart [--gigabytes 5] [--partitions 16]

One node is founded, its replicas are filled by ingest, and it is then started, stopped with SIGTERM,
started, written to, killed with SIGKILL in the middle of that, and started again.
"""

import argparse
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine import Engine, Options
from raftgroups.item import Item, encode_item
from raftgroups.schema import USER
from tests.cluster.nodes import Cluster, Node

VALUE_BYTES = 1_000
UNFLUSHED_WRITES = 2_000


def pairs(count: int, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Items under ascending keys, as a state machine stores them; nothing in them can be compressed."""
    rng = random.Random(seed)
    filler = rng.randbytes(1 << 20)
    for number in range(count):
        start = rng.randrange(len(filler) - VALUE_BYTES)
        item = Item(1, filler[start : start + VALUE_BYTES], "application/octet-stream")
        yield USER + b"filled/%010d" % number, encode_item(item)


def fill(node: Node, byte_size: int) -> int:
    """Put so much into the replicas of a node that does not run; gives the bytes of its tables."""
    stores = sorted(path for path in node.directory.glob("p????-????") if path.is_dir())
    for seed, store in enumerate(stores):
        engine = Engine.open(str(store), Options(own_log=False))
        engine.ingest(pairs(byte_size // len(stores) // VALUE_BYTES, seed))
        engine.close()
    return sum(path.stat().st_size for path in node.directory.rglob("*.sst"))


def start(node: Node) -> float:
    """Start it, and give the seconds until it is ready for requests."""
    began = time.perf_counter()
    node.start()
    node.wait_ready(120)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--partitions", type=int, default=16)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Path(directory), size=1, partitions=options.partitions) as cluster,
    ):
        node = cluster["n1"]
        print(f"without data: ready in {start(node):.2f} s")
        node.send(signal.SIGTERM)
        node.wait(20)
        began = time.perf_counter()
        byte_size = fill(node, int(options.gigabytes * 1e9))
        print(
            f"{byte_size / 1e9:.2f} GB of tables in {options.partitions} replicas, {time.perf_counter() - began:.0f} s"
        )
        print(f"with them: ready in {start(node):.2f} s")
        node.send(signal.SIGTERM)
        node.wait(20)
        print(f"after SIGTERM: ready in {start(node):.2f} s")
        for number in range(UNFLUSHED_WRITES):
            status, _, _ = node.request("PUT", f"/v1/kv/new{number}", b"v" * VALUE_BYTES)
            assert status == 204, status
        node.kill()
        print(f"after {UNFLUSHED_WRITES:,} writes and SIGKILL: ready in {start(node):.2f} s")
        for number in range(0, UNFLUSHED_WRITES, 97):
            assert node.request("GET", f"/v1/kv/new{number}")[2] == b"v" * VALUE_BYTES, number


if __name__ == "__main__":
    main()
