"""Receiving: checkpoints from leaders, until they are in force.

    offer → the next generation's directory → chunks stored → all synced and checked → CURRENT, which
    puts the generation in force → its engine takes the old one's place → reply

Whatever waits for the disk runs in a worker, in one Lane for each partition. Nothing of a transfer
is visible before it is complete. One that loses its link is kept for a while: when its leader
offers it again, the answer tells how much of it is stored. What a crash leaves, the next start removes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from engine import CURRENT, Engine, FileSystem, verify_checkpoint
from raftgroups.directory import DataDirectory
from raftgroups.group import RaftGroup
from raftgroups.ids import LogIndex, PartitionId
from raftgroups.lane import Elsewhere, Lane
from raftgroups.layout import Layout, is_checkpoint
from raftgroups.messages import AnyMessage, SnapshotChunk, SnapshotOffer, SnapshotReply
from raftgroups.pace import WINDOW_BYTES
from raftgroups.statemachine import StateMachine

log = logging.getLogger("ringkv.snapshot")

# Longer than the sender keeps its side.
KEPT_SECONDS = 45.0
# So little that a sync does not hold up those of the node log for long.
SYNC_BYTES = 2 << 20
TEMPORARY_SUFFIX = ".tmp"
NO_FLOOR = LogIndex((1 << 63) - 1)

Send = Callable[[str, AnyMessage], None]


@dataclass(slots=True)
class Incoming:
    """A checkpoint being received.

    path        of its directory, "" until that is made
    gathered    chunks that wait to be stored: file name, bytes, whether they end the file
    accepted    everything before it is stored or gathered, or being stored
    stored      everything before it is in the files
    unsynced    bytes written to the file in work since its last sync
    is_cut      the link was lost, and the leader has not been told how far it came
    is_whole    nothing is missing: it is being checked, and put in force
    is_wanted   the group is still on this node
    """

    group: RaftGroup
    leader: str
    offer: SnapshotOffer
    layout: Layout
    moved_at: float
    path: str = ""
    gathered: list[tuple[str, bytes, bool]] = field(default_factory=list)
    accepted: int = 0
    stored: int = 0
    unsynced: int = 0
    is_storing: bool = False
    is_cut: bool = False
    is_whole: bool = False
    is_wanted: bool = True


class Receiving:
    """At most one transfer a partition, and no more of it in memory than a sender's window.

    Invariant: a generation is put in force only if it is newer than what the replica has applied,
    and until the replica uses it the log keeps what follows it (see `floor`).
    """

    def __init__(
        self,
        directory: DataDirectory,
        send: Send,
        open_machine: Callable[[PartitionId], StateMachine],
        elsewhere: Elsewhere,
        now: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._file_system: FileSystem = directory.file_system
        self._send = send
        self._open_machine = open_machine
        self._elsewhere = elsewhere
        self._now = now
        self._transfers: dict[PartitionId, Incoming] = {}
        self._lanes: dict[PartitionId, Lane] = {}
        self._placing: dict[PartitionId, Incoming] = {}

    def floor(self, partition: PartitionId) -> LogIndex:
        """The index after which the node log must keep entries, for a crash may bring a generation that ends there."""
        placing = self._placing.get(partition)
        return LogIndex(placing.offer.index) if placing else NO_FLOOR

    def offered(self, group: RaftGroup, sender: str, offer: SnapshotOffer) -> None:
        if sender != group.leader or offer.term != group.consensus.term:
            self._reply(group, sender, offer, 0, failed=True)
            return
        incoming = self._transfers.get(group.partition)
        if incoming is not None and incoming.group is group and (incoming.leader, incoming.offer) == (sender, offer):
            self._resume(incoming)
            return
        if group.partition in self._placing:
            # Another one is being put in force, or removed; the leader will try again.
            self._reply(group, sender, offer, 0, failed=True)
            return
        self._drop(group.partition)
        if offer.index <= group.consensus.applied_index:
            self._reply(group, sender, offer, 0, installed=True)
        elif not is_checkpoint(offer.files):
            log.error("partition %d: what %s offers is no checkpoint", group.partition, sender)
            self._reply(group, sender, offer, 0, failed=True)
        else:
            self._begin(group, sender, offer)

    def arrived(self, group: RaftGroup, sender: str, chunk: SnapshotChunk) -> None:
        incoming = self._transfers.get(group.partition)
        if incoming is None or incoming.leader != sender or incoming.offer.transfer != chunk.transfer:
            return
        if incoming.is_whole:
            return
        layout = incoming.layout
        if (
            incoming.offer.term != group.consensus.term
            or incoming.is_cut
            or chunk.offset != incoming.accepted
            or incoming.accepted == layout.size
            or not 0 < len(chunk.data) <= layout.locate(chunk.offset).left
            or chunk.offset + len(chunk.data) - incoming.stored > WINDOW_BYTES
        ):
            log.error("partition %d: what %s sends does not fit its offer", group.partition, sender)
            self._refuse(incoming)
            return
        place = layout.locate(chunk.offset)
        incoming.gathered.append((place.name, chunk.data, len(chunk.data) == place.left))
        incoming.accepted += len(chunk.data)
        self._store(incoming)

    def peer_lost(self, peer: str) -> None:
        for incoming in self._transfers.values():
            if incoming.leader == peer:
                incoming.is_cut = True
                incoming.accepted -= sum(len(data) for _, data, _ in incoming.gathered)
                incoming.gathered = []

    def tick(self) -> None:
        """Drop what is of no use any more, or has not moved for long; show a leader that a long check goes on."""
        horizon = self._now() - KEPT_SECONDS
        for partition, incoming in list(self._transfers.items()):
            group, offer = incoming.group, incoming.offer
            is_stale = group.failure is not None or group.consensus.term != offer.term
            if is_stale and partition not in self._placing:
                self._drop(partition)
            elif incoming.is_whole:
                if not incoming.is_cut:
                    self._reply(group, incoming.leader, offer, incoming.stored)
            elif incoming.moved_at < horizon:
                log.warning("partition %d: snapshot from %s does not move", partition, incoming.leader)
                self._drop(partition)

    def forget(self, group: RaftGroup) -> None:
        """The group is no longer on this node."""
        for incoming in (self._transfers.get(group.partition), self._placing.get(group.partition)):
            if incoming is not None and incoming.group is group:
                incoming.is_wanted = False
        incoming = self._transfers.get(group.partition)
        if incoming is not None and not incoming.is_wanted and group.partition not in self._placing:
            self._drop(group.partition)

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._transfers.clear()

    # One transfer.

    def _begin(self, group: RaftGroup, sender: str, offer: SnapshotOffer) -> None:
        log.info("partition %d: snapshot at %d from %s", group.partition, offer.index, sender)
        incoming = Incoming(group, sender, offer, Layout(offer.files), self._now())
        self._transfers[group.partition] = incoming

        def prepare() -> None:
            incoming.path = self._directory.incoming_path(group.partition)

        self._lane(group.partition).run(prepare, lambda outcome: self._answer(incoming, outcome))

    def _resume(self, incoming: Incoming) -> None:
        """Answer once all that was begun is stored."""
        incoming.moved_at = self._now()
        if incoming.is_whole:
            incoming.is_cut = False
        else:
            self._lane(incoming.group.partition).run(_nothing, lambda outcome: self._answer(incoming, outcome))

    def _answer(self, incoming: Incoming, outcome: BaseException | None) -> None:
        """Tell the leader where to go on."""
        if self._is_there(incoming):
            if isinstance(outcome, BaseException):
                self._give_up(incoming, outcome)
            else:
                incoming.is_cut = False
                self._reply(incoming.group, incoming.leader, incoming.offer, incoming.stored)

    def _store(self, incoming: Incoming) -> None:
        if incoming.is_storing or not incoming.gathered:
            return
        pieces, incoming.gathered = incoming.gathered, []
        incoming.is_storing = True

        def was_stored(outcome: BaseException | None) -> None:
            incoming.is_storing = False
            if not self._is_there(incoming):
                return
            if isinstance(outcome, BaseException):
                self._give_up(incoming, outcome)
                return
            incoming.moved_at = self._now()
            incoming.stored += sum(len(data) for _, data, _ in pieces)
            if incoming.stored == incoming.layout.size:
                incoming.is_whole = True
                self._lane(incoming.group.partition).run(
                    lambda: self._check(incoming), lambda outcome: self._checked(incoming, outcome)
                )
                return
            if not incoming.is_cut:
                self._reply(incoming.group, incoming.leader, incoming.offer, incoming.stored)
            self._store(incoming)

        self._lane(incoming.group.partition).run(lambda: self._write(incoming, pieces), was_stored)

    def _write(self, incoming: Incoming, pieces: list[tuple[str, bytes, bool]]) -> None:
        """In a worker."""
        for name, data, is_end in pieces:
            # CURRENT puts the generation in force, so it gets its name when all of it is on disk.
            path = f"{incoming.path}/{name}" + TEMPORARY_SUFFIX * (name == CURRENT)
            file = self._file_system.open_append(path)
            try:
                file.write(data)
                incoming.unsynced += len(data)
                if is_end or incoming.unsynced >= SYNC_BYTES:
                    file.sync()
                    incoming.unsynced = 0
            finally:
                file.close()

    def _check(self, incoming: Incoming) -> None:
        """In a worker. A leader's disk may have damaged what it sent: such must not spread."""
        self._file_system.sync_directory(incoming.path)
        verify_checkpoint(incoming.path, CURRENT + TEMPORARY_SUFFIX, file_system=self._file_system)

    def _checked(self, incoming: Incoming, outcome: BaseException | None) -> None:
        if not self._is_there(incoming):
            return
        group, offer = incoming.group, incoming.offer
        if isinstance(outcome, BaseException):
            self._give_up(incoming, outcome)
        elif offer.index <= group.consensus.applied_index:
            self._drop(group.partition)
            self._reply(group, incoming.leader, offer, 0, installed=True)
        else:
            self._placing[group.partition] = incoming
            self._lane(group.partition).run(
                lambda: self._put_in_force(incoming), lambda outcome: self._in_force(incoming, outcome)
            )

    def _put_in_force(self, incoming: Incoming) -> tuple[str, StateMachine]:
        """In a worker; gives the path of the generation before, and the new one's state machine."""
        partition, path = incoming.group.partition, incoming.path
        before = self._directory.replica_path(partition)
        self._file_system.rename(f"{path}/{CURRENT}{TEMPORARY_SUFFIX}", f"{path}/{CURRENT}")
        self._file_system.sync_directory(path)
        return before, self._open_machine(partition)

    def _in_force(self, incoming: Incoming, outcome: tuple[str, StateMachine] | BaseException) -> None:
        """The engines change places, unless the replica went, or went ahead, in the meantime."""
        group, offer = incoming.group, incoming.offer
        del self._transfers[group.partition]
        if isinstance(outcome, BaseException):
            log.error("partition %d: a snapshot cannot be put in force: %s", group.partition, outcome)
            self._discard(incoming, None)
            self._reply(group, incoming.leader, offer, 0, failed=True)
            return
        before, machine = outcome
        is_newer = machine.applied_index > group.consensus.applied_index
        if not incoming.is_wanted or group.failure is not None or not is_newer:
            self._discard(incoming, machine.engine)
            return
        old = group.machine.engine
        try:
            group.restored(machine, self._now())
        except Exception as error:  # noqa: BLE001  # the boundary that quarantines a group
            group.fail(error)
            return
        del self._placing[group.partition]
        self._lane(group.partition).run(lambda: self._retire(old, before), _tell_of_failure)
        self._reply(group, incoming.leader, offer, 0, installed=True)

    def _retire(self, engine: Engine, path: str) -> None:
        """Close an engine and remove its files; in a worker."""
        engine.close()
        self._directory.remove(path)

    def _discard(self, incoming: Incoming, engine: Engine | None) -> None:
        """Remove a generation that is in force on disk, or may be, but is not wanted."""
        group = incoming.group

        def discard() -> None:
            if engine is not None:
                engine.close()
            self._directory.remove(incoming.path)

        def discarded(outcome: BaseException | None) -> None:
            if isinstance(outcome, BaseException) and incoming.is_wanted:
                # A restart would find that generation: the replica must not go beyond what it holds.
                group.fail(outcome)
            else:
                del self._placing[group.partition]

        self._lane(group.partition).run(discard, discarded)

    def _give_up(self, incoming: Incoming, error: BaseException) -> None:
        log.error("partition %d: a snapshot cannot be taken: %s", incoming.group.partition, error)
        self._refuse(incoming)

    def _refuse(self, incoming: Incoming) -> None:
        self._drop(incoming.group.partition)
        self._reply(incoming.group, incoming.leader, incoming.offer, 0, failed=True)

    def _drop(self, partition: PartitionId) -> None:
        """End a transfer that is not being put in force."""
        assert partition not in self._placing, "it ends when that is done"
        incoming = self._transfers.pop(partition, None)
        if incoming is None:
            return

        def remove() -> None:
            if incoming.path:
                self._directory.remove(incoming.path)

        self._lane(partition).run(remove, _tell_of_failure)

    def _is_there(self, incoming: Incoming) -> bool:
        return self._transfers.get(incoming.group.partition) is incoming

    def _lane(self, partition: PartitionId) -> Lane:
        return self._lanes.setdefault(partition, Lane(self._elsewhere))

    def _reply(
        self,
        group: RaftGroup,
        leader: str,
        offer: SnapshotOffer,
        received: int,
        *,
        installed: bool = False,
        failed: bool = False,
    ) -> None:
        reply = SnapshotReply(group.partition, group.consensus.term, offer.transfer, received, installed, failed)
        self._send(leader, reply)


def _nothing() -> None:
    """What is done once everything before it in a Lane is."""


def _tell_of_failure(outcome: BaseException | None) -> None:
    if outcome is not None:
        log.warning("files of a snapshot were not removed: %s", outcome)
