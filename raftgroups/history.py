"""History: what the newest entries changed, so that whoever watches a partition can go on where it stopped.

The changes of an entry of nothing but Puts and Deletes are in the log, plain to see. What others come to depends on
what was there: their changes are kept in the engine, under the entry's index (schema.py), the newest of them up to
HISTORY_BYTES_MAX. Which are kept follows from the records alone, on every replica alike.
"""

from collections.abc import Callable, Sequence

from engine import WriteBatch
from raftgroups.change import Change, decode_changes, encode_changes
from raftgroups.command import Delete, Put, decode_entry
from raftgroups.ids import LogIndex, revision_of
from raftgroups.item import Item
from raftgroups.schema import CHANGES, HORIZON_KEY, Records, changes_key, parse_changes_key

HISTORY_BYTES_MAX = 1 << 20
_RECORD_OVERHEAD = 128


class History:
    """The changes that the log alone does not tell.

    horizon   the changes of entries up to here may be unknown; those of a last one that were too many to keep are
              at hand until more come, for who is about to be told

    Invariant: of an entry after the horizon nothing is kept only where its plain commands tell all its changes.
    """

    def __init__(self, records: Records) -> None:
        self.horizon = LogIndex(int(records.get(HORIZON_KEY) or b"0"))
        self._kept: dict[int, bytes] = {}
        self._bytes = 0
        self._decoded: tuple[int, Sequence[Change]] = (0, ())
        # From the horizon on: before it there are only tombstones.
        for key, encoded in records.scan(changes_key(self.horizon), bytes((CHANGES[0] + 1,))):
            self._remember(parse_changes_key(key), encoded)

    def keep(self, batch: WriteBatch, index: LogIndex, changes: Sequence[Change]) -> None:
        """Have the entry's batch hold its changes, and let the oldest go that there is no room for."""
        is_large = sum(map(_size, changes)) > HISTORY_BYTES_MAX
        encoded = b"" if is_large else encode_changes(changes)
        size = HISTORY_BYTES_MAX + 1 if is_large else len(encoded) + _RECORD_OVERHEAD
        horizon = self.horizon
        while self._kept and self._bytes + size > HISTORY_BYTES_MAX:
            horizon = LogIndex(next(iter(self._kept)))
            self._bytes -= len(self._kept.pop(horizon)) + _RECORD_OVERHEAD
            batch.delete(changes_key(horizon))
        if size > HISTORY_BYTES_MAX:
            horizon = index
            self._decoded = (index, changes)
        else:
            batch.put(changes_key(index), encoded)
            self._remember(index, encoded)
        if horizon != self.horizon:
            batch.put(HORIZON_KEY, b"%d" % horizon)
            self.horizon = horizon

    def knows(self, index: int) -> bool:
        """Whether the changes of the entry at `index`, which has been applied, can be told."""
        return index > self.horizon or index == self._decoded[0]

    def changes_at(
        self, index: LogIndex, payload: bytes, wanted: Callable[[bytes], bool] | None = None
    ) -> Sequence[Change | None]:
        """What an entry that is known changed; `payload` is as it stands in the log.

        In the place of a change of a key that is not wanted may stand None.
        """
        if self._decoded[0] == index:
            return self._decoded[1]
        encoded = self._kept.get(index)
        if encoded is None:
            return _plain_changes(index, payload, wanted)
        self._decoded = (index, decode_changes(encoded))
        return self._decoded[1]

    def _remember(self, index: int, encoded: bytes) -> None:
        self._kept[index] = encoded
        self._bytes += len(encoded) + _RECORD_OVERHEAD


def _size(change: Change) -> int:
    return len(change.key) + (len(change.item.value) if change.item is not None else 0)


def _plain_changes(index: LogIndex, payload: bytes, wanted: Callable[[bytes], bool] | None) -> list[Change | None]:
    changes: list[Change | None] = []
    for position, command in enumerate(decode_entry(payload).commands):
        if not isinstance(command, Put | Delete):
            continue
        if wanted is not None and not wanted(command.key):
            changes.append(None)
            continue
        revision = revision_of(index, position)
        if isinstance(command, Put):
            changes.append(Change(revision, command.key, Item(revision, command.value, command.content_type)))
        else:
            changes.append(Change(revision, command.key, None))
    return changes
