"""A view finds the newest record of a key, wherever it is, and looks no further."""

import random
from typing import Self

import pytest

from engine import BlockCache, Fault, MemoryFileSystem, Options, SequenceNumber, StorageError
from engine.block import append_records
from engine.memtable import Memtable
from engine.sstable import SPAN_BYTES, SSTableReader, SSTableWriter
from engine.version import Version, VersionEdit
from engine.view import Levels, View

Content = dict[bytes, bytes | None]


@pytest.fixture
def disk() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    return disk


def memtable(content: Content) -> Memtable:
    made = Memtable(SequenceNumber(0))
    made.write(content, 0, SequenceNumber(1))
    return made


def make_view(
    disk: MemoryFileSystem, active: Content, sealed: list[Content], tables: list[tuple[int, Content]]
) -> View:
    """Tables by level, those of level 0 oldest first."""
    cache = BlockCache(1 << 20)
    readers: dict[int, SSTableReader] = {}
    edit = VersionEdit()
    for number, (level, content) in enumerate(tables, 1):
        writer = SSTableWriter(disk, f"/db/{number:06}.sst", number, Options())
        keys = sorted(content)
        writer.add(keys, [content[key] for key in keys])
        readers[number] = writer.finish(cache)
        edit = VersionEdit(added=(*edit.added, (level, readers[number].table)))
    return View(memtable(active), tuple(map(memtable, sealed)), Levels(Version().apply(edit), readers))


def test_the_newest_record_is_found_wherever_it_is(disk: MemoryFileSystem) -> None:
    view = make_view(
        disk,
        {b"a": b"active"},
        [{b"a": b"-", b"b": b"sealed", b"x": None}, {b"b": b"-", b"c": b"sealed before"}],
        [
            (3, {b"a": b"-", b"e": b"-", b"f": b"-", b"g": b"three", b"x": b"-", b"y": b"-"}),
            (1, {b"a": b"-", b"f": b"one"}),
            (1, {b"g": None, b"h": b"one, too"}),
            (0, {b"d": b"-", b"e": b"zero", b"y": None}),
            (0, {b"a": b"-", b"c": b"-", b"d": b"newest of zero"}),
        ],
    )
    expected = {
        b"a": b"active",
        b"b": b"sealed",
        b"c": b"sealed before",
        b"d": b"newest of zero",
        b"e": b"zero",
        b"f": b"one",
        b"h": b"one, too",
    }

    assert dict(view.scan(b"", None)) == expected
    assert list(view.scan(b"b", b"e")) == [(key, expected[key]) for key in (b"b", b"c", b"d")]
    assert list(view.scan(b"", None, reverse=True)) == sorted(expected.items(), reverse=True)
    assert list(view.scan(b"b", b"e", reverse=True, limit=2)) == [(key, expected[key]) for key in (b"d", b"c")]
    for key in (b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"x", b"y", b"zz", b"ee"):
        assert view.find(key, wait=True) == expected.get(key)


def test_a_get_looks_only_where_the_key_may_be(disk: MemoryFileSystem) -> None:
    view = make_view(
        disk, {}, [], [(2, {b"a": b"2", b"z": b"2"}), (1, {b"a": b"1", b"c": b"1"}), (1, {b"m": b"1", b"p": b"1"})]
    )
    assert view.find(b"c", wait=True) == b"1"
    for number in (1, 3):
        disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), f"{number:06}.sst", times=None))

    assert view.find(b"c", wait=True) == b"1"
    with pytest.raises(StorageError):
        view.find(b"z", wait=True)


def test_a_scan_reads_on_only_as_it_is_consumed(disk: MemoryFileSystem) -> None:
    view = make_view(disk, {}, [], [(1, {b"a": b"1", b"b": b"1"}), (1, {b"m": b"1"})])
    disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), "000002.sst", times=None))
    scan = view.scan(b"", None)

    assert [next(scan), next(scan)] == [(b"a", b"1"), (b"b", b"1")]
    with pytest.raises(StorageError):
        next(scan)
    assert list(view.scan(b"", b"m")) == [(b"a", b"1"), (b"b", b"1")]


def test_a_backward_scan_reads_on_only_as_it_is_consumed(disk: MemoryFileSystem) -> None:
    view = make_view(disk, {}, [], [(1, {b"a": b"1"}), (1, {b"m": b"1", b"n": b"1"})])
    disk.faults.append(Fault("read", StorageError("/db", 5, "not to be read"), "000001.sst", times=None))
    scan = view.scan(b"", None, reverse=True)

    assert [next(scan), next(scan)] == [(b"n", b"1"), (b"m", b"1")]
    with pytest.raises(StorageError):
        next(scan)
    assert list(view.scan(b"b", None, reverse=True)) == [(b"n", b"1"), (b"m", b"1")]


class CountedValue(bytes):
    """Knows how many there are, and how many there were at most."""

    alive = peak = 0

    def __new__(cls, value: bytes) -> Self:
        cls.alive += 1
        cls.peak = max(cls.peak, cls.alive)
        return super().__new__(cls, value)

    def __del__(self) -> None:
        type(self).alive -= 1


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_never_has_more_in_memory_than_a_few_spans(
    disk: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, reverse: bool
) -> None:
    """However much there is: 5 tables of 11 spans each, in 4 streams."""
    rng = random.Random(1)
    contents: list[Content] = [{rng.randbytes(16): rng.randbytes(2000) for _ in range(700)} for _ in range(3)]
    ordered = sorted({rng.randbytes(16): rng.randbytes(2000) for _ in range(1400)}.items())
    contents += [dict(ordered[:700]), dict(ordered[700:])]
    view = make_view(disk, {}, [], list(zip((0, 0, 1, 2, 2), contents, strict=True)))

    def append_counted(raw: bytes, keys: list[bytes], values: list[bytes | None]) -> None:
        before = len(values)
        append_records(raw, keys, values)
        values[before:] = [value and CountedValue(value) for value in values[before:]]

    monkeypatch.setattr("engine.sstable.append_records", append_counted)
    CountedValue.peak = CountedValue.alive = 0

    found = [key for key, _ in view.scan(b"", None, reverse=reverse)]

    assert found == sorted({key for content in contents for key in content}, reverse=reverse)
    # Each stream has the span it is in, and may just have read the next.
    assert 4 * SPAN_BYTES // 4000 < CountedValue.peak < 2 * 4 * SPAN_BYTES // 2000
    assert CountedValue.alive == 0
