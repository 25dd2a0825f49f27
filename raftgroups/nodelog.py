"""The node log: one commit log for the entries, terms and votes of all groups of a node.

    node log  := NNNNNN.log*                    segments, each a commit log (engine/commitlog.py)
    frame     := msgpack [record, …]            what one group commit wrote; the first frame of
                                                a segment repeats every group's hard state
    record    := [0, group, term, vote]         hard state; vote "" is none
               | [1, group, first, [[term, payload], …]]
                                                the entries first, first + 1, …; what was at or
                                                after `first` before is gone
               | [2, group, index, term]        a snapshot took the place of all entries; it ends at index

It is also the commit log of every replica's engine: one fdatasync serves them all, and a
segment is dropped once each group in it has flushed, the oldest first, so their numbers have
no gap. A torn frame at the end of the newest segment was never synced and is cut off; damage
anywhere else, or a segment that is missing between others, is a DamagedDirectoryError.

What a restart reads counts as durable from then on, though a killed node may never have synced it, or a
node whose sync failed has ended itself: `read_commit_log` puts it on disk, if need be by writing it again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import EFBIG
from itertools import pairwise

import msgspec

from engine import CommitLogWriter, CorruptionError, FileSystem, StorageFullError, read_commit_log
from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import LogIndex, PartitionId, Term

SEGMENT_SUFFIX = ".log"
SEGMENT_BYTES = 8 << 20
RETAINED_BYTES = 32 << 20
FRAME_PAYLOAD_BYTES = 16 << 20
# So few fit a frame however long they are: an Entries record has at most what an Append carries.
RECORDS_PER_FRAME = 32


class HardState(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A group's term, and the candidate that got this node's vote in it ("" for none)."""

    group: int
    term: int
    vote: str


class Entries(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Entries (term, payload) from index `first` on."""

    group: int
    first: int
    entries: list[tuple[int, bytes]]


class Reset(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The log now starts after a snapshot that ends at `index`."""

    group: int
    index: int
    term: int


NO_TERM = Term(0)
FIRST_INDEX = LogIndex(1)

Record = HardState | Entries | Reset
_encode = msgspec.msgpack.Encoder().encode
decode_records = msgspec.msgpack.Decoder(list[Record]).decode


@dataclass(slots=True)
class Remains:
    """What the node log holds of one group after a restart.

    start     the snapshot's (index, term) that the entries follow, when the log says so
    first     the index of entries[0]
    """

    term: Term = NO_TERM
    vote: str = ""
    start: tuple[LogIndex, Term] | None = None
    first: LogIndex = FIRST_INDEX
    entries: list[tuple[int, bytes]] = field(default_factory=list)

    def replay(self, record: Record) -> None:
        if isinstance(record, HardState):
            self.term, self.vote = Term(record.term), record.vote
        elif isinstance(record, Entries):
            # What was written below the first entry before is in a segment that was dropped since.
            if not self.entries or record.first < self.first:
                self.first = LogIndex(record.first)
            if record.first > self.first + len(self.entries):
                raise ValueError(f"group {record.group}: entry {record.first} does not follow the log")
            del self.entries[record.first - self.first :]
            self.entries += record.entries
        else:
            self.start = LogIndex(record.index), Term(record.term)
            self.first = LogIndex(record.index + 1)
            self.entries = []


@dataclass(slots=True)
class _Segment:
    path: str
    size: int
    newest: dict[int, int]

    def note(self, record: Record) -> None:
        if isinstance(record, Entries):
            self.newest[record.group] = record.first + len(record.entries) - 1


class NodeLog:
    """Gathers records, commits them as one frame, and knows what has reached the disk.

    A record belongs to the generation that gathers when it is added. `write` hands that
    generation to the file, `sync` (from any thread) puts it on disk, `synced` is told when
    that is done. Invariant: one generation at a time is between write and synced.

    synced_records    of the newest generation on disk, in their order
    """

    def __init__(self, file_system: FileSystem, directory: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._file_system = file_system
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._gathered: list[Record] = []
        self._written: list[Record] = []
        self._hard_states: dict[int, HardState] = {}
        self._segments: list[_Segment] = []
        self.remains: dict[PartitionId, Remains] = {}
        self.synced_records: list[Record] = []
        self.generation = 1
        self.synced_generation = 0
        self.is_syncing = False
        self._has_unsynced_removal = False
        file_system.create_directory(directory)
        self._replay()
        self._writer = self._start_or_continue()
        self._writer.sync()

    @property
    def has_gathered(self) -> bool:
        return bool(self._gathered)

    @property
    def bytes_on_disk(self) -> int:
        return sum(segment.size for segment in self._segments)

    def take_remains(self, group: PartitionId) -> Remains:
        """What is known of a group: all that was replayed, or after that, its term and vote alone."""
        hard_state = self._hard_states.get(group, HardState(group, NO_TERM, ""))
        return self.remains.pop(group, Remains(Term(hard_state.term), hard_state.vote))

    def add(self, record: Record) -> int:
        """Gather a record; gives the generation it will be durable with."""
        self._gathered.append(record)
        if isinstance(record, HardState):
            self._hard_states[record.group] = record
        return self.generation

    def write(self) -> int:
        """Hand all that was gathered to the file as one frame; gives its generation.

        Raises: StorageFullError, and all is as before: it may be tried again when there is room.
        StorageError, and what the disk holds is not known: the node must stop.
        """
        assert not self.is_syncing, "one generation at a time"
        if self._segments[-1].size >= self._segment_bytes:
            self._roll()
        whole = len(self._gathered) <= RECORDS_PER_FRAME
        for records in (self._gathered,) if whole else _frames(self._gathered):
            self._writer.append(_encode(records))
        try:
            self._writer.write_out()
        except StorageFullError as error:
            if error.number != EFBIG or not self._segments[-1].newest:
                raise
            # The segment is as large as a file may be: there is room in another.
            self._roll()
            return self.write()
        segment = self._segments[-1]
        segment.size = self._writer.position
        for record in self._gathered:
            segment.note(record)
        self._written, self._gathered = self._gathered, []
        self.is_syncing = True
        self.generation += 1
        return self.generation - 1

    def sync(self) -> None:
        """Put what was written on disk. Raises: StorageError; it must not be tried again."""
        self._writer.sync()

    def synced(self, generation: int) -> None:
        self.is_syncing = False
        self.synced_generation, self.synced_records = generation, self._written

    def commit(self) -> None:
        """Write and sync all that was gathered, now; waits for the disk."""
        if self._gathered:
            generation = self.write()
            self.sync()
            self.synced(generation)

    def drop_flushed(self, flushed: Mapping[PartitionId, int], retained_bytes: int = RETAINED_BYTES) -> None:
        """Delete the oldest segments that every group's engine has flushed, down to `retained_bytes`.

        A group without an engine here any more pins nothing.
        """
        if self._writer.synced < self._writer.written:
            # The newest segment repeats the hard states of those before it, but not yet on disk.
            return
        while len(self._segments) > 1 and self.bytes_on_disk > retained_bytes:
            oldest = self._segments[0]
            if self._pinned_by(oldest, flushed):
                return
            if self._has_unsynced_removal:
                # A crash must not bring back a segment without the one that followed it.
                self._file_system.sync_directory(self._directory)
            self._file_system.remove(oldest.path)
            self._has_unsynced_removal = True
            self._segments.pop(0)

    def pins(self, flushed: Mapping[PartitionId, int]) -> list[PartitionId]:
        """The groups whose unflushed entries keep the oldest segment from being dropped."""
        return self._pinned_by(self._segments[0], flushed) if len(self._segments) > 1 else []

    def close(self) -> None:
        """Commit what is left. A sync that another thread began must have ended."""
        self.is_syncing = False
        self.commit()
        self._writer.close()

    @staticmethod
    def _pinned_by(segment: _Segment, flushed: Mapping[PartitionId, int]) -> list[PartitionId]:
        newest = segment.newest.items()
        return [PartitionId(group) for group, index in newest if flushed.get(PartitionId(group), index) < index]

    def _replay(self) -> None:
        numbers = segment_numbers(self._file_system, self._directory)
        if missing := missing_numbers(numbers):
            # It may have the newest entries of a group, and nothing after it would tell.
            raise DamagedDirectoryError(f"node log {segment_path(self._directory, missing[0])} is missing")
        for number in numbers:
            path = segment_path(self._directory, number)
            segment = _Segment(path, self._file_system.size(path), {})
            try:
                for payload in read_commit_log(self._file_system, path, newest=number == numbers[-1]):
                    for record in decode_records(payload):
                        self.remains.setdefault(PartitionId(record.group), Remains()).replay(record)
                        segment.note(record)
            except (CorruptionError, ValueError, msgspec.DecodeError) as error:
                raise DamagedDirectoryError(f"node log {path}: {error}") from error
            self._segments.append(segment)
        for group, remains in self.remains.items():
            self._hard_states[group] = HardState(group, remains.term, remains.vote)

    def _roll(self) -> None:
        """Go on in a new segment."""
        # Synced after its mark, before the next is there: only the newest segment may be torn.
        self._writer.mark()
        self._writer.sync()
        full, self._writer = self._writer, self._start_segment()
        full.close()

    def _start_or_continue(self) -> CommitLogWriter:
        """A new segment; on a full disk the newest goes on, which is whole now. Raises: StorageError."""
        try:
            return self._start_segment()
        except StorageFullError:
            if not self._segments:
                raise
            return CommitLogWriter(self._file_system, self._segments[-1].path)

    def _start_segment(self) -> CommitLogWriter:
        """Begin a new file. Its first frame repeats the hard states, so that dropping older ones forgets no vote."""
        number = 1 + max(segment_numbers(self._file_system, self._directory), default=0)
        path = segment_path(self._directory, number)
        writer = CommitLogWriter(self._file_system, path)
        # That a new name is durable makes the removals before it so.
        self._has_unsynced_removal = False
        if self._hard_states:
            writer.append(_encode(list(self._hard_states.values())))
            try:
                writer.write_out()
            except StorageFullError:
                # The segment before this one goes on as the newest.
                writer.close()
                self._file_system.remove(path)
                raise
        self._segments.append(_Segment(path, writer.position, {}))
        return writer


def _frames(records: list[Record]) -> Iterator[list[Record]]:
    """The records in pieces that fit a frame; nearly always that is one."""
    piece: list[Record] = []
    size = 0
    for record in records:
        if isinstance(record, Entries):
            size += sum(len(payload) for _, payload in record.entries)
            if size > FRAME_PAYLOAD_BYTES and piece:
                yield piece
                piece, size = [], 0
        piece.append(record)
    yield piece


def segment_path(directory: str, number: int) -> str:
    """Where segment `number` lies."""
    return f"{directory}/{number:06d}{SEGMENT_SUFFIX}"


def segment_numbers(file_system: FileSystem, directory: str) -> list[int]:
    """The segments that are there, oldest first."""
    names = file_system.list_directory(directory)
    return sorted(
        int(name.removesuffix(SEGMENT_SUFFIX))
        for name in names
        if name.endswith(SEGMENT_SUFFIX) and name.removesuffix(SEGMENT_SUFFIX).isdigit()
    )


def missing_numbers(numbers: Sequence[int]) -> list[int]:
    """The segments that were there between the oldest and the newest of `numbers`, and are not any more."""
    return [gone for before, after in pairwise(numbers) for gone in range(before + 1, after)]
