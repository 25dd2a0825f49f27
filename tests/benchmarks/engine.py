"""The engine beside RocksDB (rocksdict, raw mode), LevelDB (plyvel) and LMDB, in one run.

    python -m tests.benchmarks.engine [--pairs 1000000] [--values 100,1024] [--rounds 1] [--only ringkv,plyvel]
                                      [--json FILE] [--cpu]

Each store runs in a process of its own, one after the other, with the same pairs (dataset.py), set up
alike (stores.py), through the same phases (engine_rows.py); the order is turned around from one size of
values to the next, and from round to round; of several rounds the median counts. A write is in the
store's log, not synced, unless the row says so. The ratio is that of operations per second to the better
of rocksdict and plyvel; of bytes on disk it is that to the smaller, and less is better. A quarter of a
million pairs of 100 bytes take two minutes (--pairs 250000 --values 100), all of it about eight.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.dataset import KEY_BYTES
from tests.benchmarks.engine_rows import ROWS, Row
from tests.benchmarks.stores import STORES

PEERS = ("rocksdict", "plyvel")
OURS = "ringkv"

Rates = dict[str, float]


def measure(name: str, count: int, value_bytes: int, *, cpu: bool) -> Rates:
    """All rows of one store, from a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "tests.benchmarks.engine_rows", name, directory]
        command += ["--pairs", str(count), "--value-bytes", str(value_bytes), *(["--cpu"] if cpu else [])]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    os.sync()
    rates: Rates = json.loads(output)
    return rates


def medians(rounds: list[Rates]) -> Rates:
    return {row: statistics.median(rates[row] for rates in rounds) for row in rounds[0]}


def ratio(row: Row, results: dict[str, Rates]) -> float | None:
    """To the better peer; None where there is nothing to compare."""
    peers = [results[name][row.name] for name in PEERS if row.name in results.get(name, {})]
    if not peers or OURS not in results:
        return None
    return results[OURS][row.name] / (min(peers) if row.is_size else max(peers))


def verdict(row: Row, reached: float | None) -> str:
    if row.target is None or reached is None:
        return ""
    is_met = reached <= row.target if row.is_size else reached >= row.target
    return f"{'≤' if row.is_size else '≥'} {row.target:.1f} {'met' if is_met else 'MISSED'}"


def format_table(results: dict[str, Rates]) -> str:
    names = list(results)
    lines = ["| | " + " | ".join(names) + " | ratio | target |", "|---|" + "---:|" * (len(names) + 1) + "---|"]
    for row in ROWS:
        values = " | ".join(f"{results[name][row.name]:,.0f}" if row.name in results[name] else "" for name in names)
        reached = ratio(row, results)
        shown = "" if reached is None else f"{reached:.2f}"
        lines.append(f"| {row.name} | {values} | {shown} | {verdict(row, reached)} |")
    return "\n".join(lines)


def describe() -> dict[str, Any]:
    return {"python": platform.python_version(), "processors": os.cpu_count(), "machine": platform.machine()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--values", default="100,1024", help="sizes in bytes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default=",".join(STORES))
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--cpu", action="store_true", help="reading rows by processor time: for a busy machine")
    options = parser.parse_args()
    names = options.only.split(",")
    report: dict[str, Any] = describe() | {"pairs": options.pairs, "key_bytes": KEY_BYTES, "values": {}}
    started = time.monotonic()
    for value_bytes in map(int, options.values.split(",")):
        rounds: dict[str, list[Rates]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                print(f"{name}, values of {value_bytes} bytes ...", file=sys.stderr, flush=True)
                rounds[name].append(measure(name, options.pairs, value_bytes, cpu=options.cpu))
            names = names[::-1]
        results = {name: medians(rounds[name]) for name in options.only.split(",")}
        print(f"\n{options.pairs:,} pairs, {KEY_BYTES}-byte keys, {value_bytes}-byte values; operations per second\n")
        print(format_table(results), flush=True)
        report["values"][value_bytes] = results
    print(f"\n{time.monotonic() - started:.0f} s; Python {report['python']}, {report['processors']} processors")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
