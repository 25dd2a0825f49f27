"""What a scenario expects beyond what the judges (judge.py) do: each adds to the failures of its arena."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from tests.chaos.arena import Arena
from tests.chaos.record import Fault


def terms(arena: Arena) -> int:
    """The sum of the terms of all partitions."""
    newest = {view.partition: view.term for view in sorted(arena.record.views, key=lambda view: view.term)}
    return sum(newest.values())


def few_elections(arena: Arena, before: int, name: str) -> None:
    partitions = len(set(arena.partition.values()))
    if (risen := terms(arena) - before) > 5 * partitions:
        arena.failures.append(f"{name}: terms rose by {risen} in {partitions} partitions")


def somebody_is_served(arena: Arena, name: str) -> None:
    """Every partition takes a put through some node now.

    Asked for here: where no node reaches all leaders, clients wait most of the time, and may draw no put of a key.
    """
    keys = {partition: key for key, partition in arena.partition.items()}

    def served_by(node: str) -> set[int]:
        agent = arena.agents[node]
        return {
            partition
            for partition, key in keys.items()
            if agent.ask("PUT", quote(f"/v1/kv/{{{key}}}served"), "x", timeout=1).status == 204
        }

    with ThreadPoolExecutor(len(arena.names)) as pool:
        served = set().union(*pool.map(served_by, arena.names))
    if dead := sorted(keys.keys() - served):
        arena.failures.append(f"{name}: no node takes writes of partitions {dead}")


def nobody_else_refused(arena: Arena, fault: Fault) -> None:
    """A graceful stop costs the clients of the other nodes nothing."""
    hurt = [
        seen
        for seen in arena.record.tail(fault.began)
        if not seen.is_good and seen.called <= fault.ended and fault.side_of(seen.node)
    ]
    if hurt:
        arena.failures.append(f"{fault.name}: {len(hurt)} failures elsewhere, as {hurt[0].operation.to_json()}")


def ended_with(arena: Arena, name: str, code: int) -> None:
    found = arena.await_exit(name)
    if found != code:
        arena.failures.append(f"{arena.record.faults[-1].name}: {name} ended with {found}, not {code}")


def injected(arena: Arena, name: str, what: str) -> None:
    """A fault that never happened proves nothing."""
    if what not in arena.nodes[name].shim.log_text():
        arena.failures.append(f"{arena.record.faults[-1].name}: the shim never did it to {name}")


def nothing_in_doubt(arena: Arena, fault: Fault, name: str) -> None:
    """A node that is asked to end says what became of each request, so what it refuses may be asked of another.

    One may cross the end of its connection on the way: nobody knows of that.
    """
    doubtful = [
        seen
        for seen in arena.record.tail(fault.began)
        if seen.node == name and seen.operation.ok is None and seen.called <= fault.ended
    ]
    if len(doubtful) > 1:
        arena.failures.append(f"{fault.name}: {len(doubtful)} unknown, as {doubtful[0].operation.to_json()}")


def in_doubt(arena: Arena, name: str) -> None:
    """The last fault left clients of this node without an answer."""
    fault = arena.record.faults[-1]
    if not any(seen.node == name and seen.status == -1 for seen in arena.record.tail(fault.began)):
        arena.failures.append(f"{fault.name}: every client of {name} had its answer")


def refuses_to_start(arena: Arena, name: str, why: str = "") -> None:
    """It ends with 1, and says in which directory something is wrong, and what that is."""
    before = len(arena.nodes[name].log_text())
    arena.start(name)
    ended_with(arena, name, 1)
    if arena.nodes[name].is_running:
        arena.kill(name)
    told = arena.nodes[name].log_text()[before:]
    if why not in told or str(arena.nodes[name].data) not in told:
        arena.failures.append(f"{arena.record.faults[-1].name}: {name} did not say {why!r} but {told[-500:]!r}")


def snapshots(arena: Arena, name: str) -> int:
    """How many snapshots the node has begun to receive."""
    return len(re.findall(r"snapshot at \d+ from ", arena.nodes[name].log_text()))


def snapshots_to(arena: Arena, name: str) -> int:
    """How many snapshots the others have begun to send to the node."""
    return sum(len(re.findall(rf"snapshot at \d+ to {name}\b", text)) for _, text in arena.logs())


def received_snapshot(arena: Arena, name: str, before: int) -> None:
    if snapshots(arena, name) == before:
        arena.failures.append(f"{arena.record.faults[-1].name}: {name} has received no snapshot")
