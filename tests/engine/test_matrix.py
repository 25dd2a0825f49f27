"""A part of the crash and fault matrix; `make crash-matrix` tries all of it, and prints it as a table."""

from collections import Counter

import pytest

from engine import MemoryFileSystem
from tests.engine.crashes import Crash, CrashMatrix
from tests.engine.life import Change, Life
from tests.engine.matrix import crash_table, outcome_table, step_table, try_crashes, try_long_lives, try_troubles
from tests.engine.troubles import OUTCOMES, FaultMatrix, troubles
from tests.engine.workloads import SETTINGS, WORKLOADS


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_crash_at_any_moment_loses_nothing_that_was_promised(setting: str) -> None:
    matrix = try_crashes(setting, share=0.2, again_share=0.02)

    assert sum(tally.first for tally in matrix.tallies.values()) > 500
    *_, total = crash_table([matrix])
    assert total.startswith("all ")


def test_nor_does_one_in_a_long_life() -> None:
    matrix = try_long_lives(range(3))

    assert sum(tally.first for tally in matrix.tallies.values()) > 100


@pytest.mark.parametrize("setting", ["own log", "no log"])
def test_any_call_may_fail(setting: str) -> None:
    """The store is whole, or closed to writes with a clear error; and when it is opened again all is there."""
    matrix = try_troubles(setting, stride=60)

    outcomes = sum(matrix.outcomes.values(), Counter())
    assert all(outcomes[outcome] for outcome in OUTCOMES)
    assert len(list(outcome_table([matrix]))) > 40
    assert len(list(step_table([matrix]))) > 8


def test_a_failed_sync_may_forget_what_can_still_be_read() -> None:
    """Who opens the store in the same boot finds it, and what follows it must not follow a hole."""
    (forgotten,) = [trouble for trouble in troubles() if trouble.name == "EIO, and forgotten"]
    matrix = FaultMatrix()

    for steps in WORKLOADS.values():
        matrix.live("own log", steps, forgotten, stride=4)

    assert matrix.outcomes["sync", forgotten.name]["closed"] > 10


def test_the_matrix_notices_what_is_lost() -> None:
    """A disk that lies about a sync is caught, and the failure says where."""

    def empty_the_log(disk: MemoryFileSystem) -> None:
        if disk.exists("/db/000002.log"):
            disk.replace("/db/000002.log", b"")

    matrix = CrashMatrix([Crash("lying", empty_the_log)], [])

    with pytest.raises(AssertionError, match="0 writes are there, not 1 to 2") as caught:
        matrix.live("own log", "put! put!")

    assert caught.value.__notes__ == ["put!, before write /db/000002.log: lying", "own log: put! put!"]


def test_the_matrix_notices_a_wrong_value() -> None:
    life = Life(MemoryFileSystem())
    life.take("open")
    life.take("put!")
    life.changes[0] = Change(lambda model: model.apply([(b"0", b"other")]))

    with pytest.raises(AssertionError, match="not what was written"):
        life.check_reads()
    life.take("close")
    with pytest.raises(AssertionError, match="not what 1 writes make"):
        life.take("open")
