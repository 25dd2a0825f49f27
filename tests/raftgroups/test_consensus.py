"""Scenarios: one behaviour of a group each, every step in the open."""

import asyncio
from pathlib import Path

import pytest
from pysyncobj import FAIL_REASON

from raftgroups import consensus as consensus_module
from raftgroups.consensus import check_library
from raftgroups.errors import DivergedError, HostError
from raftgroups.host import Host, HostOptions
from raftgroups.ids import LogIndex
from raftgroups.leading import APPENDS_IN_FLIGHT
from raftgroups.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    RaftMessage,
    ReadIndexReply,
    ReadIndexRequest,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from raftgroups.timing import Timing
from tests.raftgroups.wire import GROUP, NO_OP, Wire

TIMING = Timing()


def led_by(name: str, names: str = "abc", seed: int = 0) -> Wire:
    """A calm group: `name` leads term 1, and its no-op is applied everywhere."""
    wire = Wire(names, seed)
    wire.elect(name)
    wire.run(0.2)
    return wire


# The library.


def test_the_library_is_the_one_this_was_written_against() -> None:
    check_library()


@pytest.mark.parametrize(("what", "other"), [("VERSION", "0.3.18"), ("PYSYNCOBJ_SHA256", "0" * 64)])
def test_another_library_is_refused_before_anything_is_touched(
    what: str, other: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is overridden are private methods: another release may name, or call, them otherwise."""
    version = other if what == "VERSION" else "0.3.17"
    line = f"the installed pysyncobj \\({version}\\) is not the one .* install pysyncobj==0.3.17 unchanged$"
    monkeypatch.setattr(consensus_module, what, other)

    with pytest.raises(HostError, match=line):
        asyncio.run(Host.open(HostOptions("n1", str(tmp_path / "n1"), "127.0.0.1:0", "127.0.0.1:1")))

    assert not list(tmp_path.iterdir())


def test_the_library_s_own_doors_lead_nowhere() -> None:
    """Nothing of the stock tick runs, and no other node is known to it."""
    wire = led_by("a")
    node, told = wire["a"], []
    entries = node.entries
    node.consensus._applyCommand(b"\x01", lambda result, error: told.append(error))
    node.consensus.forceLogCompaction()
    node.consensus.transferLeadership("b", lambda result, error: told.append(error))
    for change in (node.consensus.addNodeToCluster, node.consensus.removeNodeFromCluster):
        with pytest.raises(Exception, match="dynamicMembershipChange is disabled"):
            change("d")
    wire.run(0.5)

    assert node.is_leader
    assert node.entries == entries
    assert told == [FAIL_REASON.REQUEST_DENIED], "the command waits in a queue that nobody looks at"
    assert not node.consensus.otherNodes


# Elections.


@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcde"])
def test_a_leader_is_elected_and_known_to_all(names: str) -> None:
    wire = Wire(names)

    wire.elect("a")

    assert {node.consensus.leader for node in wire.nodes.values()} == {"a"}
    assert {node.consensus.term for node in wire.nodes.values()} == {1}


@pytest.mark.parametrize("seed", range(10))
def test_somebody_is_elected_without_help(seed: int) -> None:
    wire = Wire("abc", seed)

    wire.run(2 * TIMING.election_seconds_max)

    assert wire.leader is not None


def test_of_two_forecasts_that_cross_one_goes_first() -> None:
    """Each would vote for itself alone; the greater name goes first while its own is young."""
    wire = Wire("abcde")
    wire["e"].tick(TIMING.election_seconds_max)
    wire["a"].receive("e", VoteRequest(GROUP, 1, 0, 0, probe=True, transfer=False))
    assert wire.in_flight("a", "e")[-1] == VoteReply(GROUP, 1, probe=True, granted=True)

    wire["e"].receive("a", VoteRequest(GROUP, 1, 0, 0, probe=True, transfer=False))
    assert wire.in_flight("e", "a")[-1] == VoteReply(GROUP, 0, probe=True, granted=False)


def test_a_forecast_that_got_no_majority_gives_way_to_later_ones() -> None:
    """Where nodes reach a bare majority each, all of it must agree, and this one's turn comes again late."""
    wire = Wire("abcde")
    wire["e"].tick(TIMING.election_seconds_max)
    wire["e"].tick(TIMING.failover_seconds_max + 0.01)
    wire["e"].receive("a", VoteRequest(GROUP, 1, 0, 0, probe=True, transfer=False))

    assert wire.in_flight("e", "a")[-1] == VoteReply(GROUP, 1, probe=True, granted=True)


def test_who_gives_its_vote_stands_for_nothing_itself_until_its_time_comes() -> None:
    """Its own forecast, won a moment later, would depose the leader that the vote has made."""
    wire = Wire("abc")
    wire["b"].receive("a", VoteReply(GROUP, 1, probe=True, granted=False))
    wire["b"].tick(TIMING.election_seconds_max)
    wire["b"].receive("c", VoteRequest(GROUP, 1, 0, 0, probe=False, transfer=False))
    wire["b"].receive("a", VoteReply(GROUP, 2, probe=True, granted=True))
    wire["b"].sync()

    assert VoteReply(GROUP, 1, probe=False, granted=True) in wire.in_flight("b", "c")
    asked = [message for message in wire.in_flight("b", "a") if isinstance(message, VoteRequest)]
    assert [request.probe for request in asked] == [True], "the forecast alone"


def test_a_candidate_that_is_told_of_a_higher_term_tries_that_one_soon() -> None:
    """Its log may be the only one that can win: it does not wait for a whole election timeout again."""
    wire = Wire("abcde")
    wire["a"].tick(TIMING.election_seconds_max)
    wire["a"].receive("b", VoteReply(GROUP, 4, probe=True, granted=False))
    wire["a"].tick(TIMING.failover_seconds_max)
    wire["a"].sync()

    asked = VoteRequest(GROUP, 5, 0, 0, probe=True, transfer=False)
    assert wire.in_flight("a", "b")[-1] == asked


def test_a_follower_that_is_told_of_a_higher_term_waits_its_time() -> None:
    wire = led_by("a")
    wire["b"].receive("c", VoteReply(GROUP, 4, probe=True, granted=False))
    wire["b"].tick(TIMING.failover_seconds_max)
    wire["b"].sync()

    assert not any(isinstance(message, VoteRequest) for message in wire.in_flight("b", "c"))


def test_a_vote_leaves_only_once_it_is_on_disk() -> None:
    wire = Wire("abc")
    wire["a"].tick(TIMING.election_seconds_max)
    wire.deliver("a", "b")
    wire.deliver("b", "a")
    assert wire.in_flight("a", "b") == [], "the candidate's own vote is not on disk yet"
    wire["a"].sync()
    wire.deliver("a", "b")

    assert wire.in_flight("b", "a") == []
    wire["b"].sync()
    assert wire.in_flight("b", "a") == [VoteReply(GROUP, 1, probe=False, granted=True)]


def test_a_restart_keeps_the_vote() -> None:
    wire = led_by("a")
    wire["b"].crash()
    node = wire.restart("b")

    assert (node.consensus.term, node.log.vote) == (1, "a")
    node.receive("c", VoteRequest(GROUP, 1, 99, 1, probe=False, transfer=False))
    assert wire.in_flight("b", "c")[-1] == VoteReply(GROUP, 1, probe=False, granted=False)


def test_a_vote_that_was_lost_in_a_crash_was_never_counted() -> None:
    wire = Wire("abc")
    wire["a"].tick(TIMING.election_seconds_max)
    wire.deliver("a", "b")
    wire.deliver("b", "a")
    wire["a"].sync()
    wire.deliver("a", "b")
    wire["b"].crash()
    node = wire.restart("b")

    assert (node.consensus.term, node.log.vote) == (0, None)
    assert not wire["a"].is_leader


def test_a_node_that_was_cut_off_does_not_depose_the_leader() -> None:
    """PreVote: it uses up no term while it cannot win (thesis, section 9.6)."""
    wire = led_by("a")
    wire.cut("c")
    wire.run(30.0)
    assert wire["c"].consensus.term == 1
    wire.heal()

    wire.run(5.0)

    assert wire["a"].is_leader
    assert wire["a"].consensus.term == 1
    assert wire["c"].consensus.leader == "a"


def test_a_node_that_only_some_reach_does_not_depose_the_leader() -> None:
    """A partial partition: stock changes its leader 49 times a minute in it (defect L2)."""
    wire = led_by("a")
    wire.cut("a", "c")

    wire.run(60.0)

    assert wire["a"].is_leader
    assert wire["a"].consensus.term == 1


def test_who_hears_a_leader_gives_no_vote_and_adopts_no_term() -> None:
    wire = led_by("a")

    for name in "ab":
        wire[name].receive("c", VoteRequest(GROUP, 9, 99, 9, probe=False, transfer=False))

    assert wire["a"].is_leader
    assert {wire[name].consensus.term for name in "ab"} == {1}


def test_who_has_not_heard_the_leader_for_long_gives_its_vote() -> None:
    wire = led_by("a")
    wire["b"].now += TIMING.election_seconds_max

    wire["b"].receive("c", VoteRequest(GROUP, 9, 99, 9, probe=False, transfer=False))

    assert (wire["b"].consensus.term, wire["b"].log.vote) == (9, "c")


def test_a_candidate_that_lacks_entries_is_not_elected() -> None:
    wire = led_by("a")
    wire.cut("c")
    wire["a"].propose(b"x")
    wire.settle()
    wire["a"].crash()
    wire.heal()

    wire["c"].tick(TIMING.election_seconds_max)
    wire.settle()

    assert not wire["c"].is_leader
    wire.elect("b")
    assert wire["c"].log.last_index == wire["b"].log.last_index


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_leader_is_replaced_promptly(seed: int) -> None:
    """Not after an election timeout, but 50 to 150 ms after its link is lost, and a tick or two."""
    wire = led_by("a", seed=seed)
    wire["a"].crash()
    waited = 0.0
    while wire.leader is None:
        wire.run(0.05)
        waited += 0.05

    assert waited <= 0.4


def test_a_leader_that_nobody_answers_steps_down() -> None:
    """CheckQuorum, within two election timeouts, though its links look up."""
    wire = led_by("a")
    leader, waited = wire["a"], 0.0
    while leader.is_leader:
        leader.tick(0.05)
        waited += 0.05
        for link in wire.links.values():
            link.clear()

    assert waited <= 2 * TIMING.election_seconds_min + 0.1
    assert leader.consensus.leader is None


def test_a_leader_with_a_majority_stays() -> None:
    wire = led_by("a", "abcde")
    wire.cut("d")
    wire.cut("e")

    wire.run(10.0)

    assert wire["a"].is_leader


def test_what_those_outside_of_the_group_say_counts_for_nothing() -> None:
    """Neither their votes nor their acknowledgements (thesis, 4.1: each counts by its own configuration)."""
    wire = led_by("a")
    leader = wire["a"]
    wire.cut("a")
    index = leader.propose(b"x")
    leader.sync()
    leader.receive("stranger", AppendReply(GROUP, leader.consensus.term, 9, ok=True, match=index))
    leader.receive("other", AppendReply(GROUP, leader.consensus.term, 9, ok=True, match=index))

    assert leader.consensus.commit_index < index

    wire["b"].tick(wire.timing.election_seconds_max)
    before = wire["b"].consensus.term
    for stranger in ("stranger", "other"):
        wire["b"].receive(stranger, VoteReply(GROUP, before + 1, probe=True, granted=True))

    assert wire["b"].consensus.term == before


def test_a_vote_counts_once() -> None:
    wire = Wire("abcde")
    wire["a"].tick(TIMING.election_seconds_max)
    for voter in "bc":
        wire["a"].receive(voter, VoteReply(GROUP, 1, probe=True, granted=True))
    wire["a"].sync()

    for _ in range(5):
        wire["a"].receive("b", VoteReply(GROUP, 1, probe=False, granted=True))
    assert not wire["a"].is_leader
    wire["a"].receive("c", VoteReply(GROUP, 1, probe=False, granted=True))
    assert wire["a"].is_leader


def test_an_old_leader_learns_of_the_new_term_from_an_answer() -> None:
    wire = led_by("a")
    wire.cut("a")
    wire.elect("b")
    wire["a"].propose(b"never")
    wire.heal()
    wire["a"].sync()
    for link in ("b", "c"):
        wire.links[link, "a"].clear()

    wire["a"].tick(0.2)
    wire.deliver("a", "c")
    answers = wire.in_flight("c", "a")
    wire.deliver("c", "a")

    assert {type(answer) for answer in answers} == {AppendReply, HeartbeatReply}
    assert {answer.term for answer in answers if isinstance(answer, AppendReply | HeartbeatReply)} == {2}
    assert not wire["a"].is_leader
    assert wire["a"].consensus.term == 2


@pytest.mark.parametrize(
    "answer",
    [AppendReply(GROUP, 2, 1, ok=False, match=0), HeartbeatReply(GROUP, 2, 0), VoteReply(GROUP, 2, True, False)],
)
def test_any_answer_with_a_higher_term_ends_a_reign(answer: RaftMessage) -> None:
    wire = led_by("a")

    wire["a"].receive("b", answer)

    assert not wire["a"].is_leader
    assert wire["a"].consensus.term == 2


# Replication.


def test_a_write_is_applied_everywhere_in_order() -> None:
    wire = led_by("a")
    for payload in (b"x", b"y", b"z"):
        wire["a"].propose(payload)

    wire.run(0.2)

    assert [node.commands for node in wire.nodes.values()] == [[b"x", b"y", b"z"]] * 3
    assert sorted(wire.acknowledged.values()) == [b"x", b"y", b"z"]


def test_an_entry_is_committed_once_a_majority_has_it_on_disk() -> None:
    wire = led_by("a")
    index = wire["a"].propose(b"x")
    assert wire.in_flight("a", "b") == [], "it leaves once the leader has it on disk"
    wire["a"].sync()
    wire.deliver("a", "b")
    assert wire["b"].log.last_index == index
    assert wire.in_flight("b", "a") == [], "the answer leaves once the follower has it on disk"
    assert wire["a"].consensus.commit_index < index

    wire["b"].sync()
    wire.deliver("b", "a")

    assert wire["a"].consensus.commit_index == index
    assert wire.acknowledged == {index: b"x"}


def test_a_leader_alone_counts_itself_only_once_it_is_on_disk() -> None:
    """A group of one must not answer before its sync (defect D8)."""
    wire = led_by("a", "a")

    index = wire["a"].propose(b"x")
    assert wire.acknowledged == {}
    wire["a"].begin_sync()
    wire["a"].tick(0.2)
    assert wire.acknowledged == {}
    wire["a"].end_sync()

    assert wire.acknowledged == {index: b"x"}


def test_what_gathers_during_a_sync_is_not_counted_with_it() -> None:
    wire = led_by("a", "a")
    first = wire["a"].propose(b"x")
    wire["a"].begin_sync()
    wire["a"].propose(b"y")

    wire["a"].end_sync()

    assert wire.acknowledged == {first: b"x"}


@pytest.mark.parametrize(("names", "enough"), [("ab", "b"), ("abc", "b"), ("abcd", "bc"), ("abcde", "bc")])
def test_a_majority_commits_and_less_does_not(names: str, enough: str) -> None:
    wire = led_by("a", names)
    index = wire["a"].propose(b"x")
    wire["a"].sync()
    for follower in enough:
        assert wire["a"].consensus.commit_index < index
        wire.deliver("a", follower)
        wire[follower].sync()
        wire.deliver(follower, "a")

    assert wire["a"].consensus.commit_index == index


def test_appends_are_pipelined_up_to_a_window() -> None:
    wire = led_by("a")
    for number in range(2 * APPENDS_IN_FLIGHT):
        wire["a"].propose(b"%d" % number)
        wire["a"].sync()

    appends = [message for message in wire.in_flight("a", "b") if isinstance(message, Append)]
    assert len(appends) == APPENDS_IN_FLIGHT
    wire.settle()
    assert wire["b"].log.last_index == wire["a"].log.last_index
    assert len(wire.acknowledged) == 2 * APPENDS_IN_FLIGHT


def test_entries_of_an_older_term_are_committed_by_one_of_the_leaders_own() -> None:
    """Figure 8 of the Raft paper: a majority with an old entry is not enough, it may yet be replaced."""
    wire = led_by("a")
    old = wire["a"].propose(b"old")
    wire["a"].sync()
    wire.deliver("a", "b")
    wire.cut("a")
    wire.elect_by("b", "c")
    wire["b"].sync()

    wire["b"].receive("c", AppendReply(GROUP, 2, 1, ok=True, match=old))
    assert wire["b"].consensus.commit_index < old
    wire["b"].receive("c", AppendReply(GROUP, 2, 1, ok=True, match=old + 1))
    assert wire["b"].consensus.commit_index == old + 1


def test_a_heartbeat_commits_only_what_is_known_to_match() -> None:
    """The follower's own tail is as long as the leader's, but another (defect R1)."""
    wire = led_by("a")
    wire.cut("a")
    for _ in range(3):
        wire["a"].propose(b"lost")
    wire["a"].sync()
    wire.elect("b")
    for payload in (b"x", b"y", b"z"):
        wire["b"].propose(payload)
    wire.settle()
    commit = wire["b"].consensus.commit_index
    wire.link("a", "b")

    wire["a"].receive("b", Heartbeat(GROUP, wire["b"].consensus.term, commit, 0))

    assert wire["a"].consensus.commit_index == 1
    assert wire["a"].commands == []
    wire.settle()
    wire.run(0.2)
    assert wire["a"].commands == [b"x", b"y", b"z"]


@pytest.mark.parametrize(("leader", "is_asked_first"), [("b", False), ("b", True), ("a", False)])
def test_what_matched_one_reign_need_not_match_the_next(leader: str, is_asked_first: bool) -> None:
    """Not even of the same leader: its own log may have been replaced in between."""
    wire = led_by("a")
    node = wire["c"]
    node.receive("a", Append(GROUP, 1, 1, 1, [(1, b"x")] * 3, 1, 1))
    node.now += TIMING.election_seconds_max
    if is_asked_first:
        node.receive(leader, VoteRequest(GROUP, 2, 1, 1, probe=False, transfer=False))

    node.receive(leader, Heartbeat(GROUP, 2, 4, 0))

    assert node.consensus.commit_index == 1


def test_an_old_append_does_not_shorten_the_log() -> None:
    """A matching suffix stays: it may have been acknowledged (defect R2)."""
    wire = led_by("a")
    for number in range(5):
        wire["a"].propose(b"%d" % number)
    wire.settle()
    before = wire["b"].entries

    wire["b"].receive("a", Append(GROUP, 1, 1, 1, [(1, b"0")], 1, 1))

    assert wire["b"].entries == before
    wire["b"].sync()
    reply = wire.in_flight("b", "a")[-1]
    assert isinstance(reply, AppendReply)
    assert reply.match == 2


def test_a_conflict_with_a_committed_entry_stops_the_replica() -> None:
    wire = led_by("a")
    wire["a"].propose(b"x")
    wire.run(0.2)
    wire["b"].receive("c", Append(GROUP, 2, 1, 1, [(2, b"other")], 1, 1))

    assert isinstance(wire["b"].failure, DivergedError)
    assert "contradicts committed entry 2" in str(wire["b"].failure)
    assert wire["b"].commands == [b"x"]


def test_a_long_divergent_suffix_is_repaired_in_few_rounds() -> None:
    """Hints skip a term at a time (defect R5: for ever, or an index a heartbeat)."""
    wire = led_by("a")
    wire.cut("a")
    for number in range(200):
        wire["a"].propose(b"lost %d" % number)
    wire["a"].sync()
    wire.elect("b")
    for number in range(200):
        wire["b"].propose(b"kept %d" % number)
    wire.settle()
    wire.link("a", "b")
    rounds = 0
    while wire["a"].entries != wire["b"].entries:
        for name in "ab":
            wire[name].sync()
        wire.deliver("b", "a")
        wire["a"].sync()
        wire.deliver("a", "b")
        rounds += 1

    assert rounds <= 5


def test_a_lost_link_loses_no_entry() -> None:
    wire = led_by("a")
    for number in range(5):
        wire["a"].propose(b"%d" % number)
        wire["a"].sync()
        wire.cut("a", "b")
        wire.link("a", "b")

    wire.settle()

    assert wire["b"].entries == wire["a"].entries


def test_a_replica_restarts_with_what_it_had() -> None:
    wire = led_by("a")
    for number in range(3):
        wire["a"].propose(b"%d" % number)
    wire.run(0.2)
    for name in "abc":
        wire[name].crash()
    for name in "abc":
        wire.restart(name)
    assert [node.commands for node in wire.nodes.values()] == [[]] * 3, "nothing was flushed"

    wire.run(3.0)

    assert [node.commands for node in wire.nodes.values()] == [[b"0", b"1", b"2"]] * 3


def test_a_restart_does_not_apply_again_what_was_flushed() -> None:
    wire = led_by("a")
    wire["a"].propose(b"x")
    wire.run(0.2)
    wire["b"].compact()
    wire["b"].crash()

    node = wire.restart("b")

    assert node.commands == [b"x"]
    assert node.consensus.applied_index == 2


# Snapshots.


def behind_a_compacted_leader() -> Wire:
    """c is far behind; a's log starts after what c lacks."""
    wire = led_by("a")
    wire.cut("c")
    for number in range(4):
        wire["a"].propose(b"%d" % number)
    wire.run(0.2)
    wire["a"].compact()
    wire.heal()
    wire.settle()
    return wire


def test_a_follower_behind_the_log_gets_a_snapshot() -> None:
    wire = behind_a_compacted_leader()
    assert wire["a"].snapshots_needed == ["c"]

    wire["a"].send_snapshot("c")
    wire.settle()
    wire["a"].propose(b"after")
    wire.run(0.2)

    assert wire["c"].commands == wire["a"].commands
    assert wire["c"].log.first_index == 5
    wire["c"].crash()
    assert wire.restart("c").consensus.applied_index == 5


def test_a_snapshot_is_asked_for_once() -> None:
    wire = behind_a_compacted_leader()

    wire.run(1.0)

    assert wire["a"].snapshots_needed == ["c"]


def test_a_crash_between_snapshot_and_reset_loses_nothing() -> None:
    """The engine is in place, and the node log never heard of it (defect R6)."""
    wire = behind_a_compacted_leader()
    wire["a"].send_snapshot("c")
    wire.deliver("a", "c")
    assert wire["c"].consensus.applied_index == 5
    wire["c"].crash()

    wire.restart("c")
    wire["a"].send_snapshot("c")
    wire["a"].propose(b"after")
    wire.run(0.2)
    wire["c"].crash()
    wire.restart("c")
    wire.run(0.2)

    assert wire["c"].commands == wire["a"].commands


def test_a_snapshot_never_moves_a_replica_back() -> None:
    wire = led_by("a")
    for number in range(4):
        wire["a"].propose(b"%d" % number)
    wire.run(0.2)

    with pytest.raises(AssertionError):
        wire["b"].consensus.snapshot_installed(LogIndex(3), wire["b"].consensus.term, wire["b"].configured_at(), 0.0)


def test_a_late_snapshot_keeps_the_entries_after_it() -> None:
    """They match, and another leader has counted them: dropping them loses an acknowledged write."""
    wire = behind_a_compacted_leader()
    seventh = wire["a"].propose(b"known to a alone to be committed")
    wire["a"].sync()
    wire.deliver("a", "b")
    wire["b"].sync()
    wire.deliver("b", "a")
    wire["a"].send_snapshot("c")
    wire.deliver("a", "c", 1 + [type(message).__name__ for message in wire.in_flight("a", "c")].index("SnapshotOffer"))
    wire["a"].consensus.transfer("b", wire["a"].now)
    wire.deliver("a", "b")
    wire["b"].sync()
    wire.deliver("b", "c")
    wire["c"].sync()
    wire.deliver("c", "b")
    assert wire["b"].is_leader
    written = wire["b"].propose(b"acknowledged")
    for _ in range(4):
        wire["b"].sync()
        wire.deliver("b", "c")
        wire["c"].sync()
        wire.deliver("c", "b")
        if written in wire.acknowledged:
            break
    assert written in wire.acknowledged
    assert wire["c"].consensus.applied_index < seventh, "c has not heard that it is committed"

    wire.deliver("a", "c")
    wire["c"].sync()
    wire["b"].crash()
    wire.run(5.0)

    assert wire.leader is not None
    assert b"acknowledged" in wire.leader.commands


# Handing over.


def test_leadership_is_handed_over_without_waiting() -> None:
    wire = led_by("a")
    wire["a"].propose(b"x")

    wire["a"].consensus.transfer("b", wire["a"].now)
    transferring = [wire["a"].consensus.is_transferring]
    wire.settle()
    transferring.append(wire["a"].consensus.is_transferring)

    assert transferring == [True, False]
    assert wire["b"].is_leader
    assert wire["b"].consensus.term == 2
    assert b"x" in [payload for _, payload in wire["b"].entries]


def test_a_leader_hands_over_only_to_one_that_has_every_entry() -> None:
    wire = led_by("a")
    wire["a"].propose(b"x")
    wire["a"].consensus.transfer("b", wire["a"].now)
    assert not [message for message in wire.in_flight("a", "b") if isinstance(message, TimeoutNow)]
    wire["a"].sync()
    wire.deliver("a", "b")
    wire["b"].sync()

    wire.deliver("b", "a")

    assert wire.in_flight("a", "b")[-1] == TimeoutNow(GROUP, 1)


def test_nothing_is_proposed_while_handing_over() -> None:
    wire = led_by("a")
    wire["a"].consensus.transfer("b", wire["a"].now)

    with pytest.raises(AssertionError):
        wire["a"].propose(b"x")


def test_a_transfer_that_fails_ends() -> None:
    wire = led_by("a")
    wire["a"].consensus.transfer("b", wire["a"].now)
    wire.links["a", "b"].clear()

    wire["a"].tick(TIMING.election_seconds_min)

    assert not wire["a"].consensus.is_transferring
    assert wire["a"].is_leader
    wire["a"].propose(b"x")
    wire.run(0.5)
    assert b"x" in wire.acknowledged.values()


def test_who_is_impaired_takes_nothing_over_but_stands_when_nobody_leads() -> None:
    wire = led_by("a")
    wire["b"].impaired = True
    wire["a"].consensus.transfer("b", wire["a"].now)

    wire.run(TIMING.election_seconds_max)
    assert wire["a"].is_leader
    assert not wire["a"].consensus.is_transferring

    wire.cut("a")
    wire["c"].impaired = True
    wire.run(3 * TIMING.election_seconds_max)
    assert wire["b"].is_leader or wire["c"].is_leader


@pytest.mark.parametrize("slow", ["b", "c"])
def test_who_has_a_slow_disk_lets_others_stand_first(slow: str) -> None:
    """Whoever's turn comes first by chance."""
    other = "c" if slow == "b" else "b"
    for seed in range(10):
        wire = led_by("a", seed=seed)
        wire[slow].slow = True
        wire.cut("a")

        wire.run(2 * TIMING.election_seconds_max)

        assert wire[other].is_leader


def test_who_has_a_slow_disk_stands_when_nobody_else_can() -> None:
    wire = led_by("a")
    wire["b"].slow = wire["c"].slow = True
    wire.cut("a")

    wire.run(3 * TIMING.election_seconds_max)

    assert wire["b"].is_leader or wire["c"].is_leader


def with_an_entry_that_found_no_room(full: str) -> Wire:
    """The disks of `full` take nothing; a leads, and has proposed what its own could not store."""
    wire = led_by("a")
    for name in full:
        wire[name].is_full = True
    wire["a"].propose(b"stuck")
    wire.run(2 * TIMING.heartbeat_seconds)
    return wire


def test_what_found_no_room_keeps_nobody_from_taking_over() -> None:
    wire = with_an_entry_that_found_no_room("a")

    wire["a"].consensus.transfer("b", wire["a"].now)
    wire.settle()
    assert wire["b"].is_leader
    written = wire["b"].propose(b"x")
    wire.settle()

    assert wire.acknowledged[written] == b"x"
    wire["a"].is_full = False
    wire.run(1.0)
    assert wire["a"].commands == wire["b"].commands
    assert b"stuck" not in wire.acknowledged.values()


def test_a_leader_without_room_stays_where_the_others_could_not_vote() -> None:
    """Nobody could be elected, and reads would go unanswered as well."""
    wire = with_an_entry_that_found_no_room("ac")

    wire["a"].consensus.transfer("b", wire["a"].now)
    wire.run(TIMING.election_seconds_max)
    assert wire["a"].is_leader
    read = wire["a"].read()
    wire.run(2 * TIMING.heartbeat_seconds)
    assert read.fate == "served"

    wire["c"].is_full = False
    wire.run(2 * TIMING.heartbeat_seconds)
    wire["a"].consensus.transfer("b", wire["a"].now)
    wire.settle()
    assert wire["b"].is_leader


def test_only_who_answers_could_succeed() -> None:
    wire = led_by("a")
    assert set(wire["a"].consensus.successors(wire["a"].now)) == {"b", "c"}
    assert wire["b"].consensus.successors(wire["b"].now) == []

    wire.cut("a", "b")

    assert wire["a"].consensus.successors(wire["a"].now) == ["c"]
    assert wire["a"].consensus.successors(wire["a"].now + 2 * TIMING.election_seconds_max) == []


def test_nobody_but_the_leader_starts_an_election() -> None:
    wire = led_by("a")

    wire["b"].receive("c", TimeoutNow(GROUP, 1))
    wire["b"].receive("a", TimeoutNow(GROUP, 0))

    assert wire["b"].consensus.term == 1


# Reads.


@pytest.mark.parametrize("names", ["a", "abc", "abcde"])
@pytest.mark.parametrize("reader", ["a", "c"])
def test_a_read_sees_every_acknowledged_write(names: str, reader: str) -> None:
    if reader not in names:
        reader = "a"
    wire = led_by("a", names)
    wire["a"].propose(b"x")
    wire.settle()
    assert wire.acknowledged

    read = wire[reader].read()
    wire.settle()
    wire.run(0.1)

    assert read.fate == "served"
    assert b"x" in wire[reader].commands


@pytest.mark.parametrize(("names", "echoes"), [("a", ""), ("ab", "b"), ("abc", "b"), ("abcde", "bc")])
def test_a_leaders_read_waits_for_a_majority(names: str, echoes: str) -> None:
    wire = led_by("a", names)
    read = wire["a"].read()
    for follower in echoes:
        assert read.fate != "served"
        wire.deliver("a", follower)
        wire.deliver(follower, "a")

    assert read.fate == "served"


def test_a_followers_read_asks_the_leader() -> None:
    wire = led_by("a")
    wire.cut("a", "c")

    read = wire["b"].read()
    wire.deliver("b", "a")
    assert read.fate != "served"
    wire.deliver("a", "b")

    assert read.fate == "served", "leader and follower are a majority of three"


def test_a_followers_read_needs_a_majority_of_five() -> None:
    wire = led_by("a", "abcde")

    read = wire["b"].read()
    wire.deliver("b", "a")
    wire.deliver("a", "b")
    assert read.fate == "waiting"
    wire.deliver("b", "a")
    wire.deliver("a", "c")
    wire.deliver("c", "a")
    wire.deliver("a", "b")

    assert read.fate == "served"


def test_a_question_is_not_answered_over_a_later_link() -> None:
    """Who lost the link asks again, and after a restart by the same numbers: this index may be too old for them."""
    wire = led_by("a", "abcde")
    wire["b"].read()
    wire.deliver("b", "a")
    wire.cut("a", "b")
    wire.link("a", "b")

    wire.deliver("a", "c")
    wire.deliver("c", "a")
    wire.deliver("a", "d")
    wire.deliver("d", "a")

    assert not [message for message in wire.in_flight("a", "b") if isinstance(message, ReadIndexReply)]


def test_a_question_of_an_older_term_is_refused() -> None:
    """It proves nothing: who asked may not have known of a newer leader."""
    wire = led_by("a")

    wire["a"].receive("b", ReadIndexRequest(GROUP, 0, 1))

    assert wire.in_flight("a", "b")[-1] == ReadIndexReply(GROUP, 1, 1, 0, 0)


def test_a_followers_read_waits_until_it_has_applied_enough() -> None:
    wire = led_by("a")
    wire.links["a", "b"].clear()
    wire["a"].propose(b"x")
    wire["a"].sync()
    held = wire.links["a", "b"].copy()
    wire.links["a", "b"].clear()
    wire.deliver("a", "c")
    wire["c"].sync()
    wire.deliver("c", "a")
    assert wire.acknowledged

    read = wire["b"].read()
    wire.deliver("b", "a")
    wire.deliver("a", "b")
    assert read.fate != "served"
    wire.links["a", "b"].extendleft(reversed(held))
    wire.settle()
    wire.run(0.2)

    assert read.fate == "served"
    assert wire["b"].commands == [b"x"]


def test_an_isolated_leader_serves_no_read() -> None:
    wire = led_by("a")
    wire.cut("a")
    before = wire["a"].read()
    wire.elect("b")
    wire["b"].propose(b"new")
    wire.settle()
    after = wire["a"].read()

    wire["a"].tick(2 * TIMING.election_seconds_max)

    assert before.fate == "abandoned"
    assert after.fate == "abandoned"


def test_a_leader_that_lost_its_term_serves_no_read_even_where_one_still_answers() -> None:
    wire = led_by("a")
    wire.cut("a", "b")
    wire["c"].now += TIMING.election_seconds_min
    wire["b"].tick(TIMING.election_seconds_max)
    for _ in range(4):
        for node in "bc":
            wire[node].sync()
        wire.deliver("b", "c")
        wire.deliver("c", "b")
    assert wire["b"].is_leader

    read = wire["a"].read()
    wire.deliver("a", "c")
    wire.deliver("c", "a")

    assert read.fate != "served"
    assert read.fate == "abandoned"


def test_a_new_leader_serves_no_read_before_its_no_op_is_committed() -> None:
    """Until then it does not know what its predecessors committed (thesis, section 6.4)."""
    wire = led_by("a")
    wire["a"].propose(b"x")
    wire["a"].sync()
    wire.deliver("a", "b")
    wire["b"].sync()
    wire.deliver("b", "a")
    assert wire.acknowledged
    assert wire["b"].commands == []
    wire["a"].crash()
    wire["b"].tick(TIMING.election_seconds_max)
    for _ in range(3):
        wire.deliver("b", "c")
        wire["c"].sync()
        wire.deliver("c", "b")
        if not wire["b"].is_leader:
            wire["b"].sync()
    assert wire["b"].is_leader

    read = wire["b"].read()
    wire.deliver("b", "c")
    wire.deliver("c", "b")
    assert read.fate != "served"
    wire.settle()

    assert read.fate == "served"
    assert wire["b"].commands == [b"x"]


def test_reads_of_a_lost_leader_are_given_up() -> None:
    wire = led_by("a")
    wire["b"].now += 1.0
    read = wire["b"].read()

    wire.cut("a", "b")

    assert read.fate == "abandoned"
    assert wire["b"].read().fate == "abandoned", "no leader is known"


def test_an_echo_of_an_older_reign_confirms_nothing() -> None:
    """A follower may meet a heartbeat of the leader's former reign when it knows the new one."""
    wire = led_by("a")
    for _ in range(5):
        wire["a"].read()
        wire.deliver("a", "c")
        wire.deliver("c", "a")
    stale = wire.links["a", "b"].copy()
    assert len(stale) == 5
    # b leads term 2, unnoticed by a; then a leads term 3; b hears of both from c alone.
    wire.elect_by("b", "c")
    wire["a"].tick(0.2)
    wire.deliver("a", "c")
    wire.deliver("c", "a")
    assert not wire["a"].is_leader
    wire.elect_by("a", "c")
    for _ in range(2):
        wire.exchange("a", "c")
    assert (wire["a"].consensus.term, wire["a"].consensus.applied_index) == (3, 2)
    wire["b"].tick(0.2)
    wire.deliver("b", "c")
    wire.deliver("c", "b")
    wire["b"].sync()
    assert wire["b"].consensus.term == 3
    # The heartbeats of term 1 come at last, and are answered in term 3.
    wire.deliver("a", "b", 5)
    wire.deliver("b", "a")
    wire.cut("a")
    wire.elect("c")
    wire["c"].propose(b"new")
    wire.settle()
    assert wire.acknowledged

    read = wire["a"].read()

    assert read.fate != "served"


def test_a_read_index_is_no_promise_that_it_is_committed() -> None:
    """The index of a read may be the leader's no-op, which a follower must not apply on that word alone."""
    wire = led_by("b")
    wire.cut("b")
    wire["b"].propose(b"never acknowledged")
    wire["b"].sync()
    while wire["b"].is_leader:
        wire["b"].tick(0.5)
    wire.link("a", "b")
    wire.elect_by("b", "a")
    # a takes the entries, but they are not on its disk yet.
    wire["b"].sync()
    wire.deliver("b", "a", 1)
    wire["a"].sync()
    wire.deliver("b", "a")
    wire.deliver("a", "b")
    wire.deliver("b", "a")
    assert wire["a"].log.last_index > wire["a"].log.durable_index

    read = wire["a"].read()
    wire.deliver("a", "b")
    wire.deliver("b", "a")

    assert read.fate != "abandoned"
    assert read.fate != "served"
    wire["a"].crash()
    wire["b"].crash()
    wire.restart("a")
    wire.run(5.0)
    assert wire.leader is not None
    wire.leader.propose(b"instead")
    wire.run(0.2)
    assert wire["a"].commands == [b"instead"]


# What a replica says about itself.


def test_a_follower_knows_when_it_last_held_everything() -> None:
    wire = led_by("a")
    wire.run(1.0)
    fresh = wire["b"].consensus.fresh_at
    assert fresh is not None
    assert wire["b"].now - fresh <= 2 * TIMING.heartbeat_seconds
    wire.cut("b")

    wire.run(1.0)

    assert wire["b"].consensus.fresh_at == fresh


def test_a_leaders_freshness_is_its_majoritys() -> None:
    wire = led_by("a", "abcde")
    wire.run(1.0)
    for name in "cde":
        wire.cut(name)
    before = wire["a"].now
    wire.run(0.5)

    fresh = wire["a"].consensus.fresh_at

    assert fresh is not None
    assert fresh <= before


def test_the_group_knows_how_many_links_a_majority_needs() -> None:
    wire = led_by("a")
    links = [wire["a"].consensus.has_quorum_links]
    for other in "bc":
        wire.cut("a", other)
        links.append(wire["a"].consensus.has_quorum_links)

    assert links == [True, True, False]


def test_a_no_op_begins_every_reign() -> None:
    wire = led_by("a")

    assert wire["a"].entries == [(1, NO_OP)]
