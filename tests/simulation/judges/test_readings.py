from app.simulation.judges import Answer
from app.simulation.judges.facts import Facts
from app.simulation.judges.readings import Readings
from raftgroups import Delete, Item, LogIndex, Put, Term, revision_of
from tests.simulation.judges.court import P0, breaks, entry

READINGS = "reads are committed and monotonic"

KEPT = Item(revision_of(LogIndex(1), 0), b"1.")
CHANGED = Item(revision_of(LogIndex(2), 0), b"2.")


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
        self.readings.read(Answer(P0, b"k", item, server, starts, *moments))
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
    readings.read(Answer(P0, b"k", KEPT, "a", (1, 1), 1, 2))
    readings.read(Answer(P0, b"k", None, "a", (1, 1), 3, 4))

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
