"""One group's view of the node log: its entries in memory, their durability, its term and vote."""

from collections import deque
from collections.abc import Sequence

from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.nodelog import Entries, HardState, NodeLog, Remains, Reset

StoredEntry = tuple[int, bytes]
"""(term, payload), as it stands in messages and in the node log."""


class GroupLog:
    """The Raft log of one group. The entry at `first_index` is the last that a snapshot covers.

    Entries stay in memory until `forget_before`, well behind what the engine has flushed, so
    that a follower that was away for a moment is served from here.

    Invariant: indexes are contiguous, and last_index never falls below first_index.
    """

    def __init__(self, node_log: NodeLog, group: PartitionId, applied: LogIndex, applied_term: Term) -> None:
        """`applied` is what the engine holds for certain; the entries after it are replayed."""
        self._node_log = node_log
        self._group = group
        remains = node_log.take_remains(group)
        self.term = max(remains.term, applied_term)
        self.vote = remains.vote or None
        self.first_index, self._entries = align(group, remains, applied, applied_term)
        self._bytes = sum(len(payload) for _, payload in self._entries)
        self._unsynced: deque[tuple[int, LogIndex]] = deque()
        self.durable_index = self.last_index
        self.term_generation = 0
        self.entry_generation = 0
        if remains.entries and self.first_index == self.last_index == applied:
            # The engine is ahead of the node log: say so there, before an entry that would not follow.
            self.entry_generation = node_log.add(Reset(group, applied, applied_term))

    @property
    def last_index(self) -> LogIndex:
        return LogIndex(self.first_index + len(self._entries) - 1)

    @property
    def last_term(self) -> Term:
        return Term(self._entries[-1][0])

    @property
    def bytes_in_memory(self) -> int:
        return self._bytes

    def term_at(self, index: LogIndex) -> Term:
        return Term(self._entries[index - self.first_index][0])

    def entry_at(self, index: LogIndex) -> StoredEntry:
        return self._entries[index - self.first_index]

    def entries_from(self, index: LogIndex, bytes_max: int) -> list[StoredEntry]:
        """The entries from `index` on: as many as fit, but at least one."""
        start = index - self.first_index
        size = 0
        for stop in range(start, len(self._entries)):
            size += len(self._entries[stop][1])
            if size > bytes_max and stop > start:
                return self._entries[start:stop]
        return self._entries[start:]

    def write(self, first: LogIndex, entries: Sequence[StoredEntry]) -> None:
        """Store `entries` from index `first` on; whatever stood there is gone."""
        keep = first - self.first_index
        assert 0 < keep <= len(self._entries), "an entry must follow the log"
        if keep < len(self._entries):
            self._cut(keep)
        stored = list(entries)
        self._entries += stored
        self._bytes += sum(len(payload) for _, payload in stored)
        self.entry_generation = self._node_log.add(Entries(self._group, first, stored))
        self._unsynced.append((self.entry_generation, self.last_index))

    def reset(self, index: LogIndex, term: Term) -> None:
        """A snapshot that ends at `index` takes the place of everything here."""
        self._entries = [(term, b"")]
        self._bytes = 0
        self.first_index = self.durable_index = index
        self._unsynced.clear()
        self.entry_generation = self._node_log.add(Reset(self._group, index, term))

    def forget_before(self, index: LogIndex) -> None:
        """Let go of the memory of entries below `index`; the disk is the node log's business."""
        gone = min(index, self.last_index) - self.first_index
        if gone > 0:
            self._bytes -= sum(len(payload) for _, payload in self._entries[:gone])
            del self._entries[:gone]
            self.first_index = LogIndex(self.first_index + gone)

    def set_term(self, term: Term, vote: str | None) -> None:
        self.term, self.vote = term, vote
        self.term_generation = self._node_log.add(HardState(self._group, term, vote or ""))

    def synced(self, generation: int) -> bool:
        """Everything up to `generation` is on disk; says whether entries of this group were among it."""
        news = False
        while self._unsynced and self._unsynced[0][0] <= generation:
            self.durable_index = self._unsynced.popleft()[1]
            news = True
        return news

    def _cut(self, keep: int) -> None:
        self._bytes -= sum(len(payload) for _, payload in self._entries[keep:])
        del self._entries[keep:]
        last = self.last_index
        self._unsynced = deque((generation, min(index, last)) for generation, index in self._unsynced)
        self.durable_index = min(self.durable_index, last)


def align(
    group: PartitionId, remains: Remains, applied: LogIndex, applied_term: Term
) -> tuple[LogIndex, list[StoredEntry]]:
    """Where the log starts, and its entries, given what the engine holds for certain.

    Raises: DamagedDirectoryError, if entries between the two are gone.
    """
    first, entries = remains.first, remains.entries
    if not entries or first + len(entries) - 1 < applied:
        if remains.start is not None and remains.start[0] > applied:
            raise DamagedDirectoryError(
                f"partition {group}: the node log starts after a snapshot at {remains.start[0]}, "
                f"but the engine ends at {applied}"
            )
        return applied, [(applied_term, b"")]
    if first > applied + 1:
        raise DamagedDirectoryError(
            f"partition {group}: entries {applied + 1} to {first - 1} are missing from the node log"
        )
    if first == applied + 1:
        return applied, [(applied_term, b""), *entries]
    if entries[applied - first][0] != applied_term:
        # A snapshot was installed over a divergent tail, and the crash came before the log's Reset.
        # What the engine holds is committed, so the tail never was.
        return applied, [(applied_term, b"")]
    return first, list(entries)
