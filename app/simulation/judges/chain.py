"""What one partition has committed, as first seen, and the state that follows from it.

The state is worked out here a second time, from the commands alone, and remembers every version
of every key: so a replica can be compared at whatever index it has reached.
"""

from bisect import bisect_right

from raftgroups import (
    Configuration,
    Delete,
    Entry,
    Item,
    LogIndex,
    Put,
    Revision,
    Term,
    decode_entry,
    encode_item,
    revision_of,
)

StoredEntry = tuple[int, bytes]
"""(term, payload)."""


class Chain:
    """The committed entries of one partition, from index 1 on.

    Invariant: it only grows; what a replica commits must equal it.
    """

    def __init__(self) -> None:
        self._entries: list[StoredEntry] = []
        self._reigns: list[Term] = []
        self._revisions: dict[bytes, list[Revision]] = {}
        self._items: dict[bytes, list[bytes | None]] = {}
        self._configured: list[tuple[LogIndex, Configuration]] = []

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
        entry = decode_entry(payload)
        if entry.configuration is not None:
            self._configured.append((self.last_index, entry.configuration))
        for position, command in enumerate(_commands(entry)):
            revision = revision_of(self.last_index, position)
            made = (
                encode_item(Item(revision, command.value, command.content_type)) if isinstance(command, Put) else None
            )
            self._revisions.setdefault(command.key, []).append(revision)
            self._items.setdefault(command.key, []).append(made)

    def keys_of(self, index: LogIndex) -> list[bytes]:
        """What the entry at `index` wrote."""
        return [command.key for command in _commands(decode_entry(self._entries[index - 1][1]))]

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


def _commands(entry: Entry) -> list[Put | Delete]:
    """Those of an entry: clients ask for no others here."""
    return [command for command in entry.commands if isinstance(command, Put | Delete)]
