"""Telling: what a replica has applied, change by change, from any position that its history reaches back to."""

from collections.abc import Callable
from dataclasses import dataclass

from raftgroups.change import Position, Told
from raftgroups.group import RaftGroup
from raftgroups.ids import LogIndex

# Of one entry, beyond which it is told in parts.
PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Telling:
    """What there is from a position on.

    changes   in order; none, if nothing has happened since
    position  after the last of them
    oldest    where the history begins that this replica has, when it does not reach back so far; None when it does
    """

    changes: list[Told]
    position: Position
    oldest: Position | None = None


def tell(
    group: RaftGroup, position: Position, bytes_max: int, wanted: Callable[[bytes], bool] | None = None
) -> Telling:
    """Tell what follows `position`, about so many bytes: the last entry whole, or its first PART_BYTES.

    Changes of keys that are not wanted may be left out.
    """
    log, history = group.log, group.machine.history
    applied = group.machine.applied_index
    changes: list[Told] = []
    size = 0
    index, ordinal = position
    while index <= applied and size < bytes_max:
        if index <= log.first_index or not history.knows(index):
            oldest = Position(max(log.first_index, history.horizon) + 1)
            return Telling(changes, Position(index, ordinal)) if changes else Telling([], position, oldest)
        _, payload = log.entry_at(LogIndex(index))
        found = history.changes_at(LogIndex(index), payload, wanted)
        count = len(found)
        size += len(payload)
        part = 0
        while ordinal < count and part < PART_BYTES:
            change = found[ordinal]
            ordinal += 1
            if change is None:
                continue
            part += len(change.item.value) if change.item is not None else 0
            changes.append(
                Told(index, ordinal, change) if ordinal < count else Told(index + 1, 0, change),
            )
        size += part
        if ordinal < count:
            break
        index, ordinal = index + 1, 0
    return Telling(changes, Position(index, ordinal))
