"""What a log promises: each schedule breaks PySyncObj as shipped, and not ours; audit.py has the list.

The worst of them, R1 to R7, stand in test_stock_defects.py.
"""

import pickle
from pathlib import Path

import pytest
from pysyncobj import FAIL_REASON
from pysyncobj.journal import FileJournal, MetaStorer

from engine import Engine, InlineExecutor, MemoryFileSystem, Options
from raftgroups.command import encode_configuration
from raftgroups.ids import LogIndex, Term
from raftgroups.membership import Configuration
from raftgroups.messages import Append
from raftgroups.statemachine import StateMachine
from tests.raftgroups.stock import JOURNAL_WARNS, Message, StockMaker, StockNode, StockWire
from tests.raftgroups.wire import GROUP, Wire


def ours(names: str = "abc", joiners: str = "") -> Wire:
    """Our cluster, led by `a`."""
    wire = Wire(names, joiners=joiners)
    wire.elect("a")
    wire.run(0.2)
    return wire


def append_to(node: StockNode, entries: list[bytes], commit: int) -> Message:
    """What the leader of the node's term would send: these after what the node has, the first `commit` committed."""
    last, term = node.log[-1]
    stored = [(payload, last + place, term) for place, payload in enumerate(entries, 1)]
    append = {"type": "append_entries", "term": term, "commit_index": last + commit, "entries": stored}
    return append | {"prevLogIdx": last, "prevLogTerm": term}


# S8: an old snapshot moves the state machine back.


def test_s8_stock_goes_back_to_a_snapshot_that_comes_again(stock: StockWire) -> None:
    stock.lead("a", "bc")
    stock.cut("c")
    for number in range(20):
        stock.put("a", f"k{number}")
    stock.settle("a", "b")
    stock["a"].compact()
    stock.link("a", "c")
    sent = []
    for _ in range(20):
        stock.heartbeat("a")
        sent += stock.deliver("a", "c")
        stock.deliver("c", "a")
    snapshot = [message for message in sent if message.get("serialized")]
    stock.put("a", "later")
    stock.settle("a", "bc")
    assert "later" in stock["c"].data

    for message in snapshot:
        stock["c"].hand.received("a", message)

    assert "later" in stock.acknowledged
    assert "later" not in stock["c"].data


# S9: a snapshot that cannot be loaded is acknowledged all the same.


def test_s9_stock_commits_on_the_word_of_a_replica_whose_snapshot_failed(make_stock: StockMaker) -> None:
    """Ours: a follower confirms a snapshot once it is in force, and reports one that failed (test_snapshot.py)."""

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    stock = make_stock("abc", logCompactionMinEntries=100_000)
    stock.lead("a", "bc")
    stock.cut("a")
    for number in range(60):
        stock.put("a", f"a{number}")
    stock.heartbeat("a")
    stock.lead("b", "c")
    for number in range(30):
        stock.put("b", f"b{number}")
    stock.settle("b", "c")
    stock["b"].compact()
    stock.cut("b", "c")
    stock.put("b", "new")
    stock["b"].doTick()
    stock["a"]._SyncObj__serializer.deserialize = full
    stock.link("a", "b")
    for _ in range(10):
        stock.heartbeat("b")
        stock.deliver("b", "a")
        stock.deliver("a", "b")
        stock["b"].doTick()

    assert "new" in stock.acknowledged
    assert "new" not in stock["a"].data
    assert "b0" not in stock["a"].data


# S10: the commit index on disk is ahead of the log.


def stock_payload(node: StockNode, key: str) -> bytes:
    return b"\x00" + pickle.dumps((node._methodToID["put_v0"], (key, 1)), 2)


@JOURNAL_WARNS
def test_s10_stock_commits_what_has_only_just_arrived(make_stock: StockMaker, tmp_path: Path) -> None:
    """Power was lost before the newest entries were on disk, but after the commit index was."""
    path = str(tmp_path / "journal")
    journal = FileJournal(path)
    for index in range(1, 6):
        journal.add(b"\x01", index, 1)
    journal._destroy()
    meta = {"raftCommitIndex": 10, "currentTerm": 1, "votedForNodeId": None}
    MetaStorer(path + ".meta").storeMeta(meta)
    stock = make_stock("")
    node = stock.start("a", "bc", journalFile=path)
    entries = [(stock_payload(node, f"x{index}"), index, 1) for index in (6, 7, 8)]

    node.hand.linked("b")
    append = {"type": "append_entries", "term": 1, "commit_index": 5, "entries": entries}
    node.hand.received("b", append | {"prevLogIdx": 5, "prevLogTerm": 1})
    node.doTick()

    assert set(node.data) == {"x6", "x7", "x8"}, "the leader has committed up to 5"


def test_s10_ours_knows_after_a_restart_only_what_it_has_applied_to_be_committed() -> None:
    """The commit index is on no disk: it begins at what the engine has flushed, and the leader tells the rest."""
    wire = ours()
    for number in range(5):
        wire["a"].propose(b"%d" % number)
    wire.run(0.3)
    wire["b"].crash()
    node = wire.restart("b")
    assert node.consensus.commit_index == node.consensus.applied_index == 0
    assert node.log.last_index == 6

    node.receive("a", Append(GROUP, 1, 6, 1, [(1, b"new")], 6, 1))

    assert node.consensus.commit_index == 6
    assert b"new" not in node.commands


# S11: after a restart the members are those of the start, until the log has been applied again.


@JOURNAL_WARNS
def test_s11_stock_forgets_a_new_member_over_a_restart(make_stock: StockMaker, tmp_path: Path) -> None:
    """Ours: the log and the state machine hold the configuration (test_consensus_membership.py)."""
    stock = make_stock("", dynamicMembershipChange=True)
    for name in "abc":
        stock.start(name, "abc".replace(name, ""), journalFile=str(tmp_path / name))
    for a, b in ("ab", "ac", "bc"):
        stock.link(a, b)
    stock.lead("a", "bc")
    stock["a"].addNodeToCluster("d")
    stock.settle("a", "bc")
    assert stock["a"].members == {"a", "b", "c", "d"}
    stock.kill("a")

    node = stock.start("a", "bc", journalFile=str(tmp_path / "a"))

    assert node.log[-1][0] > 2, "the entry that adds d is in its log"
    assert node.members == {"a", "b", "c"}


# S12: what a snapshot says of the members is not of its index.


def test_s12_ours_keeps_the_configuration_as_of_what_is_applied() -> None:
    """A snapshot is a checkpoint of the state machine, which knows of applied entries alone."""
    disk = MemoryFileSystem()
    disk.create_directory("/p")
    engine = Engine.open("/p", Options(own_log=False), file_system=disk, executor=InlineExecutor())
    machine = StateMachine(engine)
    for index, voters in ((1, "abc"), (2, "abcd")):
        machine.apply(LogIndex(index), Term(1), encode_configuration(0, Configuration(tuple(voters))))
    engine.flush()
    machine.apply(LogIndex(3), Term(1), encode_configuration(0, Configuration(tuple("abcde"))))
    engine.checkpoint("/p-checkpoint")
    engine.close()
    disk.restart()

    checkpoint = Engine.open("/p-checkpoint", Options(own_log=False), file_system=disk, executor=InlineExecutor())

    restored = StateMachine(checkpoint)
    assert restored.configuration == (restored.applied_index, Configuration(tuple("abcde")))
    checkpoint.close()


def test_s12_ours_puts_no_uncommitted_member_into_a_snapshot() -> None:
    wire = ours(joiners="d")
    wire.cut("a")
    wire["a"].change("abcd")
    wire["a"].sync()
    assert wire["a"].consensus.configuration == Configuration(tuple("abcd"))

    assert wire["a"].consensus.committed_configuration[1] == Configuration(tuple("abc"))
    assert wire["a"].configured_at()[1] == Configuration(tuple("abc"))


# S13: applying a change of members does it again.


def test_s13_stock_adds_a_member_again_that_was_removed(make_stock: StockMaker) -> None:
    stock = make_stock("abc", dynamicMembershipChange=True)
    stock.lead("a", "bc")
    added, removed = (b"\x02" + pickle.dumps([change, "d"]) for change in ("add", "rem"))

    stock["b"].hand.received("a", append_to(stock["b"], [added, removed], commit=1))
    assert stock["b"].members == {"a", "b", "c"}
    stock["b"].doTick()

    assert stock["b"].members == {"a", "b", "c", "d"}


def test_s13_ours_changes_no_member_by_applying() -> None:
    """d was added and removed again; when only the first of the two is committed, d stays removed."""
    wire = ours(joiners="d")
    node = wire["b"]
    added, removed = (encode_configuration(0, Configuration(tuple(voters))) for voters in ("abcd", "abc"))
    last = int(node.log.last_index)

    node.receive("a", Append(GROUP, 1, last, 1, [(1, added), (1, removed)], last + 1, 99))

    assert node.consensus.applied_index == last + 1
    assert node.consensus.configuration == Configuration(tuple("abc"))


# S14: a vote counts as often as it comes, from whomever.


@pytest.mark.parametrize("voters", ["bb", "bx"])
def test_s14_stock_counts_one_vote_twice_and_a_strangers_too(make_stock: StockMaker, voters: str) -> None:
    stock = make_stock("abcde")
    stock["a"].postpone_election(stock.now - 1)
    stock["a"].doTick()
    for voter in voters:
        stock["a"].hand.received(voter, {"type": "response_vote", "term": stock["a"].term})

    assert stock["a"].is_leader, "with two votes of five"


# S15: a vote that is lost with power is given again.


@JOURNAL_WARNS
def test_s15_stock_votes_twice_when_its_file_is_empty(make_stock: StockMaker, tmp_path: Path) -> None:
    """As a file is that was renamed, but never synced, when power fails."""
    request = {"type": "request_vote", "term": 7, "last_log_index": 9, "last_log_term": 6}
    stock = make_stock("ac")
    for candidate in "ac":
        stock.start("b", "ac", journalFile=str(tmp_path / "journal"))
        stock.link("b", candidate)
        stock["b"].hand.received(candidate, request)

        assert stock.in_flight("b", candidate) == [{"type": "response_vote", "term": 7}]
        stock.kill("b")
        (tmp_path / "journal.meta").write_bytes(b"")


# S16: an old leader serves old data for half a minute.


def test_s16_stock_reads_old_data_from_a_leader_that_was_replaced_long_ago(make_stock: StockMaker) -> None:
    """Ours: a round proves that it still leads, or the read waits (test_consensus.py)."""
    stock = make_stock("abc", leaderFallbackTimeout=30.0)
    stock.lead("a", "bc")
    stock.put("a", "x", "old")
    stock.settle("a", "bc")
    stock.cut("a")
    stock.lead("b", "c")
    stock.put("b", "x", "new")
    stock.settle("b", "c")
    replaced_at = stock.now
    while stock.now < replaced_at + 25:
        stock.now += 0.1
        stock["a"].doTick()

    assert stock["a"].is_leader
    assert stock["a"].data["x"] == "old"
    assert stock["b"].data["x"] == "new"


# S17: an old leader is not told of a newer term.


def test_s17_stock_does_not_answer_an_old_leader(stock: StockWire) -> None:
    stock.lead("a", "bc")
    stock.cut("a")
    stock.lead("b", "c")
    stock.link("a", "c")
    stock.put("a", "x")
    stock.heartbeat("a")
    stock.deliver("a", "c")

    assert stock["c"].term > stock["a"].term
    assert stock.in_flight("c", "a") == []
    assert stock["a"].is_leader


# S19: an entry of a newer code version is skipped.


def test_s19_stock_applies_twice_after_an_entry_of_a_newer_version(stock: StockWire) -> None:
    stock.lead("a", "bc")
    newer = b"\x03" + pickle.dumps(9)
    increment = b"\x00" + pickle.dumps(stock["b"]._methodToID["increment_v0"])

    stock["b"].hand.received("a", append_to(stock["b"], [newer, increment], commit=2))
    for _ in range(3):
        stock["b"].doTick()

    assert stock["b"].count == 2


# 1.5: a snapshot carries whatever the leader's object has, and overwrites the follower's.


def test_the_stock_snapshot_overwrites_what_is_a_nodes_own(stock: StockWire) -> None:
    """Ours: a checkpoint holds the records of the state machine and nothing of the process."""
    stock["a"].place, stock["b"].place, stock["c"].place = "here", "there", "elsewhere"
    stock.lead("a", "bc")
    stock.cut("c")
    for number in range(20):
        stock.put("a", f"k{number}")
    stock.settle("a", "b")
    stock["a"].compact()
    stock.link("a", "c")
    stock.settle("a", "c", rounds=20)

    assert "k0" in stock["c"].data
    assert stock["c"].place == "here"


# 1.7: what a callback's error says.


def test_stock_says_that_a_write_failed_which_was_applied(stock: StockWire) -> None:
    """LEADER_CHANGED is documented as "without commit". Ours: "unknown", unless it never entered a log."""
    told = []
    stock.lead("a", "bc")
    stock["b"].put("x", 1, callback=lambda result, error: told.append(error))
    stock["b"].doTick()
    stock.deliver("b", "a")
    stock["a"].doTick()
    stock.heartbeat("a")
    stock.deliver("a", "c")
    stock.links["a", "b"].clear()
    stock.cut("a")
    stock.lead("c", "b")

    assert told == [FAIL_REASON.LEADER_CHANGED]
    assert stock["c"].data["x"] == 1
