"""Flush and compaction: immutable inputs in, new tables out.

Neither changes anything but the files it makes. Both work in steps of at most a few thousand
records, between which other threads get the interpreter; files are read and written, and blocks
packed and unpacked, without holding it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from engine.cache import BlockCache
from engine.compaction import Compaction
from engine.dictionary import Dictionary
from engine.errors import StorageError
from engine.files import FileSystem, join, table_name
from engine.memtable import Memtable
from engine.merge import merge
from engine.options import Options
from engine.record import Expiring, Run, SequenceNumber
from engine.sstable import SPAN_BYTES, SSTableReader, SSTableWriter
from engine.training import train_dictionary
from engine.version import NOTHING, Version

# What a merge reads ahead, packed: in memory five times as much where values are small.
_STREAMS_BYTES = 1 << 20


class JobStoppedError(Exception):
    """The engine is closing: what the job made is gone again."""


def _at_full_speed(_: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every job works with.

    next_number   gives each new file its number
    check         raises JobStoppedError when the job is to end early
    name_table    the name of the file with a number
    pace          told of bytes that a compaction has written, it may wait
    """

    file_system: FileSystem
    directory: str
    options: Options
    cache: BlockCache
    next_number: Callable[[], int]
    check: Callable[[], None]
    name_table: Callable[[int], str] = table_name
    pace: Callable[[int], object] = _at_full_speed


def flush(workshop: Workshop, memtable: Memtable) -> list[SSTableReader]:
    """Write a sealed memtable into a durable table; none if it holds no records."""
    if not memtable.records:
        return []
    return write_tables(workshop, memtable.runs(), 0, memtable.sequence)


def compact(
    workshop: Workshop, compaction: Compaction, version: Version, readers: Mapping[int, SSTableReader]
) -> list[SSTableReader]:
    """Merge the tables of a compaction into new durable ones."""
    # Steps are small beside a table, as tables are cut only between them; and many streams take as much as a few.
    span_bytes = min(SPAN_BYTES, workshop.options.table_bytes_max // 8, _STREAMS_BYTES // (len(compaction.upper) + 1))
    upper = [readers[table.number].runs(span_bytes=span_bytes) for table in compaction.upper]
    lower = chain.from_iterable(readers[table.number].runs(span_bytes=span_bytes) for table in compaction.lower)
    runs = without_needless(merge([*upper, lower]), compaction, version)
    if compaction.borders:
        runs = cut(runs, compaction.borders)
    dictionary = _train(workshop.options, compaction, readers)
    return write_tables(
        workshop,
        runs,
        compaction.target,
        NOTHING if compaction.is_in_place else version.flushed_sequence,
        table_bytes_max=workshop.options.table_bytes_max,
        dictionary=dictionary,
    )


def _train(options: Options, compaction: Compaction, readers: Mapping[int, SSTableReader]) -> Dictionary | None:
    if not options.dictionary_bytes or compaction.target < options.zstd_from_level:
        return None
    return train_dictionary([readers[table.number] for table in (*compaction.upper, *compaction.lower)], options)


def without_needless(runs: Iterator[Run], compaction: Compaction, version: Version) -> Iterator[Run]:
    """Make tombstones of what has expired, and drop tombstones under which no table can hold the key.

    Cost: the tables below are looked for once per run: it takes 0.1 us a tombstone, and to look for each took 4.
    """
    for keys, values in runs:
        if all(values):
            yield keys, values
            continue
        there = _without_expired(values, compaction.clock_ms)
        if None not in there:
            yield keys, there
            continue
        kept = _without_tombstones(keys, there, version.spans_below(compaction.target, keys[0], keys[-1]))
        if kept[0]:
            yield kept


def cut(runs: Iterator[Run], borders: Sequence[bytes]) -> Iterator[Run]:
    """The same runs, with an empty one after each border that is met."""
    ahead = iter(borders)
    border = next(ahead, None)
    for keys, values in runs:
        at = 0
        while border is not None and border < keys[-1]:
            end = bisect_right(keys, border, at)
            yield keys[at:end], values[at:end]
            yield [], []
            at, border = end, next(ahead, None)
        yield keys[at:], values[at:]


def _without_expired(values: list[bytes | None], now_ms: int) -> list[bytes | None]:
    """Values, with tombstones in the place of those that have expired."""
    return [None if isinstance(value, Expiring) and value.has_expired(now_ms) else value for value in values]


def _without_tombstones(keys: list[bytes], values: list[bytes | None], spans: list[tuple[bytes, bytes]]) -> Run:
    """A run without its tombstones outside of the spans."""
    if spans and spans[0][0] <= keys[0] and keys[-1] <= spans[0][1]:
        return keys, values
    within = [(bisect_left(keys, first), bisect_right(keys, last)) for first, last in spans]
    kept: Run = [], []
    at = 0
    for low, high in (*within, (len(keys), len(keys))):
        there = [(key, value) for key, value in zip(keys[at:low], values[at:low], strict=True) if value is not None]
        kept[0].extend([key for key, _ in there] + keys[low:high])
        kept[1].extend([value for _, value in there] + values[low:high])
        at = high
    return kept


def write_tables(
    workshop: Workshop,
    runs: Iterator[Run],
    level: int,
    sequence: SequenceNumber | None,
    *,
    table_bytes_max: int | None = None,
    dictionary: Dictionary | None = None,
) -> list[SSTableReader]:
    """Write records, in the order of their keys, into durable tables of about this size; None: into one.

    After an empty run another table is begun.
    """
    finished: list[SSTableReader] = []
    writer: SSTableWriter | None = None
    begun: list[str] = []
    try:
        for keys, values in runs:
            workshop.check()
            if not keys:
                if writer is not None:
                    finished.append(writer.finish(workshop.cache))
                    writer = None
                continue
            if writer is None:
                number = workshop.next_number()
                path = join(workshop.directory, workshop.name_table(number))
                begun.append(path)
                writer = SSTableWriter(
                    workshop.file_system, path, number, workshop.options, level, sequence, dictionary
                )
            before = writer.byte_size
            writer.add(keys, values)
            if table_bytes_max is None:
                continue
            workshop.pace(writer.byte_size - before)
            if writer.byte_size >= table_bytes_max:
                finished.append(writer.finish(workshop.cache))
                writer = None
        if writer is not None:
            finished.append(writer.finish(workshop.cache))
            writer = None
        if finished:
            # The names must be on disk before a manifest speaks of them.
            workshop.file_system.sync_directory(workshop.directory)
    except BaseException:
        if writer is not None:
            writer.close()
        for path in begun:
            discard(workshop.file_system, path)
        raise
    return finished


def discard(file_system: FileSystem, path: str) -> None:
    """Remove a table that no manifest speaks of, if that works: the next open removes the rest."""
    try:
        file_system.remove(path)
    except StorageError:
        pass
