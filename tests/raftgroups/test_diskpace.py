import pytest

from raftgroups.diskpace import QUICK_FOR_SECONDS, SLOW_FOR_SECONDS, DiskPace


def judged(mine: float | None, *others: float) -> bool:
    """Whether it is slow once it has looked like this for long enough."""
    pace = DiskPace()
    assert not pace.judge(mine, others, 0.0)
    return pace.judge(mine, others, SLOW_FOR_SECONDS)


@pytest.mark.parametrize(
    ("mine", "others"),
    [(0.3, (0.002, 0.002)), (0.3, (0.002,)), (0.3, (0.002, 0.3)), (0.5, (0.1, 0.1)), (3.0, (0.0, 0.0))],
    ids=["of three", "of two", "two slow of three", "where others are not quick", "hangs"],
)
def test_a_disk_is_slow_beside_quicker_ones(mine: float, others: tuple[float, ...]) -> None:
    assert judged(mine, *others)


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        (0.3, (0.3, 0.3)),
        (0.3, (0.1, 0.1)),
        (0.09, (0.001, 0.001)),
        (0.3, ()),
        (None, (0.001, 0.001)),
        (0.3, (0.3, 0.3, 0.3, 0.001)),
    ],
    ids=["all alike", "not by much", "quick enough", "nobody to compare with", "nothing synced", "as most"],
)
def test_otherwise_it_is_not(mine: float | None, others: tuple[float, ...]) -> None:
    assert not judged(mine, *others)


def slow() -> DiskPace:
    pace = DiskPace()
    pace.judge(0.3, (0.002, 0.002), -SLOW_FOR_SECONDS)
    assert pace.judge(0.3, (0.002, 0.002), 0.0)
    return pace


def test_all_may_become_slow_one_after_the_other() -> None:
    pace = DiskPace()

    assert not pace.judge(0.3, (0.002, 0.002), 0.0)
    assert not pace.judge(0.3, (0.3, 0.002), SLOW_FOR_SECONDS / 2)
    for now in range(3, 100):
        assert not pace.judge(0.3, (0.3, 0.3), float(now))


def test_it_is_quick_again_after_a_while_of_being_quick() -> None:
    pace = slow()

    assert pace.judge(0.002, (0.002, 0.002), 1.0)
    assert pace.judge(0.002, (0.002, 0.002), 0.9 + QUICK_FOR_SECONDS)
    assert not pace.judge(0.002, (0.002, 0.002), 1.0 + QUICK_FOR_SECONDS)


def test_a_disk_that_is_slow_now_and_then_stays_slow() -> None:
    pace = slow()

    for now in range(1, 100):
        assert pace.judge(0.3 if now % 5 == 0 else 0.002, (0.002, 0.002), float(now))


@pytest.mark.parametrize("mine", [0.06, None])
def test_a_disk_in_between_or_unused_stays_what_it_was(mine: float | None) -> None:
    quick, before = DiskPace(), slow()

    for now in range(1, 100):
        assert not quick.judge(mine, (0.002, 0.002), float(now))
        assert before.judge(mine, (0.002, 0.002), float(now))


def test_it_is_slow_no_more_when_the_others_are_as_slow() -> None:
    pace = slow()

    pace.judge(0.3, (0.3, 0.3), 1.0)

    assert not pace.judge(0.3, (0.3, 0.3), 1.0 + QUICK_FOR_SECONDS)


def test_it_is_quick_again_where_others_have_nothing_to_tell() -> None:
    pace = slow()

    pace.judge(0.002, (), 1.0)

    assert not pace.judge(0.002, (), 1.0 + QUICK_FOR_SECONDS)
