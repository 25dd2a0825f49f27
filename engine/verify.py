"""Reads every byte of a store, and names what is damaged."""

from collections.abc import Iterator

from engine.block import Block
from engine.cache import BlockCache
from engine.coding import DecodeError
from engine.commitlog import CommitLogReader, Gap
from engine.errors import CorruptionError, ForeignDirectoryError, StorageError
from engine.files import CURRENT, LOCK, FileSystem, OsFileSystem, ReadableFileSystem, join, log_name, table_name
from engine.manifest import ManifestReader
from engine.ownlog import log_numbers
from engine.record import SequenceNumber, decode_batch
from engine.sstable import SSTableReader
from engine.store import check_directory
from engine.version import Table


def verify_engine(path: str, *, file_system: FileSystem | None = None) -> list[CorruptionError]:
    """Every problem found in a store that nobody has open; it is not changed.

    A tail that a crash tore off the newest log, or a last edit of the manifest that never counted, is
    no damage. Raises: LockedError; ForeignDirectoryError or StorageError, if there is no store.
    """
    file_system = file_system or OsFileSystem()
    try:
        check_directory(file_system, path)
    except CorruptionError as error:
        return [error]
    if CURRENT not in file_system.list_directory(path):
        raise ForeignDirectoryError(path, "there is no store")
    lock = file_system.lock(join(path, LOCK))
    try:
        return list(_problems(file_system, path))
    finally:
        lock.close()


def stored_sequence(path: str, *, file_system: FileSystem | None = None) -> SequenceNumber:
    """Up to where the tables of a store that nobody has open have every write.

    Raises: CorruptionError, StorageError.
    """
    return ManifestReader(file_system or OsFileSystem(), path).version.flushed_sequence


def verify_checkpoint(path: str, current: str, *, file_system: FileSystem) -> None:
    """Read every byte of a copy of a store that is not in use yet, and compare the checksums.

    current   the name that CURRENT has until then

    Raises: CorruptionError, StorageError.
    """
    manifest = ManifestReader(file_system, path, current)
    if manifest.damage is not None:
        raise manifest.damage
    for table in manifest.version.tables():
        reader = SSTableReader(file_system, join(path, table_name(table.number)), table, BlockCache(0))
        for number in range(len(reader.index().last_keys)):
            reader.read_block(number)


def _problems(file_system: FileSystem, directory: str) -> Iterator[CorruptionError]:
    try:
        manifest = ManifestReader(file_system, directory)
    except (CorruptionError, StorageError) as error:
        yield _as_damage(error)
        return
    if manifest.damage is not None and not manifest.is_torn:
        # Which files count is not known, so neither is what is wrong with them.
        yield manifest.damage
        return
    for table in manifest.version.tables():
        yield from _problems_of_table(file_system, directory, table)
    if manifest.version.oldest_log:
        version = manifest.version
        yield from _problems_of_logs(file_system, directory, version.oldest_log, version.flushed_sequence)


def _as_damage(error: CorruptionError | StorageError) -> CorruptionError:
    return error if isinstance(error, CorruptionError) else CorruptionError(error.path, 0, error.reason)


def _problems_of_table(file_system: FileSystem, directory: str, table: Table) -> Iterator[CorruptionError]:
    path = join(directory, table_name(table.number))
    try:
        reader = SSTableReader(file_system, path, table, BlockCache(0))
        index = reader.index()
    except (CorruptionError, StorageError) as error:
        yield _as_damage(error)
        return
    last = b""
    records = 0
    start = 0
    is_readable = True
    for number, last_key in enumerate(index.last_keys):
        try:
            block = reader.read_block(number)
        except (CorruptionError, StorageError) as error:
            yield _as_damage(error)
            is_readable = False
        else:
            records += len(block)
            problem = _problem_of_block(reader, block, last, last_key)
            if not number and block.run()[0][0] != table.smallest:
                problem = "it does not begin with the smallest key"
            if problem:
                yield CorruptionError(path, start, problem)
        last = last_key
        start = index.block_ends[number]
    if is_readable and records != table.records:
        yield CorruptionError(path, 0, f"it has {records} of {table.records} records")


def _problem_of_block(reader: SSTableReader, block: Block, before: bytes, last: bytes) -> str | None:
    keys, _ = block.run()
    for key in keys:
        if key <= before:
            return "keys are out of order"
        if not reader.may_contain(key):
            return "the filter denies a key that is there"
        before = key
    return None if keys[-1] == last else "the index has another last key"


def _problems_of_logs(
    file_system: ReadableFileSystem, directory: str, oldest: int, flushed: SequenceNumber
) -> Iterator[CorruptionError]:
    numbers = [number for number in log_numbers(file_system, directory) if number >= oldest]
    if oldest not in numbers:
        yield CorruptionError(join(directory, log_name(oldest)), 0, "the log is missing")
    expected = _Expected(flushed)
    for number in numbers:
        path = join(directory, log_name(number))
        try:
            yield from _problems_of_log(file_system, path, expected, is_newest=number == numbers[-1])
        except StorageError as error:
            yield _as_damage(error)
            expected.following = None


class _Expected:
    """The sequence of the batch that follows; None behind damage, where any may.

    Before the first batch is read it may also be an older one.
    """

    def __init__(self, flushed: SequenceNumber) -> None:
        self.following: int | None = flushed + 1
        self._is_first = True

    def misses(self, sequence: int) -> bool:
        """Whether writes are missing before this batch, which is the next."""
        following, is_first = self.following, self._is_first
        self.following, self._is_first = sequence + 1, False
        return following is not None and (sequence > following if is_first else sequence != following)


def _problems_of_log(
    file_system: ReadableFileSystem, path: str, expected: _Expected, *, is_newest: bool
) -> Iterator[CorruptionError]:
    log = CommitLogReader(file_system, path)
    try:
        for part in log.parts():
            if isinstance(part, Gap):
                if is_newest and part.is_torn:
                    # The next open cuts the log off here.
                    return
                yield CorruptionError(path, part.start, part.reason)
                expected.following = None
            elif part.payload:
                try:
                    sequence, _ = decode_batch(part.payload)
                except DecodeError as error:
                    yield CorruptionError(path, part.start, str(error))
                    expected.following = None
                else:
                    if expected.misses(sequence):
                        yield CorruptionError(path, part.start, f"writes are missing before {sequence}")
    finally:
        log.close()
