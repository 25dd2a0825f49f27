"""The gateway beside etcd's: puts and linearizable gets through wrk, on this machine, in one run.

    python -m tests.benchmarks.gateway [--seconds 8] [--rounds 2] [--only ringkv|etcd] [--keys 100000]

Both are three nodes with default settings on loopback and the same file system. They take turns and
never run at the same time. Requests spread over the three nodes: every point is measured by three wrk
processes at once, one per node, that share the connections; a single connection goes to each node
for a third of the time. A point's latencies are the merged histograms of all its wrk processes.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.benchmarks.systems import Etcd, Ringkv, System, remove

OPERATIONS = ("put", "get")
CONNECTIONS = (1, 32, 128)
VALUE_BYTES = 100
WARM_UP_SECONDS = 2.0
SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(slots=True)
class Point:
    """What was seen at one operation and number of connections.

    latencies   microseconds → how many answers took that long
    bad         answers of 4xx and 5xx
    broken      connections and requests that failed without an answer
    processors  processor seconds of the nodes
    """

    answers: int = 0
    seconds: float = 0.0
    bad: int = 0
    broken: int = 0
    processors: float = 0.0
    latencies: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        left = share * self.latencies.total()
        for microseconds in sorted(self.latencies):
            left -= self.latencies[microseconds]
            if left <= 0:
                return microseconds / 1000
        return 0.0

    def add(self, other: "Point") -> None:
        self.answers += other.answers
        self.seconds += other.seconds
        self.bad += other.bad
        self.broken += other.broken
        self.processors += other.processors
        self.latencies += other.latencies


Results = dict[tuple[str, str, int], Point]


class Load:
    """wrk against one node, counted when it has ended."""

    def __init__(
        self, system: System, port: int, operation: str, connections: int, *, seconds: float, keys: int
    ) -> None:
        whole_seconds = max(1, round(seconds))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{whole_seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
        command += [f"http://127.0.0.1:{port}", "--", system.name, operation, str(keys), str(VALUE_BYTES), str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def result(self) -> Point:
        output, _ = self._process.communicate()
        point = Point()
        for line in output.splitlines():
            name, *numbers = line.split("\t")
            if name == "latency":
                point.latencies[int(numbers[0])] += int(numbers[1])
            elif name == "summary":
                point.answers, microseconds, point.bad, point.broken = map(int, numbers)
                point.seconds = microseconds / 1e6
        assert point.seconds, f"wrk said nothing of use: {output}"
        return point


def shares(connections: int, nodes: int) -> list[int]:
    return [connections // nodes + (i < connections % nodes) for i in range(nodes)]


def measure(system: System, operation: str, connections: int, seconds: float, keys: int) -> Point:
    """One point of one round."""
    point = Point()
    spent = sum(process.cpu_seconds() for process in system.processes)
    if connections < len(system.ports):
        for port in system.ports:
            point.add(
                Load(system, port, operation, connections, seconds=seconds / len(system.ports), keys=keys).result()
            )
    else:
        divided = zip(system.ports, shares(connections, len(system.ports)), strict=True)
        loads = [Load(system, port, operation, share, seconds=seconds, keys=keys) for port, share in divided]
        results = [load.result() for load in loads]
        for result in results:
            point.add(result)
        point.seconds = max(result.seconds for result in results)
    point.processors = sum(process.cpu_seconds() for process in system.processes) - spent
    return point


def run_round(system: System, number: int, seconds: float, keys: int, results: Results) -> None:
    """Starts the system, loads the keys in the first round, measures every point, stops the system."""
    system.start()
    try:
        if number == 1:
            begun = time.monotonic()
            system.load(keys, b"x" * VALUE_BYTES)
            say(f"{system.name}: {keys} keys loaded in {time.monotonic() - begun:.1f} s")
        for operation in OPERATIONS:
            measure(system, operation, CONNECTIONS[1], WARM_UP_SECONDS, keys)
            for connections in CONNECTIONS:
                point = measure(system, operation, connections, seconds, keys)
                results.setdefault((system.name, operation, connections), Point()).add(point)
                say(
                    f"{system.name} round {number}: {operation} at {connections}: {point.rate:,.0f}/s, p50 "
                    f"{point.percentile_ms(0.5):.2f} ms, p99 {point.percentile_ms(0.99):.2f} ms, nodes use "
                    f"{point.processors / point.seconds:.2f} processors, not 2xx {point.bad}, broken {point.broken}"
                )
    finally:
        system.stop()


def table(results: Results, names: list[str]) -> Iterator[str]:
    """The results as a table in Markdown."""
    columns = ["operation", "connections"]
    columns += [f"{name} {column}" for name in names for column in ("ops/s", "p50 ms", "p99 ms", "CPUs")]
    columns += ["ratio of ops/s"] if len(names) > 1 else []
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(['---', *['---:'] * (len(columns) - 1)])}|"
    for operation in OPERATIONS:
        for connections in CONNECTIONS:
            points = [results[name, operation, connections] for name in names]
            cells = [operation, str(connections)]
            for point in points:
                cells += [f"{point.rate:,.0f}", f"{point.percentile_ms(0.5):.2f}", f"{point.percentile_ms(0.99):.2f}"]
                cells.append(f"{point.processors / point.seconds:.2f}")
            cells += [f"{points[0].rate / points[1].rate:.2f}"] if len(points) > 1 else []
            yield f"| {' | '.join(cells)} |"


def say(line: str) -> None:
    click.echo(line, err=True)


@click.command(help=__doc__)
@click.option("--seconds", default=8.0, show_default=True, help="Length of one measurement.")
@click.option("--rounds", default=2, show_default=True, help="How often the systems take turns.")
@click.option("--keys", default=100_000, show_default=True)
@click.option("--only", type=click.Choice(["ringkv", "etcd"]), help="Measure one of them alone.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where data goes; a temporary one if not given.")
def main(seconds: float, rounds: int, keys: int, only: str | None, directory: Path | None) -> None:
    missing = [program for program in ("wrk", "etcd") if shutil.which(program) is None and only != "ringkv"]
    if missing:
        raise click.ClickException(f"not installed: {' '.join(missing)} (Debian: apt-get install wrk etcd-server)")
    place = Path(tempfile.mkdtemp(prefix="ringkv-bench-", dir=directory))
    systems: list[System] = [Ringkv(place / "ringkv"), Etcd(place / "etcd")]
    systems = [system for system in systems if only in (None, system.name)]
    results: Results = {}
    try:
        for number in range(1, rounds + 1):
            for system in systems:
                run_round(system, number, seconds, keys, results)
    finally:
        remove(place)
    for line in table(results, [system.name for system in systems]):
        click.echo(line)
    bad = sum(point.bad + point.broken for point in results.values())
    click.echo(f"\nEvery answer was a 2xx: {'yes' if not bad else f'no, {bad} were not'}.")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
