"""SSTables: what is written is found, what is damaged is never taken for an answer."""

import random
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import BlockCache, CorruptionError, Fault, MemoryFileSystem, Options, StorageError, WouldBlockError
from engine.bloom import probe
from engine.coding import DecodeError
from engine.footer import FOOTER_BYTES, Footer
from engine.record import ABSENT, Found, SequenceNumber
from engine.section import unseal
from engine.sstable import Index, SSTableReader, SSTableWriter
from tests.engine.contents import dictionary, documents
from tests.strategies import records

PATH = "/db/000001.sst"

codecs = pytest.mark.parametrize("codec", ["lz4", "zstd", "dictionary"])


def write(
    disk: MemoryFileSystem,
    content: dict[bytes, bytes | None],
    *,
    run_length: int = 7,
    block_bytes: int = 100,
    codec: str = "lz4",
) -> SSTableReader:
    disk.create_directory("/db")
    options = Options(block_bytes=block_bytes, zstd_from_level=2)
    level = 1 if codec == "lz4" else 2
    trained = dictionary() if codec == "dictionary" else None
    writer = SSTableWriter(disk, PATH, 1, options, level, SequenceNumber(9), trained)
    keys = sorted(content)
    for start in range(0, len(keys), run_length):
        part = keys[start : start + run_length]
        writer.add(part, [content[key] for key in part])
    return writer.finish(BlockCache(1 << 20))


def reopen(disk: MemoryFileSystem, table: SSTableReader, cache_bytes: int = 1 << 20) -> SSTableReader:
    return SSTableReader(disk, PATH, table.table, BlockCache(cache_bytes))


def get(table: SSTableReader, key: bytes, *, wait: bool = True) -> Found:
    return table.get(key, *probe(key), wait) if key <= table.largest else ABSENT


def content_of(
    table: SSTableReader, start: bytes = b"", end: bytes | None = None, **how: Any
) -> dict[bytes, bytes | None]:
    runs = list(table.runs(start, end, **how))
    assert runs == sorted(runs, key=lambda run: run[0], reverse=how.get("reverse", False))
    return {k: v for keys, values in runs for k, v in zip(keys, values, strict=True)}


def some(count: int) -> dict[bytes, bytes | None]:
    rng = random.Random(3)
    return {rng.randbytes(rng.randint(1, 12)): None if i % 9 == 0 else rng.randbytes(i % 50) for i in range(count)}


@codecs
@given(content=records, run_length=st.integers(1, 60), block_bytes=st.integers(64, 2000))
def test_a_table_answers_as_a_dict_does(
    codec: str, content: dict[bytes, bytes | None], run_length: int, block_bytes: int
) -> None:
    content[b"one"] = b"1"
    disk = MemoryFileSystem()
    written = write(disk, content, run_length=run_length, block_bytes=block_bytes, codec=codec)

    for table in (written, reopen(disk, written)):
        for key, value in content.items():
            assert get(table, key) == value
            assert get(table, key + b"!") == content.get(key + b"!", ABSENT)
        assert content_of(table) == content
    described = written.table
    assert (described.smallest, described.largest) == (min(content), max(content))
    assert (described.records, described.tombstones) == (len(content), list(content.values()).count(None))
    assert described.byte_size == disk.size(PATH)


@codecs
def test_a_scan_may_begin_anywhere(codec: str) -> None:
    content = some(400)
    table = write(MemoryFileSystem(), content, codec=codec)

    for start in sorted(content)[::17]:
        found = content_of(table, start, keep=True)
        assert {k: v for k, v in found.items() if k >= start} == {k: v for k, v in content.items() if k >= start}


@given(st.data(), st.booleans(), st.booleans(), st.integers(1, 3000))
def test_a_scan_reads_the_blocks_within_its_bounds(
    data: st.DataObject, reverse: bool, keep: bool, span_bytes: int
) -> None:
    content = some(400)
    table = write(MemoryFileSystem(), content)
    start, end = data.draw(st.sampled_from(sorted(content))), data.draw(st.sampled_from([None, *sorted(content)]))
    within = {key: value for key, value in content.items() if start <= key and (end is None or key < end)}

    found = content_of(table, start, end, reverse=reverse, keep=keep, span_bytes=span_bytes)

    assert {key: value for key, value in found.items() if start <= key and (end is None or key < end)} == within
    # Not more than the rest of the first block and of the last one.
    assert len(found) <= len(within) + 2 * max(len(table.read_block(n)) for n in range(len(table.index().last_keys)))


@pytest.mark.parametrize("reverse", [False, True])
def test_spans_grow_up_to_their_bound(reverse: bool) -> None:
    """A scan that ends soon has read little, a long one reads much at a time."""
    rng = random.Random(3)
    content: dict[bytes, bytes | None] = {b"%06d" % number: rng.randbytes(50) for number in range(20_000)}
    table = write(MemoryFileSystem(), content, run_length=1000, block_bytes=500)

    sizes = [len(keys) * 56 for keys, _ in table.runs(keep=True, reverse=reverse)]

    assert sizes[0] <= 600
    assert 7000 < sizes[1] < 9000
    assert max(sizes) < 140_000
    assert sizes[2:6] == sorted(sizes[2:6])
    assert len(sizes) < 15


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_takes_from_the_cache_what_is_there_and_leaves_it_as_it_is(reverse: bool) -> None:
    disk = MemoryFileSystem()
    content = some(400)
    cache = BlockCache(1 << 20)
    table = SSTableReader(disk, PATH, write(disk, content).table, cache)
    cached = [number for number in range(len(table.index().last_keys)) if number % 3]
    for number in cached:
        get(table, table.index().last_keys[number])
    kept = cache.byte_size

    assert content_of(table, reverse=reverse) == content
    assert cache.byte_size == kept
    for number in range(len(table.index().last_keys)):
        get(table, table.index().last_keys[number])
    disk.faults.append(Fault("read", StorageError(PATH, 5, "not to be read"), times=None))
    assert content_of(table, reverse=reverse) == content


def test_it_is_opened_without_being_read() -> None:
    disk = MemoryFileSystem()
    written = write(disk, some(100))
    disk.faults.append(Fault("read", StorageError(PATH, 5, "Input/output error"), times=None))

    table = reopen(disk, written)

    with pytest.raises(StorageError):
        get(table, written.smallest)
    disk.faults.clear()
    assert get(table, written.smallest) == some(100)[written.smallest]


def test_a_block_in_memory_is_read_without_waiting() -> None:
    disk = MemoryFileSystem()
    content = some(100)
    table = reopen(disk, write(disk, content))
    key = next(key for key, value in content.items() if value)

    with pytest.raises(WouldBlockError):  # its index is not in memory
        get(table, key, wait=False)
    table.index()
    disk.nowait = False
    with pytest.raises(WouldBlockError):  # nor is its block
        get(table, key, wait=False)
    disk.nowait = True
    assert get(table, key, wait=False) == content[key]
    disk.nowait = False
    assert get(table, key, wait=False) == content[key]  # from the cache


@pytest.mark.parametrize(("codec", "number"), [("lz4", 1), ("zstd", 2), ("dictionary", 3)])
def test_the_level_of_a_table_says_how_it_is_packed(codec: str, number: int) -> None:
    disk = MemoryFileSystem()
    content: dict[bytes, bytes | None] = {b"%03d" % i: value for i, value in enumerate(documents(300))}
    written = write(disk, content, block_bytes=1000, codec=codec)
    ends = written.index().block_ends

    assert {disk.content(PATH)[end - 5] for end in ends} == {number}
    assert content_of(written) == content_of(reopen(disk, written)) == content
    footer = Footer.decode(disk.content(PATH)[-FOOTER_BYTES:])
    start, end = footer.dictionary_start, footer.filter_start
    assert start == ends[-1]
    if codec == "dictionary":
        assert unseal(disk.content(PATH)[start:end], start) == dictionary().content
    else:
        assert start == end


def test_a_block_that_is_hit_often_answers_as_before() -> None:
    """It is opened on the way, and scans still find it."""
    disk = MemoryFileSystem()
    rng = random.Random(3)
    content: dict[bytes, bytes | None] = {rng.randbytes(9): rng.randbytes(90 + i % 20) for i in range(400)}
    content |= {rng.randbytes(9): None for _ in range(20)}
    cache = BlockCache(1 << 20)
    table = SSTableReader(disk, PATH, write(disk, content, block_bytes=4096).table, cache)
    assert content_of(table, keep=True) == content

    for _ in range(2):
        assert all(get(table, key) == value for key, value in content.items())
        assert all(get(table, key + b"!") == ABSENT for key in content)

    assert 1.5 < cache.byte_size / (110 * len(content)) < 3, "its blocks are open"
    assert content_of(table) == content_of(table, keep=True) == content


def test_a_missing_or_cut_file_is_noticed_at_once() -> None:
    disk = MemoryFileSystem()
    table = write(disk, some(20))
    disk.replace(PATH, disk.content(PATH)[:-1])

    with pytest.raises(CorruptionError, match="bytes"):
        reopen(disk, table)
    disk.remove(PATH)
    with pytest.raises(CorruptionError, match="missing"):
        reopen(disk, table)


@codecs
def test_every_flipped_bit_is_found_or_harmless(codec: str) -> None:
    """0 wrong answers: a damaged part is refused, the rest still answers right."""
    disk = MemoryFileSystem()
    content = {b"key%02d" % i: None if i == 5 else b"value%d" % i * 3 for i in range(12)}
    table = write(disk, content, block_bytes=80, codec=codec)
    whole = disk.content(PATH)
    found = 0
    for position in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << (position % 8)
        disk.replace(PATH, bytes(damaged))
        refused = 0
        opened = reopen(disk, table)
        for key, value in content.items():
            try:
                assert get(opened, key) == value
            except CorruptionError:
                refused += 1
        with pytest.raises(CorruptionError):
            content_of(opened)
        found += bool(refused)

    assert found == len(whole) * 8


def test_a_block_that_was_moved_is_refused() -> None:
    """A checksum starts from where its section is."""
    disk = MemoryFileSystem()
    content: dict[bytes, bytes | None] = {bytes([65 + i]): b"x" * 70 for i in range(4)}
    table = write(disk, content, block_bytes=64)
    ends = table.index().block_ends
    whole = disk.content(PATH)
    first, second = whole[: ends[0]], whole[ends[0] : ends[1]]
    assert len(first) == len(second)
    disk.replace(PATH, second + first + whole[ends[1] :])

    with pytest.raises(CorruptionError, match="checksum"):
        get(reopen(disk, table), b"A")


def test_another_format_version_is_named() -> None:
    disk = MemoryFileSystem()
    table = write(disk, some(5))
    data = bytearray(disk.content(PATH))
    data[-16:-12] = (99).to_bytes(4, "little")
    disk.replace(PATH, bytes(data))

    with pytest.raises(CorruptionError, match="format version 99"):
        reopen(disk, table).index()


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_an_index_or_refused(data: bytes) -> None:
    try:
        Index.decode(data)
    except DecodeError:
        pass


@pytest.mark.parametrize("block_ends", [[0, 5], [5, 5], [9, 5], [5, 4, 6]])
def test_an_index_whose_blocks_are_out_of_order_is_refused(block_ends: list[int]) -> None:
    """What is read for a block would be longer than the file, or of negative length."""
    keys = [b"%d" % number for number in range(len(block_ends))]

    with pytest.raises(DecodeError, match="out of order"):
        Index.decode(Index(keys, array("Q", block_ends)).encode())


def test_a_table_stays_readable_when_its_file_is_removed() -> None:
    disk = MemoryFileSystem()
    content = some(50)
    table = write(disk, content)

    disk.remove(PATH)

    assert content_of(table) == content
