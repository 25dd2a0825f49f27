import pytest

from app.simulation.judges.acknowledgements import Acknowledgements
from app.simulation.judges.facts import Facts
from raftgroups import (
    ConditionalPut,
    Delete,
    Increment,
    LogIndex,
    Once,
    Put,
    Reason,
    Rejected,
    Result,
    Term,
    Unmet,
    Written,
    encode_command,
    revision_of,
)
from tests.simulation.judges.court import P0, breaks, entry

LOST = "nothing acknowledged is lost, nothing refused is done"

PUT, DELETE, CONDITIONAL = Put(b"k", b"1."), Delete(b"k"), ConditionalPut(b"k", b"2.", expected=True)
WORDS = Put(b"words", b"seven")
COUNT = Increment(b"words", 1)


@pytest.fixture
def acknowledgements() -> Acknowledgements:
    """A put and a delete are committed, a put that came too late, and one of what is no number."""
    facts = Facts()
    for command in (PUT, DELETE, CONDITIONAL, WORDS, COUNT):
        facts.chain(P0).extend(1, entry(command), Term(1))
    return Acknowledgements(facts)


def written(index: int) -> Written:
    return Written(revision_of(LogIndex(index), 0))


def test_what_was_acknowledged_is_committed_with_that_result(acknowledgements: Acknowledgements) -> None:
    acknowledgements.acknowledged(P0, encode_command(PUT), written(1))
    acknowledgements.acknowledged(P0, encode_command(DELETE), written(2))
    acknowledgements.acknowledged(P0, encode_command(CONDITIONAL), Unmet(0))
    acknowledgements.acknowledged(P0, encode_command(COUNT), Rejected(Reason.NOT_A_NUMBER, "in whatever words"))

    acknowledgements.settle()
    assert acknowledgements.checked == 4


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (PUT, written(2)),
        (PUT, Unmet(0)),
        (DELETE, written(1)),
        (CONDITIONAL, written(3)),
        (CONDITIONAL, Unmet(4096)),
        (COUNT, Rejected(Reason.OVERFLOW, "")),
        (Put(b"k", b"9."), written(1)),
        (Put(b"other", b"1."), written(1)),
    ],
)
def test_what_was_not_committed_so_is_lost(
    acknowledgements: Acknowledgements, command: Put | Delete | ConditionalPut | Increment, result: Result
) -> None:
    acknowledgements.acknowledged(P0, encode_command(command), result)

    with breaks(LOST):
        acknowledgements.settle()


def test_what_is_acknowledged_before_it_is_committed_is_judged_when_the_step_ends() -> None:
    facts = Facts()
    acknowledgements = Acknowledgements(facts)

    acknowledgements.acknowledged(P0, encode_command(PUT), written(1))
    facts.chain(P0).extend(1, entry(PUT), Term(1))
    acknowledgements.settle()


def test_who_knows_nothing_may_find_that_it_was_done_or_not(acknowledgements: Acknowledgements) -> None:
    acknowledgements.asked(P0, encode_command(PUT))
    acknowledgements.asked(P0, encode_command(Put(b"k", b"9.")))

    acknowledgements.finish()
    assert acknowledgements.checked == 2


def test_what_was_refused_is_not_done(acknowledgements: Acknowledgements) -> None:
    acknowledgements.asked(P0, encode_command(PUT))
    acknowledgements.refused(P0, encode_command(PUT))

    with breaks(LOST, "was committed 1 times; answered 0, may be 0"):
        acknowledgements.finish()


def test_nothing_is_done_more_often_than_asked_for_or_less_often_than_told(acknowledgements: Acknowledgements) -> None:
    acknowledgements.asked(P0, encode_command(PUT))
    acknowledgements.asked(P0, encode_command(PUT))
    acknowledgements.acknowledged(P0, encode_command(PUT), written(1))
    acknowledgements.finish()

    acknowledgements.acknowledged(P0, encode_command(PUT), written(1))
    with breaks(LOST, "was committed 1 times; answered 2, may be 2"):
        acknowledgements.finish()


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_what_has_a_token_may_be_committed_again_if_it_was_asked_for(asked: int) -> None:
    """A gateway repeats it; who was refused was told that nothing will be done, all the same."""
    once = Once(b"token", b"digest", 60_000, PUT)
    facts = Facts()
    acknowledgements = Acknowledgements(facts)
    for _ in range(2):
        facts.chain(P0).extend(1, entry(once), Term(1))
    acknowledgements.asked(P0, encode_command(once))
    acknowledgements.refused(P0, encode_command(once))
    for _ in range(asked):
        acknowledgements.asked(P0, encode_command(once))

    if asked:
        acknowledgements.finish()
    else:
        with breaks(LOST):
            acknowledgements.finish()
