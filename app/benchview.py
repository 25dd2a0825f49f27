"""What `ringkv bench` shows: a table that is drawn anew in a terminal, a line a second elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.bench import Bench, Interval, Show

_BAR = 30


@contextmanager
def shown(stream: TextIO, *, is_live: bool) -> Iterator[Show]:
    """How to show an interval on `stream`."""
    if not is_live:
        yield lambda bench, interval: print(line(bench, interval), file=stream, flush=True)
        return
    with Live(console=Console(file=stream), refresh_per_second=8) as live:
        yield lambda bench, interval: live.update(table(bench, interval))


def line(bench: Bench, interval: Interval) -> str:
    """One interval in one line."""
    parts = [f"{interval.rate:9,.0f} ops/s", *_percentiles(interval)]
    parts.append("leads " + _leaders(bench))
    parts += [f"{count} {kind}" for kind, count in interval.failures.most_common()]
    return "   ".join(parts)


def table(bench: Bench, interval: Interval) -> Table:
    """The same as a table, with all so far beside it."""
    drawn = Table(title="ringkv bench", expand=False)
    for name in ("", "now", "so far"):
        drawn.add_column(name, justify="left" if not name else "right")
    total = bench.total
    drawn.add_row("operations a second", f"{interval.rate:,.0f}", f"{total.rate:,.0f}")
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        drawn.add_row(f"{name} ms", *[_milliseconds(part.percentile(share)) for part in (interval, total)])
    drawn.add_row("longest without a put", "", f"{bench.gap_seconds:.2f} s")
    for kind in sorted(total.failures):
        drawn.add_row(kind, str(interval.failures[kind]), str(total.failures[kind]))
    drawn.add_section()
    partitions = max(1, bench.leaders.total())
    for node, count in sorted(bench.leaders.items()):
        drawn.add_row(f"{node} leads", f"{count} of {partitions}", "█" * round(_BAR * count / partitions))
    return drawn


def summary(bench: Bench) -> str:
    """All of it, in a line."""
    total = bench.total
    failures = ", ".join(f"{count} {kind}" for kind, count in total.failures.most_common()) or "none failed"
    return (
        f"{bench.operations:,} operations in {total.seconds:.1f} s: {total.rate:,.0f} a second, "
        f"{', '.join(_percentiles(total))}; {failures}; "
        f"longest time without an acknowledged put {bench.gap_seconds:.2f} s"
    )


def facts(bench: Bench, linearizable: bool | None) -> dict[str, object]:
    """The same for a program."""
    total = bench.total
    return {
        "operations": bench.operations,
        "seconds": round(total.seconds, 3),
        "operations_per_second": round(total.rate, 1),
        "p50_ms": total.percentile(0.5),
        "p99_ms": total.percentile(0.99),
        "puts_acknowledged": bench.written,
        "longest_without_put_seconds": round(bench.gap_seconds, 3),
        "failures": dict(total.failures),
        "leaders": dict(bench.leaders),
        "linearizable": linearizable,
    }


def _percentiles(interval: Interval) -> list[str]:
    return [f"{name} {_milliseconds(interval.percentile(share))} ms" for name, share in (("p50", 0.5), ("p99", 0.99))]


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _leaders(bench: Bench) -> str:
    return " ".join(f"{node}:{count}" for node, count in sorted(bench.leaders.items())) or "?"
