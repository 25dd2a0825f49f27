"""That a group goes on: each schedule stalls PySyncObj as shipped, and not ours; audit.py has the list.

The follower that is never repaired, R5, stands in test_stock_defects.py.
"""

import random

import pytest
from pysyncobj import FAIL_REASON

from raftgroups.leading import APPEND_BYTES
from raftgroups.messages import Heartbeat
from raftgroups.timing import Timing
from tests.raftgroups.stock import StockMaker, StockWire
from tests.raftgroups.wire import Wire

TIMING = Timing()


def ours(names: str = "abc", joiners: str = "") -> Wire:
    """Our cluster, led by `a`."""
    wire = Wire(names, joiners=joiners)
    wire.elect("a")
    wire.run(0.2)
    return wire


# L2: a node that only some reach deposes the leader again and again.


def test_l2_stock_changes_its_leader_without_end_when_one_link_is_cut(stock: StockWire) -> None:
    """Ours keeps leader and term for a minute of the same (test_consensus.py)."""
    random.seed(9)
    stock.lead("a", "bc")
    for node in stock.nodes.values():
        node.postpone_election(stock.now + 1)
    stock.cut("a", "c")
    first, changes, leaders = stock["a"].term, 0, ["a"]
    for step in range(1000):
        stock.now += 0.02
        for node in stock.nodes.values():
            node.doTick()
        for link in list(stock.links):
            stock.deliver(*link)
        if step % 10 == 0:
            for name in leaders:
                stock.put(name, f"k{step}")
        now = [name for name, node in stock.nodes.items() if node.is_leader]
        changes += now != leaders
        leaders = now

    assert max(node.term for node in stock.nodes.values()) > first + 10
    assert changes > 10


# L3: after a pause, the timer is looked at before the mail.


def test_l3_stock_stands_against_a_living_leader_after_a_pause(stock: StockWire) -> None:
    stock.lead("a", "bc")
    first = stock["b"].term
    stock["a"].doTick()
    stock["b"].postpone_election(stock.now + 1)
    stock.heartbeat("a")
    stock["b"].postpone_election(stock.now - 1)
    assert stock.in_flight("a", "b"), "the leader's heartbeat is there"
    stock["b"].doTick()
    stock.deliver("b", "a")

    assert stock["b"].term == first + 1
    assert not stock["a"].is_leader


def test_l3_ours_deposes_nobody_by_a_pause() -> None:
    """It only asks for a forecast, and the others hear the leader."""
    wire = ours()
    wire["a"].tick(0.2)
    assert any(isinstance(message, Heartbeat) for message in wire.in_flight("a", "b"))

    wire["b"].tick(60.0)
    wire.run(0.5)

    assert wire["a"].is_leader
    assert {node.consensus.term for node in wire.nodes.values()} == {1}
    assert wire["b"].consensus.leader == "a"


# L4: what cannot be applied is tried for ever, by every replica.


def test_l4_stock_is_stuck_on_a_command_that_raises(stock: StockWire) -> None:
    """Ours applies every command that it lets in, and one replica's failure is its own (test_host.py)."""
    stock.lead("a", "bc")
    told: list[int] = []
    stock["a"].put([], 1, callback=lambda result, error: told.append(error))
    stock.put("a", "after")
    raised = 0
    for _ in range(30):
        for name in "abc":
            try:
                if name == "a":
                    stock.settle("a", "bc", rounds=1)
                else:
                    stock[name].doTick()
            except TypeError:
                raised += 1

    assert raised >= 20, "each replica tries it again at every tick"
    assert told == []
    assert "after" not in stock.acknowledged


# L5: callbacks that nobody ever calls.


def test_l5_stock_never_answers_what_was_forwarded_over_a_lost_link(stock: StockWire) -> None:
    """Ours forwards nothing below the coordinator, whose every request has a deadline (test_coordinator.py)."""
    told: list[int] = []
    stock.lead("a", "bc")
    stock.cut("a", "b")
    stock["b"].put("x", 1, callback=lambda result, error: told.append(error))
    stock["b"].doTick()
    stock.link("a", "b")
    stock.settle("a", "bc", rounds=100)

    assert told == []
    assert "x" not in stock["a"].data


def test_l5_stock_never_answers_what_a_snapshot_skipped(stock: StockWire) -> None:
    """Ours answers "unknown" (test_group.py)."""
    told: list[int] = []
    stock.lead("a", "bc")
    stock.cut("a")
    stock["a"].put("x", 1, callback=lambda result, error: told.append(error))
    stock.heartbeat("a")
    stock.lead("b", "c")
    for number in range(30):
        stock.put("b", f"b{number}")
    stock.settle("b", "c")
    stock["b"].compact()
    stock.link("a", "b")
    stock.link("a", "c")
    stock.settle("b", "ac", rounds=60)

    assert stock["a"].data == stock["b"].data, "a has caught up"
    assert told == []


# L6: who takes a snapshot looks dead to its leader.


def test_l6_ours_leads_on_while_its_only_follower_takes_a_snapshot() -> None:
    """Heartbeats are apart from entries, and are answered whatever the follower lacks."""
    wire = ours()
    wire.cut("c")
    wire.cut("b")
    for number in range(5):
        wire["a"].propose(b"%d" % number)
    wire["a"].sync()
    wire.link("a", "c")
    wire.run(0.3)
    wire["a"].compact()
    wire.cut("c")
    wire.link("a", "b")
    wire.run(0.3)
    assert wire["a"].snapshots_needed == ["b"]

    wire.run(5 * TIMING.election_seconds_max)

    assert wire["a"].is_leader
    assert wire["a"].consensus.term == 1
    assert wire["b"].consensus.leader == "a"


# L8: a follower that was away for three entries costs a whole snapshot.


def test_l8_stock_sends_a_snapshot_to_who_missed_three_entries(stock: StockWire) -> None:
    """Ours keeps a tail of the log behind what is flushed (test_group.py)."""
    stock.lead("a", "bc")
    stock.cut("c")
    for number in range(3):
        stock.put("a", f"k{number}")
    stock.settle("a", "b")
    stock["a"].compact()
    stock.link("a", "c")
    sent = []
    for _ in range(20):
        stock.heartbeat("a")
        sent += stock.deliver("a", "c")
        stock.deliver("c", "a")

    assert any(message.get("serialized") for message in sent)


# L9: a command of just the wrong size breaks the follower.


def test_l9_stock_breaks_on_a_command_just_below_its_batch_size(stock: StockWire) -> None:
    raised = []
    stock.lead("a", "bc")
    stock["a"]._applyCommand(b"x" * (2 * 65_536 - 10), None, 1)
    stock["a"].doTick()
    stock.heartbeat("a")
    parts = [message.get("transmission") for message in stock.in_flight("a", "b")]
    for _ in parts:
        try:
            stock.deliver("a", "b", 1)
        except EOFError as error:
            raised.append(error)

    assert parts.count("finish") == 2
    assert raised


@pytest.mark.parametrize("size", [*range(APPEND_BYTES - 12, APPEND_BYTES + 12, 4), 2 * APPEND_BYTES])
def test_l9_ours_sends_an_entry_of_any_size_whole(size: int) -> None:
    """An entry is never cut: an Append holds at least one, however large."""
    wire = ours()
    for payload in (b"before", b"x" * size, b"after"):
        wire["a"].propose(payload)
    wire.settle()
    wire.run(0.2)

    assert [node.commands for node in wire.nodes.values()] == [[b"before", b"x" * size, b"after"]] * 3


# L11: a learner that became a voter, and whose link closes.


def test_l11_stock_breaks_its_leader_when_a_promoted_nodes_old_link_closes(make_stock: StockMaker) -> None:
    stock = make_stock("abc", dynamicMembershipChange=True)
    leader = stock.lead("a", "bc")
    learner = stock.node("d")
    leader._SyncObj__onReadonlyNodeConnected(learner)
    stock.heartbeat("a")
    leader.addNodeToCluster("d")
    leader.doTick()
    leader._SyncObj__onReadonlyNodeDisconnected(learner)
    leader._SyncObj__onNodeConnected(learner)

    with pytest.raises(KeyError):
        stock.heartbeat("a")


def test_l11_ours_keeps_what_it_knows_of_a_learner_when_it_becomes_a_voter() -> None:
    wire = ours(joiners="d")
    wire["a"].change("abc", "d")
    wire.run(0.5)
    wire["a"].change("abcd")
    wire.cut("d")
    wire.run(0.5)
    assert wire["a"].is_leader
    wire["a"].propose(b"while d is away")
    wire.run(0.3)
    wire.heal()
    wire.run(0.5)

    assert wire["d"].commands == wire["a"].commands == [b"while d is away"]


# L12: a handed-over leadership that nobody took.


def test_l12_stock_calls_a_transfer_done_that_nobody_took(stock: StockWire) -> None:
    """Ours pauses proposals, gives up after an election timeout, and the host waits for the new leader."""
    told: list[int] = []
    stock.lead("a", "bc")
    stock["a"].transferLeadership("b", callback=lambda result, error: told.append(error))
    for link in stock.links.values():
        link.clear()
    stock.settle("a", "bc")

    assert told == [FAIL_REASON.SUCCESS]
    assert stock["a"].is_leader


# L14: a member that was dropped counts as connected.


def test_l14_ours_does_not_count_the_link_of_who_was_removed() -> None:
    wire = ours("abcde")
    wire["a"].change("abcd")
    wire.run(0.5)
    wire["a"].change("abc")
    wire.run(0.5)
    assert wire.is_linked("a", "d") and wire.is_linked("a", "e")

    wire.cut("a", "bc")

    assert not wire["a"].consensus.has_quorum_links
    wire.run(2 * TIMING.election_seconds_max)
    assert not wire["a"].is_leader
