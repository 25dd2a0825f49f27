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


class Ingestion:
    """Tables on their way into the tree.

    tables        what is to be laid over all else; then what has come of them
    older         what there was when that was begun: whatever comes later is newer, and stays above
    is_done       whether they are there, or nothing came of it
    error         why nothing did
    may_be_known  whether the manifest may speak of them all the same
    """

    def __init__(self) -> None:
        self.tables: list[SSTableReader] = []
        self.older: tuple[Version, Readers] | None = None
        self.is_done = False
        self.error: Exception | None = None
        self.may_be_known = False


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


def place(workshop: Workshop, ingestion: Ingestion, clock_ms: int) -> VersionEdit:
    """The edit that makes its tables newer than those before it, and whose additions they are afterwards.

    No other job may change the tables that were there meanwhile.
    """
    assert ingestion.older is not None, "it was begun"
    # Nothing else holds on to those that are replaced.
    (version, readers), ingestion.older = ingestion.older, None
    tables = ingestion.tables
    smallest, largest = tables[0].smallest, tables[-1].largest
    level = 0
    while level < LEVELS - 1 and not version.overlapping(level, smallest, largest):
        level += 1
    if version.overlapping(level, smallest, largest):
        level -= 1
    if level > 0:
        return VersionEdit(tuple((level, reader.table) for reader in tables))
    newest = chain.from_iterable(reader.runs() for reader in tables)
    edit, merged = overlay(
        workshop, newest, (smallest, largest), (), version, readers, clock_ms, version.flushed_sequence
    )
    ingestion.tables = merged
    for reader in tables:
        discard(workshop.file_system, reader.path)
    return edit
