"""Bulk requests between coordinators over replicas that are dicts: who is asked, and what becomes of each command."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from app.coordinator import LEADER_PATIENCE_SECONDS
from app.requests import CommandOutcome, Readings
from raftgroups import (
    BulkReadCall,
    BulkReadReturn,
    BulkWriteCall,
    BulkWriteReturn,
    CallMessage,
    FailureReturn,
    Freshness,
    Item,
    Level,
    NoQuorumError,
    NotLeaderError,
    OutcomeUnknownError,
    PartitionId,
    Placement,
    Put,
    RaftGroupError,
    Receipt,
    Refusal,
    Written,
)
from tests.app.fake_host import Wire

NAMES = ("n1", "n2", "n3", "n4", "n5")
FOUNDERS = ("n1", "n2", "n3")
P0 = PartitionId(0)
SECONDS = 5.0
KEYS = (b"a", b"b", b"c")

Scenario = Callable[[Wire], Coroutine[None, None, None]]
Play = Callable[[Scenario], None]


class Client:
    """Of one node, for partition 0."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._coordinator = wire.coordinators[name]
        self.deadline = asyncio.get_running_loop().time() + SECONDS
        self.outcomes: list[list[CommandOutcome]] = []
        self.readings: list[Readings | RaftGroupError] = []

    def write(self, *keys: bytes) -> None:
        commands = [Put(key, b"v") for key in keys or KEYS]
        self._coordinator.write_many(0, commands, self.deadline, self.outcomes.append)

    def read(self, level: Level = Level.LINEARIZABLE) -> None:
        self._coordinator.read_many(0, [*KEYS, b"absent"], Freshness(level), self.deadline, self.readings.append)

    def tick(self, after: float) -> None:
        self._coordinator.tick(self.deadline - SECONDS + after)

    @property
    def kinds(self) -> list[type]:
        (outcomes,) = self.outcomes
        return [type(outcome) for outcome in outcomes]


@pytest.fixture
def play() -> Play:
    """Runs a scenario on five nodes; n1, n2 and n3 hold partition 0, and n1 leads."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            wire = Wire(NAMES)
            for name in NAMES:
                wire.place(Placement(P0, 0, FOUNDERS), name)
            wire.hold(0, "n1", *FOUNDERS)
            await scenario(wire)

        asyncio.run(main())

    return run


def test_one_message_takes_all_commands_to_the_leader(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        for name in NAMES:
            client = Client(wire, name)
            client.write()
            wire.deliver()
            assert client.kinds == [Written] * 3
        calls = [message for _, _, message in wire.sent if isinstance(message, BulkWriteCall)]
        assert [len(call.commands) for call in calls] == [3] * 4
        assert set(wire.items[P0]) == set(KEYS)
        assert wire.coordinators["n4"].cluster().partitions[0].leader == "n1"

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n2", "n4"])
def test_keys_are_read_together(play: Play, name: str) -> None:
    """On one admission, wherever the replica is."""

    async def scenario(wire: Wire) -> None:
        wire.items[P0][b"a"] = Item(1, b"1")
        client = Client(wire, name)
        client.read()
        wire.deliver()

        (found,) = client.readings
        assert isinstance(found, Readings)
        assert found.items == [Item(1, b"1"), None, None, None]
        assert (found.receipt.level, found.receipt.served_by) == (Level.LINEARIZABLE, "n1" if name == "n4" else name)
        assert sum(host.groups[P0].log.count("read") for host in wire.hosts.values() if P0 in host.groups) == 1

    play(scenario)


def test_what_a_former_leader_has_not_taken_is_tried_again(play: Play) -> None:
    """Of three commands one is applied and two are refused, certainly not applied: only those go to the new leader."""

    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        wire.hold(0, "n3", *FOUNDERS)
        refusal = Refusal(NotLeaderError.__name__, "another leads", "n3")
        wire.coordinators["n4"].returned("n1", BulkWriteReturn(1, [7, refusal, refusal]))
        wire.deliver()

        (outcomes,) = client.outcomes
        assert outcomes[0] == Written(7)
        assert client.kinds == [Written] * 3
        assert set(wire.items[P0]) == {b"b", b"c"}

    play(scenario)


def test_a_local_leader_that_is_deposed_halfway_hands_on_the_rest(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        leader = wire.hosts["n1"].groups[P0]
        leader.is_patient = True
        client = Client(wire, "n1")
        client.write()
        wire.hold(0, "n2", *FOUNDERS)
        first, second, third = leader.waiting
        first(None)
        second(NotLeaderError(P0, "n2"))
        assert client.outcomes == []
        third(NotLeaderError(P0, "n2"))
        wire.deliver()

        assert client.kinds == [Written] * 3
        assert [len(call.commands) for _, _, call in wire.sent if isinstance(call, BulkWriteCall)] == [2]

    play(scenario)


def test_commands_that_fail_for_good_do_not_touch_the_others(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        leader = wire.hosts["n1"].groups[P0]
        leader.is_patient = True
        client = Client(wire, "n4")
        client.write()
        wire.deliver()
        first, second, third = leader.waiting
        first(None)
        second(OutcomeUnknownError("the replica stopped"))
        third(None)
        wire.deliver()

        assert client.kinds == [Written, OutcomeUnknownError, Written]

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_at_the_deadline_all_is_unknown_but_what_is_known(play: Play, name: str) -> None:
    """The leader here has told of the first command; of what a peer has taken nothing is known."""

    async def scenario(wire: Wire) -> None:
        leader = wire.hosts["n1"].groups[P0]
        leader.is_patient = True
        client = Client(wire, name)
        client.write()
        wire.deliver()
        leader.waiting[0](None)
        client.tick(SECONDS + 0.1)

        unknown = OutcomeUnknownError
        assert client.kinds == ([Written, unknown, unknown] if name == "n1" else [unknown] * 3)
        leader.end()
        wire.deliver()
        assert len(client.outcomes) == 1

    play(scenario)


def test_a_leader_that_is_lost_leaves_writes_unknown_and_reads_elsewhere(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        writer, reader = Client(wire, "n4"), Client(wire, "n4")
        writer.write()
        reader.read(Level.STALE)
        wire.lose("n1")
        assert writer.kinds == [OutcomeUnknownError] * 3
        reader.tick(0.1)
        wire.deliver()

        (found,) = reader.readings
        assert isinstance(found, Readings) and found.receipt.served_by in {"n2", "n3"}

    play(scenario)


def test_without_a_leader_nothing_is_applied(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        for name in FOUNDERS:
            wire.hosts[name].groups[P0].leader = None
        client = Client(wire, "n2")
        client.write()
        client.read()
        client.tick(LEADER_PATIENCE_SECONDS + 0.1)

        assert client.kinds == [NoQuorumError] * 3
        assert [type(found) for found in client.readings] == [NoQuorumError]
        assert wire.items[P0] == {}

    play(scenario)


def test_a_replica_that_cannot_read_its_disk_leaves_it_to_another(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n2"].groups[P0].is_broken = True
        client = Client(wire, "n2")
        client.read()
        wire.deliver()

        (found,) = client.readings
        assert isinstance(found, Readings) and found.receipt.served_by == "n1"

    play(scenario)


@pytest.mark.parametrize("level", [Level.LEASE, Level.LINEARIZABLE])
def test_a_lease_is_the_leader_s(play: Play, level: Level) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].groups[P0].holds_lease = True
        client = Client(wire, "n2")
        client.read(level)
        wire.deliver()

        (found,) = client.readings
        assert isinstance(found, Readings)
        assert (found.receipt.level, found.receipt.served_by) == (level, "n1" if level is Level.LEASE else "n2")

    play(scenario)


def test_an_answer_of_another_length_is_none(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        client.read()
        coordinator = wire.coordinators["n4"]
        coordinator.returned("n1", BulkWriteReturn(1, [7]))
        receipt = Receipt(Level.STALE, 0, "n1", "leader")
        coordinator.returned("n1", BulkReadReturn(2, [], receipt))

        assert client.kinds == [OutcomeUnknownError] * 3
        assert [type(found) for found in client.readings] == [OutcomeUnknownError]

    play(scenario)


def test_a_peer_without_a_replica_refuses_as_one(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        calls: list[CallMessage] = [
            BulkWriteCall(1, 0, 1, 100, []),
            BulkReadCall(2, 0, 1, 100, Freshness(Level.STALE), []),
        ]
        for call in calls:
            wire.coordinators["n4"].called("n5", call)
        wire.coordinators["n1"].called("n5", BulkWriteCall(3, 0, 2, 100, []))
        wire.coordinators["n1"].called("n5", BulkWriteCall(4, 0, 1, 100, []))
        wire.coordinators["n2"].called("n5", BulkReadCall(5, 0, 1, 100, Freshness(Level.LEASE), []))

        assert [message for _, _, message in wire.sent] == [
            FailureReturn(1, "NotLeaderError", "partition 0 is led by nobody known"),
            FailureReturn(2, "NotLeaderError", "partition 0 is led by nobody known"),
            FailureReturn(3, "StaleEpochError", "the epoch here is 1"),
            BulkWriteReturn(4, []),
            FailureReturn(5, "NotLeaderError", "partition 0 is led by n1", "n1"),
        ]

    play(scenario)
