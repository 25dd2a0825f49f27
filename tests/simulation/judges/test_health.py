import pytest

from engine import CorruptionError, EngineError
from tests.simulation.judges.court import Court, breaks

HEALTH = "no replica stops without a broken disk"

DAMAGE = CorruptionError("/a/1.sst", 7, "the checksum of a block does not match")


@pytest.mark.parametrize("failure", [AssertionError("an entry must follow the log"), DAMAGE], ids=["bug", "damage"])
def test_a_replica_on_a_good_disk_never_stops(failure: BaseException) -> None:
    court = Court()
    court["a"].group.failure = failure

    with breaks(HEALTH, type(failure).__name__):
        court.see()


def test_a_replica_stops_for_the_damage_on_its_disk() -> None:
    court = Court()
    court["a"].disk.is_damaged = True
    court["a"].group.failure = DAMAGE

    assert isinstance(DAMAGE, EngineError)
    court.see()


def test_a_bug_is_not_excused_by_a_damaged_disk() -> None:
    court = Court()
    court["a"].disk.is_damaged = True
    court["a"].group.failure = AssertionError("an entry must follow the log")

    with breaks(HEALTH, "AssertionError"):
        court.see()


def test_damage_is_not_excused_by_that_of_another_node() -> None:
    court = Court()
    court["b"].disk.is_damaged = True
    court["a"].group.failure = DAMAGE

    with breaks(HEALTH, "a's replica"):
        court.see()
