"""The judges: each says, of a record, what should not have been.

Linearizability includes durability: the last reads of a run go through every restarted node, so a
write that was acknowledged and is gone leaves a read that nothing explains.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.simulation.linearizability import check
from tests.chaos.record import SECOND, Fault, Record, Seen

RATE_MIN = 100.0
EXAMPLES_MAX = 3


def linearizable(record: Record) -> Iterator[str]:
    violation = check(record.history())
    if violation is not None:
        yield f"not linearizable: {violation}"


def silent_minorities(record: Record) -> Iterator[str]:
    """Through a side without a majority nothing succeeds that was asked while it was cut off."""
    for fault in record.faults:
        if fault.sides is None:
            continue
        told = [
            seen
            for seen in record.called_within(fault.forced, fault.ended)
            if seen.finished <= fault.ended
            and seen.is_good
            and (side := fault.side_of(seen.node))
            and not fault.has_majority(side, seen.operation.key)
        ]
        if told:
            yield f"{fault.name}: {len(told)} successes through a minority, as {told[0].operation.to_json()}"


def live_majorities(record: Record) -> Iterator[str]:
    """Every node of a side with a majority serves every key in time, but for faults that were too short to tell."""
    for fault in record.faults:
        limit = fault.began + int(fault.live_seconds * SECOND)
        if fault.ended < limit:
            continue
        late = [
            f"{node} {key}"
            for (node, key), at in sorted(first_successes(record, fault).items())
            if at is None or at > limit
        ]
        if late:
            some = ", ".join(late[:EXAMPLES_MAX])
            yield f"{fault.name}: no success within {fault.live_seconds:g} s for {len(late)} of node and key: {some}"


def first_successes(record: Record, fault: Fault) -> dict[tuple[str, str], int | None]:
    """When each node first succeeded with each key after the fault began, where its side has a majority."""
    first: dict[tuple[str, str], int | None] = {
        (node, key): None
        for side in fault.sides or ()
        for node in side
        for key in fault.replicas
        if fault.has_majority(side, key)
    }
    for seen in record.called_within(fault.began, fault.ended):
        place = seen.node, seen.operation.key
        if seen.is_good and place in first and seen.finished <= fault.ended:
            known = first[place]
            first[place] = seen.finished if known is None else min(known, seen.finished)
    return first


def answered(record: Record) -> Iterator[str]:
    """A running node that can be reached answers, if only that it cannot; no client is left hanging."""
    for fault in record.faults:
        hung = [
            seen
            for seen in record.called_within(fault.forced, fault.ended)
            if seen.status == -1 and seen.finished <= fault.ended and fault.side_of(seen.node)
        ]
        if hung:
            yield f"{fault.name}: {len(hung)} requests without an answer, as {hung[0].operation.to_json()}"


def one_leader(record: Record) -> Iterator[str]:
    """No two nodes say of themselves that they lead in one term; no node's term ever falls, not even by a restart."""
    leaders: dict[tuple[int, int], set[str]] = {}
    terms: dict[tuple[str, int], int] = {}
    for view in sorted(record.views, key=lambda view: view.asked):
        if not view.term:
            continue  # it holds no replica
        if view.leader == view.node:
            leaders.setdefault((view.partition, view.term), set()).add(view.node)
        place = view.node, view.partition
        if view.term < terms.get(place, 0):
            yield f"{view.node} fell from term {terms[place]} to {view.term} in partition {view.partition}"
        terms[place] = view.term
    for (partition, term), names in leaders.items():
        if len(names) > 1:
            yield f"partition {partition} had leaders {sorted(names)} in term {term}"


def read_back(record: Record, nodes: Iterable[str], keys: Iterable[str], since: int) -> Iterator[str]:
    """At the end every key could be read through every node."""
    keys = list(keys)
    done = {(seen.node, seen.operation.key) for seen in record.tail(since) if seen.is_good}
    for node in nodes:
        for key in keys:
            if (node, key) not in done:
                yield f"{key} cannot be read through {node} at the end"


def busy(record: Record) -> Iterator[str]:
    """A run counts only if the clients kept the cluster busy before the first fault, and it went on after each."""
    if not record.faults:
        return
    rate = rate_before(record)
    if rate < RATE_MIN:
        yield f"only {rate:.0f} operations/s before the first fault, not {RATE_MIN:.0f}"
    for fault in record.faults:
        if not any(seen.is_good for seen in record.tail(fault.began)):
            yield f"{fault.name}: nothing succeeded during it or after"


def rate_before(record: Record) -> float:
    """Successful operations in the last second before the first fault, or a part of it."""
    began = record.faults[0].began
    return sum(seen.is_good and began - SECOND <= seen.finished <= began for seen in record.operations)


def quiet_logs(logs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """No node ever shows a traceback: what can go wrong is foreseen."""
    for name, text in logs:
        position = text.find("Traceback")
        if position >= 0:
            yield f"{name} shows a traceback: {text[max(0, position - 300) : position + 1_500]}"


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
    times = list(first_successes(record, fault).values())
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


def table(record: Record) -> list[str]:
    """All faults, in order, as lines of text."""
    head = f"{'fault':<34}{'s':>6}{'ops':>8}{'answered':>10}{'majority':>10}{'first':>8}{'all':>8}{'healed':>8}"
    lines = [head]
    for fault in record.faults:
        line = line_of(record, fault)
        lines.append(
            f"{line.name:<34}{line.seconds:>6.1f}{line.operations:>8}{line.availability:>10.1%}"
            f"{_percent(line.healthy):>10}{_seconds(line.first):>8}{_seconds(line.whole):>8}{line.recovered:>8.2f}"
        )
    return lines


def outcomes(record: Record) -> str:
    """How many operations ended how."""
    counts = Counter(seen.operation.ok for seen in record.operations)
    return f"{len(record.operations)} operations: {counts[True]} ok, {counts[False]} refused, {counts[None]} unknown"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"
