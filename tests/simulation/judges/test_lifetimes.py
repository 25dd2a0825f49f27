import math
from types import SimpleNamespace
from typing import Any

import pytest

from app.simulation.judges import Answer
from app.simulation.judges.facts import Facts
from app.simulation.judges.lifetimes import NOTICED_SECONDS, Lifetimes
from app.simulation.violation import Violation
from raftgroups import (
    Command,
    ConditionalPut,
    Increment,
    Item,
    Level,
    LogIndex,
    Once,
    Put,
    Receipt,
    Term,
    Touch,
    Transaction,
    encode_command,
    revision_of,
)
from raftgroups.command import encode_entry
from tests.simulation.judges.court import FOUNDING, P0, breaks

RULE = Lifetimes.name
LENT = ConditionalPut(b"k", b"v", ttl_ms=10_000)
TELLING_MS = 1_000_000


class Story:
    """What clients ask for and nodes commit, each at its true time; the nodes tell whatever time a test says."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.nodes: dict[str, Any] = {
            name: SimpleNamespace(clock=SimpleNamespace(wrongs=[])) for name in FOUNDING.voters
        }
        self.facts = Facts(lambda: self.now)
        self.facts.founding[P0] = FOUNDING
        self.judge = Lifetimes(self.nodes, self.facts, **options)

    def commit(self, *commands: Command, at: float, told: float, term: int = 1, asked: float | None = None) -> None:
        """Somebody asks for commands, and the entry with them tells a time."""
        self.now = at if asked is None else asked
        for command in commands:
            self.judge.asked(P0, encode_command(command))
        self.now = at
        payload = encode_entry(TELLING_MS + int(told * 1000), [encode_command(command) for command in commands])
        self.facts.chain(P0).extend(term, payload, Term(term))
        self.judge.settle()

    def read(self, at: float, level: Level = Level.LINEARIZABLE, *, index: int = 1) -> None:
        """Somebody is shown what the first entry put."""
        self.now = at + 0.01
        item = Item(revision_of(LogIndex(1), 0), b"v", "", TELLING_MS + 10_000)
        receipt = Receipt(level, 0, "a", "leader", index)
        self.judge.read(Answer(P0, b"k", item, receipt, (1, 1), 1, 2, arrived=at))
        self.judge.settle()


@pytest.mark.parametrize("gone_at", [9.0, 10.0, 12.0])
def test_what_is_gone_when_its_ttl_is_over_is_right(gone_at: float) -> None:
    story = Story()
    story.commit(LENT, at=0.0, told=0.0)

    story.commit(at=gone_at, told=10.0)

    assert story.judge.checked == 1


@pytest.mark.parametrize("told", [10.0, 86_400.0])
def test_what_is_gone_before_is_not(told: float) -> None:
    story = Story()
    story.commit(LENT, at=0.0, told=0.0)

    with breaks(RULE, "is gone 8.5 s after"):
        story.commit(at=8.5, told=told)


def test_a_ttl_begins_when_it_was_asked_for() -> None:
    """Its entry may have been on its way for long."""
    story = Story()
    story.commit(LENT, asked=0.0, at=3.0, told=0.0)

    story.commit(at=10.0, told=10.0)


@pytest.mark.parametrize(
    "renewal",
    [
        Touch(b"k", 10_000),
        Once(b"t", b"d", 60_000, Touch(b"k", 10_000)),
        Transaction([], [ConditionalPut(b"k", b"w", ttl_ms=10_000)], []),
    ],
)
def test_what_renews_it_begins_another_life(renewal: Command) -> None:
    story = Story()
    story.commit(LENT, at=0.0, told=0.0)
    story.commit(renewal, at=5.0, told=5.0)

    with breaks(RULE, "is gone 8.5 s after"):
        story.commit(at=13.5, told=15.0)


def test_what_changes_the_value_alone_does_not() -> None:
    story = Story()
    story.commit(ConditionalPut(b"k", b"7", ttl_ms=10_000), at=0.0, told=0.0)
    story.commit(Increment(b"k", 1), at=9.0, told=9.0)

    story.commit(at=10.0, told=10.0)

    assert story.judge.checked == 1


def test_what_was_put_to_stay_or_deleted_has_no_end() -> None:
    story = Story()
    story.commit(LENT, at=0.0, told=0.0)
    story.commit(Put(b"k", b"v"), at=1.0, told=1.0)

    story.commit(at=1.1, told=50.0)

    assert story.judge.checked == 0


@pytest.mark.parametrize("level", [Level.LINEARIZABLE, Level.LEASE])
def test_what_is_shown_after_its_ttl_is_shown_too_long(level: Level) -> None:
    story = Story()
    story.commit(LENT, at=0.0, told=0.0)
    story.read(11.9, level)

    with breaks(RULE, "is over"):
        story.read(12.2, level)


@pytest.mark.parametrize("level", [Level.STALE, Level.BOUNDED, Level.SESSION])
def test_who_asks_for_less_may_be_shown_the_past(level: Level) -> None:
    story = Story()
    story.commit(LENT, at=0.0, told=0.0)

    story.read(20.0, level)

    assert story.judge.checked == 0


def test_each_reign_that_began_may_have_given_its_grace_and_no_more() -> None:
    story = Story(grace_seconds=5.0)
    story.commit(LENT, at=0.0, told=0.0)
    story.commit(at=8.0, told=5.0, term=2)
    story.commit(at=9.0, told=5.5, term=2)
    story.read(17.0, index=3)

    with breaks(RULE, "1 reigns"):
        story.read(17.2, index=3)


def test_what_was_done_once_is_not_done_again_before_it_may_be_forgotten() -> None:
    story = Story()
    command = Once(b"t", b"d", 10_000, Increment(b"n", 1))
    story.commit(command, at=0.0, told=0.0)
    story.commit(command, at=5.0, told=5.0)
    story.commit(command, at=10.0, told=10.0)

    with breaks(RULE, "was to be remembered for 10 s, and was done again 8 s after"):
        story.commit(command, at=18.0, told=30.0)


@pytest.mark.parametrize(
    ("wrongs", "is_excused"),
    [
        ({"a": [(0.0, math.inf)]}, False),
        ({"a": [(0.0, math.inf)], "b": [(5.0, 6.0)]}, True),
        ({"a": [(0.0, math.inf)], "b": [(9.0, math.inf)]}, False),
        ({"a": [(-99.0, -NOTICED_SECONDS - 1.0)], "b": [(-1.0, 1.0)]}, False),
        ({"a": [(-99.0, -NOTICED_SECONDS + 1.0)], "b": [(-1.0, 1.0)]}, True),
    ],
)
def test_nothing_is_promised_while_half_of_the_clocks_are_wrong_or_believed(
    wrongs: dict[str, list[tuple[float, float]]], is_excused: bool
) -> None:
    story = Story()
    for name, times in wrongs.items():
        story.nodes[name].clock.wrongs = times
    story.commit(LENT, at=0.0, told=0.0)

    try:
        story.commit(at=8.0, told=86_400.0)
    except Violation:
        assert not is_excused
    else:
        assert is_excused


def test_of_wild_clocks_nothing_is_promised() -> None:
    story = Story(is_wild=True)
    story.commit(LENT, at=0.0, told=0.0)
    story.read(99.0)

    story.commit(at=1.0, told=86_400.0)

    assert story.judge.checked == 0


def absence(story: Story, since: float, until: float) -> None:
    for moment in (since, until):
        story.now = moment
        story.judge.led(P0)


@pytest.mark.parametrize(("bound", "owed"), [(60.0, 4.0), (3.0, 3.0)])
def test_a_time_without_a_leader_is_no_part_of_a_ttl_up_to_the_bound(bound: float, owed: float) -> None:
    """But for what may have gone unnoticed of it."""
    story = Story(grace_seconds=bound)
    story.commit(LENT, at=0.0, told=0.0)
    absence(story, 3.0, 8.0)

    with breaks(RULE, f"with {owed:g} s of grace"):
        story.commit(at=10.0, told=10.0)


@pytest.mark.parametrize(("since", "until"), [(-9.0, -2.0), (2.0, 2.9), (11.0, 19.0)])
def test_a_time_before_or_after_or_too_short_to_be_noticed_is_none_to_be_made_up_for(
    since: float, until: float
) -> None:
    story = Story(grace_seconds=60.0)
    absence(story, since, min(until, 10.0))
    story.commit(LENT, at=0.0, told=0.0)

    story.commit(at=10.0, told=10.0)
