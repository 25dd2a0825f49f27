"""The logs of an engine that keeps its own: a batch per frame, a log per memtable.

The sequences of batches are consecutive, so that a log that is missing, or too old, is noticed.
"""

import threading
from collections.abc import Iterator, Sequence

from engine.coding import DecodeError
from engine.commitlog import FRAME_BYTES_MAX, CommitLogWriter, Gap, read_commit_log, read_left
from engine.errors import CorruptionError, InvalidBatchError
from engine.files import LOG, FileSystem, ReadableFileSystem, join, log_name, parse_name, remove_needless
from engine.record import SequenceNumber, WriteBatch, decode_batch, encode_batch, encoded_size


def replay(
    file_system: FileSystem, directory: str, oldest: int, flushed: SequenceNumber, *, read_only: bool = False
) -> Iterator[tuple[int, SequenceNumber, WriteBatch]]:
    """Every batch after `flushed`: the log it is in, its sequence, and itself.

    With `read_only` the logs stay as they are, and no more may be appended.

    Raises: CorruptionError.
    """
    # Older ones that a full disk did not let go of may be there as well.
    numbers = [number for number in log_numbers(file_system, directory) if number >= oldest]
    path = join(directory, log_name(oldest))
    if oldest not in numbers:
        raise CorruptionError(path, 0, "the log is missing")
    following: int | None = None
    for number in numbers:
        path = join(directory, log_name(number))
        read = _read_payloads if read_only else read_commit_log
        for payload in read(file_system, path, newest=number == numbers[-1]):
            try:
                sequence, batch = decode_batch(payload)
            except DecodeError as error:
                raise CorruptionError(path, 0, str(error)) from error
            if sequence != following if following is not None else sequence > flushed + 1:
                raise CorruptionError(path, 0, f"writes are missing before {sequence}")
            following = sequence + 1
            if sequence > flushed:
                yield number, SequenceNumber(sequence), batch


def _read_payloads(file_system: FileSystem, path: str, *, newest: bool) -> Iterator[bytes]:
    for part in read_left(file_system, path, newest=newest):
        if isinstance(part, Gap):
            raise CorruptionError(path, part.start, part.reason)
        yield part.payload


def log_numbers(file_system: ReadableFileSystem, directory: str) -> list[int]:
    """The numbers of the logs in a directory, oldest first."""
    parsed = map(parse_name, file_system.list_directory(directory))
    return sorted(found[1] for found in parsed if found and found[0] == LOG)


def check_batch(batch: WriteBatch) -> None:
    """Raises: InvalidBatchError, if it does not fit a frame."""
    size = encoded_size(batch)
    if size > FRAME_BYTES_MAX:
        raise InvalidBatchError(f"a batch takes at most {FRAME_BYTES_MAX} bytes in the log, not {size}")


class OwnLog:
    """The log that is written, and those not yet needless.

    current   the one that is written; nobody else replaces it
    """

    def __init__(self, file_system: FileSystem, directory: str, number: int) -> None:
        """Begin the log of this number, or continue it, once `replay` has read it to its end.

        What was read is on disk then; see `read_commit_log`. The sync here lets the log know.
        """
        self._file_system = file_system
        self._directory = directory
        self.current = CommitLogWriter(file_system, join(directory, log_name(number)))
        # Held while another thread syncs the log, and while it is replaced.
        self._syncing = threading.Lock()
        # Of the logs before this one, less what this one had when it was opened.
        self._earlier_bytes = -self.current.position
        if self.current.position:
            try:
                self.current.sync()
            except BaseException:
                self.current.close()
                raise

    @property
    def byte_size(self) -> int:
        """Of everything that was written to it, headers included."""
        return self._earlier_bytes + self.current.position

    def write(self, first: int, batches: Sequence[WriteBatch]) -> None:
        """Let the batches survive the process. Raises: StorageFullError, with none of them written."""
        log = self.current
        if len(batches) == 1:
            log.write_frame(encode_batch(first, batches[0]))
            return
        for sequence, batch in enumerate(batches, first):
            log.append(encode_batch(sequence, batch))
        log.write_out()

    def sync(self) -> None:
        """Let what was written out survive the machine."""
        self.current.sync()

    def sync_ahead(self) -> None:
        """The same, in another thread than the one that writes, so that little is left for `begin` to do."""
        with self._syncing:
            self.current.sync()

    def cut_back(self, place: tuple[CommitLogWriter, int]) -> bool:
        """Undo a write that was cut short, and began there; False, if that is in another log by now.

        Raises: StorageError, if it may be there.
        """
        log, position = place
        with self._syncing:
            if log is self.current:
                log.cut_back(position)
            return log is self.current

    @property
    def unsynced_bytes(self) -> int:
        return self.current.written - self.current.synced

    def begin(self, number: int) -> None:
        """Go on in a new log. Raises: StorageFullError, with the present one still in use.

        The name of the new one may not be durable before its first sync, nor is anything in it: whoever
        speaks of it before that, as a manifest does, syncs the directory.
        """
        with self._syncing:
            self._begin(number)

    def _begin(self, number: int) -> None:
        # Writers that do not sync are not to wait for more than they must.
        name_later = self.unsynced_bytes > 0
        # Complete before the new one is there: only the newest log may be torn.
        self.current.complete()
        path = join(self._directory, log_name(number))
        try:
            following = CommitLogWriter(self._file_system, path, name_later=name_later)
        except BaseException:
            if self._file_system.exists(path):
                self._file_system.remove(path)
            raise
        # In one step: whatever cuts this short, there is one log to go on in.
        old, self.current = self.current, following
        self._earlier_bytes += old.position
        old.release()

    def drop_before(self, number: int) -> None:
        """Remove the logs that tables have made needless."""
        for old in log_numbers(self._file_system, self._directory):
            if old < number:
                remove_needless(self._file_system, join(self._directory, log_name(old)))

    def release(self) -> None:
        """Close it as it is: nothing is promised that was not before."""
        self.current.release()

    def close(self) -> None:
        self.current.close()
