import pytest

from app.simulation.judges import Answer
from app.simulation.judges.facts import Facts
from app.simulation.judges.readings import Readings
from raftgroups import Delete, Item, Level, LogIndex, Put, Receipt, Term, revision_of
from tests.simulation.judges.court import P0, breaks, entry

READINGS = "reads are committed, fresh and monotonic"

KEPT = Item(revision_of(LogIndex(1), 0), b"1.")
CHANGED = Item(revision_of(LogIndex(2), 0), b"2.")


def stale(server: str, index: int = 9) -> Receipt:
    return Receipt(Level.STALE, 0, server, "follower", index)


class Reader:
    """Reads one key, one read after the other, where a put, another put and a delete are committed."""

    def __init__(self) -> None:
        facts = Facts()
        for command in (Put(b"k", KEPT.value), Put(b"k", CHANGED.value), Delete(b"k")):
            facts.chain(P0).extend(1, entry(command), Term(1))
        self.readings = Readings(facts)
        self._moment = 0

    def read(self, item: Item | None, server: str = "a", starts: tuple[int, int] = (1, 1), called: int = 0) -> None:
        """Called when the last read had returned, or when `called` says."""
        self._moment += 2
        moments = called or self._moment - 1, self._moment
        self.readings.read(Answer(P0, b"k", item, stale(server), starts, *moments))
        self.readings.settle()


def test_what_is_read_was_committed() -> None:
    reader = Reader()

    with breaks(READINGS, "which was never committed"):
        reader.read(Item(KEPT.revision, b"9."))


def test_what_is_read_was_committed_under_that_key() -> None:
    reader = Reader()

    with breaks(READINGS, "which was never committed"):
        reader.read(Item(revision_of(LogIndex(9), 0), KEPT.value))


def test_a_replica_shows_no_past_after_the_present() -> None:
    reader = Reader()
    reader.read(CHANGED)

    with breaks(READINGS, f"showed revision {CHANGED.revision} of b'k', and then {KEPT.revision}"):
        reader.read(KEPT)


def test_what_was_deleted_does_not_come_back() -> None:
    reader = Reader()
    reader.read(CHANGED)
    reader.read(None)

    with breaks(READINGS):
        reader.read(CHANGED)


def test_what_was_shown_is_not_absent_without_a_delete() -> None:
    facts = Facts()
    facts.chain(P0).extend(1, entry(Put(b"k", KEPT.value)), Term(1))
    readings = Readings(facts)
    readings.read(Answer(P0, b"k", KEPT, stale("a"), (1, 1), 1, 2))
    readings.read(Answer(P0, b"k", None, stale("a"), (1, 1), 3, 4))

    with breaks(READINGS, "and then nothing"):
        readings.settle()


def test_a_replica_that_is_behind_catches_up() -> None:
    """It showed nothing, for it had got nothing yet; not because it knew of the delete."""
    reader = Reader()
    reader.read(None)
    reader.read(KEPT)
    reader.read(CHANGED)
    reader.read(None)

    assert reader.readings.checked == 4


def test_replicas_are_behind_one_another() -> None:
    reader = Reader()
    reader.read(CHANGED, server="a")

    reader.read(KEPT, server="b")
    with breaks(READINGS):
        reader.read(KEPT, server="a")


def test_reads_at_one_time_have_no_order() -> None:
    reader = Reader()
    reader.read(CHANGED)

    reader.read(KEPT, called=1)


def test_a_replica_that_was_started_again_may_be_behind_itself() -> None:
    reader = Reader()
    reader.read(CHANGED)

    reader.read(KEPT, starts=(1, 2))
    reader.read(KEPT, starts=(2, 2))
    with breaks(READINGS):
        reader.read(KEPT, starts=(1, 1))


class Freshness:
    """One read of a key that was written at 1.0 s, at 2.0 s, and then again."""

    def __init__(self) -> None:
        now = [1.0]
        self.facts = Facts(lambda: now[0])
        for number in range(3):
            now[0] = number + 1.0
            self.facts.chain(P0).extend(1, entry(Put(b"k", b"%d." % number)), Term(1))

    def judge(self, number: int, receipt: Receipt, *, arrived: float = 9.0, seen: int = 0) -> None:
        """Judge an answer that shows what the entry after `number` others wrote, or nothing for -1."""
        item = Item(revision_of(LogIndex(number + 1), 0), b"%d." % number) if number >= 0 else None
        readings = Readings(self.facts)
        readings.read(Answer(P0, b"k", item, receipt, (1, 1), 1, 2, arrived, LogIndex(seen)))
        readings.settle()


def bounded(staleness_ms: int, index: int = 3) -> Receipt:
    return Receipt(Level.BOUNDED, staleness_ms, "a", "follower", index)


def test_no_replica_shows_what_it_says_it_has_not_applied() -> None:
    freshness = Freshness()

    freshness.judge(2, stale("a", 3))
    with breaks(READINGS, "which was never committed"):
        freshness.judge(2, stale("a", 2))


def test_a_session_sees_what_it_has_seen() -> None:
    freshness = Freshness()

    freshness.judge(1, stale("a"), seen=2)
    with breaks(READINGS, "its session has seen 3"):
        freshness.judge(1, stale("a"), seen=3)
    with breaks(READINGS, "its session has seen 1"):
        freshness.judge(-1, stale("a"), seen=1)


def test_an_answer_is_no_older_than_it_says() -> None:
    """By the slowest clock that a node may have: 4 s on it are 5 s."""
    freshness = Freshness()

    freshness.judge(1, bounded(4_000), arrived=8.0)
    with breaks(READINGS, "when 3 had been committed 5 s before"):
        freshness.judge(1, bounded(4_000), arrived=8.1)
    with breaks(READINGS):
        freshness.judge(-1, bounded(4_000), arrived=8.1)


@pytest.mark.parametrize("level", [Level.LINEARIZABLE, Level.LEASE])
def test_a_read_of_the_newest_shows_what_was_committed_before_it_came(level: Level) -> None:
    freshness = Freshness()
    receipt = Receipt(level, 0, "a", "leader", 3)

    freshness.judge(1, receipt, arrived=3.0)
    with breaks(READINGS, "when 3 had been committed"):
        freshness.judge(1, receipt, arrived=3.001)
