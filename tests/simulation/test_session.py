from app.simulation.session import Session
from raftgroups import Freshness, Item, Level, LogIndex, PartitionId, Reading, Receipt, revision_of

P0, P1 = PartitionId(0), PartitionId(1)


def reading(index: int, item: Item | None = None) -> Reading:
    return Reading(item, Receipt(Level.SESSION, 0, "n1", "follower", index))


def test_who_has_seen_nothing_asks_for_nothing() -> None:
    session = Session()

    assert session.fresh(P0) == Freshness(Level.SESSION, 0)
    assert session.seen(P0) == 0


def test_what_was_written_must_be_seen() -> None:
    session = Session()

    session.wrote(P0, revision_of(LogIndex(7), 3))
    session.wrote(P1, revision_of(LogIndex(2), 0))
    session.wrote(P0, revision_of(LogIndex(5), 0))
    assert (session.fresh(P0).index, session.seen(P0)) == (7, 7)
    assert (session.fresh(P1).index, session.seen(P1)) == (2, 2)


def test_what_was_read_must_be_seen_again() -> None:
    """The token knows what the replica had applied; the client has seen no more than what was shown to it."""
    session = Session()

    session.read(P0, reading(9, Item(revision_of(LogIndex(4), 0), b"1.")))
    assert (session.fresh(P0).index, session.seen(P0)) == (9, 4)
    session.read(P0, reading(11))
    assert (session.fresh(P0).index, session.seen(P0)) == (11, 4)
