"""Scans of several nodes over replicas that are dicts: who is asked, and what comes back."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from raftgroups import (
    Freshness,
    Item,
    Level,
    NoQuorumError,
    NoReplicaError,
    OutcomeUnknownError,
    PartitionId,
    Placement,
    RaftGroupError,
    ScanCall,
    Scanned,
    Span,
    TooStaleError,
    decode_item,
)
from tests.app.fake_host import Wire

NAMES = ("n1", "n2", "n3", "n4")
P0 = PartitionId(0)
FOUNDERS = ("n1", "n2", "n3")
KEYS = [b"k%d" % number for number in range(5)]

Scenario = Callable[[Wire], Coroutine[None, None, None]]
Play = Callable[[Scenario], None]
Answers = list[Scanned | RaftGroupError]


@pytest.fixture
def play() -> Play:
    """Runs a scenario on four nodes; n1, n2 and n3 hold partition 0, which n1 leads."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            wire = Wire(NAMES)
            wire.place(Placement(P0, 0, FOUNDERS))
            wire.hold(0, "n1", *FOUNDERS)
            wire.items[P0].update({key: Item(number, b"v") for number, key in enumerate(KEYS, 1)})
            await scenario(wire)

        asyncio.run(main())

    return run


def ask(wire: Wire, name: str, span: Span | None = None, fresh: Freshness | None = None) -> Answers:
    answers: Answers = []
    deadline = asyncio.get_running_loop().time() + 5
    wire.coordinators[name].scan(P0, span or Span(), fresh or Freshness(), deadline, answers.append)
    return answers


def scanned(answers: Answers) -> Scanned:
    (found,) = answers
    assert isinstance(found, Scanned), found
    return found


def test_a_replica_here_answers_once_it_is_confirmed(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        found = scanned(ask(wire, "n2"))

        assert [key for key, _ in found.piece.pairs] == KEYS and found.piece.reached is None
        assert (found.receipt.level, found.receipt.served_by, found.receipt.role) == (
            Level.LINEARIZABLE,
            "n2",
            "follower",
        )
        assert wire.hosts["n2"].groups[P0].log == ["read", "scan"] and not wire.sent

    play(scenario)


def test_a_node_without_a_replica_asks_one_that_has(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        span = Span(b"k1", b"k9", 2, 1 << 20, keys_only=True, reverse=True)
        answers = ask(wire, "n4", span)
        wire.deliver()

        found = scanned(answers)
        assert [key for key, _ in found.piece.pairs] == [b"k4", b"k3"] and found.piece.reached == b"k3"
        assert [decode_item(item) for _, item in found.piece.pairs] == [Item(5, b""), Item(4, b"")]
        (call,) = [message for _, _, message in wire.sent if isinstance(message, ScanCall)]
        assert call.span == span and found.receipt.served_by == wire.asked("n4")[0]

    play(scenario)


def test_a_replica_that_cannot_read_its_disk_is_passed_over(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n2"].groups[P0].is_broken = True

        answers = ask(wire, "n2")
        wire.deliver()

        assert scanned(answers).receipt.served_by == "n1"

    play(scenario)


def test_a_scan_whose_peer_is_lost_goes_elsewhere(play: Play) -> None:
    """Nothing can have been applied, so it is asked again."""

    async def scenario(wire: Wire) -> None:
        answers = ask(wire, "n4")
        first = wire.asked("n4")[0]
        wire.lose(first)
        wire.coordinators["n4"].tick(asyncio.get_running_loop().time())
        wire.hold(0, "n2", *FOUNDERS)
        wire.deliver()

        assert scanned(answers).receipt.served_by != first

    play(scenario)


def test_a_stale_scan_needs_no_leader_and_another_does(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, None, *FOUNDERS)

        assert scanned(ask(wire, "n3", fresh=Freshness(Level.STALE))).receipt.level is Level.STALE
        waiting = ask(wire, "n3")
        assert waiting == []
        wire.coordinators["n3"].tick(asyncio.get_running_loop().time() + 3)
        assert isinstance(waiting[0], NoQuorumError)

    play(scenario)


@pytest.mark.parametrize(
    ("level", "error"),
    [(Level.STALE, NoReplicaError), (Level.BOUNDED, TooStaleError), (Level.LINEARIZABLE, NoQuorumError)],
)
def test_a_scan_that_nobody_answers_says_why(play: Play, level: Level, error: type[RaftGroupError]) -> None:
    async def scenario(wire: Wire) -> None:
        for name in FOUNDERS:
            wire.lose(name)
        answers = ask(wire, "n4", fresh=Freshness(level))
        wire.coordinators["n4"].tick(asyncio.get_running_loop().time() + 6)

        assert isinstance(answers[0], error) and not isinstance(answers[0], OutcomeUnknownError)

    play(scenario)


def test_a_lease_is_the_leaders_alone(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].groups[P0].holds_lease = True

        answers = ask(wire, "n2", fresh=Freshness(Level.LEASE))
        wire.deliver()

        found = scanned(answers)
        assert (found.receipt.level, found.receipt.served_by) == (Level.LEASE, "n1")

    play(scenario)


def test_a_prefix_with_a_whole_tag_is_in_one_partition(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        coordinator = wire.coordinators["n1"]

        for prefix in (b"", b"a", b"{", b"{tag", b"{}a", b"}{"):
            assert list(coordinator.partitions_of(prefix)) == [0, 1, 2, 3]
        for prefix in (b"{tag}", b"a{tag}/b{c"):
            (only,) = coordinator.partitions_of(prefix)
            assert {coordinator.partition_of(prefix + b"%d" % number) for number in range(50)} == {only}

    play(scenario)
