"""Overlay: newer records, or deleted ranges, laid over all tables at once.

Level 0 and what it overlaps in level 1 are merged with the newer records into level 1. Of what a range
covers, whole tables are dropped without a look, and those at its borders are written anew. So no table
ever carries a range, and a deleted range gives its space back as soon as its memtable is flushed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from engine.compaction import Compaction
from engine.jobs import Workshop, discard, without_needless, write_tables
from engine.merge import merge, without_ranges
from engine.record import Range, Run, SequenceNumber
from engine.sstable import SSTableReader
from engine.version import LEVELS, NOTHING, Table, Version, VersionEdit

Readers = Mapping[int, SSTableReader]


def overlay(
    workshop: Workshop,
    newest: Iterator[Run],
    borders: tuple[bytes, bytes] | None,
    ranges: Sequence[Range],
    version: Version,
    readers: Readers,
    clock_ms: int,
    sequence: SequenceNumber,
) -> tuple[VersionEdit, list[SSTableReader]]:
    """The edit that lays `newest` over a Version, and the durable tables it adds.

    borders   the smallest and the largest key of `newest`, None if it has none
    ranges    where all that is in tables is deleted
    sequence  up to which `newest` and the tables have every write

    No other job may change the tables meanwhile.
    """
    compaction = _compaction(version, borders, clock_ms)
    merged = {table.number for table in (*compaction.upper, *compaction.lower)}
    removed = [(0, table.number) for table in compaction.upper] + [(1, table.number) for table in compaction.lower]
    added: list[tuple[int, SSTableReader]] = []
    try:
        if merged or borders:
            older = [_runs([table], ranges, readers) for table in compaction.upper]
            older.append(_runs(compaction.lower, ranges, readers))
            runs = without_needless(merge([newest, *older]), compaction, version)
            added += [
                (1, table)
                for table in write_tables(workshop, runs, 1, sequence, table_bytes_max=workshop.options.table_bytes_max)
            ]
        for level in range(1, LEVELS):
            for table in version.levels[level]:
                if table.number in merged or not is_touched(table, ranges):
                    continue
                removed.append((level, table.number))
                if not is_gone(table, ranges):
                    rest = _rest(workshop, level, table, ranges, readers, sequence)
                    added += [(level, reader) for reader in rest]
    except BaseException:
        for _, reader in added:
            discard(workshop.file_system, reader.path)
        raise
    edit = VersionEdit(
        tuple((level, reader.table) for level, reader in added), tuple(removed), clock_ms=clock_ms or None
    )
    return edit, [reader for _, reader in added]


def trim(
    workshop: Workshop,
    ranges: Sequence[Range],
    tables_now: Callable[[], tuple[Version, Readers]],
) -> Iterator[tuple[VersionEdit, list[SSTableReader]]]:
    """The same of ranges alone in small steps, on a disk with little room; level 0 keeps what is deleted only in part.

    Each edit is to be installed before the next is asked for; between them the tables have some of what is deleted.
    """
    version, _ = tables_now()
    whole = [(level, t.number) for level in range(LEVELS) for t in version.levels[level] if is_gone(t, ranges)]
    if whole:
        yield VersionEdit(removed=tuple(whole)), []
    version, readers = tables_now()
    for level in range(1, LEVELS):
        for table in version.levels[level]:
            if is_touched(table, ranges):
                rest = _rest(workshop, level, table, ranges, readers, NOTHING)
                yield VersionEdit(tuple((level, reader.table) for reader in rest), ((level, table.number),)), rest


def _rest(
    workshop: Workshop,
    level: int,
    table: Table,
    ranges: Sequence[Range],
    readers: Readers,
    sequence: SequenceNumber,
) -> list[SSTableReader]:
    """What the ranges leave of a table, written anew."""
    return write_tables(
        workshop,
        _runs([table], ranges, readers),
        level,
        sequence,
        table_bytes_max=workshop.options.table_bytes_max,
        dictionary=readers[table.number].dictionary(),
    )


def _compaction(version: Version, borders: tuple[bytes, bytes] | None, clock_ms: int) -> Compaction:
    tables = version.levels[0]
    smallest = [table.smallest for table in tables] + list((borders or ())[:1])
    largest = [table.largest for table in tables] + list((borders or ())[1:])
    lower = version.overlapping(1, min(smallest), max(largest)) if smallest else ()
    return Compaction(0, tables, lower, clock_ms)


def _runs(tables: Sequence[Table], ranges: Sequence[Range], readers: Readers) -> Iterator[Run]:
    """What the ranges leave of some tables, one after the other."""
    for table in tables:
        if is_gone(table, ranges):
            continue
        runs = readers[table.number].runs()
        yield from without_ranges(runs, ranges) if is_touched(table, ranges) else runs


def is_touched(table: Table, ranges: Sequence[Range]) -> bool:
    """Whether a table may have a record that is deleted."""
    return any(start <= table.largest and (end is None or table.smallest < end) for start, end in ranges)


def is_gone(table: Table, ranges: Sequence[Range]) -> bool:
    """Whether all of a table is deleted."""
    return any(start <= table.smallest and (end is None or table.largest < end) for start, end in ranges)
