import logging

import pytest

from raftgroups.diskpace import QUICK_FOR_SECONDS
from raftgroups.diskwatch import PROBE_SECONDS, DiskWatch
from raftgroups.messages import DiskReport
from raftgroups.synctimes import SYNCS, SyncTimes

QUICK, SLOW = DiskReport(2_000), DiskReport(310_000, is_slow=True)


class Disk:
    """A watch of a disk that the test uses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.times = SyncTimes()
        self.watch = DiskWatch(self.times)

    def sync(self, seconds: float, peers: dict[str, DiskReport], count: int = SYNCS) -> None:
        for _ in range(count):
            self.times.began(self.now)
            self.now += seconds
            self.times.ended(self.now)
            self.watch.tick(peers, self.now)


def slow_disk() -> Disk:
    disk = Disk()
    disk.sync(0.31, {"b": QUICK, "c": QUICK}, count=2 * SYNCS)
    return disk


def test_a_slow_disk_is_said_once_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    disk = slow_disk()

    [said] = disk.watch.warnings()
    assert said.startswith("this disk takes 0.31 s a sync, the others 0.002 s: other nodes lead what they can")
    assert caplog.messages == [said]
    assert disk.watch.statistics() == {"disk_sync_seconds": pytest.approx(0.31), "disk_slow": True}
    assert disk.watch.report().is_slow
    assert disk.watch.report().sync_us == pytest.approx(310_000, abs=1)


def test_a_disk_that_is_quick_again_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ringkv.disk")
    disk = slow_disk()
    caplog.clear()

    disk.sync(0.002, {"b": QUICK}, count=int(2 * QUICK_FOR_SECONDS / 0.002))

    assert caplog.messages == ["this disk is quick again: leaderships may come back"]
    assert disk.watch.warnings() == []
    assert not disk.watch.statistics()["disk_slow"]


def test_nothing_is_said_where_all_are_alike() -> None:
    disk = Disk()

    disk.sync(0.31, {"b": DiskReport(310_000), "c": DiskReport(250_000)}, count=2 * SYNCS)

    assert disk.watch.warnings() == []
    assert not disk.watch.report().is_slow
    assert disk.watch.report().sync_us == pytest.approx(310_000, abs=1)


def test_only_a_slow_disk_is_probed_and_only_where_nothing_is_written() -> None:
    quick, slow = Disk(), slow_disk()
    quick.sync(0.002, {"b": QUICK})

    assert not quick.watch.needs_probe(quick.now + 1000)
    assert not slow.watch.needs_probe(slow.now + PROBE_SECONDS / 2)
    assert slow.watch.needs_probe(slow.now + PROBE_SECONDS)


def test_peers_whose_disk_is_slow_come_last_or_not_at_all() -> None:
    disk = Disk()
    disk.sync(0.002, {"b": SLOW, "c": QUICK})

    assert disk.watch.quick(["b", "c", "unknown"]) == ["c", "unknown"]
    assert disk.watch.quick_first(["b", "c", "unknown"]) == ["c", "unknown", "b"]
