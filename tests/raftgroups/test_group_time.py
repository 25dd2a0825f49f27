"""A RaftGroup and time: what is due is told before it is read, and a reign begins with grace."""

import pytest

from engine import MemoryFileSystem
from raftgroups.command import ConditionalPut, Once, Put, encode_entry
from raftgroups.errors import NotLeaderError
from raftgroups.ids import LogIndex, Term
from raftgroups.item import decode_item
from raftgroups.level import LEASE, LINEARIZABLE, Freshness, Level
from raftgroups.messages import Heartbeat, HeartbeatReply, ReadIndexReply, ReadIndexRequest, VoteReply, VoteRequest
from raftgroups.timing import Timing
from tests.raftgroups.bench import LATER, Bench, open_machine


def lending(replicas: str = "a", *, timing: Timing | None = None) -> Bench:
    """A leader with a key that will be due in half a second."""
    bench = Bench(replicas, timing=timing).lead()
    bench.propose(ConditionalPut(b"key", b"value", "", 500))
    bench.turn()
    return bench


def confirm(bench: Bench) -> None:
    """A follower answers the newest heartbeat."""
    heartbeats = [message for _, message in bench.sent if isinstance(message, Heartbeat)]
    reply = HeartbeatReply(0, bench.group.consensus.term, heartbeats[-1].round, promise=True)
    bench.group.consensus.receive("b", reply, bench.now)


def test_a_read_sees_that_what_is_due_has_expired() -> None:
    """An entry says so first, and the read waits for it."""
    bench = lending()
    before = bench.log.last_index
    bench.now += 0.5

    bench.read(b"key")
    bench.turn()
    bench.turn()

    assert bench.items == [None]
    assert bench.log.last_index == before + 1


def test_a_read_whose_leader_stood_still_sees_what_was_due_when_it_was_confirmed() -> None:
    bench = lending("abc")
    bench.read(b"key")
    bench.group.turn(bench.now, may_propose=True)

    bench.now += 0.9
    confirm(bench)
    assert bench.items == []
    bench.turn()

    assert bench.items == [None]


def test_a_read_that_waits_for_an_entry_on_its_way_does_not_pass_what_fell_due_since() -> None:
    bench = lending("abc")
    bench.put(b"other")
    bench.group.turn(bench.now, may_propose=True)
    bench.now += 0.5
    bench.read(b"key")
    bench.group.turn(bench.now, may_propose=True)

    confirm(bench)
    bench.group.turn(bench.now, may_propose=True)
    assert bench.items == []
    for _ in range(2):
        bench.turn()

    assert bench.items == [None]


def test_a_read_waits_for_nothing_where_nothing_is_due() -> None:
    bench = lending("abc")
    bench.now += 0.4
    before = bench.log.last_index

    bench.read(b"key")
    bench.group.turn(bench.now, may_propose=True)
    confirm(bench)

    assert isinstance(bench.items[0], bytes)
    assert bench.log.last_index == before


def test_a_follower_is_told_an_index_that_covers_what_is_due() -> None:
    bench = lending("abc")
    before = bench.log.last_index
    bench.now += 0.5

    bench.group.consensus.receive("c", ReadIndexRequest(0, bench.group.consensus.term, 7), bench.now)
    assert bench.sent == []
    bench.turn()

    [reply] = [message for _, message in bench.sent if isinstance(message, ReadIndexReply)]
    assert (reply.read, reply.index) == (7, before + 1)


def test_a_lease_shows_nothing_that_is_due() -> None:
    """It asks for a round instead, as any other read."""
    bench = lending("abc", timing=Timing(lease_seconds=0.8))
    levels: list[Level] = []

    def read() -> None:
        bench.group.admit(Freshness(LEASE), bench.now, LATER, lambda level, _: levels.append(level), bench.items.append)

    bench.now += 0.3
    bench.group.tick(bench.now)
    confirm(bench)
    read()
    assert levels == [LEASE]

    bench.now += 0.3
    read()
    assert levels == [LEASE]
    bench.group.turn(bench.now, may_propose=True)
    confirm(bench)
    bench.turn()
    bench.turn()
    assert levels == [LEASE, LINEARIZABLE]
    assert bench.group.machine.get(b"key", wait=True) is None


def test_reads_that_wait_for_what_is_due_are_given_up_with_the_reign() -> None:
    bench = lending("abc")
    bench.now += 0.5
    bench.read(b"key")
    bench.group.turn(bench.now, may_propose=False)
    confirm(bench)
    assert bench.items == []

    bench.depose()

    assert [type(item) for item in bench.items] == [NotLeaderError]


def test_on_a_full_disk_what_is_due_is_told_to_who_reads_and_without_any_room_reads_go_on() -> None:
    bench = lending()
    bench.now += 0.5
    bench.is_full = True
    bench.read(b"key")
    bench.turn()
    bench.turn()
    assert bench.items == [None]

    bench.is_full = False
    bench.propose(ConditionalPut(b"key", b"value", "", 500))
    bench.turn()
    bench.now += 0.5
    bench.is_full = bench.is_exhausted = True
    bench.read(b"key")
    bench.turn()
    assert isinstance(bench.items[1], bytes)


def test_who_leads_after_a_time_without_a_leader_gives_that_as_grace() -> None:
    """The followers knew of their leader last when it spoke last; one that was started since knows nothing."""
    bench = lending("abc")
    bench.now += 0.4
    bench.depose("b")
    bench.turn()
    before = bench.group.machine.clock_ms
    bench.now += 30.0
    consensus = bench.group.consensus
    consensus.tick(bench.now)
    for probe in (True, False):
        absence_ms = None if probe else 30_000
        reply = VoteReply(0, consensus.term + probe, probe, granted=True, absence_ms=absence_ms)
        consensus.receive("c", reply, bench.now)
    bench.turn()

    assert bench.group.is_leader
    assert bench.group.machine.clock_ms == pytest.approx(before + 400, abs=2)
    assert bench.group.machine.behind_ms == pytest.approx(30_000, abs=2)
    assert bench.group.machine.get(b"key", wait=True) is not None


def test_a_read_does_not_wait_for_tokens_to_be_forgotten() -> None:
    """They are, with the next entry; but that is nothing that a reader could tell."""
    bench = Bench("abc").lead()
    bench.propose(Once(b"token", b"digest", 500, Put(b"key", b"value")))
    bench.turn()
    bench.now += 1.0

    bench.read(b"key")
    bench.group.turn(bench.now, may_propose=False)
    confirm(bench)

    assert isinstance(bench.items[0], bytes)
    bench.turn()
    assert bench.group.machine.agenda.tokens == 0


def test_what_was_told_when_clocks_were_wrong_ends_in_its_time() -> None:
    """Of an earlier version, or by a wrong majority: the group is a day ahead, and a new TTL begins there."""
    disk = MemoryFileSystem()
    machine = open_machine(disk, "/p0")
    machine.apply(LogIndex(1), Term(1), encode_entry(86_400_000, []))
    machine.engine.flush()
    machine.engine.close()
    bench = Bench(disk=disk).lead()
    assert bench.group.machine.clock_ms >= 86_400_000

    bench.propose(ConditionalPut(b"key", b"value", "", 2_000))
    bench.turn()
    stored = bench.group.machine.get(b"key", wait=True)
    assert stored is not None
    assert decode_item(stored).expires_ms - bench.group.time_ms() == 2_000
    bench.now += 1.9
    bench.turn()
    assert bench.group.machine.get(b"key", wait=True) is not None
    bench.now += 0.4
    bench.turn()
    assert bench.group.machine.get(b"key", wait=True) is None


def test_what_is_read_late_shows_no_leader_that_was_just_there() -> None:
    """A node that stood still reads on what its leader said before; that it was there is known as of what it met."""
    bench = Bench("abc")
    consensus = bench.group.consensus
    bench.meets = bench.now = 5.0
    consensus.receive("b", Heartbeat(0, 1, 0, 0), bench.now)

    bench.now = 15.0
    consensus.receive("b", Heartbeat(0, 1, 0, 0), bench.now)
    consensus.receive("c", VoteRequest(0, 2, 9, 1, probe=False, transfer=True), bench.now)

    [reply] = [message for _, message in bench.sent if isinstance(message, VoteReply)]
    assert (reply.granted, reply.absence_ms) == (True, 10_000)


def test_a_voter_that_never_knew_a_leader_says_so() -> None:
    bench = Bench("abc")

    bench.group.consensus.receive("c", VoteRequest(0, 2, 9, 1, probe=False, transfer=False), bench.now)

    [reply] = [message for _, message in bench.sent if isinstance(message, VoteReply)]
    assert (reply.granted, reply.absence_ms) == (True, None)


@pytest.mark.parametrize("replicas", ["abc", "a"])
def test_a_leader_that_stood_still_leads_no_more_and_knows_since_when(replicas: str) -> None:
    bench = lending(replicas)
    since = bench.now
    bench.now += 20.0

    bench.group.consensus.stood_still(since, bench.now)
    assert bench.group.leader is None

    if replicas == "a":
        bench.group.tick(bench.now)
        bench.turn()
        assert bench.group.is_leader
        assert bench.group.machine.behind_ms == 20_000
        assert bench.group.machine.get(b"key", wait=True) is not None
    else:
        bench.group.consensus.receive("c", VoteRequest(0, 9, 99, 1, probe=False, transfer=False), bench.now)
        assert [message.absence_ms for _, message in bench.sent if isinstance(message, VoteReply)] == [20_000]


def test_a_follower_that_stood_still_goes_on() -> None:
    bench = lending("abc")
    bench.depose()

    bench.group.consensus.stood_still(bench.now, bench.now + 20.0)

    assert bench.group.leader == "b"
