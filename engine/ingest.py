"""Ingest: sorted pairs become tables without passing through log and memtable.

The tables go to the lowest level above which nothing overlaps them; where something does in level 0 or
1 they are merged with it (overlay.py). Either way they become visible together.

Source: RocksDB's "Creating and Ingesting SST files".
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from operator import ge

from engine.errors import InvalidBatchError
from engine.jobs import Workshop, discard, write_tables
from engine.overlay import Readers, overlay
from engine.record import Run, WriteBatch
from engine.sstable import SSTableReader
from engine.version import LEVELS, Version, VersionEdit

_RUN_RECORDS = 1024


def write_sorted(workshop: Workshop, pairs: Iterable[tuple[bytes, bytes]]) -> list[SSTableReader]:
    """The pairs as durable tables that no manifest speaks of yet.

    Raises: InvalidBatchError, if a key does not follow the one before; InvalidKeyError, InvalidValueError.
    """
    # Packed as what lies deepest; where they will is not known yet.
    return write_tables(
        workshop, _runs(iter(pairs)), LEVELS - 1, None, table_bytes_max=workshop.options.table_bytes_max
    )


def _runs(pairs: Iterator[tuple[bytes, bytes]]) -> Iterator[Run]:
    last = b""
    while part := list(islice(pairs, _RUN_RECORDS)):
        records = WriteBatch(part).records
        keys = [key for key, _ in part]
        if any(map(ge, chain((last,), keys), keys)):
            before, key = next(pair for pair in pairwise(chain((last,), keys)) if pair[0] >= pair[1])
            raise InvalidBatchError(f"the keys to ingest must ascend: {key!r:.60} comes after {before!r:.60}")
        last = keys[-1]
        yield keys, list(records.values())


def place(
    workshop: Workshop, tables: list[SSTableReader], version: Version, readers: Readers, clock_ms: int
) -> tuple[VersionEdit, list[SSTableReader]]:
    """The edit that makes the tables the newest of a Version, and what it adds.

    No other job may change the tables meanwhile.
    """
    smallest, largest = tables[0].smallest, tables[-1].largest
    level = 0
    while level < LEVELS - 1 and not version.overlapping(level, smallest, largest):
        level += 1
    if version.overlapping(level, smallest, largest):
        level -= 1
    if level > 0:
        return VersionEdit(tuple((level, reader.table) for reader in tables)), tables
    newest = chain.from_iterable(reader.runs() for reader in tables)
    edit, merged = overlay(
        workshop, newest, (smallest, largest), (), version, readers, clock_ms, version.flushed_sequence
    )
    for reader in tables:
        discard(workshop.file_system, reader.path)
    return edit, merged
