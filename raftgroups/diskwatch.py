"""Disk watch: compares this node's disk with what the peers tell of theirs, and says so when it is slow.

Nothing of it is needed for safety: a slow disk is a reason to have another one lead, if another can.
"""

import logging
from collections.abc import Mapping, Sequence
from statistics import median_low

from raftgroups.diskpace import DiskPace
from raftgroups.messages import DiskReport
from raftgroups.synctimes import SyncTimes

log = logging.getLogger("ringkv.disk")

# So often a slow disk is tried where nothing else is written.
PROBE_SECONDS = 2.0


class DiskWatch:
    """What one node knows of its own disk and of its peers' disks; `times` are of its own."""

    def __init__(self, times: SyncTimes) -> None:
        self._times = times
        self._pace = DiskPace()
        self._mine: float | None = None
        self._peers: Mapping[str, DiskReport] = {}

    @property
    def is_slow(self) -> bool:
        return self._pace.is_slow

    def tick(self, peers: Mapping[str, DiskReport], now: float) -> None:
        """`peers` have told this lately."""
        self._peers = peers
        self._mine = self._times.median(now)
        was_slow = self.is_slow
        if self._pace.judge(self._mine, self._others(), now) != was_slow:
            if self.is_slow:
                log.warning("%s", self._sentence())
            else:
                log.info("this disk is quick again: leaderships may come back")

    def needs_probe(self, now: float) -> bool:
        """Whether something must be synced for it to be known how long that takes."""
        ended_at = self._times.ended_at
        return self.is_slow and (ended_at is None or now - ended_at >= PROBE_SECONDS)

    def report(self) -> DiskReport:
        """What peers are told."""
        return DiskReport(None if self._mine is None else int(self._mine * 1e6), self.is_slow)

    def quick(self, nodes: Sequence[str]) -> list[str]:
        """Those of these peers whose disk is not slow, as far as is known."""
        return [name for name in nodes if name not in self._peers or not self._peers[name].is_slow]

    def quick_first(self, nodes: Sequence[str]) -> list[str]:
        """These peers in their order, but those whose disk is slow last."""
        quick = self.quick(nodes)
        return [*quick, *(name for name in nodes if name not in quick)]

    def warnings(self) -> list[str]:
        return [self._sentence()] if self.is_slow else []

    def statistics(self) -> dict[str, float]:
        known = {} if self._mine is None else {"disk_sync_seconds": self._mine}
        return {**known, "disk_slow": self.is_slow}

    def _others(self) -> list[float]:
        return [disk.sync_us / 1e6 for disk in self._peers.values() if disk.sync_us is not None]

    def _sentence(self) -> str:
        others = self._others()
        mine = "much longer than others" if self._mine is None else f"{self._mine:.3g} s"
        usual = f", the others {median_low(others):.3g} s" if others else ""
        return (
            f"this disk takes {mine} a sync{usual}: other nodes lead what they can until it is quick; "
            "see what else uses the disk, or replace it"
        )
