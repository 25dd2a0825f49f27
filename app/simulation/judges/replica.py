"""One node's copy of one partition as the judges saw it last, also while the node is down."""

from collections import deque
from dataclasses import dataclass

from raftgroups import LogIndex, PartitionId, RaftGroup, Term

NOTHING = LogIndex(0)


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a replica at a glance.

    starts      which start of its node this is
    vote        given in `term`, None for none
    is_certain  term and vote are on disk
    generation  of the node log that holds the newest change of the log
    flushed     the engine has everything up to here in tables
    machine     the state machine in force: a snapshot replaces it
    voters      of the configuration in force, committed or not
    failure     why the replica stopped, if it did
    """

    starts: int
    term: Term
    vote: str | None
    is_certain: bool
    is_leader: bool
    first: LogIndex
    last: LogIndex
    last_term: Term
    generation: int
    commit: LogIndex
    applied: LogIndex
    flushed: LogIndex
    machine: object
    voters: tuple[str, ...]
    failure: BaseException | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a step changed in a replica.

    before    None at the very first sight
    is_start  the first sight since the node started, or since the replica was made anew
    is_anew   it had been removed: nothing but its term and vote need be left of it
    kept      entries up to here stand as they stood before; those after it, up to now.last, are new
    cut       (index, term) of the entries that stood there before and do not any more
    synced    entries up to here were on disk before the step
    votes     (term, candidate) of each that the step put on disk; `now` has the last vote alone
    """

    replica: "Replica"
    group: RaftGroup
    before: Sight | None
    now: Sight
    is_start: bool
    is_anew: bool
    kept: LogIndex
    cut: tuple[tuple[LogIndex, Term], ...]
    synced: LogIndex
    votes: tuple[tuple[Term, str], ...]


class Replica:
    """What is known of one replica.

    durable     entries up to here are on disk, by the node log's count of its syncs
    is_retired  removed from the group: what it held counts for nothing
    """

    def __init__(self, node: str, partition: PartitionId) -> None:
        self.node = node
        self.partition = partition
        self.durable = NOTHING
        self.is_retired = False
        self.seen: Sight | None = None
        self._group: RaftGroup | None = None
        self._first = NOTHING
        self._terms: list[Term] = []
        self._unsynced: deque[tuple[int, LogIndex]] = deque()
        self._glance: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{self.node}'s replica of partition {self.partition}"

    def holds(self, index: LogIndex, term: int) -> bool:
        """Whether the entry of `term` at `index` is on this node's disk, in its log or in its engine."""
        if self.is_retired:
            return False
        return index <= self._first or (index <= self.durable and self._terms[index - self._first] == term)

    def lists(self, index: LogIndex, term: int) -> bool:
        """Whether the entry of `term` at `index` was in this node's log when it was seen last, on disk or not."""
        at = index - self._first
        return 0 <= at < len(self._terms) and self._terms[at] == term

    def retire(self) -> None:
        self.is_retired = True
        self.durable = self._first = NOTHING
        self._terms, self._glance = [], ()
        self._unsynced.clear()

    def look(
        self, group: RaftGroup, starts: int, synced: int, votes: tuple[tuple[Term, str], ...] = ()
    ) -> Change | None:
        """Look again; None when nothing is new.

        `synced` is the generation of the node log that is on disk, `votes` (term, candidate) what it came with.
        Cost: some microseconds, and more only for entries that are new.
        """
        log, consensus, machine = group.log, group.consensus, group.machine
        first, last = log.first_index, log.last_index
        glance = (
            *(starts, log.term, log.vote, log.term_generation <= synced, consensus.is_leader, first, last),
            *(log.last_term, log.entry_generation, consensus.commit_index, consensus.applied_index),
            *(machine.engine.flushed_sequence, machine, consensus.configuration.voters, group.failure),
        )
        unsynced = self._unsynced
        if glance == self._glance and not votes and not (unsynced and unsynced[0][0] <= synced):
            return None
        self._glance = glance
        before, now = self.seen, Sight(*glance)  # type: ignore[arg-type]  # the same fields in the same order
        is_start = before is None or before.starts != starts or group is not self._group
        is_anew, self.is_retired = self.is_retired, False
        self.seen, self._group = now, group
        was_durable = self.durable
        kept, cut = self._follow(group, now)
        self._count_durable(group, now, kept, synced, is_start=is_start)
        return Change(self, group, before, now, is_start, is_anew, kept, cut, was_durable, votes)

    def _follow(self, group: RaftGroup, now: Sight) -> tuple[LogIndex, tuple[tuple[LogIndex, Term], ...]]:
        """Bring the terms up to date: how far they stood, and what is gone."""
        log, terms, first = group.log, self._terms, self._first
        was_last = first + len(terms) - 1
        kept = min(was_last, now.last)
        low = max(first, now.first)
        while kept > low and terms[kept - first] != log.term_at(LogIndex(kept)):
            kept -= 1
        if kept < low or (terms and terms[kept - first] != log.term_at(LogIndex(kept))):
            kept = low - 1
        cut = tuple(
            (LogIndex(i), terms[i - first]) for i in range(max(kept + 1, first + 1, now.first + 1), was_last + 1)
        )
        if now.first > kept or not terms or now.first < first:
            self._terms = [log.term_at(LogIndex(i)) for i in range(now.first, now.last + 1)]
            kept = max(kept, now.first)
        else:
            del terms[kept - first + 1 :]
            terms.extend(log.term_at(LogIndex(i)) for i in range(kept + 1, now.last + 1))
            del terms[: now.first - first]
        self._first = now.first
        return LogIndex(kept), cut

    def _count_durable(self, group: RaftGroup, now: Sight, kept: LogIndex, synced: int, *, is_start: bool) -> None:
        unsynced = self._unsynced
        if is_start:
            # What was found on the disk was synced again before it was used.
            unsynced.clear()
            self.durable = group.log.durable_index
        self.durable = min(self.durable, kept)
        while unsynced and unsynced[-1][1] > kept:
            generation, _ = unsynced.pop()
            if kept > (unsynced[-1][1] if unsynced else self.durable):
                unsynced.append((generation, kept))
        newest = unsynced[-1] if unsynced else None
        if now.last > (newest[1] if newest else self.durable):
            if newest and newest[0] == now.generation:
                unsynced.pop()
            unsynced.append((now.generation, now.last))
        while unsynced and unsynced[0][0] <= synced:
            self.durable = max(self.durable, unsynced.popleft()[1])
        self.durable = max(self.durable, now.first)
