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

_REVISIONS_PER_ENTRY = 4096
EXPIRED_PER_ENTRY_MAX = 512
COMMANDS_PER_ENTRY_MAX = _REVISIONS_PER_ENTRY - EXPIRED_PER_ENTRY_MAX


def revision_of(index: LogIndex, position: int) -> Revision:
    """The Revision of the change at `position` within the entry at `index`: keys that expire come before commands.

    Invariant: derived from the log alone, so every replica computes the same, and it
    stays below 2**53 (exact in every JSON reader) for 2**41 entries.
    """
    return Revision(index * _REVISIONS_PER_ENTRY + position)


def index_of(revision: int) -> LogIndex:
    """The entry that made a Revision."""
    return LogIndex(revision // _REVISIONS_PER_ENTRY)
