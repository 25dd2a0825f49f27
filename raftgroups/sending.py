"""Sending: a leader's checkpoints on their way to followers.

    needed → checkpoint (hard links, in a worker) → offer → its answer → chunks, as the pace allows

A transfer that loses its link is kept for a while, with the checkpoint and the hold on the log. If
the same leader of the same term needs it again, it is offered again, and goes on from the byte
that the follower confirms.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from engine import CURRENT, Engine, FileSystem, StorageError, verify_checkpoint
from raftgroups.directory import DataDirectory
from raftgroups.group import RaftGroup
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.lane import Elsewhere
from raftgroups.layout import Layout
from raftgroups.messages import AnyMessage, SnapshotChunk, SnapshotOffer, SnapshotReply
from raftgroups.pace import Pace

log = logging.getLogger("ringkv.snapshot")

READ_BYTES = 256 << 10
CHUNK_BYTES = 64 << 10
STALLED_SECONDS = 10.0
KEPT_SECONDS = 30.0
PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 30.0
HELD_LOG_BYTES_MAX = 64 << 20
TRANSFER_BITS = 63

Send = Callable[[str, AnyMessage], None]
Key = tuple[PartitionId, str]


@dataclass(slots=True)
class Outgoing:
    """A checkpoint being sent to one follower.

    transfer     tells this transfer from every other, also of earlier lives of this node
    layout       None until the checkpoint is taken
    pace         None until the follower has answered the offer, over the link that is up now
    sent         everything before it has been given to the link, or is known to be there
    cut_at       when the link was lost, None while it is up
    is_refused   the follower has all of it, and could not take it: whether it is damaged is being looked at
    links        how many links it has used; what was begun for an earlier one is void
    """

    group: RaftGroup
    peer: str
    transfer: int
    term: Term
    path: str
    moved_at: float
    index: LogIndex = field(default=LogIndex(0))
    layout: Layout | None = None
    pace: Pace | None = None
    sent: int = 0
    is_reading: bool = False
    holds_log: bool = True
    cut_at: float | None = None
    is_refused: bool = False
    links: int = 1

    @property
    def key(self) -> Key:
        return self.group.partition, self.peer

    @property
    def is_current(self) -> bool:
        """Whoever began it leads still, in the same term."""
        return self.group.is_leader and self.group.consensus.term == self.term

    def is_stalled(self, now: float) -> bool:
        """The follower has said nothing for long, though it was its turn."""
        is_its_turn = self.layout is not None and self.cut_at is None and not self.is_refused
        return is_its_turn and self.moved_at < now - STALLED_SECONDS


class Sending:
    """At most one transfer at a time to a peer over its link; the others wait."""

    def __init__(
        self,
        directory: DataDirectory,
        send: Send,
        elsewhere: Elsewhere,
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._directory = directory
        self._file_system: FileSystem = directory.file_system
        self._send = send
        self._elsewhere = elsewhere
        self._now = now
        self._rng = rng
        self._transfers: dict[Key, Outgoing] = {}
        self._waiting: dict[Key, tuple[RaftGroup, Term]] = {}
        self._pauses: dict[Key, tuple[float, float]] = {}
        self._is_closed = False

    def needed(self, group: RaftGroup, peer: str) -> None:
        """`peer` needs a snapshot: go on with the one on its way, or take one and offer it."""
        key = (group.partition, peer)
        transfer = self._transfers.get(key)
        if transfer is not None:
            if transfer.group is group and transfer.is_current:
                if transfer.cut_at is not None:
                    self._resume(transfer)
                return
            self._end(transfer)
        if self._now() < self._pauses.get(key, (0.0, 0.0))[0]:
            # What failed a moment ago would fail again, at the cost of a flush and a checkpoint.
            group.consensus.snapshot_failed(peer)
        elif self._is_busy(peer):
            self._waiting[key] = group, group.consensus.term
        else:
            self._begin(group, peer)

    def peer_lost(self, peer: str) -> None:
        for transfer in self._transfers.values():
            if transfer.peer == peer and transfer.cut_at is None:
                transfer.cut_at = self._now()
                transfer.links += 1
                transfer.pace, transfer.is_reading = None, False
        # Whoever still needs one asks again when the link is back.
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if key[1] != peer}

    def tick(self) -> None:
        """Give up what has not moved for long, or is of use to nobody."""
        now = self._now()
        for transfer in list(self._transfers.values()):
            if not transfer.is_current or (transfer.cut_at is not None and transfer.cut_at < now - KEPT_SECONDS):
                self._end(transfer)
            elif transfer.is_stalled(now):
                log.warning("partition %d: snapshot to %s does not move", transfer.group.partition, transfer.peer)
                self._fail(transfer)
            elif transfer.holds_log and transfer.group.log.bytes_in_memory > HELD_LOG_BYTES_MAX:
                # Memory is bounded, whatever the link does: another snapshot may have to follow this one.
                self._release(transfer)

    def forget(self, group: RaftGroup) -> None:
        """The group is no longer on this node."""
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if waiting[0] is not group}
        for transfer in [transfer for transfer in self._transfers.values() if transfer.group is group]:
            self._end(transfer)

    def close(self) -> None:
        """The next start removes the checkpoints."""
        self._is_closed = True
        self._transfers.clear()
        self._waiting.clear()

    def replied(self, group: RaftGroup, sender: str, reply: SnapshotReply) -> None:
        transfer = self._transfers.get((group.partition, sender))
        if transfer is None or transfer.transfer != reply.transfer or transfer.cut_at is not None:
            return
        if transfer.is_refused:
            return
        transfer.moved_at = self._now()
        if not transfer.is_current:
            self._end(transfer)
        elif reply.failed:
            log.warning("partition %d: %s has not taken the snapshot", group.partition, sender)
            if transfer.layout is not None and transfer.sent == transfer.layout.size:
                self._examine(transfer)
            else:
                self._fail(transfer)
        elif reply.installed:
            self._pauses.pop(transfer.key, None)
            self._end(transfer)
            group.consensus.snapshot_sent(sender, transfer.index, self._now())
        else:
            self._confirmed(transfer, reply.received)

    # One transfer.

    def _is_busy(self, peer: str) -> bool:
        return any(transfer.peer == peer and transfer.cut_at is None for transfer in self._transfers.values())

    def _begin(self, group: RaftGroup, peer: str) -> None:
        number = self._rng.getrandbits(TRANSFER_BITS)
        path = self._directory.checkpoint_path()
        transfer = Outgoing(group, peer, number, group.consensus.term, path, self._now())
        self._transfers[transfer.key] = transfer
        group.hold_log()
        engine = group.machine.engine
        self._elsewhere(
            lambda: _take_checkpoint(engine, self._file_system, path), lambda outcome: self._taken(transfer, outcome)
        )

    def _taken(self, transfer: Outgoing, outcome: tuple[LogIndex, Layout] | BaseException) -> None:
        if isinstance(outcome, BaseException):
            log.error("partition %d: no checkpoint: %s", transfer.group.partition, outcome)
            self._remove(transfer)
            if self._is_there(transfer):
                transfer.group.doubt(outcome)
                self._fail(transfer)
            return
        if not self._is_there(transfer):
            self._remove(transfer)
            return
        transfer.index, transfer.layout = outcome
        if not transfer.is_current:
            self._end(transfer)
        elif transfer.cut_at is None:
            self._offer(transfer, transfer.layout)

    def _resume(self, transfer: Outgoing) -> None:
        transfer.cut_at = None
        if transfer.layout is not None:
            self._offer(transfer, transfer.layout)

    def _offer(self, transfer: Outgoing, layout: Layout) -> None:
        transfer.moved_at = self._now()
        partition = transfer.group.partition
        log.info("partition %d: snapshot at %d to %s", partition, transfer.index, transfer.peer)
        offer = SnapshotOffer(partition, transfer.term, transfer.transfer, transfer.index, layout.files)
        self._send(transfer.peer, offer)

    def _confirmed(self, transfer: Outgoing, received: int) -> None:
        layout, pace = transfer.layout, transfer.pace
        if layout is None or not 0 <= received <= (layout.size if pace is None else transfer.sent):
            log.error("partition %d: %s confirms what it was not sent", transfer.group.partition, transfer.peer)
            self._fail(transfer)
        elif pace is None:
            if received:
                log.info("partition %d: it goes on at %d of %d", transfer.group.partition, received, layout.size)
            transfer.sent = received
            pace = transfer.pace = Pace(received)
            self._pump(transfer, layout, pace)
        else:
            pace.confirmed(received, self._now())
            self._pump(transfer, layout, pace)

    def _pump(self, transfer: Outgoing, layout: Layout, pace: Pace) -> None:
        """Read what may be sent next, in a worker."""
        if transfer.is_reading or not pace.room or transfer.sent == layout.size:
            return
        place = layout.locate(transfer.sent)
        path, at = f"{transfer.path}/{place.name}", place.at
        length = min(place.left, pace.room, READ_BYTES)
        links = transfer.links
        transfer.is_reading = True

        def was_read(outcome: bytes | BaseException) -> None:
            if not self._is_there(transfer) or transfer.links != links:
                return
            transfer.is_reading = False
            if isinstance(outcome, BaseException):
                log.error("partition %d: a checkpoint cannot be read: %s", transfer.group.partition, outcome)
                transfer.group.doubt(outcome)
                self._fail(transfer)
                return
            self._send_chunks(transfer, outcome, pace)
            self._pump(transfer, layout, pace)

        self._elsewhere(lambda: _read(self._file_system, path, at, length), was_read)

    def _send_chunks(self, transfer: Outgoing, data: bytes, pace: Pace) -> None:
        partition = transfer.group.partition
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = data[start : start + CHUNK_BYTES]
            self._send(transfer.peer, SnapshotChunk(partition, transfer.transfer, transfer.sent, chunk))
            transfer.sent += len(chunk)
            pace.sent(transfer.sent, self._now())

    def _examine(self, transfer: Outgoing) -> None:
        """All of it arrived, and was not taken. If it is damaged, so are the tables that it is links to."""
        transfer.is_refused = True

        def was_read(outcome: BaseException | None) -> None:
            if not self._is_there(transfer):
                return
            if isinstance(outcome, BaseException):
                transfer.group.doubt(outcome)
            self._fail(transfer)

        self._elsewhere(lambda: verify_checkpoint(transfer.path, CURRENT, file_system=self._file_system), was_read)

    def _is_there(self, transfer: Outgoing) -> bool:
        return self._transfers.get(transfer.key) is transfer

    def _fail(self, transfer: Outgoing) -> None:
        """End it, and wait longer each time before another is begun."""
        seconds = self._pauses.get(transfer.key, (0.0, PAUSE_SECONDS / 2))[1]
        seconds = min(2 * seconds, PAUSE_SECONDS_MAX)
        self._pauses[transfer.key] = self._now() + seconds, seconds
        self._end(transfer)

    def _end(self, transfer: Outgoing) -> None:
        del self._transfers[transfer.key]
        self._release(transfer)
        transfer.group.consensus.snapshot_failed(transfer.peer)
        if transfer.layout is not None:
            self._remove(transfer)
        while not self._is_busy(transfer.peer):
            key = next((key for key in self._waiting if key[1] == transfer.peer), None)
            if key is None:
                return
            group, term = self._waiting.pop(key)
            if group.is_leader and group.consensus.term == term:
                self.needed(group, transfer.peer)

    def _release(self, transfer: Outgoing) -> None:
        if transfer.holds_log:
            transfer.holds_log = False
            transfer.group.release_log()

    def _remove(self, transfer: Outgoing) -> None:
        def remove() -> None:
            if self._file_system.exists(transfer.path):
                self._directory.remove(transfer.path)

        if not self._is_closed:
            self._elsewhere(remove, _tell_of_failure)


def _take_checkpoint(engine: Engine, file_system: FileSystem, path: str) -> tuple[LogIndex, Layout]:
    """Take the checkpoint and list its files, CURRENT last; in a worker."""
    index = LogIndex(engine.checkpoint(path))
    names = [name for name in file_system.list_directory(path) if name != CURRENT]
    sizes = [(name, file_system.size(f"{path}/{name}")) for name in sorted(names)]
    return index, Layout([item for item in sizes if item[1]] + [(CURRENT, file_system.size(f"{path}/{CURRENT}"))])


def _read(file_system: FileSystem, path: str, at: int, length: int) -> bytes:
    """In a worker. Raises: StorageError, also when there is less than that."""
    file = file_system.open_read(path)
    try:
        data = file.read(at, length)
    finally:
        file.close()
    if len(data) < length:
        raise StorageError(path, 0, "it is shorter than it was")
    return data


def _tell_of_failure(outcome: BaseException | None) -> None:
    if outcome is not None:
        log.warning("a checkpoint was not removed: %s", outcome)
