"""The judges: each says, of a record, what should not have been.

Linearizability includes durability: the last reads of a run go through every restarted node, so a
write that was acknowledged and is gone leaves a read that nothing explains.
"""

from collections.abc import Iterable, Iterator

from app.simulation.linearizability import check
from tests.chaos.record import SECOND, Fault, Record

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
    """Every node of a side with a majority serves every key that it is asked for in time.

    Faults that were too short to tell are left out, and so is what was asked in the last second alone.
    """
    for fault in record.faults:
        limit = fault.began + int(fault.live_seconds * SECOND)
        if fault.ended < limit:
            continue
        asked = {(seen.node, seen.operation.key) for seen in record.called_within(fault.began, limit - SECOND)}
        late = [
            f"{node} {key}"
            for (node, key), at in sorted(first_successes(record, fault).items())
            if (node, key) in asked and (at is None or at > limit)
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


def exact_counters(record: Record) -> Iterator[str]:
    """Each addition was made once, however often it was asked for; every node says the same."""
    for node, found in record.found.items():
        for key, value in found.items():
            least, doubt = record.counted[key], record.doubtful[key]
            if not least <= value <= least + doubt:
                yield f"{key} is {value} through {node}, not {least}" + (f" to {least + doubt}" if doubt else "")


def faithful_sessions(record: Record) -> Iterator[str]:
    """A session sees what it has written and seen, through whatever node."""
    complaints = record.session_complaints
    if complaints:
        yield f"{len(complaints)} of {record.session_reads} reads of sessions: {complaints[0]}"


def repeated(record: Record) -> Iterator[str]:
    """A run counts only if there were counters and sessions to judge."""
    if not record.session_reads or not sum(record.counted.values()):
        yield f"{record.session_reads} reads of sessions, {sum(record.counted.values())} counted"


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
