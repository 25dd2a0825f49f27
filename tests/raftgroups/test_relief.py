import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from raftgroups.ids import PartitionId
from raftgroups.relief import PAUSE_SECONDS_MAX, Relief

P0 = PartitionId(0)


class Leader:
    """An impaired replica that leads; nobody takes over from it."""

    def __init__(self, *successors: str) -> None:
        self.is_leader = True
        self.is_impaired = True
        self.offered: list[tuple[str, float]] = []
        self.consensus = SimpleNamespace(
            successors=lambda now: list(successors), transfer=lambda name, now: self.offered.append((name, now))
        )


def ticks(relief: Relief, leader: Any, seconds: int) -> None:
    for now in range(seconds):
        relief.tick({P0: leader}, float(now))


def test_the_best_successor_is_asked_first_and_then_each_other() -> None:
    leader = Leader("b", "c", "d")

    ticks(Relief(), leader, 32)

    assert leader.offered == [("b", 0.0), ("c", 1.0), ("d", 3.0), ("b", 7.0), ("c", 15.0), ("d", 31.0)]


def test_the_pauses_are_bounded() -> None:
    leader = Leader("b")

    ticks(Relief(), leader, 1000)

    times = [at for _, at in leader.offered]
    assert max(after - before for before, after in itertools.pairwise(times)) == PAUSE_SECONDS_MAX


@pytest.mark.parametrize(("is_leader", "is_impaired"), [(False, True), (True, False)])
def test_nobody_else_is_relieved(is_leader: bool, is_impaired: bool) -> None:
    leader = Leader("b")
    leader.is_leader, leader.is_impaired = is_leader, is_impaired

    ticks(Relief(), leader, 10)

    assert leader.offered == []


def test_without_a_successor_it_waits_for_one() -> None:
    alone, relief = Leader(), Relief()
    ticks(relief, alone, 10)
    found: Any = Leader("b")

    relief.tick({P0: found}, 10.0)

    assert alone.offered == []
    assert found.offered == [("b", 10.0)]


def test_who_leads_again_later_is_relieved_at_once() -> None:
    leader, relief = Leader("b", "c"), Relief()
    ticks(relief, leader, 4)
    leader.is_leader = False
    relief.tick({P0: leader}, 4.0)  # type: ignore[dict-item]  # as much of a group as it needs
    leader.is_leader = True

    relief.tick({P0: leader}, 5.0)  # type: ignore[dict-item]  # as much of a group as it needs

    assert leader.offered[-1] == ("b", 5.0)
