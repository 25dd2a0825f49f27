import pytest

from raftgroups.wallclocks import AGE_SECONDS_MAX, OFF_SECONDS, UNKNOWN, TimeOfDay, WallClocks

WALL_MS = 1_700_000_000_000
DAY = 86_400.0


class World:
    """True time, and a's clocks in it: its time of day is ahead by `skew`, the other has missed `asleep` of it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.skew = self.asleep = 0.0
        self.clocks = WallClocks("a", lambda: self.time - self.asleep, self.wall_ms)

    def wall_ms(self) -> int:
        return WALL_MS + int((self.time + self.skew) * 1000)

    def hear(self, peer: str, *, skew: float = 0.0, there: float = 0.0, back: float = 0.0) -> None:
        """a asks `peer`, whose clock is so much ahead; question and answer are on their way for so long."""
        asked_at = self.clocks.monotonic()
        self.time += there
        wall_ms = WALL_MS + int((self.time + skew) * 1000)
        self.time += back
        self.clocks.told(peer, asked_at, wall_ms)

    @property
    def true_ms(self) -> float:
        return WALL_MS + self.time * 1000


@pytest.mark.parametrize(("there", "back"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.1, 0.2), (2.0, 3.0)])
@pytest.mark.parametrize("later", [0.0, 1.5])
def test_a_clock_is_known_up_to_the_round_trip(there: float, back: float, later: float) -> None:
    """Source: Cristian 1989."""
    world = World()

    world.hear("b", there=there, back=back)
    world.time += later

    found = world.clocks.of("b")
    assert found.low - 0.5 <= world.true_ms <= found.high + 0.5
    assert found.high - found.low <= (there + back) * 1000 + later * 20 + 2


def test_of_many_answers_the_quickest_counts() -> None:
    world = World()
    world.hear("b", there=0.4, back=0.4)
    world.hear("b", there=0.001, back=0.001)
    world.hear("b", there=0.4, back=0.4)

    found = world.clocks.of("b")

    assert found.high - found.low < 20


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    world = World()
    for _ in range(3):
        world.hear("b", there=0.001)
        world.time += 1.0

    world.hear("b", skew=DAY, there=0.1, back=0.1)

    assert world.clocks.of("b").low > world.true_ms + DAY * 1000 - 500


def test_what_was_told_long_ago_does_not_count() -> None:
    world = World()
    world.hear("b")
    world.time += AGE_SECONDS_MAX
    assert world.clocks.of("b") != UNKNOWN

    world.time += 0.1

    assert world.clocks.of("b") == UNKNOWN
    assert world.clocks.of("c") == UNKNOWN


def test_an_answer_to_another_life_or_after_a_long_pause_is_none() -> None:
    world = World()
    world.clocks.told("b", 5.0, WALL_MS)
    world.hear("c", back=AGE_SECONDS_MAX + 1)

    assert world.clocks.of("b") == world.clocks.of("c") == UNKNOWN


def test_a_peer_that_comes_back_is_asked_anew() -> None:
    world = World()
    world.hear("b")

    world.clocks.forget("b")

    assert world.clocks.of("b") == UNKNOWN


@pytest.mark.parametrize(
    ("skews", "moved_low", "moved_high"),
    [
        ("abc", {}, (0, 0)),
        ("abc", {"a": DAY}, (0, 0)),
        ("abc", {"b": -DAY}, (0, 0)),
        ("abcde", {"a": DAY, "b": DAY}, (0, 0)),
        ("abcde", {"a": DAY, "b": -DAY}, (0, 0)),
        ("abcd", {"a": DAY}, (0, 0)),
        ("ab", {"b": DAY}, (0, DAY)),
        ("a", {"a": DAY}, (DAY, DAY)),
        ("abc", {"b": DAY, "c": DAY}, (DAY, DAY)),
    ],
)
def test_the_middle_is_where_most_clocks_are(
    skews: str, moved_low: dict[str, float], moved_high: tuple[float, float]
) -> None:
    world = World()
    world.skew = moved_low.get("a", 0.0)
    for peer in skews[1:]:
        world.hear(peer, skew=moved_low.get(peer, 0.0))

    middle = world.clocks.middle(skews)

    assert middle.low == pytest.approx(world.true_ms + moved_high[0] * 1000, abs=2)
    assert middle.high == pytest.approx(world.true_ms + moved_high[1] * 1000, abs=2)


@pytest.mark.parametrize("wrong", [DAY, -DAY])
def test_a_wrong_clock_moves_no_end_beyond_a_right_one_while_others_are_not_known(wrong: float) -> None:
    """Of three one is wrong and one unknown; of five two are wrong and two unknown: what is true lies between."""
    world = World()
    world.hear("b", skew=wrong)
    of_three = world.clocks.middle("abc")
    world.hear("c", skew=wrong)
    of_five = world.clocks.middle("abcde")

    for middle in (of_three, of_five):
        assert middle.low - 2 <= world.true_ms <= middle.high + 2


@pytest.mark.parametrize(("voters", "known"), [("abc", ""), ("abcd", "b"), ("abcde", "b")])
def test_where_a_majority_is_not_known_nothing_is(voters: str, known: str) -> None:
    world = World()
    for peer in known:
        world.hear(peer)

    assert world.clocks.middle(voters) == UNKNOWN
    assert world.clocks.middle("") == UNKNOWN


def test_this_nodes_own_clock_counts_for_no_peer() -> None:
    world = World()
    world.hear("b")
    world.skew = DAY

    assert world.clocks.of("b").high == pytest.approx(world.true_ms, abs=2)
    assert world.clocks.of("a") == TimeOfDay(*[world.true_ms + DAY * 1000] * 2)


def test_a_clock_that_is_set_or_a_machine_that_was_asleep_is_noticed_once() -> None:
    world = World()
    world.time += 5.0
    assert not world.clocks.has_leapt()

    world.time += 60.0
    world.asleep = 60.0
    assert world.clocks.has_leapt()
    assert not world.clocks.has_leapt()
    world.skew = -1.0
    assert world.clocks.has_leapt()


def test_two_clocks_are_read_at_one_moment() -> None:
    """A process may stand still for a day between two readings."""
    ticks = iter([0.0, 0.0, 1.0, DAY, DAY + 1e-6, DAY + 2e-6])
    walls = iter([WALL_MS, WALL_MS, WALL_MS + int(DAY * 1000)])
    clocks = WallClocks("a", lambda: next(ticks), lambda: next(walls))

    assert clocks.of("a") == TimeOfDay(*[WALL_MS + DAY * 1000] * 2)


def test_who_is_off_is_named_with_by_how_much() -> None:
    world = World()
    world.hear("b")
    world.hear("c")
    assert world.clocks.off("abc") == {}

    world.hear("c", skew=2 * OFF_SECONDS)
    assert world.clocks.off("abc") == pytest.approx({"c": 2 * OFF_SECONDS}, abs=0.01)
    assert world.clocks.offsets() == pytest.approx({"b": 0.0, "c": 2 * OFF_SECONDS}, abs=0.01)


def test_a_node_that_is_off_itself_names_itself() -> None:
    world = World()
    world.skew = DAY
    world.hear("b")
    world.hear("c")

    assert world.clocks.off("abc") == pytest.approx({"a": DAY}, abs=0.01)
    assert world.clocks.offsets() == pytest.approx({"b": -DAY, "c": -DAY}, abs=0.01)


@pytest.mark.parametrize("nodes", ["ab", "abc"])
def test_where_nobody_knows_which_clock_is_right_they_differ_from_this_nodes(nodes: str) -> None:
    """There are but two, or the third is not known."""
    world = World()
    world.hear("b")
    assert world.clocks.agree("ab")

    world.hear("b", skew=-DAY)

    assert not world.clocks.agree(nodes)
    assert world.clocks.off(nodes) == pytest.approx({"b": -DAY}, abs=0.01)
