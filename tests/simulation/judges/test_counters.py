import pytest

from app.simulation.judges.counters import Counters
from app.simulation.judges.facts import Facts
from raftgroups import Increment, PartitionId, Term
from tests.simulation.judges.court import P0, breaks, entry

EXACT = "counters are exact"


@pytest.fixture
def counters() -> Counters:
    """One counter is at 3."""
    facts = Facts()
    for by in (1, 2):
        facts.chain(P0).extend(1, entry(Increment(b"~n0", by)), Term(1))
    return Counters(facts)


def test_what_was_counted_is_there(counters: Counters) -> None:
    counters.counted(P0, b"~n0", 1, ok=True)
    counters.counted(P0, b"~n0", 2, ok=True)
    counters.counted(P0, b"~n0", 4, ok=False)

    counters.finish()
    assert counters.checked == 2


@pytest.mark.parametrize("by", [(1,), (1, 2, 1), (3, 1)])
def test_nothing_is_counted_twice_or_lost(counters: Counters, by: tuple[int, ...]) -> None:
    for one in by:
        counters.counted(P0, b"~n0", one, ok=True)

    with breaks(EXACT, "is 3"):
        counters.finish()


def test_a_counter_that_was_never_made_is_missed(counters: Counters) -> None:
    counters.counted(PartitionId(1), b"~n1", 1, ok=True)

    with breaks(EXACT, "is 0, and 1 was counted"):
        counters.finish()


def test_nobody_knows_what_a_counter_must_be_of_which_one_client_knows_nothing(counters: Counters) -> None:
    counters.counted(P0, b"~n0", 1, ok=True)
    counters.counted(P0, b"~n0", 2, ok=None)

    counters.finish()
