from raftgroups.alarms import Alarms
from raftgroups.ids import PartitionId

P0, P1, P2 = PartitionId(0), PartitionId(1), PartitionId(2)


def test_whose_time_has_come_is_told_once_and_the_earliest_first() -> None:
    alarms = Alarms()
    alarms.set(P0, 2.0)
    alarms.set(P1, 1.0)
    alarms.set(P2, 3.0)

    assert alarms.due(0.9) == []
    assert alarms.due(2.0) == [P1, P0]
    assert alarms.due(2.0) == []
    assert alarms.due(9.0) == [P2]


def test_a_newer_time_takes_the_place_of_an_older_one() -> None:
    alarms = Alarms()
    alarms.set(P0, 1.0)
    alarms.set(P0, 2.0)
    alarms.set(P1, 2.0)
    alarms.set(P1, 1.0)

    assert alarms.due(1.0) == [P1]
    assert alarms.due(2.0) == [P0]


def test_who_is_looked_at_anyway_needs_no_alarm() -> None:
    alarms = Alarms()
    alarms.set(P0, 1.0)
    alarms.clear(P0)
    alarms.clear(P1)

    assert alarms.due(9.0) == []
