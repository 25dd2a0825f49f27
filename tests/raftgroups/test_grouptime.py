from raftgroups.grouptime import GroupTime
from raftgroups.leaderclock import SLOWEST
from raftgroups.wallclocks import WallClocks

WALL_MS = 1_700_000_000_000
DAY_MS = 86_400_000
VOTERS = ("a", "b", "c")


class World:
    """Three right clocks, but for what `skew_ms` says of a's; a asks the others when it is told to."""

    def __init__(self, skew_ms: int = 0) -> None:
        self.now = 100.0
        self.skew_ms = skew_ms
        self.clocks = WallClocks("a", lambda: self.now, lambda: self.true_ms + self.skew_ms)
        self.time = GroupTime(self.clocks, grace_seconds=60.0)

    @property
    def true_ms(self) -> int:
        return WALL_MS + int(self.now * 1_000)

    def ask(self) -> None:
        for peer in ("b", "c"):
            self.clocks.told(peer, self.now, self.true_ms)

    def begin(
        self, newest_ms: int, *, passed: float = 0.0, behind_ms: int = 0, absence: float | None = 0.0
    ) -> tuple[int, int]:
        return self.time.begin(newest_ms, self.now - passed, behind_ms, VOTERS, absence)


def test_a_leader_with_a_wrong_clock_tells_the_time_of_the_others() -> None:
    world = World(skew_ms=DAY_MS)
    world.ask()

    assert abs(world.begin(world.true_ms - 500, passed=0.5)[0] - world.true_ms) <= 1
    for _ in range(20):
        world.now += 0.5
        world.ask()
        assert abs(world.time.tell(VOTERS) - world.true_ms) <= 2


def test_a_clock_that_is_set_during_a_reign_moves_nothing() -> None:
    world = World()
    world.ask()
    world.begin(world.true_ms)

    for skew_ms in (DAY_MS, -DAY_MS, 0, -WALL_MS):
        world.skew_ms = skew_ms
        world.now += 0.5
        world.ask()
        assert abs(world.time.tell(VOTERS) - world.true_ms) <= 2


def test_what_nobody_else_confirms_is_not_believed() -> None:
    """Its own clock is a day ahead and no other known: time goes on with what passes."""
    world = World(skew_ms=DAY_MS)
    world.begin(world.true_ms)
    world.now += 5.0

    assert world.time.tell(VOTERS) == world.true_ms


def test_a_voter_alone_goes_by_its_own_clock() -> None:
    world = World()
    assert world.time.begin(0, world.now, 0, ("a",), None) == (world.true_ms, 0)

    world.now += 1.0
    assert world.time.tell(("a",)) == world.true_ms
    world.skew_ms = DAY_MS
    world.now += 1.0
    assert world.time.tell(("a",)) == world.true_ms + DAY_MS


def test_the_first_of_many_takes_its_own_clock_where_it_knows_no_other() -> None:
    world = World()

    assert world.begin(0) == (world.true_ms, 0)


def test_grace_is_not_made_up_for() -> None:
    world = World()
    world.ask()

    ms, grace_ms = world.begin(world.true_ms - 30_000 - 7_000, passed=30.0, behind_ms=7_000, absence=20.0)
    world.now += 5.0
    world.ask()

    assert grace_ms == 20_000
    assert abs(ms - (world.true_ms - 5_000 - 27_000)) <= 1
    assert abs(world.time.tell(VOTERS) - (world.true_ms - 27_000)) <= 2


def test_time_that_is_ahead_since_clocks_were_wrong_runs_slower() -> None:
    world = World()
    world.ask()
    began_ms, _ = world.begin(world.true_ms + DAY_MS)
    world.now += 5.0
    world.ask()

    assert world.time.tell(VOTERS) == began_ms + SLOWEST * 5_000


def test_who_does_not_lead_guesses_from_the_newest_entry_and_the_clocks() -> None:
    world = World()
    newest_ms, newest_at = world.true_ms, world.now
    world.now += 3_600.0
    assert world.time.guess(newest_ms, newest_at, 0, VOTERS) == world.true_ms

    world.ask()
    world.now += 1.0
    assert abs(world.time.guess(newest_ms, world.now, 9_000, VOTERS) - (world.true_ms - 9_000)) <= 20
    assert world.time.guess(world.true_ms + DAY_MS, world.now, 0, VOTERS) == world.true_ms + DAY_MS


def test_an_entry_is_as_old_as_clocks_say() -> None:
    world = World(skew_ms=3_000)
    newest_ms = world.true_ms - 10_000
    assert world.time.age_ms(newest_ms, 0, VOTERS) == 13_000
    assert world.time.age_ms(newest_ms, 20_000, VOTERS) == 0

    world.ask()
    world.now += 1.0
    assert abs(world.time.age_ms(newest_ms, 0, VOTERS) - 11_000) <= 20
