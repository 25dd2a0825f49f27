"""Log replication: what a follower takes, what a leader may send, what is committed.

Pure rules over a log's shape. Source: Ongaro 2014, sections 3.5 (log matching),
3.6 (commit), 10.2.1 (pipelining).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from raftgroups.ids import LogIndex, Term


class LogShape(Protocol):
    """The terms of a log. The entry at `first_index` is the last one a snapshot covers."""

    @property
    def first_index(self) -> LogIndex: ...

    @property
    def last_index(self) -> LogIndex: ...

    def term_at(self, index: LogIndex) -> Term: ...


@dataclass(frozen=True, slots=True)
class Accept:
    """The entries fit. Those from `skip` on are new here; all up to `match` equal the leader's."""

    skip: int
    match: LogIndex


@dataclass(frozen=True, slots=True)
class Reject:
    """The log differs at or before prev_index; `index` of `term` is the newest place that may match."""

    index: LogIndex
    term: Term


@dataclass(frozen=True, slots=True)
class Diverged:
    """A leader's entry contradicts a committed one: this replica must stop."""

    index: LogIndex


def reconcile(
    log: LogShape, commit: LogIndex, prev_index: LogIndex, prev_term: int, terms: Sequence[int]
) -> Accept | Reject | Diverged:
    """What a follower does with entries that carry `terms` and follow `prev_index`.

    Invariant: an entry that already matches is kept, whatever follows it, because it may
    have been acknowledged; only a conflict cuts the log, and never at or below `commit`.
    """
    last, first = log.last_index, log.first_index
    if prev_index > last:
        return Reject(last, log.term_at(last))
    if prev_index >= first and log.term_at(prev_index) != prev_term:
        if prev_index <= commit:
            return Diverged(prev_index)
        return _before_conflict(log, commit, prev_index)
    for offset, term in enumerate(terms):
        index = LogIndex(prev_index + 1 + offset)
        if index > last:
            return Accept(offset, LogIndex(prev_index + len(terms)))
        if index < first:
            continue
        if log.term_at(index) != term:
            if index <= commit:
                return Diverged(index)
            return Accept(offset, LogIndex(prev_index + len(terms)))
    return Accept(len(terms), LogIndex(prev_index + len(terms)))


def _before_conflict(log: LogShape, commit: LogIndex, index: LogIndex) -> Reject:
    """Skip the whole conflicting term: none of its entries can match (section 5.3 of the paper)."""
    wrong = log.term_at(index)
    floor = max(commit, log.first_index)
    while index > floor and log.term_at(index) == wrong:
        index = LogIndex(index - 1)
    return Reject(index, log.term_at(index))


def newest_not_after(log: LogShape, index: LogIndex, term: Term) -> LogIndex:
    """The leader's newest index at or below `index` whose term is not above `term`."""
    index = min(index, log.last_index)
    while index > log.first_index and log.term_at(index) > term:
        index = LogIndex(index - 1)
    return index


def quorum_match(matches: Sequence[int]) -> LogIndex:
    """The highest index that a majority of voters has; `matches` holds one per voter, self included."""
    return LogIndex(sorted(matches)[(len(matches) - 1) // 2])


class State(Enum):
    """How the leader sends to a follower; see Progress."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


# As in level.py: named as State.X each would be looked up by the metaclass.
PROBE, REPLICATE, SNAPSHOT = State


class Progress:
    """What the leader knows of one follower, and what it may send next.

    PROBE      one Append at a time, until the logs' meeting point is found
    REPLICATE  optimistic: up to `window` Appends in flight
    SNAPSHOT   nothing but heartbeats until the snapshot is in force

    Invariant: next_index > match, and match falls only when the follower's disk has lost what it confirmed.
    Source: etcd raft, design of Progress.
    """

    __slots__ = (
        "_acknowledged",
        "_probe_sent_at",
        "_probe_sequence",
        "_sequence",
        "match",
        "next_index",
        "state",
    )

    def __init__(self, next_index: LogIndex) -> None:
        self.match = LogIndex(0)
        self.next_index = next_index
        self.state = PROBE
        self._sequence = 0
        self._acknowledged = 0
        self._probe_sequence = 0
        self._probe_sent_at: float | None = None

    def may_send(self, now: float, retry_seconds: float, window: int) -> bool:
        if self.state is REPLICATE:
            return self._sequence - self._acknowledged < window
        if self.state is PROBE:
            return self._probe_sent_at is None or now - self._probe_sent_at >= retry_seconds
        return False

    def sent(self, last_index: LogIndex, now: float) -> int:
        """An Append up to `last_index` leaves; gives its sequence."""
        self._sequence += 1
        if self.state is PROBE:
            self._probe_sequence = self._sequence
            self._probe_sent_at = now
        else:
            self.next_index = LogIndex(last_index + 1)
        return self._sequence

    def accepted(self, sequence: int, match: LogIndex) -> bool:
        """The follower has everything up to `match`; says whether that is news."""
        self._acknowledged = max(self._acknowledged, sequence)
        news = match > self.match
        if news:
            self.match = match
        if self.state is PROBE and sequence >= self._probe_sequence:
            self.state = REPLICATE
            self._acknowledged = self._sequence
            self.next_index = LogIndex(self.match + 1)
        self.next_index = max(self.next_index, LogIndex(self.match + 1))
        return news

    def rejected(self, sequence: int, meeting: LogIndex) -> bool:
        """The follower's log may meet ours at `meeting`; a refusal of anything older is void.

        Says whether it lacks what it once confirmed: then its disk has lost that, and gets it again.
        """
        if sequence < self._probe_sequence or self.state is SNAPSHOT:
            return False
        is_probe = self.state is PROBE
        has_lost = is_probe and self.next_index == self.match + 1 and meeting < self.match
        if has_lost:
            self.match = meeting
        next_index = LogIndex(max(meeting, self.match) + 1)
        if is_probe and next_index == self.next_index:
            # That is what it was asked. Nothing helps but time: ask again at the pace of a probe.
            return False
        self._probe_from(next_index)
        return has_lost

    def link_lost(self) -> None:
        """Whatever was in flight may be gone."""
        self._probe_from(LogIndex(self.match + 1) if self.match else self.next_index)

    def snapshot_needed(self) -> None:
        self.state = SNAPSHOT

    def snapshot_installed(self, index: LogIndex) -> None:
        self.match = max(self.match, index)
        self._probe_from(LogIndex(self.match + 1))

    def snapshot_failed(self) -> None:
        self._probe_from(self.next_index)

    def _probe_from(self, next_index: LogIndex) -> None:
        self.state = PROBE
        self.next_index = next_index
        self._acknowledged = self._sequence
        self._probe_sequence = self._sequence + 1
        self._probe_sent_at = None
