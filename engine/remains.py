"""What is left of a damaged store: its tables in the order of their age, and the writes in its logs.

A manifest that is whole knows the order. Of one that is damaged every edit that is left counts, and of
none at all nothing is known: then all tables that are there count, and what their footers and numbers
tell (ages.py) decides. Whole frames of a log count also behind damaged ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.ages import Origin, newest_first
from engine.coding import DecodeError
from engine.commitlog import CommitLogReader, Frame, Gap
from engine.errors import CorruptionError, ForeignDirectoryError, StorageError
from engine.files import (
    CURRENT,
    MANIFEST,
    TABLE,
    ReadableFileSystem,
    is_data,
    join,
    log_name,
    manifest_name,
    parse_name,
    table_name,
)
from engine.keyspan import KeySpan
from engine.manifest import read_current, read_edits
from engine.memtable import Memtable
from engine.ownlog import log_numbers
from engine.patient import PatientFileSystem
from engine.record import SequenceNumber, WriteBatch, decode_batch
from engine.survey import TableSurvey, WholeBlock
from engine.version import LEVELS, NOTHING, InvalidEditError, Table, Version, VersionEdit

_ANY_KEY = "any key may have had a newer record in it"


@dataclass(slots=True)
class Loss:
    """What could not be read of a file, from `start` to `end`.

    keys      where the records were that are lost with it; None if there were none
    writes    the first and the last sequence of the writes that are lost with it; None if there were none.
              A last of 0: nobody knows how many there were, if any
    doubtful  how many keys it leaves with a record that may be older than one that was lost
    """

    path: str
    start: int
    end: int
    reason: str
    keys: KeySpan | None = None
    writes: tuple[int, int] | None = None
    doubtful: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A table that counts, or did.

    table   what the manifest says of it; None if that is not known
    loss    if nothing of it is left
    """

    origin: Origin
    path: str
    table: Table | None
    loss: Loss | None = None


@dataclass(slots=True)
class Remains:
    """What is left of a store.

    sources            newest first
    is_ordered         their order is known; if not, is_newer(origin, origin) tells what is
    memtable           what the logs hold that no table does
    writes             how many of them ...
    uncertain_writes   ... come after one that is lost
    notes              what else there is to know, a sentence each
    """

    sources: list[Source] = field(default_factory=list)
    is_ordered: bool = True
    memtable: Memtable = field(default_factory=lambda: Memtable(NOTHING))
    writes: int = 0
    uncertain_writes: int = 0
    has_own_log: bool = False
    clock_ms: int = 0
    losses: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_remains(
    file_system: ReadableFileSystem, directory: str, later: Iterable[tuple[int, WriteBatch]] = ()
) -> Remains:
    """Look through a store that nobody has open. Raises: ForeignDirectoryError, StorageError.

    later   what the keeper of its log has, if it has none of its own: writes under consecutive sequences
    """
    disk = PatientFileSystem(file_system)
    names = disk.list_directory(directory)
    if not any(name == CURRENT or (parse_name(name) or ("",))[0] == MANIFEST or is_data(name) for name in names):
        raise ForeignDirectoryError(directory, "there is no store")
    remains = Remains()
    manifest = _find_manifest(disk, directory, names, remains)
    remains.clock_ms = manifest.clock_ms
    logs = [number for number in log_numbers(disk, directory) if number >= manifest.oldest_log]
    remains.has_own_log = bool(manifest.oldest_log or logs)
    flushed = manifest.flushed
    if manifest.is_whole:
        remains.sources = list(_known_sources(file_system, directory, manifest.version))
        if not manifest.oldest_log:
            logs = []
    else:
        remains.is_ordered = False
        remains.sources = _guessed_sources(file_system, directory, names, manifest, remains)
        flushed = max([flushed, *[source.origin.sequence for source in remains.sources]])
        if not remains.has_own_log:
            remains.notes.append(f"there is no log: if the store kept one, what was written after {flushed} is lost")
    if manifest.oldest_log and manifest.oldest_log not in logs:
        logs.insert(0, manifest.oldest_log)
    remains.losses += [source.loss for source in remains.sources if source.loss]
    reader = _LogsReader(disk, directory, flushed, remains)
    reader.read(logs)
    for sequence, batch in later:
        reader.take(directory, 0, sequence, batch)
    return remains


# The manifest


class _Manifest:
    """What a manifest says, as far as it can be read.

    places   the tables that the edits leave, and their levels, by number
    gaps     where edits are lost
    """

    def __init__(self, disk: PatientFileSystem | None = None, directory: str = "", number: int = 0) -> None:
        self.number = number
        self.version = Version()
        self.places: dict[int, tuple[int, Table]] = {}
        self.flushed = 0
        self.oldest_log = 0
        self.clock_ms = 0
        self.next_number = 0
        self.gaps: list[Gap] = []
        self.is_whole = False
        if disk is not None:
            self._read(disk, join(directory, manifest_name(number)))

    def _read(self, disk: PatientFileSystem, path: str) -> None:
        edits = 0
        for part in read_edits(disk, path):
            if isinstance(part, Gap):
                if part.is_torn:
                    # An edit that never counted.
                    break
                self.gaps.append(part)
                continue
            frame, edit = part
            if edit is not None:
                self._apply(frame, edit)
                edits += 1
        self.is_whole = edits > 0 and not self.gaps

    def _apply(self, frame: Frame, edit: VersionEdit) -> None:
        for _, number in edit.removed:
            self.places.pop(number, None)
        for level, table in edit.added:
            self.places[table.number] = level, table
        self.flushed = max(self.flushed, edit.flushed_sequence or 0)
        self.oldest_log = max(self.oldest_log, edit.oldest_log or 0)
        self.next_number = max(self.next_number, edit.next_number or 0)
        self.clock_ms = max(self.clock_ms, edit.clock_ms or 0)
        if not self.gaps:
            try:
                self.version = self.version.apply(edit)
            except InvalidEditError as error:
                self.gaps.append(Gap(frame.start, frame.end, str(error), False))


def _find_manifest(disk: PatientFileSystem, directory: str, names: Sequence[str], remains: Remains) -> _Manifest:
    """The manifest in force, or what comes closest to it."""
    numbers = [parsed[1] for parsed in map(parse_name, names) if parsed and parsed[0] == MANIFEST]
    current = join(directory, CURRENT)
    try:
        if CURRENT not in names:
            raise CorruptionError(current, 0, "it is missing")
        named = parse_name(read_current(disk, current))
        assert named is not None, "read_current has checked the name"
    except CorruptionError as error:
        remains.notes.append(f"{current}: {error.reason}")
    else:
        if named[1] in numbers:
            manifest = _Manifest(disk, directory, named[1])
            _tell(manifest, directory, disk, remains)
            return manifest
        remains.notes.append(f"{join(directory, manifest_name(named[1]))}: the manifest is missing")
    found = [_Manifest(disk, directory, number) for number in numbers]
    if not found:
        remains.notes.append("without a manifest the age of tables is guessed from their footers")
        return _Manifest()
    best = max(found, key=lambda manifest: (manifest.is_whole, manifest.next_number, manifest.number))
    remains.notes.append(f"{manifest_name(best.number)} is taken for the manifest in force")
    _tell(best, directory, disk, remains)
    if best.is_whole and not _fits(best, disk, directory, names):
        remains.notes.append("other tables are there than it speaks of, so their age is guessed from their footers")
        best.is_whole = False
    return best


def _fits(manifest: _Manifest, disk: ReadableFileSystem, directory: str, names: Sequence[str]) -> bool:
    """Whether exactly its tables are there, as they were, so that no later edit can be missing."""
    there = {parsed[1] for parsed in map(parse_name, names) if parsed and parsed[0] == TABLE}
    sizes = {number: table.byte_size for number, (_, table) in manifest.places.items()}
    return there == sizes.keys() and all(
        disk.size(join(directory, table_name(number))) == size for number, size in sizes.items()
    )


def _tell(manifest: _Manifest, directory: str, disk: PatientFileSystem, remains: Remains) -> None:
    path = join(directory, manifest_name(manifest.number))
    for gap in manifest.gaps:
        reason = disk.refusal(path, gap.start, gap.end) or gap.reason
        remains.losses.append(Loss(path, gap.start, gap.end, reason))
    if not manifest.is_whole:
        remains.notes.append(f"{path} is not whole, so the age of tables is guessed from it and their footers")


# Tables


def _known_sources(disk: ReadableFileSystem, directory: str, version: Version) -> Iterator[Source]:
    for level, tables in enumerate(version.levels):
        for table in tables:
            path = join(directory, table_name(table.number))
            keys = KeySpan(first=table.smallest, last=table.largest)
            origin = Origin(table.number, keys, place=level)
            loss = None if disk.exists(path) else Loss(path, 0, table.byte_size, "the table is missing", keys)
            yield Source(origin, path, table, loss)


def _guessed_sources(
    disk: ReadableFileSystem, directory: str, names: Sequence[str], manifest: _Manifest, remains: Remains
) -> list[Source]:
    there = {parsed[1] for parsed in map(parse_name, names) if parsed and parsed[0] == TABLE}
    found = [_source(disk, directory, number, manifest.places.get(number), remains) for number in sorted(there)]
    sources = [source for source in found if source is not None]
    strays = [source.origin for source in sources if source.table is None]
    for number, (level, table) in manifest.places.items():
        if number in there:
            continue
        path = join(directory, table_name(number))
        keys = KeySpan(first=table.smallest, last=table.largest)
        if any(stray.number > number and stray.keys.overlaps(keys) for stray in strays):
            remains.notes.append(f"{path} is missing, as if an edit that is lost had removed it")
        else:
            loss = Loss(path, 0, table.byte_size, "the table is missing", keys)
            sources.append(Source(Origin(number, keys, place=level), path, table, loss))
    by_number = {source.origin.number: source for source in sources}
    return [by_number[origin.number] for origin in newest_first([source.origin for source in sources])]


def _source(
    disk: ReadableFileSystem, directory: str, number: int, known: tuple[int, Table] | None, remains: Remains
) -> Source | None:
    """None if nothing in the file can be read, and nobody knows what it held."""
    path = join(directory, table_name(number))
    place, table = known if known is not None else (None, None)
    try:
        survey = TableSurvey(disk, path, table)
    except StorageError as error:
        remains.losses.append(Loss(path, 0, disk.size(path), f"{error.reason}; {_ANY_KEY}"))
        return None
    keys = KeySpan(first=table.smallest, last=table.largest) if table else _span(survey)
    if keys is None:
        remains.losses.append(Loss(path, 0, survey.byte_size, f"nothing of it can be read; {_ANY_KEY}"))
        return None
    footer = survey.footer
    level = footer.level if footer and footer.level < LEVELS else None
    return Source(Origin(number, keys, level, footer.sequence if footer else 0, place), path, table)


def _span(survey: TableSurvey) -> KeySpan | None:
    """The keys of a table that no manifest speaks of; None if no block is whole."""
    parts = list(survey.blocks()) if survey.index is None else [next(survey.blocks())]
    first = parts[0].keys[0] if parts and isinstance(parts[0], WholeBlock) else None
    if survey.index is not None:
        return KeySpan(first=first, last=survey.index.last_keys[-1])
    last = parts[-1].keys[-1] if parts and isinstance(parts[-1], WholeBlock) else None
    return KeySpan(first=first, last=last) if any(isinstance(part, WholeBlock) for part in parts) else None


# Logs


class _LogsReader:
    """Applies the writes of logs, and notes which are missing."""

    def __init__(self, disk: PatientFileSystem, directory: str, flushed: int, remains: Remains) -> None:
        self._disk = disk
        self._directory = directory
        self._remains = remains
        self._flushed = flushed
        self._following = flushed + 1
        # Where footers tell it, there may be tables that do not.
        self._is_sure = remains.is_ordered
        # Damage since the last whole write: the next one tells what was there.
        self._pending: list[Loss] = []
        remains.memtable = Memtable(SequenceNumber(flushed))

    def read(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            path = join(self._directory, log_name(number))
            if not self._disk.exists(path):
                self._miss(Loss(path, 0, 0, "the log is missing"))
                continue
            try:
                log = CommitLogReader(self._disk, path)
            except StorageError as error:
                self._miss(Loss(path, 0, self._disk.size(path), error.reason))
                continue
            try:
                self._read(log, path, is_newest=number == numbers[-1])
            finally:
                log.close()
        if self._pending:
            self._pending[0].writes = self._following, 0

    def _read(self, log: CommitLogReader, path: str, *, is_newest: bool) -> None:
        for part in log.parts():
            if isinstance(part, Gap):
                if part.is_torn and is_newest:
                    note = (
                        f"{path} was torn by a crash at byte {part.start}: what follows was never known to be on disk"
                    )
                    self._remains.notes.append(note)
                    return
                reason = self._disk.refusal(path, part.start, part.end) or part.reason
                self._miss(Loss(path, part.start, part.end, reason))
            elif part.payload:
                try:
                    sequence, batch = decode_batch(part.payload)
                except DecodeError as error:
                    self._miss(Loss(path, part.start, part.end, str(error)))
                else:
                    self.take(path, part.start, sequence, batch)

    def _miss(self, loss: Loss) -> None:
        self._remains.losses.append(loss)
        self._pending.append(loss)

    def take(self, path: str, at: int, sequence: int, batch: WriteBatch) -> None:
        """Apply a write that was found there, unless it is in a table."""
        if sequence > self._following and (self._is_sure or self._pending):
            if not self._pending:
                self._miss(Loss(path, at, at, "writes are missing here"))
            self._pending[0].writes = self._following, sequence - 1
        self._is_sure = True
        self._pending.clear()
        if sequence < self._following:
            return
        self._following = sequence + 1
        remains = self._remains
        remains.writes += 1
        remains.uncertain_writes += any(loss.writes for loss in remains.losses)
        if batch.ranges:
            remains.memtable = remains.memtable.after(batch, SequenceNumber(sequence))
        else:
            remains.memtable.write(batch.records, batch.byte_size, SequenceNumber(sequence))
