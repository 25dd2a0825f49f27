"""Commit log: every write, in order, before anyone can see it.

    log    := frame*
    frame  := magic:u32 crc:u32 length:u32 unsynced:u32 payload:u8[length]      little-endian

The CRC32C starts from the frame's position in the file (modulo 2^32) and covers what follows it, so a
frame is whole only where it was written. `unsynced` is how far before this frame the file was on disk
when it was appended: a frame testifies for the bytes before that. A frame without payload is a mark:
it is appended after a sync only to testify, and is not replayed.

A bad frame ends the replay. If a later whole frame testifies that it had been on disk, or if the
log is not the newest, it is a CorruptionError. Otherwise a crash may have torn it: no one was
promised it or what follows, and the log is cut there.

That a frame can be read does not mean that it is on disk: it may never have been synced, or, worse, a
sync of it failed, after which Linux takes its pages for written and no later sync is asked for them. So
whoever replays a log to go on from it writes what nothing testifies for once more, where it is, and
syncs that. After a close in good order this is one mark.

Source: leveldb log_format.md, without its blocks: a frame is one payload and is never split.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from engine.coding import DecodeError, crc32c
from engine.errors import ClosedError, CorruptionError, StorageError, StorageFullError, uncertain
from engine.files import AppendableFile, FileSystem, ReadableFileSystem, parent
from engine.window import Window

FRAME_BYTES_MAX = 64 << 20
HEADER_BYTES = 16

_MAGIC = 0x316C6B72  # "rkl1": a new grammar gets a new one
_MAGIC_BYTES = struct.pack("<I", _MAGIC)
_U32_MAX = (1 << 32) - 1
_pack_start = struct.Struct("<II").pack
_pack_rest = struct.Struct("<II").pack
_unpack_header = struct.Struct("<IIII").unpack


class CommitLogWriter:
    """Appends frames to a log, new or whole, and makes them durable.

    One thread appends and writes out; `sync` may run in another meanwhile. A log must be complete, finished
    or closed before the next one is begun: only the newest may be torn.

    written   up to here a crash of the process loses nothing; nobody else sets it

    Invariant: after a failed write or sync nothing is written any more, as nobody knows what the
    disk holds. The one exception is a full disk: what did not fit is cut off again.
    """

    def __init__(self, file_system: FileSystem, path: str, *, name_later: bool = False) -> None:
        """With `name_later` a new file's name is made durable by the first `sync`, and not before."""
        is_new = not file_system.exists(path)
        self._file_system = file_system
        self._path = path
        self._is_named = not (is_new and name_later)
        self._file: AppendableFile | None = file_system.open_append(path)
        self._failure: StorageError | None = None
        self._pieces: list[bytes] = []
        try:
            if is_new and self._is_named:
                file_system.sync_directory(parent(path))
            self._position = self.written = file_system.size(path)
        except StorageError:
            self._file.close()
            raise
        # What was there is not known to be on disk.
        self._synced = 0
        self._marked = 0

    @property
    def position(self) -> int:
        """Where the next frame will begin."""
        return self._position

    @property
    def synced(self) -> int:
        """Up to here a crash of the machine loses nothing."""
        return self._synced

    def append(self, payload: bytes) -> int:
        """Add a frame to what `write_out` will write; returns the position of its end.

        An empty payload makes a mark.
        """
        assert len(payload) <= FRAME_BYTES_MAX, "a frame has at most 64 MiB"
        position = self._position
        # One checksum of a copy is quicker than two of its parts.
        covered = _pack_rest(len(payload), position - self._synced) + payload
        self._pieces += (_pack_start(_MAGIC, crc32c(covered, position & _U32_MAX)), covered)
        self._position = position = position + 8 + len(covered)
        return position

    def write_out(self) -> None:
        """Hand every appended frame to the operating system.

        Raises: StorageFullError, with the frames dropped and the log as before, also after a crash;
        StorageError, with the log closed to writes.
        """
        if not self._pieces:
            return
        file = self._writable()
        data = b"".join(self._pieces)
        self._pieces.clear()
        try:
            file.write(data)
        except StorageFullError:
            self._cut_back(file)
            raise
        except StorageError as error:
            self._failure = error
            raise
        self.written = self._position

    def write_frame(self, payload: bytes) -> None:
        """`append` and `write_out`, 0.6 us quicker where nothing else was appended. Raises: as they do."""
        file = self._file
        if self._pieces or file is None or self._failure is not None or len(payload) > FRAME_BYTES_MAX:
            self.append(payload)
            self.write_out()
            return
        position = self._position
        covered = _pack_rest(len(payload), position - self._synced) + payload
        frame = _pack_start(_MAGIC, crc32c(covered, position & _U32_MAX)) + covered
        self._position = end = position + len(frame)
        try:
            file.write(frame)
        except StorageFullError:
            self._cut_back(file)
            raise
        except StorageError as error:
            self._failure = error
            raise
        self.written = end

    def _cut_back(self, file: AppendableFile) -> None:
        """Remove what a full disk took of the frames. Raises: StorageError, if it may still be there."""
        self._position = self.written
        try:
            file.truncate(self.written)
        except StorageError as error:
            self._failure = uncertain(error)
            raise self._failure from error
        # A crash could bring back whole frames that were refused.
        self.sync()

    def cut_back(self, position: int) -> None:
        """Undo what came after a position, of a write that was cut short. Raises: StorageError, if it may be there."""
        self._pieces.clear()
        self.written = self._position = position
        self._synced, self._marked = min(self._synced, position), min(self._marked, position)
        self._cut_back(self._writable())

    def sync(self) -> int:
        """Make durable what was written out; returns the position up to which it is.

        Raises: StorageError, with the log closed to writes.
        """
        file = self._writable()
        written = self.written
        try:
            file.sync()
            if not self._is_named:
                # A synced frame in a file without a name would be lost all the same.
                self._file_system.sync_directory(parent(self._path))
                self._is_named = True
        except StorageError as error:
            # Never tried again: the kernel may have dropped the pages it failed to write.
            self._failure = uncertain(error)
            raise self._failure from error
        self._synced = max(self._synced, written)
        return self._synced

    def mark(self) -> None:
        """Testify in the log that everything before is on disk, if it is."""
        if self._marked < self._synced == self._position:
            marked = self.append(b"")
            try:
                self.write_out()
            except StorageFullError:
                # What it would have testified for is on disk all the same.
                return
            self._marked = marked

    def complete(self) -> None:
        """Make everything durable: now another log may follow."""
        self.write_out()
        if max(self._synced, self._marked) < self.written:
            self.sync()

    def finish(self) -> None:
        """Make everything durable, and a mark that says so, for a log that may stay the newest."""
        self.complete()
        self.mark()
        if self._synced < self._marked:
            # A mark that a crash tears would be damage, once this log is not the newest any more.
            self.sync()

    def release(self) -> None:
        """Close as it is: of what was appended since the last sync nothing is promised."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def close(self) -> None:
        """Finish, unless writing failed before."""
        if self._file is None:
            return
        try:
            if self._failure is None:
                self.finish()
        finally:
            self.release()

    def _writable(self) -> AppendableFile:
        if self._failure is not None:
            failure = self._failure
            raise StorageError(self._path, failure.number, f"closed to writes: {failure.reason}") from failure
        if self._file is None:
            raise ClosedError(f"{self._path} is closed")
        return self._file


class Frame(NamedTuple):
    """A whole frame.

    unsynced   how far before this frame the log was on disk when it was appended
    """

    start: int
    payload: bytes
    unsynced: int

    @property
    def end(self) -> int:
        return self.start + HEADER_BYTES + len(self.payload)

    @property
    def synced(self) -> int:
        """What is before was on disk."""
        return self.start - self.unsynced


class Gap(NamedTuple):
    """Bytes of a log that are no whole frame.

    is_torn   whether a crash can explain it: nothing testifies that it was on disk
    """

    start: int
    end: int
    reason: str
    is_torn: bool


def is_frame(data: bytes) -> bool:
    """Whether it begins as a frame does."""
    return data.startswith(_MAGIC_BYTES)


class CommitLogReader:
    """Reads the payloads of a log up to its end or its first bad frame.

    end         position after the last whole frame
    damage      None if that is the end of the file
    is_torn     whether a crash can explain the damage: nothing testifies that it was on disk
    is_marked   whether a mark is the last whole frame: all before it had been on disk
    known       up to here frames testify that it had been on disk
    """

    def __init__(self, file_system: ReadableFileSystem, path: str) -> None:
        self._path = path
        self._size = file_system.size(path)
        self._file = file_system.open_read(path)
        self._window = Window(self._file)
        self.end = 0
        self.damage: CorruptionError | None = None
        self.is_torn = False
        self.is_marked = False
        self.known = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.end < self._size:
            try:
                payload, unsynced = self._frame(self.end)
            except DecodeError as error:
                self.damage = CorruptionError(self._path, self.end, str(error))
                self.is_torn = not self._was_synced(self.end)
                return
            self.known = max(self.known, self.end - unsynced)
            self.end += HEADER_BYTES + len(payload)
            self.is_marked = not payload
            if payload:
                yield payload

    def parts(self) -> Iterator[Frame | Gap]:
        """All of the log, marks and damage included: for who wants to know what is left of it."""
        while self.end < self._size:
            part: Frame | Gap
            try:
                part = Frame(self.end, *self._frame(self.end))
            except DecodeError as error:
                following = next(self._frames_after(self.end), None)
                end = self._size if following is None else following.start
                part = Gap(self.end, end, str(error), not self._was_synced(self.end))
            self.end = part.end
            yield part

    def _frame(self, at: int) -> tuple[bytes, int]:
        if self._size - at < HEADER_BYTES:
            raise DecodeError("the header of a frame is cut off")
        header = self._window.take(at, HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            raise DecodeError("the header of a frame is cut off")
        magic, crc, length, unsynced = _unpack_header(header)
        if magic != _MAGIC:
            raise DecodeError("no frame begins here")
        if length > FRAME_BYTES_MAX or length > self._size - at - HEADER_BYTES:
            raise DecodeError("a frame is longer than what is left")
        payload = self._window.take(at + HEADER_BYTES, length)
        if crc32c(payload, crc32c(header[8:], at & _U32_MAX)) != crc:
            raise DecodeError("the checksum of a frame does not match")
        return payload, unsynced

    def _was_synced(self, position: int) -> bool:
        return any(frame.synced > position for frame in self._frames_after(position))

    def _frames_after(self, position: int) -> Iterator[Frame]:
        """The whole frames behind a bad one, wherever they begin."""
        at = self._window.find(_MAGIC_BYTES, position + 1)
        while at is not None:
            following = at + 1
            try:
                frame = Frame(at, *self._frame(at))
            except DecodeError:
                pass
            else:
                yield frame
                following = frame.end
            at = self._window.find(_MAGIC_BYTES, following)

    def close(self) -> None:
        self._file.close()


def read_left(file_system: ReadableFileSystem, path: str, *, newest: bool) -> Iterator[Frame | Gap]:
    """What there is of a log for a replay, and what is damaged of it, in order; nothing is changed.

    Marks are left out, and a torn tail if the log is the newest: the next replay cuts it off.
    Raises: StorageError.
    """
    log = CommitLogReader(file_system, path)
    try:
        for part in log.parts():
            if isinstance(part, Gap):
                if newest and part.is_torn:
                    return
                yield part
            elif part.payload:
                yield part
    finally:
        log.close()


def read_commit_log(file_system: FileSystem, path: str, *, newest: bool) -> Iterator[bytes]:
    """The payloads of a log in order; if it is the newest a torn tail is cut off, and the rest put on disk.

    Both when the last payload has been taken: then what was read survives the machine, and more may be
    appended. Cost: a write and a sync of what was not known to be on disk. Raises: CorruptionError, StorageError.
    """
    reader = CommitLogReader(file_system, path)
    try:
        yield from reader
    finally:
        reader.close()
    if reader.damage is not None:
        if not (newest and reader.is_torn):
            raise reader.damage
        file = file_system.open_append(path)
        try:
            file.truncate(reader.end)
            # Synced now: what the next log says must not follow on what this one might still lose.
            file.sync()
        finally:
            file.close()
    if newest:
        put_on_disk(file_system, path, reader)


def put_on_disk(file_system: FileSystem, path: str, log: CommitLogReader) -> None:
    """Write once more, and sync, what can be read of a log and is not known to be on disk. Raises: StorageError."""
    if log.known < log.end:
        file_system.rewrite(path, log.known)
