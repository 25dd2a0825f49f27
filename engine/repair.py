"""Repair: what is whole of a damaged store becomes a new one, and what is lost is named.

The newest record that is left of each key is kept. Where a newer one may have been in what is lost, or
the age of tables had to be guessed, it is doubtful: an older value may be back, or one that was deleted.

A store without a log of its own is a part of something larger, which knows what it should hold. Where
something of it is lost, the new store is one that keeps a log of its own, so that it cannot be opened in
its place.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby, repeat
from operator import itemgetter

from engine.ages import is_newer
from engine.bloom import BloomFilter, probe
from engine.cache import BlockCache
from engine.commitlog import CommitLogWriter
from engine.errors import ForeignDirectoryError, StorageError
from engine.files import LOCK, FileSystem, OsFileSystem, join, log_name, table_name
from engine.footer import Footer
from engine.jobs import discard
from engine.keyspan import KeySpan
from engine.manifest import ManifestWriter
from engine.options import Options
from engine.record import Expiring, Run, SequenceNumber, WriteBatch, is_covered
from engine.remains import Loss, Remains, Source, read_remains
from engine.show import count
from engine.sstable import SPAN_BYTES, SSTableWriter
from engine.survey import Hole, TableSurvey, WholeBlock
from engine.version import LEVELS, Table, Version, VersionEdit

_MEMTABLE = 0

# A key, whose record it is (0 is the memtable's, then the tables by age), and its value.
_Record = tuple[bytes, int, bytes | None]


@dataclass(slots=True)
class Repair:
    """What has become of a damaged store.

    records            in the new one, each of another key
    doubtful           keys of which the newest record may be lost; left out if that was asked for
    lost_records       of tables, by path, and how many of them deletions; None where that is not known
    losses             what could not be read
    notes              what else there is to know, a sentence each
    writes             taken from logs ...
    uncertain_writes   ... and how many of these come after one that is lost
    has_own_log        whether it keeps a log of its own
    """

    path: str
    new: str
    records: int = 0
    doubtful: int = 0
    lost_records: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    writes: int = 0
    uncertain_writes: int = 0
    is_ordered: bool = True
    has_own_log: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether every record of the old store is in the new one, and none that it had not."""
        lost = any(loss.keys is not None or loss.writes is not None for loss in self.losses)
        return self.is_ordered and not (lost or self.lost_records or self.doubtful)

    def lines(self) -> Iterator[str]:
        """All of it for a human."""
        yield from self.notes
        for loss in sorted(self.losses, key=lambda loss: (loss.path, loss.start)):
            yield _line(loss)
        for path, lost in self.lost_records.items():
            if lost is None:
                yield f"{path}: how many of its records are lost is not known"
            else:
                records, tombstones = lost
                yield f"{path}: {count(records, 'record')} lost, {tombstones:,} of them deletions"
        if self.uncertain_writes:
            yield f"{count(self.uncertain_writes, 'write')} kept that came after a lost one"
        if self.doubtful:
            yield f"{count(self.doubtful, 'key')} doubtful: the newest record may be lost, or taken for an older one"
        if not self.is_ordered:
            yield "which tables there should be is not known: one may be missing, or be there though it was replaced"
        of_logs = f", with what {count(self.writes, 'write')} of logs made" if self.writes else ""
        yield f"{self.new}: {count(self.records, 'key')}{of_logs}"


def _line(loss: Loss) -> str:
    place = f"{loss.path}, bytes {loss.start:,} to {loss.end:,}: {loss.reason}"
    if loss.writes is not None:
        first, last = loss.writes
        if not last:
            return f"{place}; perhaps lost: writes from {first:,} on"
        return f"{place}; lost: writes {first:,} to {last:,}" if first < last else f"{place}; lost: write {first:,}"
    if loss.keys is not None:
        doubts = f"; {count(loss.doubtful, 'older record')} in their place" if loss.doubtful else ""
        return f"{place}; lost: {loss.keys}{doubts}"
    return place


def repair_engine(
    path: str,
    new: str,
    options: Options | None = None,
    *,
    keep_doubtful: bool = True,
    tell_doubtful: Callable[[bytes], object] = lambda _: None,
    later: Iterable[tuple[int, WriteBatch]] | None = None,
    file_system: FileSystem | None = None,
) -> Repair:
    """Make a new store of what is whole of one that nobody has open, and is not changed.

    new             a directory that is empty or not there
    options         how the tables of the new store are written
    keep_doubtful   or leave out the keys that may have had a newer record
    tell_doubtful   is told each of these keys
    later           of a store without a log of its own, what the keeper of its log has: writes under
                    consecutive sequences. Then the new one keeps a log of its own

    Cost: reads and writes everything; memory for the logs, and for one table of each level.
    Raises: LockedError; ForeignDirectoryError, if there is no store, or something in the new directory;
    StorageError, with the new directory as it was.
    """
    file_system = file_system or OsFileSystem()
    file_system.list_directory(path)
    if f"{new}/".startswith(f"{path}/"):
        raise ForeignDirectoryError(new, "a repair does not write into the store that it reads")
    lock = file_system.lock(join(path, LOCK), shared=True)
    try:
        remains = read_remains(file_system, path, later or ())
        is_new = not file_system.exists(new)
        file_system.create_directory(new)
        if file_system.list_directory(new):
            raise ForeignDirectoryError(new, "a repair needs an empty directory")
        repair = Repair(
            path, new, losses=remains.losses, notes=remains.notes, writes=remains.writes,
            uncertain_writes=remains.uncertain_writes, is_ordered=remains.is_ordered,
            has_own_log=remains.has_own_log or later is not None,
        )  # fmt: skip
        salvage = _Salvage(file_system, remains, repair, tell_doubtful, keep_doubtful=keep_doubtful)
        try:
            _write(file_system, remains, repair, salvage, options or Options())
        except BaseException:
            _undo(file_system, new, is_new=is_new)
            raise
    finally:
        lock.close()
    return repair


def _undo(file_system: FileSystem, new: str, *, is_new: bool) -> None:
    """Leave nothing behind, if that works."""
    try:
        for name in file_system.list_directory(new):
            discard(file_system, join(new, name))
        if is_new:
            file_system.remove_directory(new)
    except StorageError:
        pass


class _Salvage:
    """Merges what is left of a store, and notes what is not."""

    def __init__(
        self,
        file_system: FileSystem,
        remains: Remains,
        repair: Repair,
        tell_doubtful: Callable[[bytes], object],
        *,
        keep_doubtful: bool,
    ) -> None:
        self._file_system = file_system
        self._remains = remains
        self._repair = repair
        self._tell_doubtful = tell_doubtful
        self._keep_doubtful = keep_doubtful
        # Where records may be lost that are not behind what is being merged, with their rank and their filter.
        self._lost: list[tuple[int, Loss, BloomFilter | None]] = []

    def runs(self, run_bytes: int) -> Iterator[Run]:
        """The records to keep, in the order of their keys, some that have about so many bytes at a time."""
        streams = [self._logged()]
        ranked = list(enumerate(self._remains.sources, 1))
        for rank, source in ranked:
            if source.loss is not None:
                self._lost.append((rank, source.loss, None))
                self._repair.lost_records[source.path] = _said(source.table)
        streams += [self._stored(chain) for chain in _chains([pair for pair in ranked if pair[1].loss is None])]
        keys: list[bytes] = []
        values: list[bytes | None] = []
        size = 0
        for key, group in groupby(merge(*streams), itemgetter(0)):
            value = self._choose(key, list(group))
            if value is None:
                continue
            keys.append(key)
            values.append(value)
            size += len(key) + len(value)
            if size >= run_bytes:
                yield keys, values
                keys, values, size = [], [], 0
        if keys:
            yield keys, values

    def _logged(self) -> Iterator[_Record]:
        for keys, values in self._remains.memtable.runs():
            yield from zip(keys, repeat(_MEMTABLE), values)

    def _stored(self, chain: list[tuple[int, Source]]) -> Iterator[_Record]:
        largest = b""
        for rank, source in chain:
            try:
                survey = TableSurvey(self._file_system, source.path, source.table)
            except StorageError as error:
                size = self._file_system.size(source.path)
                self._lose(rank, source, Hole(0, size, error.reason, source.origin.keys), None)
                self._repair.lost_records[source.path] = _said(source.table)
                continue
            for hole in survey.holes:
                self._lose(rank, source, hole, None)
            records = tombstones = 0
            for found in survey.blocks():
                part = found
                if isinstance(found, WholeBlock) and found.keys[0] <= largest:
                    # It contradicts what the manifest or the index says.
                    part = Hole(found.start, found.end, "its keys are of another table", source.origin.keys)
                if isinstance(part, Hole):
                    self._lose(rank, source, part, survey.bloom)
                    continue
                largest = part.keys[-1]
                records += len(part.keys)
                tombstones += part.values.count(None)
                yield from zip(part.keys, repeat(rank), part.values)
            said = _said(source.table or survey.footer)
            if said is None and any(loss.path == source.path and loss.keys for loss in self._repair.losses):
                self._repair.lost_records[source.path] = None
            if said is not None and said != (records, tombstones):
                self._repair.lost_records[source.path] = said[0] - records, said[1] - tombstones

    def _lose(self, rank: int, source: Source, hole: Hole, bloom: BloomFilter | None) -> None:
        last = self._repair.losses[-1] if self._repair.losses else None
        keys = hole.keys
        if last and keys and last.keys and (last.path, last.end, last.reason) == (source.path, hole.start, hole.reason):
            last.end = hole.end
            last.keys = KeySpan(last.keys.after, last.keys.first, keys.last, keys.before)
            return
        loss = Loss(source.path, hole.start, hole.end, hole.reason, keys)
        self._repair.losses.append(loss)
        if keys is not None:
            self._lost.append((rank, loss, bloom))

    def _choose(self, key: bytes, records: list[_Record]) -> bytes | None:
        """The value to keep under a key, None if there is none."""
        _, rank, value = records[0]
        ranges = self._remains.memtable.ranges
        if ranges and rank != _MEMTABLE and is_covered(key, ranges):
            return None
        if (self._lost or (len(records) > 1 and not self._remains.is_ordered)) and self._is_doubtful(key, records):
            self._repair.doubtful += 1
            self._tell_doubtful(key)
            if not self._keep_doubtful:
                return None
        return value

    def _is_doubtful(self, key: bytes, records: list[_Record]) -> bool:
        """Whether a newer record than the first may be lost, or be among the others."""
        _, rank, value = records[0]
        if rank == _MEMTABLE:
            return False
        is_doubtful = False
        for other, loss, bloom in self._lost:
            assert loss.keys is not None, "only these are kept"
            if (
                key in loss.keys
                and self._may_be_newer(other, rank)
                and (bloom is None or bloom.may_contain(*probe(key)))
            ):
                loss.doubtful += value is not None
                is_doubtful |= value is not None
        self._lost = [lost for lost in self._lost if lost[1].keys is None or not lost[1].keys.is_below(key)]
        return is_doubtful or any(
            not _is_same(value, older) and self._may_be_newer(other, rank) for _, other, older in records[1:]
        )

    def _may_be_newer(self, one: int, other: int) -> bool:
        if one == other:
            return False
        if self._remains.is_ordered:
            return one < other
        sources = self._remains.sources
        return is_newer(sources[one - 1].origin, sources[other - 1].origin) is not False


def _said(table: "Table | Footer | None") -> tuple[int, int] | None:
    return None if table is None else (table.records, table.tombstones)


def _is_same(one: bytes | None, other: bytes | None) -> bool:
    return one == other and _expiry(one) == _expiry(other)


def _expiry(value: bytes | None) -> int | None:
    return value.expires_ms if isinstance(value, Expiring) else None


def _chains(ranked: list[tuple[int, Source]]) -> list[list[tuple[int, Source]]]:
    """Tables that follow each other, in as few rows as needed: of each only one is open."""
    chains: list[list[tuple[int, Source]]] = []
    ends: list[KeySpan] = []
    for pair in sorted(ranked, key=lambda pair: _low(pair[1])):
        keys = pair[1].origin.keys
        place = next((place for place, end in enumerate(ends) if end.ends_before(keys)), None)
        if place is None:
            chains.append([pair])
            ends.append(keys)
        else:
            chains[place].append(pair)
            ends[place] = keys
    return chains


def _low(source: Source) -> bytes:
    keys = source.origin.keys
    return keys.first or keys.after or b""


def _write(file_system: FileSystem, remains: Remains, repair: Repair, salvage: _Salvage, options: Options) -> None:
    """Write the tables, and put them in force."""
    lock = file_system.lock(join(repair.new, LOCK))
    try:
        level, sequence = _level(remains, options), remains.memtable.sequence
        # Tables are cut only between runs.
        runs = salvage.runs(min(SPAN_BYTES, options.table_bytes_max // 8))
        tables = _write_tables(file_system, repair, runs, options, level, sequence)
        repair.has_own_log |= not repair.is_whole
        if repair.has_own_log and not remains.has_own_log:
            repair.notes.append("the store kept no log; the new one does, so that it cannot take its place")
        number = len(tables) + 1
        if repair.has_own_log:
            CommitLogWriter(file_system, join(repair.new, log_name(number))).close()
        edit = VersionEdit(
            added=tuple((level, table) for table in tables),
            flushed_sequence=sequence,
            oldest_log=number if repair.has_own_log else 0,
            next_number=number + 2,
            clock_ms=remains.clock_ms,
        )
        # The names must be on disk before a manifest speaks of them.
        file_system.sync_directory(repair.new)
        ManifestWriter.create(file_system, repair.new, number + 1, Version().apply(edit)).close()
    finally:
        lock.close()


def _write_tables(
    file_system: FileSystem, repair: Repair, runs: Iterator[Run], options: Options, level: int, sequence: SequenceNumber
) -> list[Table]:
    tables: list[Table] = []
    writer: SSTableWriter | None = None
    try:
        for keys, values in runs:
            repair.records += len(keys)
            if writer is None:
                number = len(tables) + 1
                path = join(repair.new, table_name(number))
                writer = SSTableWriter(file_system, path, number, options, level, sequence)
            writer.add(keys, values)
            if writer.byte_size >= options.table_bytes_max:
                tables.append(writer.finish(BlockCache(0)).table)
                writer = None
        if writer is not None:
            tables.append(writer.finish(BlockCache(0)).table)
            writer = None
    finally:
        if writer is not None:
            writer.close()
    return tables


def _level(remains: Remains, options: Options) -> int:
    """The first level that is large enough for all."""
    byte_size = sum(source.table.byte_size for source in remains.sources if source.table)
    level, limit = 1, options.level1_bytes_max
    while level < LEVELS - 1 and byte_size > limit:
        level, limit = level + 1, limit * options.level_bytes_ratio
    return level
