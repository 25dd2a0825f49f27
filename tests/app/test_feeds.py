"""Feeds of several nodes over real replicas: who is asked, and that everybody is told everything once."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from app import feeds as module
from app.feeds import CALLS_WAITING_MAX, LEADERLESS_SECONDS, PATIENCE_SECONDS, WAIT_MS, Feeds, Seat
from app.matching import Pattern
from raftgroups import Command, Delete, Increment, LogIndex, PartitionId, Placement, Position, Put, Told, WatchCall
from tests.app.fake_host import Wire
from tests.raftgroups.bench import Bench

P0 = PartitionId(0)
NAMES = ("n1", "n2", "n3", "n4")
HOLDERS = ("n1", "n2", "n3")
EVERYTHING = Pattern(b"", True)
START = Position(2)

Scenario = Callable[["World"], Coroutine[None, None, None]]


@dataclass(eq=False)
class Replica:
    """A real one, of a group of its own, led from wherever the test says; all are given the same commands."""

    name: str
    leader: str | None = "n1"
    is_voter: bool = True
    failure: BaseException | None = None
    partition: PartitionId = P0

    def __post_init__(self) -> None:
        self._bench = Bench().lead()
        self.consensus = self._bench.group.consensus

    @property
    def is_leader(self) -> bool:
        return self.leader == self.name

    @property
    def machine(self) -> object:
        return self._bench.group.machine

    @property
    def log(self) -> object:
        return self._bench.group.log

    @property
    def on_applied(self) -> Callable[[], None] | None:
        return self._bench.group.on_applied

    @on_applied.setter
    def on_applied(self, called: Callable[[], None] | None) -> None:
        self._bench.group.on_applied = called

    def apply(self, commands: list[Command]) -> None:
        for command in commands:
            self._bench.propose(command)
        self._bench.turn()

    def forget(self) -> None:
        """Let go of the whole history."""
        log = self._bench.log
        log.forget_before(LogIndex(log.last_index))


class World:
    """Four nodes, three of which have a replica of partition 0."""

    def __init__(self) -> None:
        self.wire = Wire(NAMES, partitions=1)
        self.wire.place(Placement(P0, 0, HOLDERS))
        self.replicas = {name: Replica(name) for name in HOLDERS}
        for name, replica in self.replicas.items():
            self.wire.hosts[name].groups[P0] = replica  # type: ignore[assignment]  # has what is used
        self.history: list[bytes] = []

    def feeds(self, name: str) -> Feeds:
        return self.wire.coordinators[name].feeds

    def write(self, *commands: Command, except_at: tuple[str, ...] = ()) -> None:
        """One entry, on every replica."""
        for name, replica in self.replicas.items():
            if name not in except_at:
                replica.apply(list(commands))

    def put(self, *keys: bytes, except_at: tuple[str, ...] = ()) -> None:
        self.history += keys
        self.write(*(Put(key, b"v") for key in keys), except_at=except_at)

    def is_watched(self, name: str) -> bool:
        return self.replicas[name].on_applied is not None

    async def settle(self) -> None:
        """Let happen whatever happens without time."""
        for _ in range(30):
            self.wire.deliver()
            await asyncio.sleep(0)

    async def tick(self, seconds: float = 0.0) -> None:
        now = asyncio.get_running_loop().time() + seconds
        for name in NAMES:
            if name not in self.wire.down:
                self.feeds(name).tick(now)
        await self.settle()

    def asked(self, name: str) -> list[str]:
        """Whose replica the feeds of a node asked, each only when it changed."""
        peers = [peer for sender, peer, message in self.wire.sent if sender == name and isinstance(message, WatchCall)]
        return [peer for place, peer in enumerate(peers) if not place or peers[place - 1] != peer]


@dataclass(eq=False)
class Reader:
    """One who watches at a node, and remembers what it was told."""

    world: World
    name: str
    is_full: bool = False
    keys: list[bytes] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    is_confirmed: bool = False
    oldest: Position | None = None
    room: int = 1_000_000

    def open(self, start: Position = START, pattern: Pattern = EVERYTHING) -> "Reader":
        self.seat = self.world.feeds(self.name).open(self, 0, pattern, start)
        return self

    def close(self) -> None:
        self.world.feeds(self.name).close(self.seat)

    def read_on(self) -> None:
        self.is_full = False
        self.room = 1_000_000
        self.world.feeds(self.name).resume([self.seat])

    def confirmed(self, seat: Seat) -> None:
        self.is_confirmed = True

    def told(self, seat: Seat, told: Told) -> None:
        assert not self.is_full, "it has enough"
        self.keys.append(told.change.key)
        self.positions.append(told.position)
        self.room -= 1
        self.is_full = self.room <= 0

    def gone(self, seat: Seat, oldest: Position) -> None:
        self.oldest = oldest


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens is told in the next turn of the loop."""
    monkeypatch.setattr(module, "PUMP_SECONDS", 0.0)


@pytest.fixture
def play() -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        async def main() -> None:
            await scenario(World())

        asyncio.run(main())

    return run


Play = Callable[[Scenario], None]


@pytest.mark.parametrize("name", NAMES)
def test_everybody_is_told_everything_once(play: Play, name: str) -> None:
    """With a replica here or without one, of what was before and of what comes."""

    async def scenario(world: World) -> None:
        world.put(b"a", b"b")
        reader = Reader(world, name).open()
        assert reader.keys == []
        await world.settle()
        assert reader.is_confirmed
        for number in range(5):
            world.put(b"%d" % number)
            await world.settle()

        assert reader.keys == world.history
        assert reader.positions == sorted(set(reader.positions))
        assert world.asked(name) == ([] if name in HOLDERS else ["n1"])

    play(scenario)


def test_one_is_told_what_one_asked_for(play: Play) -> None:
    async def scenario(world: World) -> None:
        patterns = (Pattern(b"a", False), Pattern(b"a", True), Pattern(b"ab", True), Pattern(b"c", True))
        readers = [Reader(world, "n2").open(pattern=pattern) for pattern in patterns]
        world.put(b"a", b"abc", b"ab", b"b")
        await world.settle()

        assert [reader.keys for reader in readers] == [[b"a"], [b"a", b"abc", b"ab"], [b"abc", b"ab"], []]
        assert world.feeds("n2").statistics() == {"watch_seats": 4, "watch_feeds": 1}

    play(scenario)


def test_what_was_changed_in_other_ways_is_told_over_links_too(play: Play) -> None:
    async def scenario(world: World) -> None:
        readers = [Reader(world, name).open() for name in NAMES]
        world.write(Increment(b"n", 1), Delete(b"x"))
        await world.settle()

        assert [reader.keys for reader in readers] == [[b"n", b"x"]] * 4

    play(scenario)


def test_one_goes_on_right_after_any_change_at_any_node(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.put(b"a", b"b")
        world.put(b"c")
        first = Reader(world, "n1").open()
        await world.settle()

        for name in NAMES:
            for place, position in enumerate(first.positions, 1):
                again = Reader(world, name).open(position)
                await world.settle()
                assert again.keys == world.history[place:]
                again.close()

    play(scenario)


def test_nothing_is_done_when_nobody_watches(play: Play) -> None:
    async def scenario(world: World) -> None:
        readers = [Reader(world, name).open() for name in ("n1", "n4")]
        await world.settle()
        assert world.is_watched("n1")
        for reader in readers:
            reader.close()
            reader.close()
        await world.tick(WAIT_MS / 1_000 + 0.1)

        assert not world.is_watched("n1")
        assert world.feeds("n1").statistics() == {"watch_seats": 0, "watch_feeds": 0}
        sent = len(world.wire.sent)
        world.put(b"a")
        await world.tick(10)
        assert len(world.wire.sent) == sent
        assert [reader.keys for reader in readers] == [[], []]

    play(scenario)


def test_a_replica_that_goes_is_left(play: Play) -> None:
    """It moved away, stopped, or learns anew: another one goes on from there, and nothing is told twice."""

    async def scenario(world: World) -> None:
        reader = Reader(world, "n2").open()
        world.put(b"a")
        await world.settle()
        world.replicas["n2"].failure = RuntimeError("its disk")
        world.put(b"b")
        await world.settle()
        await world.tick()
        world.put(b"c")
        await world.settle()

        assert reader.keys == world.history
        assert world.asked("n2") == ["n1"]

    play(scenario)


def test_a_peer_that_is_lost_is_left(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)

    async def scenario(world: World) -> None:
        reader = Reader(world, "n4").open()
        world.put(b"a")
        await world.settle()
        for lost, left in (("n1", "n2"), ("n2", "n3")):
            world.wire.lose(lost)
            world.put(lost.encode())
            await world.settle()
            assert reader.keys == world.history
            assert world.asked("n4")[-1] == left

        world.wire.lose("n3")
        await world.settle()
        world.put(b"late")
        for name in HOLDERS:
            world.wire.down.discard(name)
        await world.tick()
        assert reader.keys == world.history

    play(scenario)


def test_a_peer_that_falls_silent_is_left(play: Play) -> None:
    """It was stopped, and the link does not show it."""

    async def scenario(world: World) -> None:
        reader = Reader(world, "n4").open()
        await world.settle()
        world.wire.down.add("n1")  # unnoticed
        world.put(b"a")
        await world.settle()
        assert reader.keys == []

        await world.tick(WAIT_MS / 1_000 + PATIENCE_SECONDS + 0.1)
        assert reader.keys == [b"a"]
        assert world.asked("n4") == ["n1", "n2"]

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_a_replica_that_knows_no_leader_is_left(play: Play, name: str) -> None:
    """It may be cut off from those who go on."""

    async def scenario(world: World) -> None:
        reader = Reader(world, name).open()
        await world.settle()
        world.replicas["n1"].leader = None
        world.put(b"a", except_at=("n1",))
        await world.tick()
        await world.tick(WAIT_MS / 1_000 + LEADERLESS_SECONDS)

        assert reader.keys == [b"a"]
        assert world.asked(name)[-1] == "n2"

    play(scenario)


@pytest.mark.parametrize("name", NAMES)
def test_who_has_the_history_is_asked(play: Play, name: str) -> None:
    """However little the replica here has of it."""

    async def scenario(world: World) -> None:
        world.put(b"a")
        world.put(b"b")
        for forgetful in ("n1", "n2"):
            world.replicas[forgetful].forget()
        reader = Reader(world, name).open()
        await world.settle()
        world.put(b"c")
        await world.settle()

        assert reader.keys == world.history
        assert reader.oldest is None

    play(scenario)


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_has_any_more_is_gone(play: Play, name: str) -> None:
    async def scenario(world: World) -> None:
        world.put(b"a")
        for replica in world.replicas.values():
            replica.forget()
        world.put(b"b")
        reader = Reader(world, name).open()
        await world.settle()

        assert not reader.is_confirmed
        assert reader.oldest == Position(3)
        again = Reader(world, name).open(reader.oldest)
        await world.settle()
        assert again.keys == [b"b"]
        reader.close()

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_a_slow_reader_is_waited_for_by_nobody(play: Play, name: str) -> None:
    """It goes on where it stopped, and the feed of the others is its own again when it has caught up."""

    async def scenario(world: World) -> None:
        slow, quick = Reader(world, name, room=2).open(), Reader(world, name).open()
        for number in range(6):
            world.put(b"%d" % number, b"x")
            await world.settle()
        assert quick.keys == world.history
        assert slow.keys == world.history[:2]
        assert world.feeds(name).statistics()["watch_feeds"] == 2

        slow.read_on()
        await world.settle()
        world.put(b"y")
        await world.settle()
        assert slow.keys == quick.keys == world.history
        assert world.feeds(name).statistics() == {"watch_seats": 2, "watch_feeds": 1}

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_a_lone_slow_reader_is_waited_for(play: Play, name: str) -> None:
    """Also in the middle of an entry; whoever comes is not."""

    async def scenario(world: World) -> None:
        slow = Reader(world, name, room=1).open()
        world.put(b"a", b"b", b"c")
        await world.settle()
        assert slow.keys == [b"a"]
        other = Reader(world, name).open()
        await world.settle()
        assert other.keys == world.history

        slow.read_on()
        await world.settle()
        assert slow.keys == world.history
        assert world.feeds(name).statistics()["watch_feeds"] == 1

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_a_reader_that_has_enough_may_begin(play: Play, name: str) -> None:
    """Of other partitions it has heard more than it can take, and waits to hear of this one that it can be read."""

    async def scenario(world: World) -> None:
        world.put(b"a")
        reader = Reader(world, name, is_full=True).open()
        await world.settle()
        assert reader.is_confirmed
        assert reader.keys == []

        reader.read_on()
        await world.settle()
        assert reader.keys == [b"a"]

    play(scenario)


@pytest.mark.parametrize("name", ["n1", "n4"])
def test_a_reader_that_falls_too_far_behind_is_told_so(play: Play, name: str) -> None:
    async def scenario(world: World) -> None:
        slow, quick = Reader(world, name, room=1).open(), Reader(world, name).open()
        for key in (b"a", b"b", b"c"):
            world.put(key)
            await world.settle()
        for replica in world.replicas.values():
            replica.forget()
        world.put(b"d")
        slow.read_on()
        await world.settle()

        assert slow.keys == [b"a"]
        assert slow.oldest == Position(5)
        assert quick.keys == world.history
        assert world.feeds(name).statistics() == {"watch_seats": 1, "watch_feeds": 1}

    play(scenario)


def test_who_catches_up_does_not_hold_others_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a feed of its own until it is near."""
    monkeypatch.setattr(module, "READ_BYTES", 1)
    monkeypatch.setattr(module, "NEAR_ENTRIES", 2)

    async def scenario(world: World) -> None:
        for number in range(20):
            world.put(b"%d" % number)
        late, now = Reader(world, "n1").open(), Reader(world, "n1").open(Position(22))
        assert world.feeds("n1").statistics()["watch_feeds"] == 2
        world.put(b"new")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert now.keys == [b"new"]
        assert len(late.keys) < 5
        await world.settle()

        assert late.keys == world.history
        assert now.keys == [b"new"]
        assert world.feeds("n1").statistics()["watch_feeds"] == 1

    play(scenario)


def test_a_reader_ahead_of_all_waits(play: Play) -> None:
    """Its replica has not applied yet what another had when the watch began."""

    async def scenario(world: World) -> None:
        reader = Reader(world, "n3").open(Position(3))
        world.put(b"a", b"b")
        world.put(b"c")
        await world.settle()

        assert reader.keys == [b"c"]

    play(scenario)


def test_what_happens_in_a_moment_is_told_together(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds look at their replicas only so often; the first time at once, however short ago the machine was started."""
    monkeypatch.setattr(module, "PUMP_SECONDS", 1e12)

    async def scenario(world: World) -> None:
        reader = Reader(world, "n1").open()
        await world.settle()
        assert reader.is_confirmed
        world.put(b"a")
        await world.settle()
        assert reader.keys == []

    play(scenario)


def test_questions_of_peers_are_bounded(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound another replica is asked."""
    assert CALLS_WAITING_MAX > 1_000
    monkeypatch.setattr(module, "CALLS_WAITING_MAX", 0)

    async def scenario(world: World) -> None:
        reader = Reader(world, "n4").open()
        await world.settle()
        world.put(b"a")
        await world.tick()

        assert not reader.is_confirmed
        assert set(world.asked("n4")) == set(HOLDERS)

    play(scenario)


def test_a_gateway_of_another_epoch_is_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        answers: list[str] = []
        call = WatchCall(1, 0, 99, 0, *START)
        world.feeds("n1").called(call, lambda answer: answers.append(answer.refusal))

        assert answers == ["the epoch here is 1"]

    play(scenario)
