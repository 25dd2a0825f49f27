import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from raftgroups.ids import PartitionId
from raftgroups.relief import PAUSE_SECONDS_MAX, SLOW_OFFERS_MAX, Relief

P0 = PartitionId(0)


class Disks:
    """What is known of the disks: whose are slow; "a" is here."""

    def __init__(self, *slow: str) -> None:
        self.slow = set(slow)

    @property
    def is_slow(self) -> bool:
        return "a" in self.slow

    def quick(self, nodes: Sequence[str]) -> list[str]:
        return [name for name in nodes if name not in self.slow]

    def quick_first(self, nodes: Sequence[str]) -> list[str]:
        return sorted(nodes, key=lambda name: name in self.slow)


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

    ticks(Relief(Disks()), leader, 32)

    assert leader.offered == [("b", 0.0), ("c", 1.0), ("d", 3.0), ("b", 7.0), ("c", 15.0), ("d", 31.0)]


def test_the_pauses_are_bounded() -> None:
    leader = Leader("b")

    ticks(Relief(Disks()), leader, 1000)

    times = [at for _, at in leader.offered]
    assert max(after - before for before, after in itertools.pairwise(times)) == PAUSE_SECONDS_MAX


@pytest.mark.parametrize(("is_leader", "is_impaired"), [(False, True), (True, False)])
def test_nobody_else_is_relieved(is_leader: bool, is_impaired: bool) -> None:
    leader = Leader("b")
    leader.is_leader, leader.is_impaired = is_leader, is_impaired

    ticks(Relief(Disks()), leader, 10)

    assert leader.offered == []


def test_without_a_successor_it_waits_for_one() -> None:
    alone, relief = Leader(), Relief(Disks())
    ticks(relief, alone, 10)
    found: Any = Leader("b")

    relief.tick({P0: found}, 10.0)

    assert alone.offered == []
    assert found.offered == [("b", 10.0)]


def test_who_leads_again_later_is_relieved_at_once() -> None:
    leader, relief = Leader("b", "c"), Relief(Disks())
    ticks(relief, leader, 4)
    leader.is_leader = False
    relief.tick({P0: leader}, 4.0)  # type: ignore[dict-item]  # as much of a group as it needs
    leader.is_leader = True

    relief.tick({P0: leader}, 5.0)  # type: ignore[dict-item]  # as much of a group as it needs

    assert leader.offered[-1] == ("b", 5.0)


def test_an_impaired_one_asks_those_with_a_slow_disk_last() -> None:
    leader = Leader("b", "c")

    ticks(Relief(Disks("b")), leader, 2)

    assert [name for name, _ in leader.offered] == ["c", "b"]


def test_a_slow_disk_leads_only_what_no_quick_one_can() -> None:
    both, neither, leader = Leader("b", "c"), Leader("b"), Leader("b", "c")
    both.is_impaired = neither.is_impaired = leader.is_impaired = False

    ticks(Relief(Disks("a", "b")), both, 4)
    ticks(Relief(Disks("a", "b")), neither, 4)
    ticks(Relief(Disks("b")), leader, 4)

    assert [name for name, _ in both.offered] == ["c", "c", "c"]
    assert neither.offered == leader.offered == []


def test_a_slow_disk_hands_over_a_few_at_a_time() -> None:
    leaders: list[Any] = [Leader("b") for _ in range(3 * SLOW_OFFERS_MAX)]
    for leader in leaders:
        leader.is_impaired = False
    damaged: Any = Leader("b")
    groups = {PartitionId(number): leader for number, leader in enumerate([*leaders, damaged])}
    relief = Relief(Disks("a"))

    counts = []
    for now in range(3):
        relief.tick(groups, float(now) / 10)
        counts.append(sum(bool(leader.offered) for leader in leaders))

    assert counts == [SLOW_OFFERS_MAX, 2 * SLOW_OFFERS_MAX, 3 * SLOW_OFFERS_MAX]
    assert damaged.offered[0] == ("b", 0.0), "what is damaged waits for nobody"
