"""Integers that must not mix, each its own type."""

from typing import NewType

PartitionId = NewType("PartitionId", int)
"""An arc of the ring, 0 to Q - 1; also the id of its Raft group."""

Term = NewType("Term", int)
"""A leader's reign within one Raft group; at most one leader a Term."""

LogIndex = NewType("LogIndex", int)
"""A place in one group's log. It is the SequenceNumber of the records written there."""

Epoch = NewType("Epoch", int)
"""A version of the Topology."""

Revision = NewType("Revision", int)
"""The version of a key. It grows with every write in a Partition."""

COMMANDS_PER_ENTRY_MAX = 4096


def revision_of(index: LogIndex, position: int) -> Revision:
    """The Revision of the command at `position` within the entry at `index`.

    Invariant: derived from the log alone, so every replica computes the same, and it
    stays below 2**53 (exact in every JSON reader) for 2**41 entries.
    """
    return Revision(index * COMMANDS_PER_ENTRY_MAX + position)
