"""Snapshots: a checkpoint of a leader's engine, sent to a follower that is too far behind.

    leader    checkpoint (hard links, in a worker) → offer → chunks, a window ahead of the replies
    follower  next generation's files, CURRENT last, all synced → engines change places → reply

Nothing of a transfer is visible before it is complete; a transfer that is cut off leaves
files that the next one, or the next start, removes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine import CURRENT, AppendableFile, Engine, FileSystem, StorageError
from raftgroups.directory import DataDirectory
from raftgroups.group import RaftGroup
from raftgroups.ids import LogIndex, PartitionId
from raftgroups.messages import AnyMessage, SnapshotChunk, SnapshotMessage, SnapshotOffer, SnapshotReply
from raftgroups.statemachine import StateMachine

log = logging.getLogger("ringkv.snapshot")

CHUNK_BYTES = 256 << 10
WINDOW_BYTES = 4 << 20
STALLED_SECONDS = 10.0
PAUSE_SECONDS = 1.0
TEMPORARY_SUFFIX = ".tmp"

Send = Callable[[str, AnyMessage], None]
Elsewhere = Callable[[Callable[[], None], Callable[[BaseException | None], None]], None]


@dataclass(slots=True)
class Outgoing:
    """A checkpoint being sent to one follower; `files` are laid end to end."""

    group: RaftGroup
    peer: str
    transfer: int
    path: str
    index: int = 0
    files: list[tuple[str, int]] = field(default_factory=list)
    sent: int = 0
    received: int = 0
    moved_at: float = 0.0
    is_taken: bool = False

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)

    def locate(self, offset: int) -> tuple[str, int, int]:
        """The file that holds `offset`, the place in it, and how many bytes follow there."""
        for name, size in self.files:
            if offset < size:
                return name, offset, size - offset
            offset -= size
        raise AssertionError("an offset beyond the checkpoint")


@dataclass(slots=True)
class Incoming:
    """A checkpoint being received from the leader."""

    leader: str
    offer: SnapshotOffer
    path: str
    replaces: str
    received: int = 0
    at_file: int = 0
    in_file: int = 0
    file: AppendableFile | None = None

    @property
    def size(self) -> int:
        return sum(size for _, size in self.offer.files)

    @property
    def left_of_file(self) -> int:
        """A chunk is of one file."""
        return self.offer.files[self.at_file][1] - self.in_file


class Snapshots:
    """Every transfer of this node, in both directions; at most one a group and peer."""

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
        self._outgoing: dict[tuple[PartitionId, str], Outgoing] = {}
        self._incoming: dict[PartitionId, Incoming] = {}
        self._paused_until: dict[tuple[PartitionId, str], float] = {}
        self._transfers = 0

    def needed(self, group: RaftGroup, peer: str) -> None:
        """`peer` needs a snapshot: take one and offer it, unless one is on its way."""
        key = (group.partition, peer)
        if key in self._outgoing:
            return
        if self._now() < self._paused_until.get(key, 0.0):
            # What failed a moment ago would fail again, at the cost of a flush and a checkpoint.
            group.consensus.snapshot_failed(peer)
            return
        self._transfers += 1
        transfer = Outgoing(group, peer, self._transfers, self._directory.checkpoint_path(), moved_at=self._now())
        self._outgoing[key] = transfer
        group.hold_log()
        engine = group.machine.engine
        self._elsewhere(lambda: _checkpoint(engine.checkpoint, self._file_system, transfer), self._taken(transfer))

    def received(self, group: RaftGroup, sender: str, message: SnapshotMessage) -> None:
        if isinstance(message, SnapshotOffer):
            self._on_offer(group, sender, message)
        elif isinstance(message, SnapshotChunk):
            self._on_chunk(group, sender, message)
        else:
            self._on_reply(group, sender, message)

    def peer_lost(self, peer: str) -> None:
        for transfer in [transfer for transfer in self._outgoing.values() if transfer.peer == peer]:
            self._end(transfer)
        for partition in [group for group, incoming in self._incoming.items() if incoming.leader == peer]:
            self._drop(partition)

    def tick(self) -> None:
        """Give up what has not moved for long; the leader will try again."""
        horizon = self._now() - STALLED_SECONDS
        for transfer in [transfer for transfer in self._outgoing.values() if transfer.moved_at < horizon]:
            log.warning("partition %d: snapshot to %s does not move", transfer.group.partition, transfer.peer)
            self._pause(transfer)
            self._end(transfer)

    def close(self) -> None:
        for transfer in list(self._outgoing.values()):
            self._end(transfer)
        for partition in list(self._incoming):
            self._drop(partition)

    # The leader's side.

    def _taken(self, transfer: Outgoing) -> Callable[[BaseException | None], None]:
        def taken(failure: BaseException | None) -> None:
            group = transfer.group
            transfer.is_taken = True
            if failure is not None:
                log.error("partition %d: no checkpoint: %s", group.partition, failure)
                self._pause(transfer)
                self._end(transfer)
            elif self._outgoing.get((group.partition, transfer.peer)) is not transfer or not group.is_leader:
                self._end(transfer)
            else:
                self._offer(transfer)

        return taken

    def _offer(self, transfer: Outgoing) -> None:
        group = transfer.group
        term = group.consensus.term
        offer = SnapshotOffer(group.partition, term, transfer.transfer, transfer.index, transfer.files)
        log.info("partition %d: snapshot at %d to %s", group.partition, transfer.index, transfer.peer)
        self._send(transfer.peer, offer)
        self._pump(transfer)

    def _pump(self, transfer: Outgoing) -> None:
        """Send chunks up to a window ahead of what the follower has confirmed."""
        while transfer.sent < min(transfer.size, transfer.received + WINDOW_BYTES):
            name, at, left = transfer.locate(transfer.sent)
            file = self._file_system.open_read(f"{transfer.path}/{name}")
            try:
                data = file.read(at, min(left, CHUNK_BYTES))
            finally:
                file.close()
            self._send(transfer.peer, SnapshotChunk(transfer.group.partition, transfer.transfer, transfer.sent, data))
            transfer.sent += len(data)

    def _on_reply(self, group: RaftGroup, sender: str, reply: SnapshotReply) -> None:
        transfer = self._outgoing.get((group.partition, sender))
        if transfer is None or transfer.transfer != reply.transfer:
            return
        transfer.moved_at = self._now()
        transfer.received = max(transfer.received, reply.received)
        if reply.failed:
            self._pause(transfer)
            self._end(transfer)
        elif reply.installed:
            self._end(transfer)
            group.consensus.snapshot_sent(sender, LogIndex(transfer.index), self._now())
        else:
            self._pump(transfer)

    def _pause(self, transfer: Outgoing) -> None:
        self._paused_until[transfer.group.partition, transfer.peer] = self._now() + PAUSE_SECONDS

    def _end(self, transfer: Outgoing) -> None:
        key = (transfer.group.partition, transfer.peer)
        if self._outgoing.get(key) is transfer:
            del self._outgoing[key]
            transfer.group.release_log()
            transfer.group.consensus.snapshot_failed(transfer.peer)
        if transfer.is_taken and self._file_system.exists(transfer.path):
            self._directory.remove(transfer.path)

    # The follower's side.

    def _on_offer(self, group: RaftGroup, sender: str, offer: SnapshotOffer) -> None:
        self._drop(group.partition)
        if sender != group.leader or offer.term != group.consensus.term:
            return
        if offer.index <= group.consensus.applied_index:
            self._reply(group, sender, offer, offer.index, installed=True)
            return
        if not _is_checkpoint(offer.files):
            log.error("partition %d: what %s offers is no checkpoint", group.partition, sender)
            self._reply(group, sender, offer, 0, failed=True)
            return
        replaces = self._directory.replica_path(group.partition)
        path = self._directory.incoming_path(group.partition)
        log.info("partition %d: snapshot at %d from %s", group.partition, offer.index, sender)
        self._incoming[group.partition] = Incoming(sender, offer, path, replaces)

    def _on_chunk(self, group: RaftGroup, sender: str, chunk: SnapshotChunk) -> None:
        incoming = self._incoming.get(group.partition)
        if incoming is None or incoming.leader != sender or incoming.offer.transfer != chunk.transfer:
            return
        if chunk.offset != incoming.received or not 0 < len(chunk.data) <= incoming.left_of_file:
            self._drop(group.partition)
            return
        try:
            self._store(incoming, chunk.data)
        except StorageError as error:
            log.error("partition %d: a snapshot cannot be stored: %s", group.partition, error)
            self._drop(group.partition)
            self._reply(group, sender, incoming.offer, incoming.received, failed=True)
            return
        if incoming.received < incoming.size:
            self._reply(group, sender, incoming.offer, incoming.received)
        else:
            del self._incoming[group.partition]
            self._install(group, incoming)

    def _store(self, incoming: Incoming, data: bytes) -> None:
        name, size = incoming.offer.files[incoming.at_file]
        # CURRENT puts the generation in force, so it gets its name when all of it is on disk.
        path = f"{incoming.path}/{name}" + TEMPORARY_SUFFIX * (name == CURRENT)
        if incoming.file is None:
            incoming.file = self._file_system.open_append(path)
        incoming.file.write(data)
        incoming.received += len(data)
        incoming.in_file += len(data)
        if incoming.in_file == size:
            incoming.file.sync()
            incoming.file.close()
            incoming.file, incoming.in_file = None, 0
            incoming.at_file += 1
            if name == CURRENT:
                # The names it relies on must be durable before its own.
                self._file_system.sync_directory(incoming.path)
                self._file_system.rename(path, f"{incoming.path}/{CURRENT}")

    def _install(self, group: RaftGroup, incoming: Incoming) -> None:
        """Put the received engine in the place of the old one."""
        self._file_system.sync_directory(incoming.path)
        offer = incoming.offer
        if offer.index <= group.consensus.applied_index:
            self._directory.remove(incoming.path)
        else:
            old = group.machine.engine
            group.restored(self._open_machine(group.partition), self._now())
            self._elsewhere(lambda: self._retire(old, incoming.replaces), _ignore)
        self._reply(group, incoming.leader, offer, incoming.received, installed=True)

    def _retire(self, engine: Engine, path: str) -> None:
        """Close a replaced engine and remove its files; in a worker. A start after a crash would do the same."""
        engine.close()
        self._directory.remove(path)

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

    def _drop(self, partition: PartitionId) -> None:
        incoming = self._incoming.pop(partition, None)
        if incoming is not None:
            if incoming.file is not None:
                incoming.file.close()
            self._directory.remove(incoming.path)


def _checkpoint(take: Callable[[str], int], file_system: FileSystem, transfer: Outgoing) -> None:
    """Take the checkpoint and list its files, CURRENT last; in a worker."""
    transfer.index = take(transfer.path)
    names = [name for name in file_system.list_directory(transfer.path) if name != CURRENT]
    sizes = [(name, file_system.size(f"{transfer.path}/{name}")) for name in sorted(names)]
    transfer.files = [item for item in sizes if item[1]] + [(CURRENT, file_system.size(f"{transfer.path}/{CURRENT}"))]


def _is_checkpoint(files: Sequence[tuple[str, int]]) -> bool:
    """Plain names, for a peer must not write outside of the directory, none of them empty, CURRENT at the end."""
    names = [name for name, _ in files]
    return (
        names[-1:] == [CURRENT]
        and len(set(names)) == len(names)
        and all(name.strip(".") and name.isprintable() and "/" not in name and size > 0 for name, size in files)
    )


def _ignore(outcome: BaseException | None) -> None:
    if outcome is not None:
        log.warning("a replaced engine was not removed: %s", outcome)
