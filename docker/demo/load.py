"""Clients of `ringkv bench` in the background of a demo, and what becomes of all that was acknowledged."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stage import NODES, claim, show

from app.bench import Bench, Interval, Plan


class Load:
    """A bench that runs in a thread of its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.bench.run())

    def sample(self, seconds: float) -> Interval:
        """What happens within that time."""
        self.bench.take()
        time.sleep(seconds)
        return self.bench.take()

    def finish(self) -> None:
        """Return once the last answer has come."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.bench.stop)
        self._thread.join()


@contextmanager
def load(*nodes: str, clients: int = 12, reads: float = 0.3) -> Iterator[Load]:
    """Clients ask these nodes, or all, until the block is left."""
    urls = [NODES[node] for node in nodes or NODES]
    bench = Bench(Plan(urls, clients=clients, keys=16, reads=reads, seconds=None, timeout_ms=2_000))
    running = Load(bench)
    try:
        yield running
    finally:
        running.finish()


def judge(bench: Bench) -> None:
    """What the clients saw must be linearizable: no acknowledged write is lost, no read is old."""
    total = bench.total
    failures = ", ".join(f"{count} {kind}" for kind, count in total.failures.most_common()) or "none"
    show(f"{bench.operations:,} operations, {bench.written:,} puts acknowledged; not done or not known: {failures}")
    violation = bench.judge()
    claim(
        violation is None,
        "everything the clients saw is linearizable: nothing acknowledged is lost, nothing read is old",
    )
