"""What can go wrong in replication, and what became of the command.

Every error says whether the command may have taken effect. Only where it certainly did
not (`may_have_applied` is False) may the caller repeat it blindly.
"""

from collections.abc import Sequence
from typing import ClassVar

from raftgroups.ids import PartitionId


class RaftGroupError(Exception):
    """Base of every error this package raises."""

    may_have_applied: ClassVar[bool] = False


class NotLeaderError(RaftGroupError):
    """This Replica does not lead its Partition; `leader`, if known, does."""

    def __init__(self, partition: PartitionId, leader: str | None) -> None:
        super().__init__(f"partition {partition} is led by {leader or 'nobody known'}")
        self.partition = partition
        self.leader = leader


class NoQuorumError(RaftGroupError):
    """No leader that reaches a majority is known for the Partition; `away` are its voters that do not answer."""

    def __init__(self, partition: PartitionId, away: Sequence[str] = ()) -> None:
        verb = "does" if len(away) == 1 else "do"
        missing = f" ({', '.join(away)} {verb} not answer)" if away else ""
        super().__init__(f"partition {partition} has no leader that reaches a majority{missing}")
        self.partition = partition


class NoReplicaError(RaftGroupError):
    """No Replica of the Partition can be reached from here, not even for a stale read."""

    def __init__(self, partition: PartitionId) -> None:
        super().__init__(f"no replica of partition {partition} can be reached")
        self.partition = partition


class BehindError(RaftGroupError):
    """This Replica has not applied in time what the reader must see."""

    def __init__(self, partition: PartitionId) -> None:
        super().__init__(f"the replica of partition {partition} has not caught up in time")
        self.partition = partition


class TooStaleError(RaftGroupError):
    """No Replica in reach can show that what it holds is as fresh as asked."""

    def __init__(self, partition: PartitionId) -> None:
        super().__init__(f"nobody in reach can show how old its replica of partition {partition} is")
        self.partition = partition


class TokenBusyError(RaftGroupError):
    """A command with the same idempotency token is on its way: ask again when it has ended."""


class InvalidCommandError(RaftGroupError):
    """The command could not be applied, so it is not let in; the text says why."""


class ChangeRefusedError(RaftGroupError):
    """The membership cannot be changed as asked; the text says why."""


class OverloadedError(RaftGroupError):
    """A bounded queue is full, or the storage behind it has stalled; try again later."""


class DrainingError(RaftGroupError):
    """This node is shutting down and takes no new work."""


class StaleEpochError(RaftGroupError):
    """The request was routed by another Topology than the one in force here."""


class StorageFullError(RaftGroupError):
    """The disk has no room for writes, or the process no file descriptor; reads still work."""


class DeadlineError(RaftGroupError):
    """The deadline passed before the command was proposed."""


class OutcomeUnknownError(RaftGroupError):
    """The deadline passed, or the leader was lost, with the command in its log: it may yet apply."""

    may_have_applied = True


class HostError(Exception):
    """A node cannot start; the text is one line that says why and what to do."""


class DirectoryInUseError(HostError):
    """Another process runs on this data directory."""


class ForeignDirectoryError(HostError):
    """The data directory belongs to another node or another cluster."""


class DamagedDirectoryError(HostError):
    """The data directory cannot be read back in full."""


class ListenError(HostError):
    """The peer address cannot be listened on."""


class DivergedError(RaftGroupError):
    """A leader contradicts what this Replica knows to be committed: it stops rather than overwrite it."""
