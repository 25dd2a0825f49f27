"""Driving: what a replica does when time passes, links come and go, and the disk has synced.

Source: Ongaro 2014, sections 3.4 (a follower that hears no leader stands), 6.2 (CheckQuorum),
9.6 (it asks for a forecast first), 10.2.1 (a leader counts itself once it is on disk).
"""

from raftgroups.elections import Elections
from raftgroups.following import Following
from raftgroups.leading import Leading


class Driving(Elections, Following, Leading):
    """A replica with all of its parts."""

    def synced(self) -> None:
        """Entries of this log have reached the disk: the leader may count itself."""
        if self._reign is not None:
            self._advance_leader_commit(self._reign)

    def link_up(self, peer: str, now: float, crowd: int = 1) -> None:
        """`crowd` is the number of groups here that know no leader."""
        if self._reign is not None and peer in self._peers:
            self.wake(now)
        self._now = now
        self._connected.add(peer)
        self._count_links()
        if self._reign is not None:
            if peer in self._peers:
                self._heartbeat(peer)
                self._replicate(peer)
        elif self.leader is None:
            self._hurry(crowd)

    def link_lost(self, peer: str, now: float, crowd: int = 1) -> None:
        """`crowd` is the number of groups here that the peer led."""
        if peer in self._peers if self._reign is not None else peer == self.leader:
            self.wake(now)
        self._now = now
        self._connected.discard(peer)
        self._count_links()
        self._forget_reads_of(peer)
        if self._reign is not None and peer in self._reign.progress:
            self._reign.progress[peer].link_lost()
        if peer == self.leader:
            self._contact = None
            self._know_leader(None)
            self._hurry(crowd)

    def stood_still(self, since: float, now: float) -> None:
        """This node has done nothing since then, for longer than others wait before they elect another.

        What it reads next was said before, and shows no more than that it led then.
        """
        if self._reign is None:
            return
        self.wake(now)
        self._now = now
        self._abdicate()
        self._led_at = since
        if self.configuration.voters == (self._name,):
            self._deadline = now

    def _pass_time(self) -> None:
        if self.is_asleep:
            return
        if self._reign is not None:
            self._check_quorum(self._reign)
        if self._reign is not None:
            self._lead(self._reign)
            self._sleep_if_quiet(self._reign)
        elif self._now >= self._deadline and self._now >= self._deadline + self._courtesy():
            self._stand()

    def _courtesy(self) -> float:
        """For how many seconds more others may stand first: a preference, for who can lead must do so in the end."""
        timing = self._timing
        may_be_led = self._port.is_slow and len(self.configuration.voters) > 1
        return timing.election_seconds_max - timing.election_seconds_min if may_be_led else 0.0
