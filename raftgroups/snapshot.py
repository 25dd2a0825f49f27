"""Snapshots: a checkpoint of a leader's engine, sent to a follower that is too far behind.

    leader    sending.py       checkpoint → offer → chunks, as quickly as the follower confirms them
    follower  receiving.py     files of the next generation, CURRENT last → engines change places

A snapshot carries everything of the state machine, its configuration included, and nothing of the
process. PySyncObj's own, which pickle the replica as an object, are never taken.
"""

import random
from collections.abc import Callable

from raftgroups.directory import DataDirectory
from raftgroups.group import RaftGroup
from raftgroups.ids import LogIndex, PartitionId
from raftgroups.lane import Elsewhere
from raftgroups.messages import SnapshotChunk, SnapshotMessage, SnapshotOffer
from raftgroups.receiving import Receiving
from raftgroups.sending import Send, Sending
from raftgroups.statemachine import StateMachine


class Snapshots:
    """Every transfer of this node, in both directions."""

    def __init__(
        self,
        directory: DataDirectory,
        send: Send,
        open_machine: Callable[[PartitionId], StateMachine],
        elsewhere: Elsewhere,
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._sending = Sending(directory, send, elsewhere, now, rng)
        self._receiving = Receiving(directory, send, open_machine, elsewhere, now)

    def needed(self, group: RaftGroup, peer: str) -> None:
        """`peer` lacks entries that are no longer in the log."""
        self._sending.needed(group, peer)

    def received(self, group: RaftGroup, sender: str, message: SnapshotMessage) -> None:
        if isinstance(message, SnapshotOffer):
            self._receiving.offered(group, sender, message)
        elif isinstance(message, SnapshotChunk):
            self._receiving.arrived(group, sender, message)
        else:
            self._sending.replied(group, sender, message)

    def floor(self, partition: PartitionId) -> LogIndex:
        """The node log keeps the entries after it, whatever the engine has flushed."""
        return self._receiving.floor(partition)

    def peer_lost(self, peer: str) -> None:
        self._sending.peer_lost(peer)
        self._receiving.peer_lost(peer)

    def tick(self) -> None:
        self._sending.tick()
        self._receiving.tick()

    def forget(self, group: RaftGroup) -> None:
        """The group is no longer on this node."""
        self._sending.forget(group)
        self._receiving.forget(group)

    def close(self) -> None:
        self._sending.close()
        self._receiving.close()
