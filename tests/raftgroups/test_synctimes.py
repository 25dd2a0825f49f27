import pytest

from raftgroups.synctimes import AGE_SECONDS_MAX, HANG_SECONDS, SYNCS, SYNCS_NEEDED, SyncTimes


def after(*seconds: float) -> tuple[SyncTimes, float]:
    """Syncs that took so long, one after the other; and when the last ended."""
    times, now = SyncTimes(), 0.0
    for each in seconds:
        times.began(now)
        now += each
        assert times.ended(now) == pytest.approx(each)
    return times, now


def test_a_few_syncs_say_nothing_yet() -> None:
    few, now = after(*[0.3] * (SYNCS_NEEDED - 1))
    enough, later = after(*[0.3] * SYNCS_NEEDED)

    assert few.median(now) is None
    assert enough.median(later) == pytest.approx(0.3)


def test_one_long_sync_is_not_a_slow_disk() -> None:
    times, now = after(0.002, 0.002, 1.0, 0.002, 0.002, 0.002)

    assert times.median(now) == pytest.approx(0.002)


def test_the_newest_syncs_count() -> None:
    times, now = after(*[0.001] * 100, *[0.3] * (SYNCS // 2 + 1))

    assert times.median(now) == pytest.approx(0.3)


def test_old_syncs_do_not_count() -> None:
    times, now = after(*[0.3] * SYNCS)

    assert times.median(now + AGE_SECONDS_MAX + 1) is None


def test_a_sync_that_hangs_counts_before_it_ends() -> None:
    times, now = after(*[0.001] * SYNCS)
    times.began(now)

    assert times.median(now + HANG_SECONDS / 2) == pytest.approx(0.001)
    assert times.median(now + 2 * HANG_SECONDS) == pytest.approx(2 * HANG_SECONDS)
    times.ended(now + 2 * HANG_SECONDS)
    assert times.median(now + 2 * HANG_SECONDS) == pytest.approx(0.001)
