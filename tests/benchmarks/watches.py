"""What open watches cost: puts through wrk at a cluster of three, with and without a thousand watches in turn.

    python -m tests.benchmarks.watches [--seconds 8] [--rounds 3] [--watches 1000] [--connections 128]

quiet   nobody watches
idle    each watch is of a prefix of its own under which nothing happens
told    the watches share out all keys by their prefixes, so that every put is told to one of them

The watches are spread over the nodes, and their streams are read and thrown away by a process of its own.
"""

import asyncio
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import click

from tests.benchmarks.gateway import Point, measure, say
from tests.benchmarks.systems import Ringkv

KINDS = ("quiet", "idle", "told")
WARM_UP_SECONDS = 2.0
PREFIXES = 1_000  # of three digits, under which the keys of the benchmark are


class _Sink(asyncio.Protocol):
    """Counts what it reads, and whether the watch has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.get_running_loop().create_future()
        self.size = 0

    def data_received(self, data: bytes) -> None:
        if not self.begun.done():
            self.begun.set_result(data)
        self.size += len(data)


async def _watch(ports: list[int], prefixes: list[str], ready: Event, stop: Event) -> None:
    loop = asyncio.get_running_loop()
    sinks = []
    for number, prefix in enumerate(prefixes):
        transport, sink = await loop.create_connection(_Sink, "127.0.0.1", ports[number % len(ports)])
        head = f"GET /v1/watch?prefix={prefix} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        transport.write(head.encode())
        sinks.append(sink)
    for sink in sinks:
        answer = await sink.begun
        assert answer.startswith(b"HTTP/1.1 200"), answer
    ready.set()
    await asyncio.to_thread(stop.wait)
    print(f"  {sum(sink.size for sink in sinks) / 1e6:.1f} MB of events were read", file=sys.stderr)


def _run(ports: list[int], prefixes: list[str], ready: Event, stop: Event) -> None:
    asyncio.run(_watch(ports, prefixes, ready, stop))


@contextmanager
def watching(ports: list[int], kind: str, count: int) -> Iterator[None]:
    """So many streams that have begun."""
    if kind == "quiet":
        yield
        return
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    root = "bench/" if kind == "told" else "elsewhere/"
    prefixes = [f"{root}{number % PREFIXES:03d}" for number in range(count)]
    process = context.Process(target=_run, args=(ports, prefixes, ready, stop))
    process.start()
    try:
        assert ready.wait(60), "the watches do not begin"
        yield
    finally:
        stop.set()
        process.join(20)


@click.command(help=__doc__)
@click.option("--seconds", default=8.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=3, show_default=True, help="How often the kinds take turns.")
@click.option("--watches", default=1_000, show_default=True)
@click.option("--connections", default=128, show_default=True)
@click.option("--directory", type=click.Path(path_type=Path), help="Where data goes; a temporary one if not given.")
def main(seconds: float, rounds: int, watches: int, connections: int, directory: Path | None) -> None:
    if shutil.which("wrk") is None:
        raise click.ClickException("not installed: wrk (Debian: apt-get install wrk)")
    place = Path(tempfile.mkdtemp(prefix="ringkv-bench-", dir=directory))
    system = Ringkv(place / "ringkv")
    points = {kind: Point() for kind in KINDS}
    system.start()
    try:
        measure(system, "put", connections, WARM_UP_SECONDS, 100_000)
        for number in range(1, rounds + 1):
            for kind in KINDS:
                with watching(system.ports, kind, watches):
                    point = measure(system, "put", connections, seconds, 100_000)
                points[kind].add(point)
                say(f"round {number}: {kind}: {point.rate:,.0f} puts/s, p99 {point.percentile_ms(0.99):.2f} ms")
    finally:
        system.stop()
        shutil.rmtree(place, ignore_errors=True)
    click.echo("| watches | puts/s | p50 ms | p99 ms | CPU µs a put | of quiet |\n|---|---:|---:|---:|---:|---:|")
    for kind, point in points.items():
        share = point.rate / points["quiet"].rate
        times = f"{point.percentile_ms(0.5):.2f} | {point.percentile_ms(0.99):.2f}"
        cost = point.processors / max(1, point.answers) * 1e6
        click.echo(f"| {kind} | {point.rate:,.0f} | {times} | {cost:.0f} | {share:.0%} |")


if __name__ == "__main__":
    main()
