"""Why consensus.py overrides what it overrides: each schedule breaks PySyncObj as shipped, and not ours.

Every pair of tests is one schedule: first on the stock library, where the violation is asserted so
that a fixed release would be noticed, then on ours. audit.py has the list of all that is known of
the stock library. Nothing is duplicated or reordered on any link.
"""

import asyncio
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from raftgroups.ids import LogIndex, Term
from raftgroups.messages import Append, AppendReply
from tests.raftgroups.stock import JOURNAL_WARNS, StockMaker, StockWire
from tests.raftgroups.wire import Wire

BIG = "v" * 30_000
"""Three of these are more than stock's Append of 64 KiB takes."""


def ours(names: str = "abc") -> Wire:
    """Our cluster, led by `a`."""
    wire = Wire(names)
    wire.elect("a")
    wire.run(0.2)
    return wire


def write(wire: Wire, leader: str, *payloads: bytes) -> None:
    for payload in payloads:
        wire[leader].propose(payload)
        wire[leader].sync()


def missing(wire: Wire, names: str) -> set[bytes]:
    """Acknowledged writes that one of these replicas does not have."""
    return {payload for payload in wire.acknowledged.values() for name in names if payload not in wire[name].commands}


# R1: a chunk of a snapshot commits whatever an old leader has in its log.


def test_r1_stock_acknowledges_writes_that_no_node_has(stock: StockWire) -> None:
    stock.lead("a", "bc")
    stock.cut("a")
    for number in range(3):
        stock.put("a", f"lost{number}")
    stock.heartbeat("a")
    stock.lead("b", "c")
    for number in range(20):
        stock.put("b", f"big{number}", os.urandom(20_000))
        stock.settle("b", "c", rounds=2)
    stock["b"].compact()
    stock.settle("b", "c")
    stock.link("a", "b")
    for _ in range(6):
        stock.heartbeat("b")
        has_snapshot = any("serialized" in message for message in stock.in_flight("b", "a"))
        stock.deliver("b", "a", 1 if has_snapshot else None)
        stock.deliver("a", "b")
        stock["a"].doTick()
    claimed = {key for key in stock.acknowledged if key.startswith("lost")}
    while stock.deliver("b", "a") or stock.deliver("a", "b"):
        stock["a"].doTick()
    stock.settle("b", "ac")

    assert claimed == {"lost0", "lost1", "lost2"}
    assert not any(key in node.data for key in claimed for node in stock.nodes.values())


def test_r1_ours_acknowledges_nothing_of_the_kind() -> None:
    wire = ours()
    wire.cut("a")
    write(wire, "a", b"lost0", b"lost1", b"lost2")
    wire.elect_by("b", "c")
    for number in range(20):
        wire["b"].propose(b"big%d" % number)
    wire.settle()
    wire["b"].compact()
    wire.link("a", "b")
    for _ in range(6):
        wire["b"].tick(0.2)
        wire.exchange("b", "a")
        if wire["b"].snapshots_needed:
            wire["b"].send_snapshot("a")
    wire.run(0.5)

    assert wire.checkpoints, "it was a snapshot that repaired a"
    assert not [payload for payload in wire.acknowledged.values() if payload.startswith(b"lost")]
    assert wire["a"].commands == wire["b"].commands
    assert missing(wire, "abc") == set()


# R2: what matches is cut off by an older Append, and an acknowledgement has it sent again.


def test_r2_stock_loses_acknowledged_writes_with_one_crash(stock: StockWire) -> None:
    stock.lead("a", "bc")
    stock.cut("a", "c")
    for number in range(9):
        stock.put("a", f"k{number}", BIG)
    stock["a"].doTick()
    stock.heartbeat("a")
    stock.deliver("a", "b")
    stock.deliver("b", "a", 1)
    stock.heartbeat("a")
    stock.deliver("b", "a")
    for _ in range(2):
        stock["a"].doTick()
    acknowledged = set(stock.acknowledged)
    assert acknowledged == {f"k{number}" for number in range(9)}
    stock.deliver("a", "b", 1)
    stock.kill("a")
    stock.lead("b", "c")
    stock.put("b", "new")
    stock.settle("b", "c")

    assert acknowledged - set(stock["b"].data) == {"k6", "k7", "k8"}


def test_r2_ours_keeps_them() -> None:
    wire = ours()
    wire.cut("a", "c")
    write(wire, "a", *[b"k%d" % number for number in range(9)])
    wire.deliver("a", "b")
    appends = len(wire["b"].entries)
    wire["b"].sync()
    wire.deliver("b", "a", 1)
    wire["a"].tick(0.2)
    assert not [message for message in wire.in_flight("a", "b") if isinstance(message, Append)], "nothing is sent again"
    wire.deliver("b", "a")
    assert len(wire.acknowledged) == 9
    # Even if the first Append came again, it would cut nothing off.
    wire["b"].receive("a", Append(0, 1, 1, 1, [wire["a"].entries[1]], 1, 99))
    assert len(wire["b"].entries) == appends
    wire["a"].crash()
    wire.elect_by("b", "c")
    write(wire, "b", b"new")
    wire.run(0.5)

    assert missing(wire, "bc") == set()


# R2b: a stale rejection moves the leader back below what the follower has acknowledged.


def test_r2b_stock_loses_acknowledged_writes_after_a_reconnect(stock: StockWire) -> None:
    stock.lead("a", "bc")
    stock.cut("a", "c")
    for number in range(6):
        stock.put("a", f"k{number}", BIG)
    stock["a"].doTick()
    stock.heartbeat("a")
    stock.cut("a", "b")
    stock.link("a", "b")
    for _ in range(2):
        stock.heartbeat("a")
    stock.deliver("a", "b")
    stock.deliver("b", "a", 1)
    stock.heartbeat("a")
    stock.deliver("a", "b")
    stock.deliver("b", "a", 1)
    stock.heartbeat("a")
    stock.deliver("b", "a")
    for _ in range(2):
        stock["a"].doTick()
    acknowledged = set(stock.acknowledged)
    assert len(acknowledged) == 6
    stock.deliver("a", "b", 1)
    stock.kill("a")
    stock.lead("b", "c")
    stock.put("b", "new")
    stock.settle("b", "c")

    assert acknowledged - set(stock["b"].data) != set()


def test_r2b_ours_ignores_the_stale_rejection() -> None:
    wire = ours()
    wire.cut("a", "c")
    write(wire, "a", *[b"k%d" % number for number in range(6)])
    wire.cut("a", "b")
    wire.link("a", "b")
    for _ in range(2):
        wire["a"].tick(0.2)
    wire.deliver("a", "b")
    wire["b"].sync()
    replies = [message for message in wire.in_flight("b", "a") if isinstance(message, AppendReply)]
    for _ in range(4):
        wire.exchange("a", "b")
    assert len(wire.acknowledged) == 6
    for reply in replies:
        stale = AppendReply(0, 1, reply.sequence, ok=False, match=0, hint_index=1, hint_term=1)
        wire["a"].receive("b", stale)
    assert wire["a"].consensus.match_of("b") == 7
    wire["a"].sync()
    wire.deliver("a", "b", 1)
    wire["a"].crash()
    wire.elect_by("b", "c")
    write(wire, "b", b"new")
    wire.run(0.5)

    assert missing(wire, "bc") == set()


# R3: a callback that raises has the command applied again, on one replica alone.


def test_r3_stock_applies_twice_when_a_future_was_cancelled(stock: StockWire) -> None:
    stock.lead("a", "bc")
    loop = asyncio.new_event_loop()
    answer: asyncio.Future[int] = loop.create_future()
    stock["a"].increment(callback=lambda result, error: answer.set_result(result))
    answer.cancel()
    raised = 0
    for _ in range(6):
        try:
            stock.settle("a", "bc", rounds=1)
        except asyncio.InvalidStateError:
            raised += 1
    stock.settle("a", "bc")
    loop.close()

    assert raised == 1
    assert [stock[name].count for name in "abc"] == [2, 1, 1]


def test_r3_ours_applies_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = ours()
    loop = asyncio.new_event_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    answer.cancel()
    applied: Counter[tuple[str, bytes]] = Counter()
    for node in wire.nodes.values():

        def apply(index: LogIndex, term: Term, payload: bytes, name: str = node.name) -> None:
            applied[name, payload] += 1
            if name == "a" and payload == b"once":
                answer.set_result(payload)

        monkeypatch.setattr(node, "apply", apply)
    write(wire, "a", b"once")

    with pytest.raises(asyncio.InvalidStateError):
        wire.settle()
    write(wire, "a", b"after")
    wire.run(0.3)
    loop.close()

    assert applied == {(name, payload): 1 for name in "abc" for payload in (b"once", b"after")}


# R4: two changes of the membership at once give two disjoint majorities.


def test_r4_stock_commits_on_two_disjoint_majorities(make_stock: StockMaker) -> None:
    stock = make_stock("abc", dynamicMembershipChange=True)
    stock.lead("a", "bc")
    stock.start("d", "abce")
    stock.start("e", "abcd")
    stock.cut("a")
    stock["a"].addNodeToCluster("d")
    stock["a"].addNodeToCluster("e")
    stock["a"].doTick()
    for a, b in ("ad", "ae", "de"):
        stock.link(a, b)
    stock.settle("a", "de")
    stock.put("a", "x via a", "a")
    stock.settle("a", "de")
    stock.lead("b", "c")
    stock.put("b", "x via b", "b")
    stock.settle("b", "c")

    assert stock["a"].is_leader and stock["b"].is_leader
    assert stock.acknowledged == {"x via a", "x via b"}


def test_r4_ours_has_one_change_in_flight() -> None:
    wire = Wire("abc", joiners="de")
    leader = wire.elect("a")
    leader.change("abcd")

    assert not leader.consensus.may_change
    with pytest.raises(AssertionError, match="one change at a time"):
        leader.change("abcde")

    wire.settle()
    leader.change("abcde")
    wire.settle()
    with pytest.raises(AssertionError, match="one voter at a time"):
        leader.change("abc")


# R5: a follower whose log diverges is never repaired.


def diverged(stock: StockWire, value_bytes: int) -> None:
    """12 entries of a lost leader on a, 12 of another in their place on b and c; c leads."""
    stock.lead("a", "bc")
    stock.cut("a")
    for number in range(12):
        stock.put("a", f"a{number}", "x" * value_bytes)
    stock.heartbeat("a")
    stock.elect("b", "c")
    for number in range(12):
        stock.put("b", f"b{number}", "y" * value_bytes)
    stock.settle("b", "c")
    stock.lead("c", "b")
    stock.link("a", "b")
    stock.link("a", "c")


def repair(stock: StockWire, rounds_max: int) -> int:
    for number in range(1, rounds_max + 1):
        stock.heartbeat("c")
        for follower in "ab":
            stock.deliver("c", follower)
            stock.deliver(follower, "c")
        stock["a"].doTick()
        if stock["a"].log == stock["c"].log:
            return number
    return 0


def test_r5_stock_never_repairs_a_long_divergent_suffix(stock: StockWire) -> None:
    diverged(stock, 16_000)

    assert repair(stock, 150) == 0


def test_r5_stock_needs_a_heartbeat_for_each_entry_of_a_short_one(stock: StockWire) -> None:
    diverged(stock, 100)

    assert repair(stock, 150) >= 12


@pytest.mark.parametrize("value_bytes", [100, 16_000])
def test_r5_ours_repairs_it_in_few_rounds(value_bytes: int) -> None:
    wire = ours()
    wire.cut("a")
    write(wire, "a", *[b"a%d" % number + b"x" * value_bytes for number in range(12)])
    wire.elect_by("b", "c")
    for number in range(12):
        wire["b"].propose(b"b%d" % number + b"y" * value_bytes)
    wire.settle()
    wire["b"].consensus.transfer("c", wire["b"].now)
    wire.settle()
    assert wire["c"].is_leader
    wire.link("a", "c")
    rounds = 0
    while wire["a"].entries != wire["c"].entries:
        wire.exchange("c", "a")
        rounds += 1

    assert rounds <= 5


# R6: a kill between the snapshot and the change of the log drops what the log holds beyond it.


@JOURNAL_WARNS
def test_r6_stock_loses_acknowledged_writes_to_a_kill(make_stock: StockMaker, tmp_path: Path) -> None:
    def files(name: str) -> dict[str, object]:
        return {"fullDumpFile": str(tmp_path / f"{name}.dump"), "journalFile": str(tmp_path / f"{name}.journal")}

    stock = make_stock("")
    for name in "abc":
        stock.start(name, "abc".replace(name, ""), **files(name))
    for a, b in ("ab", "ac", "bc"):
        stock.link(a, b)
    stock.lead("a", "bc")
    for number in range(5):
        stock.put("a", f"old{number}")
    stock.settle("a", "bc")
    stock.cut("a", "c")
    for number in range(4):
        stock.put("a", f"k{number}")
    stock["a"].doTick()
    stock.heartbeat("a")
    stock.deliver("a", "b")
    stock["b"].forceLogCompaction()
    stock["b"].doTick()
    stock.deliver("b", "a")
    for _ in range(2):
        stock["a"].doTick()
    assert {f"k{number}" for number in range(4)} <= stock.acknowledged
    for path in list(tmp_path.glob("b.*")):
        shutil.copy(path, tmp_path / f"killed-{path.name}")
    stock.kill("b")
    stock.kill("a")
    for path in list(tmp_path.glob("killed-b.*")):
        path.replace(tmp_path / path.name.removeprefix("killed-"))
    stock.start("b", "ac", **files("b")).doTick()
    stock.link("b", "c")
    stock.lead("b", "c")

    assert stock.acknowledged - set(stock["b"].data) == {f"k{number}" for number in range(4)}


def test_r6_ours_keeps_them() -> None:
    """The engine has flushed, and the kill comes before the log lets go of anything."""
    wire = ours()
    for number in range(5):
        wire["a"].propose(b"old%d" % number)
    wire.run(0.3)
    wire.cut("a", "c")
    write(wire, "a", *[b"k%d" % number for number in range(4)])
    wire.deliver("a", "b")
    wire["b"].sync()
    wire["b"].flushed = dict(wire["b"].state)
    wire.deliver("b", "a")
    assert len(wire.acknowledged) == 9
    wire["b"].crash()
    wire["a"].crash()
    wire.restart("b")
    wire.elect_by("b", "c")
    wire.run(0.5)

    assert missing(wire, "bc") == set()


# R7: an acknowledgement of an old term is counted in a new one.


def test_r7_stock_counts_an_acknowledgement_of_an_older_term(make_stock: StockMaker) -> None:
    stock = make_stock("abcde")
    stock.lead("a", "bcde")
    for number in range(3):
        stock.put("a", f"old{number}")
    stock["a"].doTick()
    stock.heartbeat("a")
    stock.deliver("a", "b")
    stock.cut("a", "cde")
    stock.cut("c", "b")
    stock.lead("c", "de")
    for other in "cde":
        stock.link("a", other)
    stock.settle("c", "ade")
    stock.cut("c")
    stock.elect("a", "de")
    stock.put("a", "new")
    stock["a"].doTick()
    stock.heartbeat("a")
    stock.cut("a", "e")
    for _ in range(2):
        stock.deliver("a", "d")
        stock.deliver("d", "a")
        stock["a"].doTick()
        stock.heartbeat("a")
    assert "new" not in stock.acknowledged
    stock.deliver("b", "a", 1)
    for _ in range(2):
        stock["a"].doTick()
    assert "new" in stock.acknowledged
    stock.kill("a")
    stock.kill("d")
    for a, b in ("ce", "bc", "be"):
        stock.link(a, b)
    for _ in range(3):
        try:
            stock.elect("e", "bc")
            break
        except AssertionError:
            continue
    stock.settle("e", "bc", rounds=40)

    assert not any("new" in node.data for node in stock.nodes.values())


def test_r7_ours_does_not_count_it() -> None:
    wire = ours("abcde")
    write(wire, "a", b"old0", b"old1", b"old2")
    wire.deliver("a", "b")
    wire["b"].sync()
    stale = [message for message in wire.in_flight("b", "a") if isinstance(message, AppendReply)]
    assert [reply.term for reply in stale] == [1, 1, 1]
    for other in "cde":
        wire.cut("a", other)
    wire.cut("b", "cde")
    wire.elect_by("c", "de")
    for other in "cde":
        wire.link("a", other)
    for _ in range(4):
        for other in "ade":
            wire.exchange("c", other)
    assert wire["a"].entries == wire["c"].entries
    wire.cut("c")
    wire.elect_by("a", "de")
    write(wire, "a", b"new")
    wire.cut("a", "e")
    wire.exchange("a", "d")
    wire.exchange("a", "d")

    wire.deliver("b", "a")

    assert wire["a"].consensus.term == 3
    assert wire["a"].consensus.match_of("b") == 0
    assert b"new" not in wire.acknowledged.values()
