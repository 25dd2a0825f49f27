"""Scenarios of membership and leases: one behaviour each, every step in the open."""

import pytest

from raftgroups.ids import LogIndex, Term
from raftgroups.lease import LEASE_SHARE_MAX
from raftgroups.membership import Configuration
from raftgroups.messages import Append, AppendReply, Heartbeat, Removed, TimeoutNow, VoteReply, VoteRequest
from raftgroups.timing import Timing
from tests.raftgroups.wire import GROUP, Wire

TIMING = Timing()
LEASED = Timing(lease_seconds=LEASE_SHARE_MAX * TIMING.election_seconds_min)


def led_by(name: str, names: str = "abc", joiners: str = "", timing: Timing = TIMING) -> Wire:
    wire = Wire(names, timing=timing, joiners=joiners)
    for node in wire.nodes.values():
        # For so long after a start nobody votes who might have promised something before it.
        node.now += timing.election_seconds_min
    wire.elect(name)
    wire.run(0.2)
    return wire


def voters(wire: Wire, name: str) -> str:
    return "".join(wire[name].consensus.configuration.voters)


# Changes.


def test_a_learner_gets_everything_and_counts_in_nothing() -> None:
    """Thesis, 4.2.1."""
    wire = led_by("a", joiners="d")
    wire["a"].propose(b"before")
    wire.settle()
    wire["a"].change("abc", "d")
    wire.settle()

    assert wire["d"].commands == [b"before"]
    wire.cut("b")
    wire.cut("c")
    wire["a"].propose(b"after")
    wire.settle()
    assert wire["d"].log.last_index == wire["a"].log.last_index
    assert b"after" not in wire["a"].commands, "leader and learner are no majority"


def test_a_learner_never_stands() -> None:
    wire = led_by("a", joiners="d")
    wire["a"].change("abc", "d")
    wire.settle()
    wire.cut("d")
    wire["d"].now += 60
    wire["d"].tick()
    wire.heal()
    wire["d"].tick(2 * TIMING.election_seconds_max)
    wire.settle()

    assert not wire["d"].is_leader
    assert wire["a"].is_leader


def test_a_configuration_is_in_force_before_it_is_committed() -> None:
    """Thesis, 4.1: of four voters three are needed, also for the entry that says so."""
    wire = led_by("a", joiners="d")
    for name in "cd":
        wire.cut(name)
    index = wire["a"].change("abcd")
    wire.settle()

    assert voters(wire, "b") == "abcd"
    assert wire["a"].consensus.commit_index < index
    wire.link("a", "c")
    wire.run(0.5)
    assert wire["a"].consensus.commit_index >= index


def test_a_truncated_configuration_is_rolled_back() -> None:
    wire = led_by("a", joiners="d")
    wire.cut("a")
    wire["a"].change("abcd")
    wire["a"].sync()
    assert voters(wire, "a") == "abcd"

    wire.elect_by("b", "c")
    wire["b"].propose(b"instead")
    wire.run(0.3)
    wire.heal()
    wire.run(0.5)

    assert voters(wire, "a") == "abc"
    assert wire["a"].commands == [b"instead"]


def test_a_configuration_survives_a_restart_as_an_entry_and_as_state() -> None:
    """Also one that is not committed, and one whose entry is gone from the log (snapshot plus log)."""
    wire = led_by("a", joiners="d")
    wire["a"].change("abcd")
    wire.settle()
    wire["b"].crash()
    assert "".join(wire.restart("b").consensus.configuration.voters) == "abcd"

    wire.run(0.5)
    wire["b"].compact()
    wire["b"].crash()
    assert "".join(wire.restart("b").consensus.configuration.voters) == "abcd"


def test_a_configuration_comes_with_a_snapshot() -> None:
    wire = led_by("a", joiners="d")
    wire.cut("c")
    wire["a"].change("abcd")
    for number in range(5):
        wire["a"].propose(b"%d" % number)
    wire.settle()
    wire["a"].compact()
    wire.heal()
    wire.run(0.5)
    assert wire["a"].snapshots_needed == ["c"]
    wire["a"].send_snapshot("c")
    wire.run(0.5)

    assert voters(wire, "c") == "abcd"
    assert wire["c"].state == wire["a"].state


def test_no_change_before_the_reign_has_committed() -> None:
    """Else two leaders' single steps may not meet (Ongaro's mail of 2015)."""
    wire = Wire("abc")
    wire["a"].tick(TIMING.election_seconds_max)
    for _ in range(2):
        wire.exchange("a", "b")
    wire["a"].sync()
    wire.deliver("a", "b")

    assert wire["a"].is_leader
    assert not wire["a"].consensus.may_change
    wire.settle()
    assert wire["a"].consensus.may_change


def test_no_change_while_leadership_is_handed_over() -> None:
    wire = led_by("a")
    wire["a"].propose(b"x")
    wire["a"].consensus.transfer("b", wire["a"].now)

    assert not wire["a"].consensus.may_change


# Removal.


def test_a_leader_removes_itself_and_hands_over() -> None:
    """Thesis, 4.2.2: it leads until that is committed, and is not counted for it."""
    wire = led_by("a")
    wire["a"].change("bc")
    wire["a"].sync()
    wire.deliver("a", "b")
    wire["b"].sync()
    wire.deliver("b", "a")
    assert wire["a"].is_leader, "b alone is no majority of b and c"

    wire.settle()

    leader = wire.leader
    assert leader is not None
    assert leader.name in "bc"
    leader.propose(b"on we go")
    wire.run(0.3)
    assert wire["c"].commands == wire["b"].commands == [b"on we go"]


def test_a_removed_leader_whose_removal_is_not_committed_can_still_be_elected() -> None:
    """Thesis, 4.2.2: it may be the only one with the newest log."""
    wire = led_by("a")
    wire.cut("a")
    wire["a"].change("bc")
    wire["a"].sync()
    wire["a"].crash()
    wire.restart("a")
    for name in "bc":
        wire[name].now += TIMING.election_seconds_max
    wire["a"].tick(TIMING.election_seconds_max)
    wire.run(0.5)

    assert voters(wire, "b") == voters(wire, "c") == "bc"
    assert wire.leader is not None
    assert wire.leader.name in "bc"


def test_a_removed_replica_is_told_when_it_asks() -> None:
    """Nobody sends it anything any more, so it learns of its removal from a leader it asks for a forecast."""
    wire = led_by("a")
    wire["a"].change("ab")
    wire.run(2 * TIMING.election_seconds_max)

    assert wire["c"].is_removed
    assert wire["a"].consensus.term == 1, "it has disturbed nobody (thesis, 4.2.3)"
    assert wire["a"].is_leader


def test_a_replica_that_knows_none_of_the_members_that_lead_is_told_too() -> None:
    """It was away while the leader joined, so it asks everybody it has a link to."""
    wire = led_by("a", joiners="d")
    wire.cut("c")
    for members in ("abcd", "abd"):
        wire["a"].change(members)
        wire.run(0.3)
    wire["a"].consensus.transfer("d", wire["a"].now)
    wire.settle()
    assert wire["d"].is_leader
    wire.link("c", "d")
    wire.run(2 * TIMING.election_seconds_max)

    assert wire["c"].is_removed


def test_a_removal_is_believed_from_the_leader_of_a_term_not_older() -> None:
    wire = led_by("a")
    node = wire["c"]
    node.receive("a", Removed(GROUP, 0, 9))
    assert not node.is_removed

    node.receive("b", Removed(GROUP, 1, 9))
    assert node.is_removed


def test_a_removal_older_than_the_configuration_known_is_void() -> None:
    wire = led_by("a", joiners="d")
    wire["a"].change("abc", "d")
    wire.settle()
    known = wire["d"].consensus.committed_configuration[0]
    wire["d"].receive("a", Removed(GROUP, 1, known))

    assert not wire["d"].is_removed


@pytest.mark.parametrize("again", [Append(GROUP, 1, 1, 1, [], 1, 9), Heartbeat(GROUP, 1, 1, 9)])
def test_a_replica_that_is_added_again_before_it_goes_stays(again: Append | Heartbeat) -> None:
    """It goes a little after it is told to; what it has confirmed since must not be lost with it."""
    wire = led_by("a")
    node = wire["c"]
    node.receive("a", Removed(GROUP, 1, 9))
    assert node.is_removed

    node.receive("a", again)

    assert not node.is_removed


def test_who_is_removed_is_told_when_that_is_committed() -> None:
    """Nothing else would be sent to it: until its election timeout it would wait for a leader that others have."""
    wire = led_by("a")

    wire["a"].change("ab")
    wire.settle()

    assert wire["c"].is_removed
    assert not wire["b"].is_removed


def test_no_member_is_called_removed_while_a_change_is_in_flight() -> None:
    wire = led_by("a")
    wire.cut("b")
    wire["a"].change("ab")
    wire["a"].sync()
    wire["a"].receive("c", VoteRequest(GROUP, 2, 1, 1, probe=True, transfer=False))
    wire["a"].sync()

    assert not [message for message in wire.in_flight("a", "c") if isinstance(message, Removed)]


# New and returning replicas.


def test_a_replica_that_no_configuration_names_votes_for_nobody() -> None:
    """It cannot know whether it has acknowledged what the candidate lacks."""
    wire = led_by("a", joiners="d")
    request = VoteRequest(GROUP, 9, 99, 9, probe=False, transfer=True)
    wire["d"].receive("b", request)
    wire["d"].sync()

    assert wire.in_flight("d", "b") == [VoteReply(GROUP, wire["d"].consensus.term, probe=False, granted=False)]
    assert wire["d"].consensus.term < 9
    assert wire["d"].log.vote is None


def test_a_replica_that_was_removed_and_emptied_does_not_elect_a_stale_leader() -> None:
    """c never heard of anything since the founding; b, a founder too, was removed, and came back empty."""
    wire = led_by("a", "abc", joiners="de")
    wire.cut("c")
    for change in (("abcd", ""), ("abcde", ""), ("acde", ""), ("ade", "")):
        wire["a"].change(*change)
        wire.run(0.3)
    wire["a"].propose(b"acknowledged")
    wire.run(0.3)
    wire["b"].retire()
    for name in "ade":
        wire.cut(name)
    wire.link("b", "c")
    for _ in range(5):
        wire["c"].tick(TIMING.election_seconds_max)
        wire["b"].tick(TIMING.election_seconds_max)
        wire.settle()

    assert not wire["c"].is_leader


def test_a_retired_replica_keeps_its_term_and_vote() -> None:
    wire = led_by("a")
    term, vote = wire["b"].consensus.term, wire["b"].log.vote
    wire["b"].retire()

    assert (wire["b"].consensus.term, wire["b"].log.vote) == (term, vote)
    assert wire["b"].log.last_index == 0
    assert not wire["b"].is_member


def test_a_replica_that_comes_back_catches_up_from_nothing() -> None:
    wire = led_by("a")
    wire["a"].propose(b"one")
    wire["a"].change("ab")
    wire.run(5.0)
    wire["c"].retire()
    wire.heal()
    wire["a"].change("ab", "c")
    wire["a"].propose(b"two")
    wire.run(0.5)
    wire["a"].change("abc")
    wire.run(0.5)

    assert wire["c"].commands == [b"one", b"two"]
    assert wire["c"].is_member


# Leases.


def test_a_majority_s_promise_lets_the_leader_answer_alone() -> None:
    wire = led_by("a", timing=LEASED)
    wire.run(0.3)

    assert wire["a"].consensus.has_lease(wire["a"].now)
    assert not wire["b"].consensus.has_lease(wire["b"].now)


def test_without_the_setting_there_is_no_lease() -> None:
    wire = led_by("a")

    assert not wire["a"].consensus.has_lease(wire["a"].now)


def test_a_lease_is_over_before_another_can_be_elected() -> None:
    """Also when the link to the leader is lost, which without leases makes an election at once."""
    wire = led_by("a", timing=LEASED)
    wire.cut("a")
    while not any(wire[name].is_leader for name in "bc"):
        wire.run(0.05)

    assert not wire["a"].consensus.has_lease(wire["a"].now)


def test_a_clock_that_stands_still_breaks_the_lease() -> None:
    """What the assumption is for: the leader's clock stops, the others' go on."""
    wire = led_by("a", timing=LEASED)
    wire.run(0.3)
    stopped = wire["a"].now
    wire.cut("a")
    wire.elect_by("b", "c")
    wire["b"].propose(b"newer")
    wire.settle()

    assert wire["a"].consensus.has_lease(stopped)
    assert b"newer" not in wire["a"].commands


@pytest.mark.parametrize(("timing", "elected"), [(TIMING, True), (LEASED, False)])
def test_a_promise_outlives_the_link(timing: Timing, elected: bool) -> None:
    wire = led_by("a", timing=timing)
    wire.cut("a")
    wire.run(2 * TIMING.failover_seconds_max + 0.1)

    assert any(wire[name].is_leader for name in "bc") is elected


def test_a_promise_outlives_a_restart() -> None:
    wire = led_by("a", timing=LEASED)
    wire["b"].crash()
    wire.restart("b")
    wire["b"].receive("c", VoteRequest(GROUP, 5, 99, 5, probe=False, transfer=False))
    wire["b"].sync()
    assert VoteReply(GROUP, 1, probe=False, granted=False) in wire.in_flight("b", "c")

    wire.links["b", "c"].clear()
    wire["b"].now += TIMING.election_seconds_min
    wire["b"].receive("c", VoteRequest(GROUP, 5, 99, 5, probe=False, transfer=False))
    wire["b"].sync()
    assert VoteReply(GROUP, 5, probe=False, granted=True) in wire.in_flight("b", "c")


def test_a_transfer_ends_the_lease_first() -> None:
    """The successor may be elected in spite of all promises, so from then on there is none in this reign."""
    wire = led_by("a", timing=LEASED)
    leader = wire["a"]
    leader.consensus.transfer("b", leader.now)
    leader.sync()
    assert TimeoutNow(GROUP, 1) in wire.in_flight("a", "b")
    assert not leader.consensus.has_lease(leader.now)

    wire.cut("a")
    wire.heal()
    leader.tick(TIMING.election_seconds_min)
    wire.run(0.5)
    assert leader.is_leader
    assert not leader.consensus.has_lease(leader.now)


def test_a_new_leader_has_no_lease_before_its_first_commit() -> None:
    wire = Wire("a", timing=LEASED)
    wire["a"].tick(TIMING.election_seconds_max)
    assert wire["a"].is_leader

    assert not wire["a"].consensus.has_lease(wire["a"].now)
    wire.settle()
    assert wire["a"].consensus.has_lease(wire["a"].now)


def test_replies_of_those_outside_do_not_count() -> None:
    wire = led_by("a", joiners="d")
    wire.cut("b")
    wire.cut("c")
    index = wire["a"].propose(b"x")
    wire["a"].sync()
    wire["a"].receive("d", AppendReply(GROUP, Term(1), 1, ok=True, match=index))

    assert wire["a"].consensus.commit_index < index
    assert wire["a"].consensus.configuration == Configuration(("a", "b", "c"))
    assert wire["a"].consensus.match_of("d") == LogIndex(0)
