"""Leading: replication, commit, heartbeats, and handing over.

Source: Ongaro 2014, sections 3.5, 3.6.2, 3.10, 4.2.2, 6.2 and 10.2.1.
"""

import logging

from raftgroups.command import configuration_in
from raftgroups.configuring import Configuring
from raftgroups.core import Role
from raftgroups.ids import LogIndex, Term
from raftgroups.membership import Configuration, is_single_step, next_step
from raftgroups.messages import Append, AppendReply, Heartbeat, HeartbeatReply, TimeoutNow
from raftgroups.port import Read
from raftgroups.reign import Reign
from raftgroups.replication import REPLICATE, SNAPSHOT, newest_not_after

log = logging.getLogger("ringkv.consensus")

APPEND_BYTES = 512 << 10
APPENDS_IN_FLIGHT = 16


class Leading(Configuring):
    """A replica as a leader."""

    # What its driver asks.

    @property
    def is_transferring(self) -> bool:
        return self._reign is not None and self._reign.successor is not None

    @property
    def may_change(self) -> bool:
        """Whether a change of membership may be proposed: no other is in flight, and this reign has committed.

        Source: Ongaro's mail of 2015 on the bug in single-server changes, for the second half.
        """
        reign = self._reign
        return (
            reign is not None
            and reign.successor is None
            and not self._configurations.is_pending(self.commit_index)
            and self.commit_index >= reign.no_op_index
        )

    @property
    def fresh_at(self) -> float | None:
        """When this replica last held all that its leader had committed, None if it never did.

        For a leader: when a majority was last known to follow it.
        """
        return self._fresh_at if self._reign is None else self._reign.followed_at(self._now)

    def match_of(self, peer: str) -> LogIndex:
        progress = self._reign.progress.get(peer) if self._reign else None
        return progress.match if progress else LogIndex(0)

    def has_lease(self, now: float) -> bool:
        """Whether all that is committed here is all that is committed anywhere, at `now` on this node's clock."""
        reign = self._reign
        self.refresh(now)
        return (
            reign is not None
            and reign.lease.is_valid(self.configuration.voters, now)
            and self.commit_index >= reign.no_op_index
        )

    def propose(self, payload: bytes) -> LogIndex:
        """Append an entry and send it. Only on a leader that is not handing over."""
        assert self.is_leader, "only a leader proposes"
        assert not self.is_transferring, "not while it hands over"
        assert not self.is_asleep, "whoever proposes wakes it"
        if self._reign is not None:
            self._reign.busy_at = self._now
        index = LogIndex(self._log.last_index + 1)
        self._log.write(index, [(self.term, payload)])
        self._stored_at, self._has_stored = self._now, True
        self._note_configurations(index)
        self._replicate_to_all()
        return index

    def next_configuration(self) -> Configuration | None:
        """The next step toward the target, when one can be taken now."""
        if self._reign is None or self.is_settled or not self.may_change:
            return None
        heard = self._reign.heard_since(self._now - self._timing.election_seconds_max)
        caught_up = self._reign.caught_up(self._log.last_index)
        return next_step(self.configuration, self._name, caught_up, heard)

    def change(self, payload: bytes) -> LogIndex:
        """Append an entry that holds a configuration, one step from the one in force."""
        configuration = configuration_in(payload)
        assert configuration is not None, "an entry of its own"
        assert self.may_change, "one change at a time"
        assert is_single_step(self.configuration, configuration), "one voter at a time"
        return self.propose(payload)

    def transfer(self, target: str, now: float) -> None:
        """Hand leadership to `target` as soon as it has every entry; proposals wait meanwhile."""
        self.wake(now)
        self._now = now
        reign = self._reign
        if reign is None or reign.successor is not None or target == self._name:
            return
        if target in self._connected and target in self.configuration.voters:
            reign.successor = (target, now + self._timing.election_seconds_min)
            self._hand_over(reign)

    def successors(self, now: float) -> list[str]:
        """The voters that could take over from this leader now: who has most of the log comes first."""
        reign = self._reign
        if reign is None:
            return []
        self.refresh(now)
        answering = reign.heard_since(now - self._timing.election_seconds_max) & self._connected
        return [voter for voter in reign.successors() if voter in answering]

    def snapshot_sent(self, peer: str, index: LogIndex, now: float) -> None:
        """`peer` has installed a snapshot that ends at `index`."""
        self._now = now
        if self._reign is not None and peer in self._reign.progress:
            self._reign.progress[peer].snapshot_installed(index)
            self._replicate(peer)

    def snapshot_failed(self, peer: str) -> None:
        if self._reign is not None and peer in self._reign.progress:
            self._reign.progress[peer].snapshot_failed()

    # What it does by itself.

    def _begin_reign(self) -> None:
        """This node was elected. Its term is told to all, with an entry of that term (thesis, 6.4)."""
        absence = self._tally.absence if self._tally is not None else None
        self._tally = None
        last, lease_seconds = self._log.last_index, self._timing.lease_seconds
        self._reign = Reign(self._name, self.term, self.configuration, last, self._now, lease_seconds)
        first_entry = self._port.no_op(absence)
        self._become(Role.LEADER)
        self._know_leader(self._name)
        self.propose(first_entry)
        self._announce(self._reign)

    def _end_reign(self) -> None:
        """Another leads, or nobody does: the reads that wait here are given up."""
        assert self._reign is not None, "a leader has a reign"
        reign, self._reign = self._reign, None
        self._led_at = max(self._led_at, reign.followed_at(self._now))
        for read in reign.reads.abandon():
            self._refuse(read)

    def _replicate_to_all(self) -> None:
        for peer in self._peers:
            self._replicate(peer)

    def _lead(self, reign: Reign[Read]) -> None:
        """What a leader does when time has passed, or something was committed."""
        if reign.successor is not None and self._now >= reign.successor[1]:
            reign.successor = None
        if self._now >= reign.heartbeat_due or self.commit_index > reign.announced:
            self._announce(reign)
        self._replicate_to_all()

    def _check_quorum(self, reign: Reign[Read]) -> None:
        """A leader that a majority has not answered for an election timeout is none (thesis, 6.2)."""
        if reign.followed_at(self._now) <= self._now - self._timing.election_seconds_max:
            self._abdicate()

    def _announce(self, reign: Reign[Read]) -> None:
        reign.heartbeat_due = self._now + self._timing.heartbeat_seconds
        reign.announced = self.commit_index
        if reign.lease.is_wanted:
            reign.lease.sent(reign.reads.next_round(), self._now)
        for peer in self._peers:
            self._heartbeat(peer)

    def _heartbeat(self, peer: str) -> None:
        assert self._reign is not None, "a leader has a reign"
        self._send(peer, Heartbeat(self._group, self.term, self.commit_index, self._reign.reads.round))

    def _replicate(self, peer: str) -> None:
        """Send what `peer` lacks, as far as its window goes."""
        progress = self._reign.progress.get(peer) if self._reign is not None else None
        if progress is None or peer not in self._connected:
            return
        log, last = self._log, self._log.last_index
        while progress.next_index <= last or progress.state is not REPLICATE:
            if not progress.may_send(self._now, self._timing.heartbeat_seconds, APPENDS_IN_FLIGHT):
                return
            prev = LogIndex(progress.next_index - 1)
            if prev < log.first_index:
                progress.snapshot_needed()
                self._port.snapshot_needed(peer)
                return
            entries = log.entries_from(progress.next_index, APPEND_BYTES) if prev < last else []
            sequence = progress.sent(LogIndex(prev + len(entries)), self._now)
            append = Append(self._group, self.term, prev, log.term_at(prev), entries, self.commit_index, sequence)
            self._port.send(peer, append, log.entry_generation)

    def _on_append_reply(self, sender: str, reply: AppendReply) -> None:
        reign = self._reign
        if reply.term != self._log.term or reign is None:
            self._step_down(Term(reply.term))
            return
        reign.heard(sender, self._now)
        progress = reign.progress.get(sender)
        if progress is None:
            return
        if reply.ok:
            if progress.accepted(reply.sequence, LogIndex(reply.match)) and reply.match > self.commit_index:
                self._advance_leader_commit(reign)
            self._hand_over(reign)
        elif reply.hint_index < self._log.first_index:
            if progress.state is not SNAPSHOT:
                progress.snapshot_needed()
                self._port.snapshot_needed(sender)
        else:
            meeting = newest_not_after(self._log, LogIndex(reply.hint_index), Term(reply.hint_term))
            if progress.rejected(reply.sequence, meeting):
                log.warning("partition %d: %s has lost entries that it had confirmed", self._group, sender)
        self._replicate(sender)

    def _on_heartbeat_reply(self, sender: str, reply: HeartbeatReply) -> None:
        self._step_down(Term(reply.term))
        reign = self._reign
        if reign is not None and reply.term == self.term:
            reign.heard(sender, self._now)
            reign.told_of_room(sender, reply.has_room)
            if reply.promise:
                reign.lease.promised(sender, reply.round)
            self._perform(reign.reads.echoed(sender, reply.round))

    def _advance_leader_commit(self, reign: Reign[Read]) -> None:
        index = reign.committed(self._log.durable_index, self.commit_index, self._log.term_at)
        if index > self.commit_index:
            self._set_commit(index)

    def _hand_over(self, reign: Reign[Read]) -> None:
        if reign.successor is not None:
            successor = reign.successor[0]
            if reign.progress[successor].match >= self._last_for_successor(reign):
                # From here on another may be elected at any time, in spite of every promise.
                reign.lease.forfeit()
                self._send(successor, TimeoutNow(self._group, self.term))

    def _last_for_successor(self, reign: Reign[Read]) -> LogIndex:
        """What a successor must have: all of the log, or where that is on a full disk, what it could store and send.

        An entry that its leader never stored nor sent counts nowhere, and is as good as never proposed. But
        whoever lacks it needs the votes of others, who must be able to store them.
        """
        is_stuck = not self._port.has_room and reign.can_do_without_leader()
        return self._log.durable_index if is_stuck else self._log.last_index

    def _resign(self, reign: Reign[Read]) -> None:
        """This leader's own removal is committed: it was the last thing to do for it (thesis, 4.2.2)."""
        for successor in reign.successors()[:1]:
            self._send(successor, TimeoutNow(self._group, self.term))
        self._abdicate()
