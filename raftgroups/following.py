"""Following: entries and heartbeats of a leader.

Source: Ongaro 2014, sections 3.5 and 3.6.
"""

from collections.abc import Sequence

from raftgroups.configuring import Configuring
from raftgroups.core import Role
from raftgroups.errors import DivergedError
from raftgroups.ids import LogIndex, Term
from raftgroups.journal import StoredEntry
from raftgroups.membership import Configuration
from raftgroups.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from raftgroups.replication import Diverged, Reject, reconcile

NOTHING = LogIndex(0)


class Following(Configuring):
    """A replica as a follower."""

    def snapshot_installed(
        self, index: LogIndex, term: Term, configured: tuple[LogIndex, Configuration], now: float
    ) -> None:
        """The state machine jumped to `index`, with the configuration as of there; the log starts after it."""
        self._now = now
        assert index > self.applied_index, "a snapshot never moves state back"
        log = self._log
        is_known = log.first_index <= index <= log.last_index and log.term_at(index) == term
        if is_known:
            # What follows is in the log of whoever made it, and may have been acknowledged: it stays.
            log.forget_before(index)
        else:
            log.reset(index, term)
        self._verified = max(self._verified, index)
        self._was_told_to_go = False
        self._store_applied(index)
        if not is_known:
            self._stored_at, self._has_stored = self._now, False
        self._configurations.restored(*configured, index, keeps_log=is_known)
        self._configuration_changed()
        self._set_commit(max(self.commit_index, index))

    def _follow(self, leader: str, term: int) -> None:
        self._contact = self._now
        self._led_at = max(self._led_at, min(self._now, self._port.met_at(leader)))
        # Leaders speak to members alone: whoever was told to go, and then this, has been added again.
        self._was_told_to_go = False
        self._deadline = self._now + self._patience
        if leader == self.leader and term == self._log.term and self._tally is None:
            return
        if term > self.term:
            self._set_term(term, None)
            # What matched the same leader's log in an older reign may have changed in between.
            self._verified = self.commit_index
        self._become(Role.FOLLOWER)
        self._tally = None
        if self.leader != leader:
            self._verified = self.commit_index
            self._know_leader(leader)
        self._await_leader()

    def _on_append(self, sender: str, message: Append) -> None:
        log = self._log
        if message.term < log.term:
            self._reply_append(sender, message, ok=False, match=NOTHING, hint=log.last_index)
            return
        self._follow(sender, message.term)
        prev = LogIndex(message.prev_index)
        terms = [term for term, _ in message.entries]
        verdict = reconcile(log, self.commit_index, prev, message.prev_term, terms)
        if isinstance(verdict, Diverged):
            raise DivergedError(
                f"partition {self._group}: leader {sender} of term {message.term} "
                f"contradicts committed entry {verdict.index}"
            )
        if isinstance(verdict, Reject):
            self._reply_append(sender, message, ok=False, match=NOTHING, hint=verdict.index)
            return
        if verdict.skip < len(terms):
            self._store(LogIndex(prev + 1 + verdict.skip), message.entries[verdict.skip :])
        self._verified = max(self._verified, verdict.match)
        self._commit_up_to(message.commit)
        self._reply_append(sender, message, ok=True, match=verdict.match, hint=NOTHING)

    def _store(self, first: LogIndex, entries: Sequence[StoredEntry]) -> None:
        self._log.write(first, entries)
        self._stored_at, self._has_stored = self._now, True
        self._note_configurations(first)

    def _reply_append(self, leader: str, message: Append, *, ok: bool, match: LogIndex, hint: LogIndex) -> None:
        log = self._log
        hint_term = 0 if ok else log.term_at(hint)
        reply = AppendReply(self._group, log.term, message.sequence, ok, match, hint, hint_term)
        self._port.send(leader, reply, max(log.entry_generation, log.term_generation))

    def _on_heartbeat(self, sender: str, message: Heartbeat) -> None:
        if message.term < self.term:
            # Its round is of an older reign, perhaps of the same leader: an echo would confirm a newer one.
            self._send(sender, HeartbeatReply(self._group, self.term, 0))
            return
        self._follow(sender, message.term)
        self._commit_up_to(message.commit)
        promises = self._timing.lease_seconds > 0
        if promises:
            self._promised_at = self._now
        self._send(sender, HeartbeatReply(self._group, self.term, message.round, promises, self._port.has_room))

    def _commit_up_to(self, leader_commit: int) -> None:
        """What the leader has committed is committed here as far as the logs are known to be equal."""
        if leader_commit <= self._verified:
            self._fresh_at = self._now
        commit = LogIndex(min(leader_commit, self._verified))
        if commit > self.commit_index:
            self._set_commit(commit)
