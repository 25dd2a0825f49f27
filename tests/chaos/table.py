"""A run in numbers: how available the cluster was during each fault, and how long it took to be well again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos import judge
from tests.chaos.record import SECOND, Fault, Record, Seen


@dataclass(frozen=True, slots=True)
class Line:
    """One fault in numbers.

    availability  share of the operations called while it lasted that succeeded within a second
    healthy       the same, through nodes that reach a majority of the key's replicas
    first, whole  seconds until anything, and everything, worked again on the majority's side; None: never,
                  or nothing was expected
    recovered     seconds from healing until everything worked
    """

    name: str
    seconds: float
    operations: int
    availability: float
    healthy: float | None
    first: float | None
    whole: float | None
    recovered: float


def line_of(record: Record, fault: Fault) -> Line:
    during = record.called_within(fault.began, fault.ended)
    served = [seen for seen in during if fault.has_majority(fault.side_of(seen.node), seen.operation.key)]
    times = list(judge.first_successes(record, fault).values())
    known = [(at - fault.began) / SECOND for at in times if at is not None]
    return Line(
        fault.name,
        (fault.ended - fault.began) / SECOND,
        len(during),
        _share(during) or 0.0,
        _share(served),
        min(known) if known else None,
        max(known) if known and None not in times else None,
        (fault.recovered - fault.ended) / SECOND,
    )


def _share(operations: list[Seen]) -> float | None:
    good = sum(seen.is_good and seen.seconds <= 1.0 for seen in operations)
    return good / len(operations) if operations else None


def worst(lines: Sequence[Line]) -> Line:
    """Several faults of one name as one: together in what can be added, else the worst of them."""
    operations = sum(line.operations for line in lines)
    return Line(
        lines[0].name if len(lines) == 1 else f"{lines[0].name} x{len(lines)}",
        sum(line.seconds for line in lines),
        operations,
        sum(line.availability * line.operations for line in lines) / max(1, operations),
        min((line.healthy for line in lines if line.healthy is not None), default=None),
        max((line.first for line in lines if line.first is not None), default=None),
        max((line.whole for line in lines if line.whole is not None), default=None),
        max(line.recovered for line in lines),
    )


def table(record: Record) -> list[str]:
    """All faults, as lines of text, in the order of their names; those of one name share a line."""
    lines: dict[str, list[Line]] = {}
    for fault in record.faults:
        lines.setdefault(fault.name, []).append(line_of(record, fault))
    head = f"{'fault':<36}{'s':>6}{'ops':>8}{'answered':>10}{'majority':>10}{'first':>8}{'all':>8}{'healed':>8}"
    return [head, *(_text(worst(lines[name])) for name in sorted(lines))]


def _text(line: Line) -> str:
    return (
        f"{line.name:<36}{line.seconds:>6.1f}{line.operations:>8}{line.availability:>10.1%}"
        f"{_percent(line.healthy):>10}{_seconds(line.first):>8}{_seconds(line.whole):>8}{line.recovered:>8.2f}"
    )


def outcomes(record: Record) -> str:
    """How many operations ended how."""
    counts = Counter(seen.operation.ok for seen in record.operations)
    return f"{len(record.operations)} operations: {counts[True]} ok, {counts[False]} refused, {counts[None]} unknown"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"
