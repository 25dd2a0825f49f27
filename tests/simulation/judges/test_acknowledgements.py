import pytest

from app.simulation.judges.acknowledgements import Acknowledgements
from app.simulation.judges.facts import Facts
from raftgroups import Delete, LogIndex, Put, Term, revision_of
from tests.simulation.judges.court import P0, breaks, entry

LOST = "nothing acknowledged is lost"


@pytest.fixture
def acknowledgements() -> Acknowledgements:
    """A put and a delete are committed."""
    facts = Facts()
    facts.chain(P0).extend(1, entry(Put(b"k", b"1.")), Term(1))
    facts.chain(P0).extend(1, entry(Delete(b"k")), Term(1))
    return Acknowledgements(facts)


def test_what_was_acknowledged_is_committed(acknowledgements: Acknowledgements) -> None:
    acknowledgements.acknowledged(P0, b"k", revision_of(LogIndex(1), 0), b"1.")
    acknowledgements.acknowledged(P0, b"k", revision_of(LogIndex(2), 0), None)

    acknowledgements.settle()
    assert acknowledgements.checked == 2


@pytest.mark.parametrize(
    ("key", "index", "value"),
    [
        (b"k", 3, b"1."),
        (b"k", 3, None),
        (b"k", 1, b"2."),
        (b"k", 1, None),
        (b"k", 2, b"1."),
        (b"other", 1, b"1."),
    ],
    ids=["nothing there", "no delete there", "another value", "not deleted", "deleted", "another key"],
)
def test_what_was_not_committed_is_lost(
    acknowledgements: Acknowledgements, key: bytes, index: int, value: bytes | None
) -> None:
    acknowledgements.acknowledged(P0, key, revision_of(LogIndex(index), 0), value)

    with breaks(LOST):
        acknowledgements.settle()


def test_what_is_acknowledged_before_it_is_committed_is_judged_when_the_step_ends() -> None:
    facts = Facts()
    acknowledgements = Acknowledgements(facts)

    acknowledgements.acknowledged(P0, b"k", revision_of(LogIndex(1), 0), b"1.")
    facts.chain(P0).extend(1, entry(Put(b"k", b"1.")), Term(1))
    acknowledgements.settle()
