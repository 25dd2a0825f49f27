"""Batches beside single puts: operations a second through HTTP, on three nodes, in one run.

    python -m tests.benchmarks.batches [--seconds 6] [--rounds 2]

A batch is a hundred puts of random keys, as JSON; requests spread over the nodes as in gateway.py.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.benchmarks.gateway import VALUE_BYTES, WARM_UP_SECONDS, Point, measure, say
from tests.benchmarks.systems import Ringkv, remove

BATCH = 100
CONNECTIONS = (1, 8, 32, 128)
OPERATIONS = {"put": 1, "get": 1, "batch": BATCH, "batch-get": BATCH}
PAIRS = (("put", "batch"), ("get", "batch-get"))
KEYS = 100_000


@click.command(help=__doc__)
@click.option("--seconds", default=6.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=2, show_default=True, help="How often the operations take turns.")
def main(seconds: float, rounds: int) -> None:
    if shutil.which("wrk") is None:
        raise click.ClickException("not installed: wrk (Debian: apt-get install wrk)")
    place = Path(tempfile.mkdtemp(prefix="ringkv-bench-"))
    system = Ringkv(place / "ringkv")
    results: dict[tuple[str, int], Point] = {}
    try:
        system.start()
        system.load(KEYS, b"x" * VALUE_BYTES)
        measure(system, "batch", 8, WARM_UP_SECONDS, KEYS)
        for number in range(1, rounds + 1):
            for connections in CONNECTIONS:
                for operation, size in OPERATIONS.items():
                    point = measure(system, operation, connections, seconds, KEYS)
                    results.setdefault((operation, connections), Point()).add(point)
                    say(
                        f"round {number}: {operation} at {connections}: {size * point.rate:,.0f} operations/s, "
                        f"p50 {point.percentile_ms(0.5):.2f} ms, p99 {point.percentile_ms(0.99):.2f} ms, nodes use "
                        f"{point.processors / point.seconds:.2f} processors, not 2xx {point.bad}"
                    )
    finally:
        system.stop()
        remove(place)
    click.echo("| | connections | one by one, ops/s | in batches of 100, ops/s | ratio | p50, p99 ms of a batch |")
    click.echo("|---|---:|---:|---:|---:|---:|")
    for single, many in PAIRS:
        for connections in CONNECTIONS:
            one, batch = results[single, connections], results[many, connections]
            click.echo(
                f"| {single} | {connections} | {one.rate:,.0f} | {BATCH * batch.rate:,.0f} | "
                f"{BATCH * batch.rate / one.rate:.1f} | "
                f"{batch.percentile_ms(0.5):.1f}, {batch.percentile_ms(0.99):.1f} |"
            )
    bad = sum(point.bad + point.broken for point in results.values())
    click.echo(f"\nEvery answer was a 2xx: {'yes' if not bad else f'no, {bad} were not'}.")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
