"""What a lease assumes of clocks: within it no read is old, and beyond it one is (lease.py).

Every node's clock runs at a rate of its own. The leader is cut off from everybody, the others elect
another as soon as their promises allow, and it has a write acknowledged; all the while the old
leader answers lease reads whenever it believes that it may.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from raftgroups.lease import LEASE_SHARE_MAX
from raftgroups.timing import Timing
from tests.raftgroups.wire import Node, Wire

STEP_SECONDS = 0.005
TIMING = Timing()
LEASED = Timing(lease_seconds=LEASE_SHARE_MAX * TIMING.election_seconds_min)
SLEEPING = replace(LEASED, quiet_seconds=0.2)

EQUAL = {"a": 1.0, "b": 1.0, "c": 1.0}


def leased_read(node: Node) -> list[bytes] | None:
    """All that a lease read sees, None where there is no lease."""
    if not node.consensus.has_lease(node.now):
        return None
    node.consensus.apply_committed()
    return node.commands


def pass_time(wire: Wire, rates: Mapping[str, float]) -> None:
    for name, node in wire.nodes.items():
        node.tick(STEP_SECONDS * rates[name])
    wire.settle()


def led_by_a(timing: Timing) -> Wire:
    """Once the promises are over that may have been made before the nodes were started."""
    wire = Wire("abc", timing=timing)
    for node in wire.nodes.values():
        node.now += LEASED.election_seconds_min
    wire.elect("a")
    return wire


def old_reads(rates: Mapping[str, float], lost_after: int = 0, timing: Timing = LEASED) -> int:
    """How many lease reads lack an acknowledged write, when the leader is cut off after so many steps."""
    wire = led_by_a(timing)
    for _ in range(100 + lost_after):
        pass_time(wire, EQUAL)
    assert leased_read(wire["a"]) == []
    assert all(node.consensus.is_asleep == (timing is SLEEPING) for node in wire.nodes.values())
    wire.cut("a")
    old = 0
    for _ in range(int(2 * TIMING.election_seconds_max / STEP_SECONDS)):
        pass_time(wire, rates)
        leader = wire.leader
        if leader is not None and leader.name != "a" and not wire.acknowledged.get(leader.log.last_index):
            leader.propose(b"new")
            wire.settle()
        seen = leased_read(wire["a"])
        old += seen is not None and b"new" in wire.acknowledged.values() and b"new" not in seen
    assert b"new" in wire.acknowledged.values()
    return old


@pytest.mark.parametrize("timing", [LEASED, SLEEPING], ids=["awake", "asleep"])
@pytest.mark.parametrize("lost_after", range(0, 30, 6))
@pytest.mark.parametrize("rates", [EQUAL, {"a": 0.95, "b": 1.045, "c": 0.95}, {"a": 1.045, "b": 0.95, "c": 0.95}])
def test_no_lease_read_is_old_while_clocks_keep_to_what_is_assumed(
    rates: Mapping[str, float], lost_after: int, timing: Timing
) -> None:
    """Their rates differ by less than 10 %. Source: Ongaro 2014, section 6.4.1."""
    assert old_reads(rates, lost_after, timing) == 0


@pytest.mark.parametrize(
    "rates", [{"a": 0.6, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 1.6, "c": 1.6}, {"a": 0.0, "b": 1.0, "c": 1.0}]
)
def test_a_lease_read_is_old_where_a_clock_breaks_the_assumption(rates: Mapping[str, float]) -> None:
    """So the assumption is a real one: linearizable reads ask a majority and know no clock."""
    assert old_reads(rates) > 0


def test_who_has_no_lease_is_not_served_old_data_by_any_clock() -> None:
    """With the same broken clocks: an ordinary read of the old leader waits, and is given up."""
    wire = led_by_a(LEASED)
    wire.run(0.5)
    wire.cut("a")
    wire.elect_by("b", "c")
    wire["b"].propose(b"new")
    wire.settle()

    assert leased_read(wire["a"]) == []
    read = wire["a"].read()
    wire["a"].tick(2 * TIMING.election_seconds_max)
    assert read.fate == "abandoned"
