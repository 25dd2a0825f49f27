"""Replicas that sleep: what sends them to sleep, what wakes them, and that all promises hold meanwhile."""

import math
from collections.abc import Callable

import pytest

from raftgroups.lease import LEASE_SHARE_MAX
from raftgroups.membership import Configuration
from raftgroups.messages import Beat, Heartbeat, Sleep, VoteRequest
from raftgroups.timing import Timing
from tests.raftgroups.wire import GROUP, STEP_SECONDS, Node, Wire

TIMING = Timing(quiet_seconds=0.5)
LEASED = Timing(quiet_seconds=0.5, lease_seconds=LEASE_SHARE_MAX * TIMING.election_seconds_min)


def asleep(names: str = "abc", timing: Timing = TIMING, joiners: str = "") -> Wire:
    """A group that a leads, with something in its log, a while after all have fallen asleep."""
    wire = Wire(names, timing=timing, joiners=joiners)
    for node in wire.nodes.values():
        node.now += timing.election_seconds_min
    wire.elect("a")
    wire["a"].propose(b"one")
    wire.run(1.5)
    assert sleepers(wire) == names
    wire.run(10.0)
    assert sleepers(wire) == names
    return wire


def sleepers(wire: Wire) -> str:
    return "".join(name for name, node in wire.nodes.items() if node.consensus.is_asleep)


def works(wire: Wire) -> bool:
    """Whether a write and a read of every node come through."""
    leader = wire.leader
    assert leader is not None
    index = leader.propose(b"two")
    wire.settle()
    reads = [node.read() for node in wire.nodes.values() if node.is_running and node.consensus.leader is not None]
    wire.settle()
    return index in wire.acknowledged and all(read.fate == "served" for read in reads)


def test_a_group_that_is_asked_for_nothing_sleeps_and_stays_as_it_is() -> None:
    wire = asleep()
    a = wire["a"]
    term = a.consensus.term

    wire.run(60.0)

    assert sleepers(wire) == "abc"
    assert a.is_leader and a.consensus.term == term
    assert works(wire)


def test_one_that_is_told_never_to_sleep_does_not() -> None:
    wire = Wire("abc")
    wire.elect("a")

    wire.run(10.0)

    assert sleepers(wire) == ""


def test_a_group_that_sleeps_sends_no_heartbeats() -> None:
    wire = asleep()

    for node in wire.nodes.values():
        node.tick(TIMING.heartbeat_seconds)

    assert {type(message) for a, b in wire.links for message in wire.in_flight(a, b)} == {Beat}


def test_a_voter_alone_sleeps_too() -> None:
    wire = asleep("a")

    assert works(wire)
    assert sleepers(wire) == ""


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_a_write_wakes_all_and_they_sleep_again(seconds: float) -> None:
    wire = asleep()
    wire.run(seconds)

    wire["a"].propose(b"two")
    wire.settle()
    assert sleepers(wire) == ""
    assert wire["a"].commands == [b"one", b"two"]

    wire.run(1.5)
    assert sleepers(wire) == "abc"
    assert all(node.commands == [b"one", b"two"] for node in wire.nodes.values())


@pytest.mark.parametrize("name", "abc")
def test_a_read_anywhere_is_served(name: str) -> None:
    wire = asleep()

    read = wire[name].read()
    wire.settle()

    assert read.fate == "served"


def test_nobody_sleeps_while_a_follower_lags() -> None:
    """It has a link, and lacks an entry: its disk does not answer."""
    wire = Wire("abc", timing=TIMING)
    wire.elect("a")
    wire["c"].is_full = True
    wire["a"].propose(b"one")

    wire.run(3.0)
    assert sleepers(wire) == ""

    wire["c"].is_full = False
    wire.run(1.5)
    assert sleepers(wire) == "abc"


def test_a_follower_that_lags_does_not_lie_down() -> None:
    wire = Wire("abc", timing=TIMING)
    wire.elect("a")
    consensus = wire["b"].consensus
    term, last = consensus.term, wire["b"].log.last_index

    assert not consensus.lie_down("a", term, type(last)(last + 1), wire["b"].now)
    assert not consensus.lie_down("c", term, last, wire["b"].now)
    assert not consensus.lie_down("a", type(term)(term + 1), last, wire["b"].now)
    assert not wire["a"].consensus.lie_down("a", term, last, wire["a"].now)
    assert consensus.lie_down("a", term, last, wire["b"].now)


def test_a_group_sleeps_without_a_follower_that_is_down_and_wakes_when_it_is_back() -> None:
    wire = asleep()
    wire["c"].crash()
    wire.run(1.5)
    assert sleepers(wire)[:2] == "ab"
    wire["a"].propose(b"two")
    wire.run(1.5)
    assert sleepers(wire)[:2] == "ab"

    wire.restart("c")
    wire.run(2.0)

    assert wire["c"].commands == [b"one", b"two"]
    assert sleepers(wire) == "abc"


def test_without_a_majority_nobody_sleeps() -> None:
    wire = asleep()
    wire["b"].crash()
    wire["c"].crash()

    wire.run(0.3)

    assert not wire["a"].consensus.is_asleep


def time_until(wire: Wire, condition: Callable[[], bool], names: str) -> float:
    """How long these nodes run until something holds."""
    for step in range(round(10.0 / STEP_SECONDS)):
        if condition():
            return step * STEP_SECONDS
        for name in names:
            wire[name].now += STEP_SECONDS
            wire[name].tick()
        wire.settle()
    return math.inf


def leads(wire: Wire, names: str) -> Callable[[], bool]:
    return lambda: any(wire[name].is_leader for name in names)


def test_a_crowd_takes_turns() -> None:
    """As when a node is lost that led hundreds of groups; a few are as quick as one."""
    for crowd, last in ((1, TIMING.failover_seconds_max), (100, TIMING.failover_seconds_max), (341, 0.391)):
        times = []
        for seed in range(40):
            wire = Wire("abc", seed=seed, timing=TIMING)
            wire.elect("a")
            consensus = wire["b"].consensus
            consensus.link_lost("a", wire["b"].now, crowd)
            times.append(consensus._deadline - wire["b"].now)
        assert TIMING.failover_seconds_min <= min(times) < max(times) <= last
        assert max(times) > 0.8 * last


@pytest.mark.parametrize("rest", [0.0, 0.05, 0.14, 20.0])
def test_a_leader_that_is_lost_is_replaced_as_soon_as_if_all_had_been_awake(rest: float) -> None:
    wire = asleep()
    wire.run(rest)

    wire["a"].crash()
    seconds = time_until(wire, leads(wire, "bc"), "bc")

    assert seconds <= 2 * TIMING.failover_seconds_max
    assert works(wire)


def test_a_leader_that_stands_still_is_replaced_when_it_would_have_been() -> None:
    """Its links are up, and nothing comes over them."""
    wire = asleep()

    seconds = time_until(wire, leads(wire, "bc"), "bc")

    assert TIMING.election_seconds_min - TIMING.heartbeat_seconds < seconds < 2 * TIMING.election_seconds_max
    assert works(wire)


def test_a_leader_that_stood_still_is_not_believed_afterwards() -> None:
    wire = asleep()
    assert time_until(wire, leads(wire, "bc"), "bc") < math.inf
    leader = next(wire[name] for name in "bc" if wire[name].is_leader)
    leader.propose(b"two")
    for a, b in ("bc", "cb"):
        wire[a].sync()
        wire.deliver(a, b)
    term = leader.consensus.term

    wire["a"].now = leader.now
    for _ in range(20):
        wire["a"].tick(0.05)
        wire.deliver("a", "b")
        wire.deliver("a", "c")
        assert leader.is_leader or not leader.consensus.is_asleep
    wire.settle()
    wire.run(3.0)

    assert wire.leader is not None and wire.leader.consensus.term >= term
    assert wire["a"].commands == [b"one", b"two"]


@pytest.mark.parametrize("mute", [True, False])
def test_a_leader_that_no_majority_answers_is_none_within_two_timeouts(mute: bool) -> None:
    """It hears nobody, and perhaps others hear it."""
    wire = asleep()
    a = wire["a"]
    began = a.now
    while a.is_leader:
        assert a.now - began <= 2 * TIMING.election_seconds_max
        a.tick(0.05)
        for name in "bc":
            if mute:
                wire.links["a", name].clear()
            wire.links[name, "a"].clear()
    assert a.now - began >= TIMING.election_seconds_min


def test_a_voter_that_sleeps_votes_for_nobody_while_its_leader_lives() -> None:
    wire = asleep()
    wire.cut("c", "a")

    wire.run(5.0)

    assert wire["a"].is_leader
    assert wire["a"].consensus.term == wire["c"].consensus.term == wire["b"].consensus.term


def test_one_who_stands_wakes_all_whom_it_asks() -> None:
    wire = asleep()
    b = wire["b"].consensus

    b.receive("c", VoteRequest(GROUP, b.term + 1, 99, b.term, probe=True, transfer=False), wire["b"].now)
    wire.settle()

    assert sleepers(wire) == ""
    assert wire["a"].is_leader


def test_a_leader_that_was_deposed_in_its_sleep_says_so_to_those_who_sleep() -> None:
    wire = asleep()
    a = wire["a"].consensus

    a.receive("c", Heartbeat(GROUP, a.term + 5, 0, 0), wire["a"].now)
    wire.settle()

    assert not wire["b"].consensus.is_asleep
    wire.run(4.0)
    assert works(wire)


def test_leadership_is_handed_over_in_the_sleep() -> None:
    wire = asleep()

    wire["a"].consensus.transfer("b", wire["a"].now)
    wire.settle()

    assert wire["b"].is_leader
    assert works(wire)


def test_membership_changes_wake_the_group_and_new_members_sleep_with_it() -> None:
    wire = Wire("abc", timing=TIMING, joiners="d")
    wire.elect("a")
    wire.run(1.5)

    wire["a"].change("abc", "d")
    wire.run(2.0)

    assert wire["d"].consensus.configuration == Configuration(("a", "b", "c"), ("d",))
    assert sleepers(wire) == "abcd"


def test_a_restarted_follower_wakes_and_catches_up() -> None:
    wire = asleep()
    wire["b"].crash()
    wire.restart("b")
    wire.settle()

    assert not wire["a"].consensus.is_asleep
    wire.run(2.0)
    assert sleepers(wire) == "abc"


def test_a_restarted_leader_is_not_taken_for_what_it_was() -> None:
    wire = asleep()
    wire["a"].crash()
    wire.restart("a")

    wire.run(1.0)

    assert wire.leader is not None
    assert works(wire)


@pytest.mark.parametrize("name", "abc")
def test_the_age_of_a_replica_that_sleeps_is_that_of_the_last_beat(name: str) -> None:
    wire = asleep()
    consensus = wire[name].consensus

    for _ in range(100):
        wire.run(STEP_SECONDS)
        consensus.refresh(wire[name].now)
        assert consensus.fresh_at is not None
        assert wire[name].now - consensus.fresh_at <= TIMING.heartbeat_seconds + 0.05 + STEP_SECONDS
    assert sleepers(wire) == "abc"


def test_a_replica_grows_old_when_no_beat_comes() -> None:
    wire = asleep()
    b = wire["b"]

    for _ in range(10):
        b.tick(0.05)
    b.consensus.refresh(b.now)

    assert b.consensus.fresh_at is not None
    assert b.now - b.consensus.fresh_at >= 0.5


def has_lease(node: Node) -> bool:
    return node.consensus.has_lease(node.now)


def test_a_leader_keeps_its_lease_in_its_sleep() -> None:
    wire = asleep(timing=LEASED)

    for _ in range(200):
        wire.run(STEP_SECONDS)
        assert has_lease(wire["a"])
    assert sleepers(wire) == "abc"


def test_a_lease_ends_with_the_beats_before_anybody_else_is_elected() -> None:
    wire = asleep(timing=LEASED)
    a = wire["a"]
    wire.cut("a")
    assert has_lease(a)

    began = a.now
    while not leads(wire, "bc")():
        for node in wire.nodes.values():
            node.now += STEP_SECONDS
            node.tick()
        wire.settle()

    assert not has_lease(a)
    assert a.now - began >= LEASED.election_seconds_min - TIMING.heartbeat_seconds


def test_a_promise_made_in_the_sleep_is_kept_though_the_leader_is_gone() -> None:
    wire = asleep(timing=LEASED)
    promised_at = wire["b"].now
    wire["a"].crash()

    seconds = time_until(wire, leads(wire, "bc"), "bc")

    assert wire["b"].now - promised_at >= LEASED.election_seconds_min - LEASED.heartbeat_seconds - STEP_SECONDS
    assert seconds < 2 * LEASED.election_seconds_max


def test_the_answer_to_the_last_heartbeat_does_not_wake_the_leader() -> None:
    wire = Wire("abc", timing=TIMING)
    wire.elect("a")
    a = wire["a"]
    while not a.consensus.is_asleep:
        for node in wire.nodes.values():
            node.now += STEP_SECONDS
            node.tick()
            node.sync()
        if not a.consensus.is_asleep:
            wire.settle()
    kinds = [type(message) for message in wire.in_flight("a", "b")]
    assert kinds[-1] is Sleep

    wire.settle()

    assert sleepers(wire) == "abc"
