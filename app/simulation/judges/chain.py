"""What one partition has committed, as first seen, and the state that follows from it.

The state is worked out here a second time, from the commands alone, and remembers every version
of every key: so a replica can be compared at whatever index it has reached.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.simulation.judges.reckoning import Reckoning, Version
from raftgroups import (
    Configuration,
    Entry,
    Item,
    LogIndex,
    Rejected,
    Result,
    Revision,
    Term,
    decode_entry,
    encode_command,
    encode_item,
    index_of,
    revision_of,
)

StoredEntry = tuple[int, bytes]
"""(term, payload)."""


@dataclass(frozen=True, slots=True)
class Passage:
    """An entry that has been committed.

    at        when, in true time
    clock_ms  the time that it told
    expired   of keys that had expired by then
    made      by its commands
    """

    index: LogIndex
    term: int
    at: float
    clock_ms: int
    entry: Entry
    results: Sequence[Result]
    expired: Sequence[Version]
    made: Sequence[Version]


class Chain:
    """The committed entries of one partition, from index 1 on.

    Invariant: it only grows; what a replica commits must equal it.

    now   the simulated time
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._entries: list[StoredEntry] = []
        self._committed_at: list[float] = []
        self._reckoning = Reckoning()
        self._written: list[list[bytes]] = []
        self._results: dict[bytes, list[Result]] = {}
        self._reigns: list[Term] = []
        self._revisions: dict[bytes, list[Revision]] = {}
        self._items: dict[bytes, list[bytes | None]] = {}
        self._configured: list[tuple[LogIndex, Configuration]] = []
        self._news: list[Passage] = []

    @property
    def last_index(self) -> LogIndex:
        return LogIndex(len(self._entries))

    @property
    def keys(self) -> list[bytes]:
        """Every key that was ever written."""
        return sorted(self._revisions)

    def entry_at(self, index: LogIndex) -> StoredEntry:
        return self._entries[index - 1]

    def last_before(self, term: Term) -> LogIndex:
        """The newest index that was committed in an earlier reign than `term`."""
        index = len(self._entries)
        while index and self._reigns[index - 1] >= term:
            index -= 1
        return LogIndex(index)

    def extend(self, term: int, payload: bytes, reign: Term) -> None:
        """The next entry is committed, by the leader of `reign`."""
        self._entries.append((term, payload))
        self._reigns.append(reign)
        self._committed_at.append(self._now())
        entry = decode_entry(payload)
        if entry.configuration is not None:
            self._configured.append((self.last_index, entry.configuration))
        results, versions = self._reckoning.apply(self.last_index, entry)
        for command, result in zip(entry.commands, results, strict=True):
            self._results.setdefault(encode_command(command), []).append(result)
        for version in versions:
            self._revisions.setdefault(version.key, []).append(version.revision)
            item = encode_item(version.item) if version.item is not None else None
            self._items.setdefault(version.key, []).append(item)
        self._written.append([version.key for version in versions])
        reckoning, at = self._reckoning, self._committed_at[-1]
        expired, made = versions[: reckoning.expired], versions[reckoning.expired :]
        self._news.append(Passage(self.last_index, term, at, reckoning.clock_ms, entry, results, expired, made))

    def take_news(self) -> list[Passage]:
        """What was committed since this was asked last."""
        if not self._news:
            return self._news
        news, self._news = self._news, []
        return news

    def keys_of(self, index: LogIndex) -> list[bytes]:
        """What the entry at `index` changed, or let expire."""
        return self._written[index - 1]

    def results_of(self, command: bytes) -> list[Result]:
        """What came of an encoded command, each time that it was committed."""
        return self._results.get(command, [])

    def committed_before(self, time: float) -> LogIndex:
        """What was committed before a simulated time."""
        return LogIndex(bisect_left(self._committed_at, time))

    @property
    def tokens(self) -> set[bytes]:
        """What was done once and is remembered, with everything applied."""
        return set(self._reckoning.tokens)

    def configured_at(self, index: LogIndex) -> tuple[LogIndex, Configuration] | None:
        """The newest configuration up to `index`, and where it stands; None while it is the founding one."""
        return next((configured for configured in reversed(self._configured) if configured[0] <= index), None)

    def item_at(self, key: bytes, index: LogIndex) -> bytes | None:
        """The encoded Item under `key` when everything up to `index` is applied."""
        revisions = self._revisions.get(key)
        if revisions is None:
            return None
        newest = bisect_right(revisions, revision_of(LogIndex(index + 1), 0) - 1)
        return self._items[key][newest - 1] if newest else None

    def made(self, key: bytes, revision: int) -> tuple[bool, bytes | None]:
        """Whether a committed command made `revision` of `key`, and the encoded Item that it made."""
        revisions = self._revisions.get(key, [])
        at = bisect_right(revisions, revision) - 1
        if at < 0 or revisions[at] != revision:
            return False, None
        return True, self._items[key][at]

    def absent_since(self, key: bytes, floor: int) -> Revision | None:
        """The first revision at or after `floor` that left nothing under `key`, as 0 did; None if none did."""
        if not floor:
            return Revision(0)
        revisions = self._revisions.get(key, [])
        for at, revision in enumerate(revisions):
            if revision >= floor and self._items[key][at] is None:
                return revision
        return None

    def last_showing(self, key: bytes, item: Item | None, until: LogIndex) -> LogIndex | None:
        """The newest index up to `until` as of which exactly this is under `key`; None if there is none."""
        shown = None if item is None else encode_item(item)
        revisions = self._revisions.get(key, [])
        for at in reversed(range(len(revisions))):
            first = index_of(revisions[at])
            if first <= until and self._items[key][at] == shown:
                last = index_of(revisions[at + 1]) - 1 if at + 1 < len(revisions) else until
                if first <= last:
                    return LogIndex(min(last, until))
        if item is not None:
            return None
        return LogIndex(min(index_of(revisions[0]) - 1, until)) if revisions else until


def alike(one: Result, other: Result) -> bool:
    """Whether two results say the same, whatever the words."""
    if isinstance(one, Rejected) and isinstance(other, Rejected):
        return one.reason == other.reason
    return one == other
