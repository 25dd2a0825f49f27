"""Flush and compaction make the tables they should, or none."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import BlockCache, Fault, MemoryFileSystem, Options, SequenceNumber, StorageError, WriteBatch
from engine.compaction import Compaction
from engine.files import ReadableFile
from engine.footer import FOOTER_BYTES, Footer
from engine.ingest import write_sorted
from engine.jobs import JobStoppedError, Workshop, compact, flush, without_needless
from engine.memtable import Memtable
from engine.record import Expiring, unless_expired
from engine.sstable import SPAN_BYTES, SSTableReader
from engine.version import LEVELS, Table, Version, VersionEdit
from tests.engine.contents import documents


def make_workshop(disk: MemoryFileSystem, check: Callable[[], None] = lambda: None, **options: int) -> Workshop:
    disk.create_directory("/db")
    numbers = iter(range(1, 1000))
    return Workshop(disk, "/db", Options(**options), BlockCache(1 << 20), lambda: next(numbers), check)  # type: ignore[arg-type]  # own_log is not given


def memtable(content: dict[bytes, bytes | None]) -> Memtable:
    table = Memtable(SequenceNumber(0))
    batch = WriteBatch()
    for key, value in content.items():
        batch.records[key] = value
    table.write(batch.records, batch.byte_size, SequenceNumber(1))
    return table


def content(tables: list[SSTableReader]) -> dict[bytes, bytes | None]:
    return {k: v for table in tables for keys, values in table.runs() for k, v in zip(keys, values, strict=True)}


def leveled(levels: dict[int, list[SSTableReader]]) -> Version:
    added = tuple((level, reader.table) for level, readers in levels.items() for reader in readers)
    return Version().apply(VersionEdit(added=added))


def run(workshop: Workshop, levels: dict[int, list[SSTableReader]], level: int = 0) -> list[SSTableReader]:
    version = leveled(levels)
    readers = {reader.table.number: reader for tables in levels.values() for reader in tables}
    chosen = Compaction(level, version.levels[level], version.levels[level + 1])
    return compact(workshop, chosen, version, readers)


def test_a_flush_writes_one_durable_table() -> None:
    disk = MemoryFileSystem()
    workshop = make_workshop(disk, block_bytes=64, table_bytes_max=4096)
    records: dict[bytes, bytes | None] = {b"%d" % i: None if i % 7 == 0 else b"v%d" % i for i in range(5000)}

    tables = flush(workshop, memtable(records))
    disk.restart()

    assert len(tables) == 1
    assert disk.list_directory("/db") == ["000001.sst"]
    again = SSTableReader(disk, tables[0].path, tables[0].table, BlockCache(0))
    assert content([again]) == records


def test_a_table_tells_its_age() -> None:
    """Of what a flush or a compaction completes: for when the manifest is lost."""
    disk = MemoryFileSystem()
    workshop = make_workshop(disk)
    sealed = memtable({b"a": b"1"})
    sealed.sequence = SequenceNumber(7)
    upper = flush(workshop, sealed)
    version = replace(leveled({2: upper}), flushed_sequence=SequenceNumber(9))
    lower = compact(workshop, Compaction(2, version.levels[2], ()), version, {1: upper[0]})

    hiding = replace(version, levels=leveled({3: lower}).levels)
    rewritten = compact(workshop, Compaction(3, hiding.levels[3], (), is_in_place=True), hiding, {2: lower[0]})
    ingested = write_sorted(workshop, [(b"a", b"1")])

    tables = [*upper, *lower, *rewritten, *ingested]
    footers = [Footer.decode(disk.content(reader.path)[-FOOTER_BYTES:]) for reader in tables]

    assert [(footer.level, footer.sequence) for footer in footers] == [(0, 7), (3, 9), (3, 0), (LEVELS, 0)]


def test_an_empty_memtable_makes_no_table() -> None:
    assert flush(make_workshop(MemoryFileSystem()), memtable({})) == []


def test_compaction_keeps_the_newest_of_each_key() -> None:
    workshop = make_workshop(MemoryFileSystem())
    bottom = flush(workshop, memtable({b"a": b"1", b"b": b"1", b"c": b"1"}))
    old = flush(workshop, memtable({b"b": b"2", b"c": b"2"}))
    new = flush(workshop, memtable({b"c": b"3", b"d": b"3"}))

    assert content(run(workshop, {1: bottom, 0: old + new})) == {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"3"}


def test_a_tombstone_goes_when_nothing_below_can_hold_its_key() -> None:
    workshop = make_workshop(MemoryFileSystem())
    deep = flush(workshop, memtable({b"m": b"0", b"p": b"0"}))
    middle = flush(workshop, memtable({b"a": b"1", b"n": b"1"}))
    top = flush(workshop, memtable({b"a": None, b"n": None, b"z": None, b"k": b"1"}))

    assert content(run(workshop, {0: top, 1: middle, 3: deep})) == {b"k": b"1", b"n": None}
    assert content(run(workshop, {0: top, 1: middle})) == {b"k": b"1"}


@given(
    st.lists(st.sampled_from([None, b"1", Expiring.at(5, b"2"), Expiring.at(6, b"2")]), max_size=40),
    st.sets(st.integers(0, 12), max_size=4),
)
def test_what_is_needless_is_what_hides_nothing(values: list[bytes | None], tables: set[int]) -> None:
    """In a run of any kind, over tables of a few keys here and there; as it is told by looking key by key."""
    keys = [b"%02d" % number for number in range(len(values))]
    below = [Table(number + 1, 1, b"%02d" % (3 * number), b"%02d" % (3 * number + 2), 1, 0) for number in tables]
    version = Version().apply(VersionEdit(tuple((2 + number % 2, table) for number, table in enumerate(below))))
    compaction = Compaction(0, (), (), clock_ms=5)

    runs = list(without_needless(iter([(keys, values)]), compaction, version))
    kept = [pair for kept_keys, kept_values in runs for pair in zip(kept_keys, kept_values, strict=True)]

    there = [(key, unless_expired(value, 5) and value) for key, value in zip(keys, values, strict=True)]
    assert kept == [(key, value) for key, value in there if value is not None or version.may_hold_below(1, key, key)]


class CountingVersion(Version):
    """Counts how often it is asked for tables."""

    looks = 0

    def overlapping(self, level: int, smallest: bytes, largest: bytes) -> tuple[Table, ...]:
        CountingVersion.looks += 1
        return super().overlapping(level, smallest, largest)


def test_tombstones_are_looked_up_together() -> None:
    """One by one that took most of a compaction's time: longer than a writer waits, after a storm of deletes."""
    workshop = make_workshop(MemoryFileSystem())
    top = flush(workshop, memtable({b"%05d" % number: None for number in range(20_000)}))
    deep = flush(workshop, memtable({b"00000": b"1", b"19999": b"1"}))
    version = CountingVersion(leveled({0: top, 2: deep}).levels)

    made = compact(workshop, Compaction(0, version.levels[0], ()), version, {1: top[0], 2: deep[0]})

    assert len(content(made)) == 20_000
    assert CountingVersion.looks < 1000


def test_a_compaction_may_leave_nothing() -> None:
    workshop = make_workshop(MemoryFileSystem())

    assert run(workshop, {0: flush(workshop, memtable({b"a": None}))}) == []


class _ReadNotes:
    """A file, and in `longest` how much was read of it at once."""

    def __init__(self, file: ReadableFile, path: str, longest: dict[str, int]) -> None:
        self._file, self._path, self._longest = file, path, longest

    def read(self, offset: int, length: int) -> bytes:
        self._longest[self._path] = max(self._longest.get(self._path, 0), length)
        return self._file.read(offset, length)

    def read_nowait(self, offset: int, length: int) -> bytes | None:
        return self.read(offset, length)


@pytest.mark.parametrize(("count", "each_bytes"), [(3, SPAN_BYTES), (20, (1 << 20) // 21)])
def test_many_streams_read_no_more_ahead_than_some(
    count: int, each_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a compaction's spans are decoded at once, and of tombstones they grow to five times their size."""
    longest: dict[str, int] = {}
    disk = MemoryFileSystem()
    open_read = disk.open_read
    monkeypatch.setattr(disk, "open_read", lambda path: _ReadNotes(open_read(path), path, longest))
    workshop = make_workshop(disk)
    noise = random.Random(1).randbytes(160_000)
    upper = [
        flush(workshop, memtable({b"%03d%03d" % (i, number): noise[80 * i : 80 * i + 200] for i in range(2000)}))[0]
        for number in range(count)
    ]
    longest.clear()

    run(workshop, {0: upper})

    assert len(longest) >= count
    most = max(longest.values())
    assert each_bytes / 2 < most <= each_bytes + 2 * workshop.options.block_bytes


def test_compaction_cuts_tables_at_their_size() -> None:
    workshop = make_workshop(MemoryFileSystem(), block_bytes=256, table_bytes_max=8192)
    records: dict[bytes, bytes | None] = {b"%06d" % i: b"%d" % (i * i) * 9 for i in range(6000)}
    inputs = flush(workshop, memtable(records))

    outputs = run(workshop, {0: inputs})

    assert len(outputs) > 3
    assert content(outputs) == records
    assert all(left.largest < right.smallest for left, right in pairwise(outputs))


def codecs(disk: MemoryFileSystem, table: SSTableReader) -> set[int]:
    """Of its blocks: 1 is LZ4, 2 zstd, 3 zstd with a dictionary."""
    return {disk.content(table.path)[end - 5] for end in table.index().block_ends}


@pytest.mark.parametrize(
    ("from_level", "dictionary_bytes", "expected"),
    [(7, 4096, [1, 1, 1]), (2, 0, [1, 1, 2]), (2, 4096, [1, 1, 3]), (0, 4096, [2, 3, 3])],
)
def test_tables_are_packed_as_their_level_says(from_level: int, dictionary_bytes: int, expected: list[int]) -> None:
    """A flush has no blocks yet that a dictionary could be trained on."""
    disk = MemoryFileSystem()
    workshop = make_workshop(disk, zstd_from_level=from_level, dictionary_bytes=dictionary_bytes)
    records: dict[bytes, bytes | None] = {b"%06d" % i: value for i, value in enumerate(documents(2000))}

    flushed = flush(workshop, memtable(records))
    first = run(workshop, {0: flushed})
    second = run(workshop, {1: first}, level=1)

    for tables, codec in zip((flushed, first, second), expected, strict=True):
        assert set().union(*(codecs(disk, table) for table in tables)) == {codec}
        again = [SSTableReader(disk, table.path, table.table, BlockCache(0)) for table in tables]
        assert content(tables) == content(again) == records


@pytest.mark.parametrize("operation", ["open_append", "write", "sync", "sync_directory"])
def test_a_job_that_fails_leaves_no_files(operation: str) -> None:
    disk = MemoryFileSystem()
    workshop = make_workshop(disk)
    inputs = flush(workshop, memtable({b"a": b"1"}))
    disk.faults.append(Fault(operation, StorageError("/db/000002.sst", 5, "Input/output error")))

    with pytest.raises(StorageError):
        run(workshop, {0: inputs})

    assert disk.list_directory("/db") == ["000001.sst"]


def test_a_job_ends_when_it_is_told_to() -> None:
    def stop() -> None:
        raise JobStoppedError

    disk = MemoryFileSystem()

    with pytest.raises(JobStoppedError):
        flush(make_workshop(disk, stop), memtable({b"a": b"1"}))

    assert disk.list_directory("/db") == []
