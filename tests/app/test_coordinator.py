"""Coordinators of several nodes over replicas that are dicts: who is asked, and what the client is told."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from app import coordinator as module
from app.coordinator import (
    LEADER_PATIENCE_SECONDS,
    MINORITY_PATIENCE_SECONDS,
    PEER_PATIENCE_SECONDS,
    Coordinator,
)
from raftgroups import (
    BehindError,
    CallMessage,
    ChangeRefusedError,
    FailureReturn,
    Freshness,
    Level,
    LogIndex,
    NoQuorumError,
    NoReplicaError,
    NotLeaderError,
    Once,
    OutcomeUnknownError,
    OverloadedError,
    PartitionId,
    Placement,
    Put,
    RaftGroupError,
    ReadCall,
    Reading,
    Result,
    TargetCall,
    Term,
    TooStaleError,
    WriteCall,
    WriteReturn,
    Written,
)
from raftgroups.leaderships import Leadership
from tests.app.fake_host import Wire

NAMES = ("n1", "n2", "n3", "n4", "n5")
P0 = PartitionId(0)
FOUNDERS = ("n1", "n2", "n3")
SECONDS = 5.0

Scenario = Callable[[Wire], Coroutine[None, None, None]]


def key_of(coordinator: Coordinator, partition: int) -> bytes:
    return next(key for key in (b"k%d" % n for n in range(1_000)) if coordinator.partition_of(key) == partition)


class Client:
    """Of one node, for one key of partition 0. Remembers its answers."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._coordinator = wire.coordinators[name]
        self.key = key_of(self._coordinator, 0)
        self.deadline = asyncio.get_running_loop().time() + SECONDS
        self.answers: list[Result | Reading | RaftGroupError] = []

    def write(self, value: bytes = b"v") -> None:
        self._coordinator.write(self.key, Put(self.key, value, ""), self.deadline, self.answers.append)

    def write_once(self, value: bytes = b"v") -> None:
        command = Once(b"token", b"digest", 60_000, Put(self.key, value, ""))
        self._coordinator.write(self.key, command, self.deadline, self.answers.append)

    def read(self, level: Level = Level.LINEARIZABLE) -> None:
        self.read_fresh(Freshness(level))

    def read_fresh(self, fresh: Freshness) -> None:
        self._coordinator.read(self.key, fresh, self.deadline, self.answers.append)

    @property
    def receipt(self) -> tuple[str, str, str]:
        (reading,) = self.answers
        assert isinstance(reading, Reading), reading
        return reading.receipt.level, reading.receipt.served_by, reading.receipt.role

    @property
    def failure(self) -> RaftGroupError:
        (error,) = self.answers
        assert isinstance(error, RaftGroupError), error
        return error


@pytest.fixture
def play() -> Callable[[Scenario], None]:
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


Play = Callable[[Scenario], None]


def test_a_write_goes_to_the_leader_from_anywhere(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        for number, name in enumerate(NAMES):
            client = Client(wire, name)
            client.write(b"%d" % number)
            wire.deliver()
            assert isinstance(client.answers[0], Written)
            assert wire.items[P0][client.key].value == b"%d" % number
        assert [wire.asked(name) for name in NAMES] == [[], ["n1"], ["n1"], ["n1"], ["n1"]]

    play(scenario)


def test_a_node_without_a_replica_learns_who_leads(play: Play) -> None:
    """It is sent on once, and then knows."""

    async def scenario(wire: Wire) -> None:
        wire.hold(0, "n3", *FOUNDERS)
        assert wire.coordinators["n4"].locate(Client(wire, "n4").key).leader is None

        client = Client(wire, "n4")
        for _ in range(2):
            client.write()
            wire.deliver()

        assert [type(answer) for answer in client.answers] == [Written, Written]
        assert wire.asked("n4") == ["n1", "n3", "n3"]
        assert wire.coordinators["n4"].locate(client.key).leader == "n3"

    play(scenario)


def test_no_answer_is_taken_for_that_to_another_question(play: Play) -> None:
    """A node that starts anew numbers its calls anew, and what it asked before is answered when it is back."""

    async def scenario(wire: Wire) -> None:
        leader = wire.hosts["n1"].groups[P0]
        leader.is_patient = True
        before = Client(wire, "n4")
        before.write(b"before")
        wire.deliver()
        wire.lose("n4")
        wire.restart("n4")
        again = Client(wire, "n4")
        again.write(b"again")
        asked_before, asked_again = leader.waiting[0], leader.waiting
        wire.deliver()
        assert len(asked_again) == 2

        asked_before(None)
        wire.deliver()
        assert again.answers == []
        asked_again[1](None)
        wire.deliver()

        assert [type(answer) for answer in again.answers] == [Written]
        assert wire.items[P0][again.key].value == b"again"

    play(scenario)


def test_who_answers_a_write_leads(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        wire.deliver()

        assert wire.coordinators["n4"].cluster().partitions[0].leader == "n1"
        wire.lose("n1")
        assert wire.coordinators["n4"].cluster().partitions[0].leader is None

    play(scenario)


def told(leader: str | None, at: float = 99.5) -> Leadership:
    return Leadership(leader, Term(7), LogIndex(30), LogIndex(29), at)


def test_a_node_without_a_replica_shows_what_the_leader_told_it(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n4"].told[P0] = told("n1")
        where, client = wire.coordinators["n4"], Client(wire, "n4")

        view = where.cluster().partitions[0]
        assert (view.leader, view.term, view.commit_index, view.applied_index, view.age_ms) == ("n1", 7, 30, 29, 500)
        location = where.locate(client.key)
        assert (location.leader, location.term, location.age_ms) == ("n1", 7, 500)

        wire.lose("n1")
        wire.hosts["n4"].told[P0] = told(None)
        assert where.locate(client.key).leader is None

    play(scenario)


def test_nobody_has_told_anything_yet(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        view = wire.coordinators["n4"].cluster().partitions[0]

        assert wire.coordinators["n4"].statistics()["partitions_leaderless"] == 4
        assert wire.coordinators["n1"].statistics()["partitions_leaderless"] < 4
        assert (view.leader, view.term, view.commit_index, view.applied_index, view.age_ms) == (None, 0, 0, 0, None)

    play(scenario)


def test_the_first_request_to_what_is_not_held_here_goes_straight_to_its_leader(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, "n3", "n1", "n2", "n3")
        wire.hosts["n4"].told[P0] = told("n3")

        client = Client(wire, "n4")
        client.write()
        wire.deliver()

        assert wire.asked("n4") == ["n3"]

    play(scenario)


def test_whoever_was_told_of_is_asked_once_and_then_whom_it_names(play: Play) -> None:
    """What a leader told may be a moment old."""

    async def scenario(wire: Wire) -> None:
        wire.hold(0, "n3", "n1", "n2", "n3")
        wire.hosts["n4"].told[P0] = told("n2")

        client = Client(wire, "n4")
        client.write()
        wire.deliver()

        assert wire.asked("n4") == ["n2", "n3"]

    play(scenario)


def test_a_hint_goes_with_the_placement_under_which_it_came(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        wire.deliver()
        wire.place(Placement(P0, 9, ("n2", "n3", "n5")))
        wire.hold(0, "n5", "n2", "n3", "n5")

        assert wire.coordinators["n4"].locate(client.key).leader is None
        client.write()
        wire.deliver()

        assert wire.asked("n4") == ["n1", "n2", "n5"]
        assert wire.coordinators["n4"].locate(client.key).leader == "n5"

    play(scenario)


def test_a_request_follows_replicas_that_have_moved(play: Play) -> None:
    """n4 has not heard that n1 and n2 hold nothing any more; each of them refuses, and n3 knows."""

    async def scenario(wire: Wire) -> None:
        wire.place(Placement(P0, 9, ("n3", "n5")), "n1", "n2", "n3", "n5")
        wire.hold(0, "n5", "n3", "n5")

        client = Client(wire, "n4")
        client.write()
        wire.deliver()

        assert isinstance(client.answers[0], Written)
        assert wire.asked("n4") == ["n1", "n2", "n3", "n5"]

    play(scenario)


def test_two_that_know_nothing_do_not_send_a_request_in_circles(play: Play) -> None:
    """Each says that the other leads: both are asked once, then the request waits, and goes on later."""

    async def scenario(wire: Wire) -> None:
        wire.place(Placement(P0, 0, ("n1", "n2")), "n4")
        wire.hold(0, "n1", "n1", "n2")
        wire.hosts["n1"].groups[P0].leader = "n2"

        client = Client(wire, "n4")
        client.read(Level.LEASE)
        wire.deliver()

        assert wire.asked("n4") == ["n1", "n2"]
        assert client.answers == []
        wire.hosts["n1"].groups[P0].leader = "n1"
        wire.coordinators["n4"].tick(asyncio.get_running_loop().time())
        wire.deliver()
        assert client.receipt == ("linearizable", "n1", "leader")

    play(scenario)


def test_a_group_that_appears_is_used(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.place(Placement(P0, 9, ("n4", "n2", "n3")))
        wire.hold(0, "n4", "n2", "n3", "n4")

        client = Client(wire, "n4")
        client.write()

        assert isinstance(client.answers[0], Written)
        assert wire.sent == []

    play(scenario)


@pytest.mark.parametrize("level", [Level.LINEARIZABLE, Level.STALE])
def test_a_replica_that_is_still_learning_answers_nobody(play: Play, level: Level) -> None:
    """What it lacks would look like absent keys."""

    async def scenario(wire: Wire) -> None:
        writer = Client(wire, "n1")
        writer.write()
        wire.hold(0, "n1", *FOUNDERS, "n4")
        learner = wire.hosts["n4"].groups[P0]
        learner.is_voter, learner.items = False, {}

        here, there = Client(wire, "n4"), Client(wire, "n5")
        wire.coordinators["n5"]._where.learn(P0, "n4")
        here.read(level)
        there.read(level)
        wire.deliver()

        assert here.receipt[1:] == there.receipt[1:] == ("n1", "leader")
        assert here.answers[0].item is not None  # type: ignore[union-attr]  # a Reading, as just seen
        assert learner.log == []
        assert wire.asked("n5") == ["n4", "n1"]

    play(scenario)


def test_a_leader_that_removes_itself_answers_to_the_end(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].groups[P0].is_voter = False

        client = Client(wire, "n1")
        client.read()

        assert client.receipt == ("linearizable", "n1", "leader")

    play(scenario)


def test_what_waits_at_a_replica_that_vanishes_goes_elsewhere(play: Play) -> None:
    """A read, and a write that was never proposed; both asked through the node that is removed."""

    async def scenario(wire: Wire) -> None:
        gone = wire.hosts["n1"].groups[P0]
        gone.is_patient = True
        reader, writer, remote = Client(wire, "n1"), Client(wire, "n1"), Client(wire, "n5")
        reader.read()
        writer.write()
        remote.write()
        wire.deliver()

        wire.place(Placement(P0, 9, ("n2", "n3", "n5")))
        wire.hold(0, "n2", "n2", "n3", "n5")
        gone.end(NotLeaderError(P0, None))
        wire.deliver()

        assert reader.receipt == ("linearizable", "n2", "leader")
        assert isinstance(writer.answers[0], Written)
        assert isinstance(remote.answers[0], Written)

    play(scenario)


def test_a_write_that_was_proposed_where_the_replica_vanishes_is_not_repeated(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        gone = wire.hosts["n1"].groups[P0]
        gone.is_patient = True
        client = Client(wire, "n1")
        client.write()

        wire.hold(0, "n2", "n2", "n3")
        gone.end(OutcomeUnknownError("the replica went"))
        wire.deliver()

        assert isinstance(client.failure, OutcomeUnknownError)
        assert wire.sent == []

    play(scenario)


def test_without_a_leader_a_request_waits_for_one(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, None, *FOUNDERS)
        writer, reader = Client(wire, "n2"), Client(wire, "n2")
        writer.write()
        reader.read()
        assert not writer.answers and not reader.answers

        wire.hold(0, "n2", *FOUNDERS)
        wire.coordinators["n2"].leader_changed(P0)

        assert isinstance(writer.answers[0], Written)
        assert reader.receipt == ("linearizable", "n2", "leader")

    play(scenario)


@pytest.mark.parametrize(
    ("has_links", "patience"), [(True, LEADER_PATIENCE_SECONDS), (False, MINORITY_PATIENCE_SECONDS)]
)
def test_nobody_waits_for_a_leader_for_long(play: Play, has_links: bool, patience: float) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, None, *FOUNDERS)
        wire.hosts["n2"].groups[P0].consensus.has_quorum_links = has_links
        client = Client(wire, "n2")
        client.write()
        now = asyncio.get_running_loop().time()

        wire.coordinators["n2"].tick(now + patience - 0.1)
        assert client.answers == []
        wire.coordinators["n2"].tick(now + patience + 0.1)
        assert isinstance(client.failure, NoQuorumError)

    play(scenario)


def test_a_lost_link_ends_a_write_and_moves_a_read(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].groups[P0].is_patient = True
        writer, reader = Client(wire, "n4"), Client(wire, "n4")
        writer.write()
        reader.read()
        wire.deliver()

        wire.lose("n1")
        wire.hold(0, "n2", "n2", "n3")
        wire.coordinators["n4"].tick(asyncio.get_running_loop().time())
        wire.deliver()

        assert isinstance(writer.failure, OutcomeUnknownError)
        assert reader.receipt == ("linearizable", "n2", "leader")

    play(scenario)


def test_a_deadline_is_unknown_for_what_was_sent_alone(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        sent, parked = Client(wire, "n4"), Client(wire, "n4")
        sent.write()
        wire.down = {"n1", "n2", "n3"}
        parked.write()

        wire.coordinators["n4"].tick(sent.deadline + 0.1)

        assert isinstance(sent.failure, OutcomeUnknownError)
        assert isinstance(parked.failure, NoQuorumError)

    play(scenario)


def expire(wire: Wire, client: Client) -> None:
    """A write of n4 that n1 takes and never answers."""
    wire.hosts["n1"].groups[P0].is_patient = True
    client.write()
    wire.deliver()
    wire.coordinators["n4"].tick(client.deadline + 0.1)
    assert isinstance(client.failure, OutcomeUnknownError)


def test_who_lets_a_request_expire_is_not_asked_again_while_others_may_know_better(play: Play) -> None:
    """A leader that was stopped keeps its link; the others have elected another."""

    async def scenario(wire: Wire) -> None:
        expire(wire, Client(wire, "n4"))
        wire.hold(0, "n2", *FOUNDERS)
        wire.hosts["n1"].groups[P0].leader = "n1"

        client = Client(wire, "n4")
        client.write()
        wire.deliver()

        assert isinstance(client.answers[0], Written)
        assert wire.asked("n4") == ["n1", "n2"]

    play(scenario)


def test_who_let_a_request_expire_is_asked_when_the_others_say_so(play: Play) -> None:
    """And it is trusted again as soon as it answers anything, or its link is a new one."""

    async def scenario(wire: Wire) -> None:
        expire(wire, Client(wire, "n4"))
        wire.hosts["n1"].groups[P0].is_patient = False

        client = Client(wire, "n4")
        for _ in range(2):
            client.write()
            wire.deliver()
        assert [type(answer) for answer in client.answers] == [Written, Written]
        assert wire.asked("n4") == ["n1", "n2", "n3", "n1", "n1"]

        expire(wire, Client(wire, "n4"))
        wire.coordinators["n4"].peer_lost("n1")
        client.read()
        assert wire.asked("n4")[5:] == ["n1", "n1"]

    play(scenario)


def test_an_answer_that_comes_too_late_is_dropped(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        wire.coordinators["n4"].tick(client.deadline + 0.1)

        wire.deliver()

        assert isinstance(client.failure, OutcomeUnknownError)

    play(scenario)


def test_a_node_takes_no_more_requests_than_it_can(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUESTS_OPEN_MAX", 1)

    async def scenario(wire: Wire) -> None:
        first, second = Client(wire, "n4"), Client(wire, "n4")
        first.write()
        second.write()
        assert isinstance(second.failure, OverloadedError)
        with pytest.raises(OverloadedError):
            await wire.coordinators["n4"].set_target(0, ["n1"])

    play(scenario)


# Reads.


@pytest.mark.parametrize("level", [Level.LINEARIZABLE, Level.STALE])
def test_a_replica_here_answers_reads(play: Play, level: Level) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n2")
        client.read(level)

        assert client.receipt == (level, "n2", "follower")
        assert wire.sent == []

    play(scenario)


def test_a_replica_that_cannot_read_its_disk_is_left_out(play: Play) -> None:
    """Asked here or by a peer; the reader is answered by another."""

    async def scenario(wire: Wire) -> None:
        for name in FOUNDERS:
            wire.hosts[name].groups[P0].is_broken = name != "n3"
        levels = (Level.LINEARIZABLE, Level.STALE)
        clients = [(Client(wire, name), level) for name in ("n2", "n4") for level in levels]

        for client, level in clients:
            client.read(level)
            wire.deliver()

        assert [client.receipt for client, _ in clients] == [(level, "n3", "follower") for _, level in clients]

    play(scenario)


def test_a_leader_that_cannot_read_its_disk_has_a_follower_read(play: Play) -> None:
    """Which holds no lease."""

    async def scenario(wire: Wire) -> None:
        leader = wire.hosts["n1"].groups[P0]
        leader.is_broken = leader.holds_lease = True
        client = Client(wire, "n1")
        client.read(Level.LEASE)
        wire.deliver()

        assert client.receipt == ("linearizable", "n2", "follower")

    play(scenario)


# Leaders that are cut off in silence: their links are up, and nothing comes.


@pytest.mark.parametrize(("name", "seconds"), [("n3", 0.0), ("n4", PEER_PATIENCE_SECONDS + 0.1)])
def test_what_can_be_repeated_goes_to_the_next_leader(play: Play, name: str, seconds: float) -> None:
    """At once where a replica here knows it, else after a fraction of the time there is; a token is done once."""

    async def scenario(wire: Wire) -> None:
        writer, reader = Client(wire, name), Client(wire, "n4")
        writer.write_once()
        reader.read()
        wire.swallow()
        wire.hold(0, "n2", *FOUNDERS)
        for later in (seconds, PEER_PATIENCE_SECONDS + 0.1):
            wire.coordinators[name].tick(writer.deadline - SECONDS + later)
            wire.coordinators["n4"].tick(writer.deadline - SECONDS + later)
            wire.deliver()

        assert isinstance(writer.answers[0], Written)
        assert reader.receipt[0] == "linearizable"
        assert reader.receipt[1] in {"n2", "n3"}
        assert (len(wire.items[P0]), len(writer.answers), len(reader.answers)) == (1, 1, 1)

    play(scenario)


def test_what_was_applied_though_nobody_heard_of_it_is_not_applied_again(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n3")
        wire.hosts["n1"].groups[P0].is_patient = True
        client.write_once()
        wire.deliver()
        wire.hosts["n1"].groups[P0].end()
        wire.swallow()
        wire.hold(0, "n2", *FOUNDERS)
        wire.coordinators["n3"].tick(client.deadline - SECONDS)
        wire.deliver()

        assert client.answers == [Written(1)]
        assert wire.asked("n3") == ["n1", "n2"]

    play(scenario)


@pytest.mark.parametrize("name", ["n3", "n4"])
def test_what_cannot_be_repeated_waits_for_who_has_it(play: Play, name: str) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, name)
        client.write()
        wire.swallow()
        wire.hold(0, "n2", *FOUNDERS)
        wire.coordinators[name].tick(client.deadline - 0.1)
        wire.deliver()
        assert client.answers == []

        wire.coordinators[name].tick(client.deadline)

        assert isinstance(client.failure, OutcomeUnknownError)
        assert wire.asked(name) == ["n1"]

    play(scenario)


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_write_that_was_sent_stays_in_doubt_when_nobody_leads_any_more(play: Play, is_lost: bool) -> None:
    """That there is no quorum now says nothing about the first time."""

    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write_once()
        if is_lost:
            wire.lose("n1")
        else:
            wire.swallow()
        wire.down = {"n1", "n2", "n3"}
        begun = client.deadline - SECONDS
        for later in (PEER_PATIENCE_SECONDS, LEADER_PATIENCE_SECONDS, LEADER_PATIENCE_SECONDS):
            begun += later + 0.1
            wire.coordinators["n4"].tick(begun)

        assert isinstance(client.failure, OutcomeUnknownError)
        assert "no leader that reaches a majority" in str(client.failure)

    play(scenario)


def test_a_write_with_a_token_outlives_its_link(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n3")
        client.write_once()
        wire.lose("n1")
        assert client.answers == []
        wire.hold(0, "n2", *FOUNDERS)
        wire.coordinators["n3"].leader_changed(P0)
        wire.deliver()

        assert client.answers == [Written(1)]

    play(scenario)


def test_a_leader_that_does_not_know_is_asked_again(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        group = wire.hosts["n1"].groups[P0]
        group.is_patient = True
        client = Client(wire, "n1")
        client.write_once()
        group.end(OutcomeUnknownError("the replica stopped"))
        assert client.answers == []
        wire.hold(0, "n2", *FOUNDERS)
        wire.coordinators["n1"].tick(client.deadline - SECONDS)
        wire.deliver()

        assert client.answers == [Written(1)]

    play(scenario)


@pytest.mark.parametrize(
    ("away", "told"),
    [
        (set(), "partition 0 has no leader that reaches a majority"),
        ({"n3"}, "partition 0 has no leader that reaches a majority (n3 does not answer)"),
        ({"n2", "n3", "n5"}, "partition 0 has no leader that reaches a majority (n2, n3 do not answer)"),
    ],
)
def test_who_waits_for_a_leader_is_told_who_does_not_answer(play: Play, away: set[str], told: str) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, None, *FOUNDERS)
        wire.down = away
        client = Client(wire, "n1")
        client.write()

        wire.coordinators["n1"].tick(client.deadline - SECONDS + LEADER_PATIENCE_SECONDS + 0.1)

        assert str(client.failure) == told

    play(scenario)


def test_a_stale_read_with_no_replica_in_reach_fails(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].groups[P0].is_broken = True
        wire.down = {"n2", "n3"}
        client = Client(wire, "n1")
        client.read(Level.STALE)
        assert client.answers == []

        wire.coordinators["n1"].tick(client.deadline - SECONDS + LEADER_PATIENCE_SECONDS + 0.1)

        assert isinstance(client.failure, NoReplicaError)

    play(scenario)


@pytest.mark.parametrize("holds_lease", [True, False])
@pytest.mark.parametrize("name", ["n1", "n2", "n4"])
def test_a_lease_read_is_the_leader_s(play: Play, name: str, holds_lease: bool) -> None:
    """Asked at the leader, at a follower and at a node without a replica; without a lease it is linearizable."""

    async def scenario(wire: Wire) -> None:
        leader = wire.hosts["n1"].groups[P0]
        leader.holds_lease = holds_lease
        client = Client(wire, name)
        client.read(Level.LEASE)
        wire.deliver()

        assert client.receipt == ("lease" if holds_lease else "linearizable", "n1", "leader")
        assert isinstance(client.answers[0], Reading) and client.answers[0].receipt.staleness_ms == 0
        assert leader.log == ["lease" if holds_lease else "read"]
        assert wire.asked(name) == ([] if name == "n1" else ["n1"])

    play(scenario)


def test_a_lease_read_finds_the_new_leader(play: Play) -> None:
    """A follower that is asked refuses it, for it holds no lease."""

    async def scenario(wire: Wire) -> None:
        wire.hold(0, "n2", *FOUNDERS)
        wire.hosts["n2"].groups[P0].holds_lease = True
        client = Client(wire, "n4")
        client.read(Level.LEASE)
        wire.deliver()

        assert client.receipt == ("lease", "n2", "leader")
        assert wire.asked("n4") == ["n1", "n2"]
        assert wire.hosts["n1"].groups[P0].log == []

    play(scenario)


def test_a_lease_read_waits_for_a_leader(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, None, *FOUNDERS)
        client = Client(wire, "n2")
        client.read(Level.LEASE)
        assert client.answers == []

        wire.coordinators["n2"].tick(client.deadline - SECONDS + LEADER_PATIENCE_SECONDS + 0.1)

        assert isinstance(client.failure, NoQuorumError)

    play(scenario)


# Errands.


async def finish(wire: Wire, errand: Coroutine[None, None, None]) -> None:
    """Run an errand to its end, carrying messages meanwhile."""
    task = asyncio.ensure_future(errand)
    while not task.done():
        await asyncio.sleep(0)
        wire.deliver()
    await task


@pytest.mark.parametrize("name", ["n1", "n2", "n4"])
def test_a_target_is_set_by_the_leader(play: Play, name: str) -> None:
    async def scenario(wire: Wire) -> None:
        await finish(wire, wire.coordinators[name].set_target(0, ["n1", "n4", "n5"]))

        assert wire.hosts["n1"].done == [("n1", "n4", "n5")]

    play(scenario)


def test_a_target_finds_the_leader(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, "n3", *FOUNDERS)

        await finish(wire, wire.coordinators["n5"].set_target(0, ["n5"]))

        assert wire.hosts["n3"].done == [("n5",)]
        assert wire.asked("n5") == ["n1", "n3"]

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
@pytest.mark.parametrize(
    "refusal", [ChangeRefusedError("not now"), OutcomeUnknownError("it leads no more"), NoQuorumError(P0)]
)
def test_a_target_that_is_refused_says_why(play: Play, name: str, refusal: RaftGroupError) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].refusal = refusal

        with pytest.raises(type(refusal), match=str(refusal)):
            await finish(wire, wire.coordinators[name].set_target(0, ["n4"]))

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_an_errand_that_takes_too_long_may_be_done_yet(play: Play, name: str) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].refusal = TimeoutError()

        with pytest.raises(OutcomeUnknownError, match="partition 0 has not done yet"):
            await finish(wire, wire.coordinators[name].transfer(0, "n2"))

    play(scenario)


def test_an_errand_on_a_lost_link_may_be_done(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        errand = asyncio.ensure_future(wire.coordinators["n4"].set_target(0, ["n4"]))
        await asyncio.sleep(0)
        wire.lose("n1")

        with pytest.raises(OutcomeUnknownError):
            await errand

    play(scenario)


def test_without_a_leader_no_target_is_set(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hold(0, None, *FOUNDERS)
        errand = asyncio.ensure_future(wire.coordinators["n2"].set_target(0, ["n4"]))
        await asyncio.sleep(0)
        wire.coordinators["n2"].tick(asyncio.get_running_loop().time() + LEADER_PATIENCE_SECONDS + 0.1)

        with pytest.raises(NoQuorumError):
            await errand

    play(scenario)


def test_who_asked_for_an_errand_may_leave(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        errand = asyncio.ensure_future(wire.coordinators["n4"].set_target(0, ["n4"]))
        await asyncio.sleep(0)
        errand.cancel()
        await asyncio.sleep(0)
        await finish(wire, wire.coordinators["n5"].set_target(0, ["n5"]))

        assert wire.hosts["n1"].done == [("n4",), ("n5",)]
        assert wire.coordinators["n4"].statistics()["requests_open"] == 0

    play(scenario)


def test_a_leadership_moves_to_a_voter_alone(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.place(Placement(P0, 9, FOUNDERS, ("n5",)))

        for name in ("n4", "n5"):
            with pytest.raises(ValueError, match="holds no replica"):
                await wire.coordinators["n1"].transfer(0, name)
        await finish(wire, wire.coordinators["n1"].transfer(0, "n1"))
        assert wire.hosts["n1"].done == []
        await finish(wire, wire.coordinators["n4"].transfer(0, "n3"))
        assert wire.hosts["n1"].done == ["n3"]

    play(scenario)


# What is shown.


def test_the_cluster_shows_what_this_node_knows(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.place(Placement(P0, 9, ("n1", "n2", "n3"), ("n5",), ("n1", "n2", "n5")))

        here, there = (wire.coordinators[name].cluster().partitions[0] for name in ("n2", "n4"))

        assert (here.leader, here.term, here.commit_index, here.applied_index) == ("n1", 3, 20, 19)
        assert (there.leader, there.term, there.commit_index, there.applied_index) == (None, 0, 0, 0)
        for view in (here, there):
            assert (view.replicas, view.learners, view.target) == (FOUNDERS, ("n5",), ("n1", "n2", "n5"))

    play(scenario)


def test_where_nothing_is_to_be_moved_the_target_is_what_is(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        found = wire.coordinators["n4"].replicas(0)

        assert (found.voters, found.learners, found.target) == (FOUNDERS, (), FOUNDERS)
        assert wire.coordinators["n4"].locate(Client(wire, "n4").key).replicas == FOUNDERS

    play(scenario)


def test_a_node_that_a_peer_refuses_is_not_ready(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n2"].transport.refusals["n1"] = "it has lost its disk"

        assert wire.coordinators["n2"].unready() == ["node n1 refuses this node: it has lost its disk"]

    play(scenario)


def test_a_replica_that_is_still_learning_does_not_make_a_node_unready(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        coordinator, group = wire.coordinators["n2"], wire.hosts["n2"].groups[P0]
        assert coordinator.unready() == []
        group.leader = None
        assert coordinator.unready() == ["partition 0 has no known leader"]
        group.is_voter = False
        assert coordinator.unready() == []
        group.failure = RuntimeError("its disk")
        assert coordinator.unready() == ["the replica of partition 0 stopped: its disk"]
        wire.hosts["n2"].groups.clear()
        wire.hosts["n2"].is_draining = True
        assert coordinator.unready() == ["this node is draining"]

    play(scenario)


# What peers ask.


def test_a_node_that_holds_nothing_refuses_and_names_the_leader(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        first = Client(wire, "n4")
        first.write()
        wire.deliver()
        calls: list[CallMessage] = [
            WriteCall(1, 0, 1, 100, b""),
            ReadCall(2, 0, 1, 100, Freshness(Level.STALE), b"k"),
            TargetCall(3, 0, ["n1"]),
        ]
        del wire.sent[:]

        for call in calls:
            wire.coordinators["n4"].called("n5", call)

        assert [message for _, _, message in wire.sent] == [
            FailureReturn(number, "NotLeaderError", "partition 0 is led by n1", "n1") for number in (1, 2, 3)
        ]

    play(scenario)


def test_a_call_routed_by_another_topology_is_refused(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        wire.coordinators["n1"].called("n5", WriteCall(1, 0, 2, 100, b""))

        ((_, peer, answer),) = wire.sent
        assert (peer, answer) == ("n5", FailureReturn(1, "StaleEpochError", "the epoch here is 1"))

    play(scenario)


def test_a_failure_that_nobody_knows_may_have_had_any_effect(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        wire.coordinators["n4"].returned("n1", FailureReturn(1, "NewError", "of a later version"))

        assert isinstance(client.failure, OutcomeUnknownError)

    play(scenario)


def test_an_answer_counts_only_from_who_was_asked(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, "n4")
        client.write()
        wire.coordinators["n4"].returned("n2", WriteReturn(1, 99))
        assert client.answers == []

        wire.deliver()
        assert client.answers == [Written(1)]

    play(scenario)


def test_statistics_are_there(play: Play) -> None:
    async def scenario(wire: Wire) -> None:
        for name in ("n1", "n4"):
            Client(wire, name).write()
        wire.deliver()

        found = wire.coordinators["n4"].statistics()
        assert (found["requests_forwarded_total"], found["requests_open"]) == (1, 0)

    play(scenario)


@pytest.mark.parametrize("name", ["n2", "n4"])
def test_a_session_read_is_any_replica_s_that_has_caught_up(play: Play, name: str) -> None:
    async def scenario(wire: Wire) -> None:
        client = Client(wire, name)
        client.read_fresh(Freshness(Level.SESSION, 19))
        wire.deliver()

        assert client.receipt[0] == "session"
        assert (client.receipt[1] == "n2") is (name == "n2")

    play(scenario)


@pytest.mark.parametrize("name", ["n2", "n4"])
def test_a_session_that_is_ahead_of_one_replica_is_served_by_another(play: Play, name: str) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n1"].groups[P0].applied_index = 20
        client = Client(wire, name)
        wire.coordinators[name]._where.learn(P0, "n2")
        client.read_fresh(Freshness(Level.SESSION, 20))
        wire.deliver()

        assert client.receipt == ("session", "n1", "leader")

    play(scenario)


@pytest.mark.parametrize(
    ("fresh", "error"),
    [(Freshness(Level.SESSION, 20), BehindError), (Freshness(Level.BOUNDED, 0, 6), TooStaleError)],
)
def test_a_minority_says_that_it_is_not_fresh_enough(play: Play, fresh: Freshness, error: type[RaftGroupError]) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n2"].groups[P0].leader = None
        wire.down = {"n1", "n3"}
        client = Client(wire, "n2")
        client.read_fresh(fresh)
        assert client.answers == []

        wire.coordinators["n2"].tick(client.deadline - SECONDS + LEADER_PATIENCE_SECONDS + 0.1)

        assert type(client.failure) is error

    play(scenario)


@pytest.mark.parametrize("fresh", [Freshness(Level.SESSION, 19), Freshness(Level.BOUNDED, 0, 7)])
def test_a_minority_serves_what_is_fresh_enough(play: Play, fresh: Freshness) -> None:
    async def scenario(wire: Wire) -> None:
        wire.hosts["n2"].groups[P0].leader = None
        wire.down = {"n1", "n3"}
        client = Client(wire, "n2")
        client.read_fresh(fresh)

        assert client.receipt == (fresh.level, "n2", "follower")

    play(scenario)
