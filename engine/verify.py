"""Reads every byte of a store, and names what is damaged."""

from collections.abc import Iterator

from engine.block import Block
from engine.cache import BlockCache
from engine.coding import DecodeError
from engine.commitlog import CommitLogReader
from engine.errors import CorruptionError, ForeignDirectoryError, StorageError
from engine.files import CURRENT, LOCK, FileSystem, OsFileSystem, join, log_name, table_name
from engine.manifest import ManifestReader
from engine.ownlog import log_numbers
from engine.record import decode_batch
from engine.sstable import SSTableReader
from engine.store import check_directory
from engine.version import Table, Version


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
        yield from _problems_of_logs(file_system, directory, manifest.version)


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


def _problems_of_logs(file_system: FileSystem, directory: str, version: Version) -> Iterator[CorruptionError]:
    numbers = [n for n in log_numbers(file_system, directory) if n >= version.oldest_log]
    if version.oldest_log not in numbers:
        yield CorruptionError(join(directory, log_name(version.oldest_log)), 0, "the log is missing")
    following: int | None = None
    for number in numbers:
        path = join(directory, log_name(number))
        try:
            log = CommitLogReader(file_system, path)
        except StorageError as error:
            yield _as_damage(error)
            continue
        try:
            for payload in log:
                sequence, _ = decode_batch(payload)
                if following is not None and sequence != following:
                    yield CorruptionError(path, log.end, f"writes are missing before {sequence}")
                following = sequence + 1
        except (DecodeError, StorageError) as error:
            reason = error.reason if isinstance(error, StorageError) else str(error)
            yield CorruptionError(path, log.end, reason)
        finally:
            log.close()
        if log.damage is not None and not (log.is_torn and number == numbers[-1]):
            yield log.damage
