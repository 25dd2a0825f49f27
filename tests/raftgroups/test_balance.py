from types import SimpleNamespace
from typing import Any

import pytest

from raftgroups.balance import REFUSED_SECONDS, SETTLED_SECONDS, Balance
from raftgroups.ids import PartitionId
from tests.raftgroups.test_relief import Disks


class Leader:
    """A replica that leads; nobody takes over from it."""

    def __init__(self, first: str = "b", successors: tuple[str, ...] = ("c", "b")) -> None:
        self.is_leader = True
        self.replicas = (first, "a", "c")
        self.offered: list[tuple[str, float]] = []
        self.consensus = SimpleNamespace(
            successors=lambda now: list(successors), transfer=lambda name, now: self.offered.append((name, now))
        )


def ticks(balance: Balance, leaders: list[Any], seconds: int, begin: int = 0) -> None:
    for now in range(begin, begin + seconds):
        balance.tick({PartitionId(number): leader for number, leader in enumerate(leaders)}, float(now))


def test_it_is_handed_back_to_the_first_once_settled_and_again_only_much_later() -> None:
    leader = Leader()

    ticks(Balance("a", Disks()), [leader], 80)

    first = SETTLED_SECONDS + 1
    assert leader.offered == [("b", first), ("b", first + REFUSED_SECONDS + SETTLED_SECONDS + 1)]


def test_one_partition_goes_at_a_time() -> None:
    leaders = [Leader(), Leader(), Leader()]

    ticks(Balance("a", Disks()), leaders, 10)

    assert [leader.offered for leader in leaders] == [[("b", 6.0)], [("b", 7.0)], [("b", 8.0)]]


def test_whoever_came_to_lead_anew_waits_anew() -> None:
    leader, balance = Leader(), Balance("a", Disks())
    ticks(balance, [leader], 5)
    leader.is_leader = False
    ticks(balance, [leader], 1, begin=5)
    leader.is_leader = True

    ticks(balance, [leader], 7, begin=6)

    assert leader.offered == [("b", 12.0)]


@pytest.mark.parametrize("leader", [Leader(first="a"), Leader(successors=("c",))], ids=["is first", "first is away"])
def test_what_is_where_it_belongs_or_cannot_go_there_stays(leader: Leader) -> None:
    ticks(Balance("a", Disks()), [leader], 100)

    assert leader.offered == []


def test_a_first_one_whose_disk_is_slow_waits_until_it_is_quick() -> None:
    leader, disks = Leader(), Disks("b")
    balance = Balance("a", disks)
    ticks(balance, [leader], 100)
    disks.slow.clear()

    assert leader.offered == []
    ticks(balance, [leader], 1, begin=100)
    assert leader.offered == [("b", 100.0)]
