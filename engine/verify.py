"""Reads every byte of a store, and names what is damaged."""

from collections import Counter
from collections.abc import Iterator
from itertools import starmap

from engine.bloom import probe
from engine.cache import BlockCache
from engine.coding import DecodeError
from engine.commitlog import Gap, read_left
from engine.errors import CorruptionError, ForeignDirectoryError, StorageError
from engine.files import (
    CURRENT,
    LOCK,
    TABLE,
    FileSystem,
    OsFileSystem,
    ReadableFileSystem,
    is_data,
    join,
    log_name,
    parse_name,
    table_name,
)
from engine.manifest import ManifestReader
from engine.ownlog import log_numbers
from engine.record import SequenceNumber, decode_batch
from engine.sstable import SSTableReader
from engine.store import check_directory
from engine.survey import Hole, TableSurvey
from engine.version import Table


def verify_engine(path: str, *, file_system: FileSystem | None = None) -> list[CorruptionError]:
    """Every problem found in a store that nobody has open; it is not changed.

    A tail that a crash tore off the newest log, or a last edit of the manifest that never counted, is
    no damage. Raises: LockedError; ForeignDirectoryError or StorageError, if there is no store.
    """
    file_system = file_system or OsFileSystem()
    names = file_system.list_directory(path)
    if CURRENT not in names and not any(map(is_data, names)):
        check_directory(file_system, path)
        raise ForeignDirectoryError(path, "there is no store")
    # With others who only read; and where nothing may be written.
    lock = file_system.lock(join(path, LOCK), shared=True)
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
        check_directory(file_system, directory)
        manifest = ManifestReader(file_system, directory)
    except (CorruptionError, StorageError) as error:
        yield _as_damage(error)
        yield from _problems_of_files(file_system, directory)
        return
    if manifest.damage is not None and not manifest.is_torn:
        yield manifest.damage
        yield from _problems_of_files(file_system, directory)
        return
    version = manifest.version
    for table in version.tables():
        path = join(directory, table_name(table.number))
        if file_system.exists(path):
            yield from _problems_of_table(file_system, path, table)
        else:
            yield CorruptionError(path, 0, "the table is missing")
    if version.oldest_log:
        if not file_system.exists(join(directory, log_name(version.oldest_log))):
            yield CorruptionError(join(directory, log_name(version.oldest_log)), 0, "the log is missing")
        expected = _Expected(version.flushed_sequence)
        yield from _problems_of_logs(file_system, directory, version.oldest_log, expected)


def _problems_of_files(file_system: FileSystem, directory: str) -> Iterator[CorruptionError]:
    """Which files count is not known, so each that is there is judged by itself."""
    for name in file_system.list_directory(directory):
        kind, _ = parse_name(name) or ("", 0)
        if kind == TABLE:
            yield from _problems_of_table(file_system, join(directory, name), None)
    yield from _problems_of_logs(file_system, directory, 0, _Expected(None))


def _as_damage(error: CorruptionError | StorageError) -> CorruptionError:
    return error if isinstance(error, CorruptionError) else CorruptionError(error.path, 0, error.reason)


def _problems_of_table(file_system: ReadableFileSystem, path: str, table: Table | None) -> Iterator[CorruptionError]:
    try:
        survey = TableSurvey(file_system, path, table)
    except StorageError as error:
        yield _as_damage(error)
        return
    holes = list(survey.holes)
    contradictions: list[CorruptionError] = []
    found: Counter[str] = Counter()
    for number, part in enumerate(survey.blocks()):
        if isinstance(part, Hole):
            found["holes"] += 1
            if not part.is_consequence:
                holes.append(part)
            continue
        found["records"] += len(part.keys)
        found["tombstones"] += part.values.count(None)
        if table is not None and not number and part.keys[0] != table.smallest:
            contradictions.append(CorruptionError(path, part.start, "it does not begin with the smallest key"))
        if survey.index is not None and part.keys[-1] != survey.index.last_keys[number]:
            contradictions.append(CorruptionError(path, part.start, "the index has another last key"))
        if survey.bloom is not None and not all(starmap(survey.bloom.may_contain, map(probe, part.keys))):
            contradictions.append(CorruptionError(path, part.start, "the filter denies a key that is there"))
    yield from _name(path, holes)
    yield from contradictions
    there = found["records"], found["tombstones"]
    for who, said in (("the manifest", table), ("the footer", survey.footer)):
        if said is not None and not found["holes"] and (said.records, said.tombstones) != there:
            reason = f"{who} speaks of {said.records} records, {said.tombstones} of them tombstones"
            yield CorruptionError(path, 0, f"{reason}; there are {there[0]}, and {there[1]}")


def _name(path: str, holes: list[Hole]) -> Iterator[CorruptionError]:
    """Each hole once, the one that has another in it alone."""
    end = -1
    for hole in sorted(holes, key=lambda hole: (hole.start, -hole.end)):
        if hole.end > end:
            yield CorruptionError(path, hole.start, hole.reason)
            end = hole.end


def _problems_of_logs(
    file_system: ReadableFileSystem, directory: str, oldest: int, expected: "_Expected"
) -> Iterator[CorruptionError]:
    numbers = [number for number in log_numbers(file_system, directory) if number >= oldest]
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

    def __init__(self, flushed: SequenceNumber | None) -> None:
        self.following = None if flushed is None else flushed + 1
        self._is_first = True

    def misses(self, sequence: int) -> bool:
        """Whether writes are missing before this batch, which is the next."""
        following, is_first = self.following, self._is_first
        self.following, self._is_first = sequence + 1, False
        return following is not None and (sequence > following if is_first else sequence != following)


def _problems_of_log(
    file_system: ReadableFileSystem, path: str, expected: _Expected, *, is_newest: bool
) -> Iterator[CorruptionError]:
    for part in read_left(file_system, path, newest=is_newest):
        if isinstance(part, Gap):
            yield CorruptionError(path, part.start, part.reason)
            expected.following = None
            continue
        try:
            sequence, _ = decode_batch(part.payload)
        except DecodeError as error:
            yield CorruptionError(path, part.start, str(error))
            expected.following = None
        else:
            if expected.misses(sequence):
                yield CorruptionError(path, part.start, f"writes are missing before {sequence}")
