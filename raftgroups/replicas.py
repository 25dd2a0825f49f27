"""Replicas: which partitions this node holds, from the disk and from what leaders ask for.

    open     at the start, every replica that the data directory holds
    join     a leader sends entries of a partition that is not held: an empty replica is made for
             it, which neither votes nor stands before its log names this node
    retire   the partition goes on without this node, and that is committed: the replica's term and
             vote stay in the node log, its entries and its engine go

A retired replica's log is emptied, durably, before its engine is removed: what is found after a
crash in between is a replica that knows that it was removed, or an empty one that votes for nobody.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from engine import EngineError
from raftgroups.directory import DataDirectory
from raftgroups.errors import DamagedDirectoryError, NotLeaderError
from raftgroups.group import RaftGroup
from raftgroups.ids import LogIndex, PartitionId
from raftgroups.journal import GroupLog
from raftgroups.membership import NOBODY, Configuration
from raftgroups.nodelog import NodeLog, Reset
from raftgroups.placements import Placements
from raftgroups.statemachine import StateMachine

log = logging.getLogger("ringkv.replicas")

MakeGroup = Callable[[PartitionId, Configuration, GroupLog, StateMachine], RaftGroup]


class Elsewhere(Protocol):
    """Runs a job in a worker thread, and tells its outcome on the loop's."""

    def __call__(self, job: Callable[[], object], done: Callable[[object], None]) -> None: ...


class Replicas:
    """The groups of a node, and their coming and going.

    groups   by partition; it changes while the node runs
    """

    def __init__(
        self,
        name: str,
        directory: DataDirectory,
        node_log: NodeLog,
        placements: Placements,
        open_machine: Callable[[PartitionId], StateMachine],
        make_group: MakeGroup,
        elsewhere: Elsewhere,
    ) -> None:
        self.groups: dict[PartitionId, RaftGroup] = {}
        self._name = name
        self._directory = directory
        self._node_log = node_log
        self._placements = placements
        self._open_machine = open_machine
        self._make_group = make_group
        self._elsewhere = elsewhere
        self._joining: set[PartitionId] = set()
        self._retiring: dict[PartitionId, tuple[int, StateMachine]] = {}

    def open(self, partition: PartitionId) -> None:
        """Open a replica that the directory holds; waits for the disk. Raises: EngineError, HostError."""
        machine = self._open_machine(partition)
        remains = self._node_log.remains.get(partition)
        if self._directory.has_joined(partition) and not machine.applied_index and not (remains and remains.entries):
            # It was being made, or removed, when the node stopped. Should it be needed, its leader sends again.
            machine.engine.close()
            self._directory.retire(partition)
        else:
            self._add(partition, machine)

    def check_log(self) -> None:
        """Forget what the log holds of replicas that were retired.

        Raises: DamagedDirectoryError, when it holds entries of one that was not, and whose engine is gone.
        """
        for partition, remains in self._node_log.remains.items():
            start = remains.start[0] if remains.start else LogIndex(0)
            if remains.entries or start:
                raise DamagedDirectoryError(
                    f"the node log holds entries of partition {partition}, but its replica's directory is gone"
                )
        self._node_log.remains.clear()

    def join(self, partition: PartitionId, joined: Callable[[RaftGroup], None]) -> None:
        """Make an empty replica, unless that is being done; `joined` is told of it."""
        if partition in self._joining or partition in self._retiring:
            return
        self._joining.add(partition)

        def make() -> StateMachine:
            self._directory.join(partition)
            return self._open_machine(partition)

        def made(machine: object) -> None:
            self._joining.discard(partition)
            if isinstance(machine, StateMachine):
                log.info("partition %d: a new replica", partition)
                joined(self._add(partition, machine))
            else:
                # The leader sends again, and so it is tried again.
                log.warning("partition %d: no replica can be made: %s", partition, machine)

        self._elsewhere(make, made)

    def retire(self, partition: PartitionId) -> None:
        """End a replica; `synced` removes its files."""
        group = self.groups.pop(partition)
        log.info("partition %d goes on without this node", partition)
        group.stop(NotLeaderError(partition, None))
        self._retiring[partition] = (self._node_log.add(Reset(partition, 0, 0)), group.machine)

    def synced(self, generation: int) -> None:
        """The node log is on disk up to `generation`."""
        for partition, (awaited, machine) in list(self._retiring.items()):
            if awaited <= generation:
                self._remove(partition, machine)

    def close(self) -> None:
        """Close every engine; waits for the disk."""
        for machine in [group.machine for group in self.groups.values()] + [m for _, m in self._retiring.values()]:
            machine.engine.close()

    def _add(self, partition: PartitionId, machine: StateMachine) -> RaftGroup:
        is_new = self._directory.has_joined(partition)
        base = NOBODY if is_new else self._placements.founding(partition)
        group_log = GroupLog(self._node_log, partition, machine.applied_index, machine.applied_term)
        group = self._make_group(partition, base, group_log, machine)
        self.groups[partition] = group
        return group

    def _remove(self, partition: PartitionId, machine: StateMachine) -> None:
        self._retiring[partition] = (1 << 62, machine)

        def remove() -> None:
            machine.engine.close()
            self._directory.retire(partition)

        def removed(outcome: object) -> None:
            del self._retiring[partition]
            if isinstance(outcome, EngineError):
                log.warning("partition %d: its files stay until the next start: %s", partition, outcome)

        self._elsewhere(remove, removed)
