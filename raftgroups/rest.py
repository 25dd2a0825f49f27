"""Rest: a replica that sleeps while nothing happens in its group. Who keeps watch meanwhile: vigil.py.

A replica that sleeps is not told of time. Whatever else it is told wakes it, and it is then as if it had been awake:
what the Beats of the others have shown counts as if it had heard them itself.
"""

from raftgroups.core import Core
from raftgroups.ids import LogIndex, Term
from raftgroups.lease import NEVER
from raftgroups.messages import HeartbeatReply, RaftMessage
from raftgroups.port import Read
from raftgroups.reign import Reign
from raftgroups.replication import REPLICATE


class Rest(Core):
    """A replica that may sleep."""

    def wake(self, now: float) -> None:
        if self.is_asleep:
            self.refresh(now)
            self._rise()

    def refresh(self, now: float) -> None:
        """Take in what was heard in its sleep."""
        if not self.is_asleep:
            return
        self._now = now
        if self._reign is not None:
            self._hear_followers(self._reign)
        else:
            self._hear_leader()

    def lie_down(self, leader: str, term: Term, index: LogIndex, now: float) -> bool:
        """Sleep, as the leader does; not, unless this replica follows it, and lacks nothing of the log."""
        self.wake(now)
        self._now = now
        if leader != self.leader or term != self.term or self._reign is not None or self._tally is not None:
            return False
        self._follow(leader, term)
        self._commit_up_to(index)
        if not self.commit_index == self._verified == self._log.last_index == index:
            return False
        if self._timing.lease_seconds:
            self._promised_at = now
        self.is_asleep = True
        return True

    def withdraw(self) -> None:
        """This replica stops, asleep or not."""
        if self.is_asleep:
            self._rise()

    def _disturbs(self, message: RaftMessage) -> bool:
        """All do but the answer to a heartbeat that was on its way when this leader fell asleep."""
        return not isinstance(message, HeartbeatReply) or message.term != self.term

    def _sleep_if_quiet(self, reign: Reign[Read]) -> None:
        """Nobody has asked for anything for a while, and nobody lacks anything: sleep, and have the followers sleep."""
        quiet_seconds = self._timing.quiet_seconds
        if not quiet_seconds or self._now < reign.busy_at + quiet_seconds:
            return
        if self._may_sleep(reign) and self._port.may_rest:
            followers = [peer for peer in self._peers if peer in self._connected]
            self.is_asleep = self._port.rest(self.term, self._log.last_index, followers)

    def _may_sleep(self, reign: Reign[Read]) -> bool:
        """A follower without a link cannot be waited for: when it has one again, the group wakes."""
        last = self._log.last_index
        return (
            self.applied_index == self._log.durable_index == last
            and self.is_settled
            and self.has_quorum_links
            and not self._configurations.is_pending(last)
            and reign.successor is None
            and not reign.reads.is_busy
            and all(
                progress.match == last and progress.state is REPLICATE
                for peer, progress in reign.progress.items()
                if peer in self._connected
            )
        )

    def _rise(self) -> None:
        self.is_asleep = False
        if self._reign is not None:
            self._reign.busy_at = self._reign.heartbeat_due = self._now
        self._port.woke()

    def _hear_followers(self, reign: Reign[Read]) -> None:
        for peer in self._peers:
            contact = self._port.contact(peer)
            if contact is not None:
                reign.heard(peer, contact.heard_at)
                if contact.promises:
                    reign.lease.promised_since(peer, contact.met_at)

    def _hear_leader(self) -> None:
        assert self.leader is not None, "it sleeps as its leader does"
        contact = self._port.contact(self.leader)
        if contact is None:
            return
        self._contact = max(contact.heard_at, NEVER if self._contact is None else self._contact)
        self._led_at = max(self._led_at, contact.met_at)
        self._fresh_at = max(contact.heard_at, NEVER if self._fresh_at is None else self._fresh_at)
        if self._timing.lease_seconds:
            self._promised_at = max(self._promised_at, contact.heard_at)
        self._deadline = max(self._deadline, contact.heard_at + self._patience)
