"""Every decoder, on bytes that nobody has encoded: it gives a value or says that they are damaged, and is soon done.

Half of the bytes are arbitrary, the others are valid ones that somebody has meddled with: bits flipped, parts cut
out or doubled, numbers made extreme. Where a checksum would refuse them all it is made right again, as if
whoever wrote them were mad, or malicious.
"""

import time
import tracemalloc
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import (
    BlockCache,
    CommitLogReader,
    CommitLogWriter,
    CorruptionError,
    Engine,
    EngineError,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    SequenceNumber,
    verify_engine,
)
from engine.block import Block, append_records, encode_block
from engine.bloom import BloomFilter, hash_key, probe
from engine.coding import DecodeError, Decoder, crc32c, decode_integers, encode_bytes, encode_integers, encode_varint
from engine.dictionary import Dictionary
from engine.footer import Footer
from engine.manifest import ManifestReader, ManifestWriter, decode_edit, encode_edit
from engine.openblock import OpenBlock
from engine.record import Expiring, decode_batch, encode_batch
from engine.section import SEAL_BYTES, Packer, seal, unseal
from engine.sstable import Index, SSTableReader, SSTableWriter
from engine.version import InvalidEditError, Table, Version, VersionEdit
from engine.zstd import Decompressor
from tests.models import batch_of

SECONDS_MAX = 2.0
# What is unpacked is at most 255 times as long, and each byte of it at most an object.
MEMORY_SHARE = 255 * 64
MEMORY_BYTES = 4 << 20

RECORDS: dict[bytes, bytes | None] = {
    b"a": b"1",
    b"bb": None,
    b"bc": b"value" * 9,
    b"c" * 30: Expiring.at(77, b"soon"),
    b"d": b"",
    b"key": b"x" * 90,
}
PLAIN: dict[bytes, bytes | None] = {b"key%02d" % i: b"value%02d" % i for i in range(9)}
TABLE = Table(7, 1 << 20, b"a", b"zz", 900, 3)


@dataclass(frozen=True, slots=True)
class Meddling:
    """One change to a string of bytes; positions are shares of its length."""

    kind: str
    position: float
    length: int
    content: bytes

    def apply(self, data: bytes) -> bytes:
        at = int(self.position * len(data))
        end = at + self.length
        if self.kind == "flip" and data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << self.length % 8]) + data[at + 1 :]
        if self.kind == "cut out":
            return data[:at] + data[end:]
        if self.kind == "double":
            return data[:end] + data[at:]
        if self.kind == "insert":
            return data[:at] + self.content + data[at:]
        return data[:at] + self.content + data[at + len(self.content) :]


EXTREMES = [
    number.to_bytes(size, "little")
    for size in (1, 2, 4, 8)
    for number in (0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
]
EXTREMES += [encode_varint(1 << 30), encode_varint((1 << 70) - 1)]
meddlings = st.builds(
    Meddling,
    st.sampled_from(["flip", "cut out", "double", "insert", "overwrite"]),
    st.floats(0, 1),
    st.integers(0, 40),
    st.one_of(st.sampled_from(EXTREMES), st.binary(max_size=12)),
)


def bytes_like(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Arbitrary bytes, or some of the valid ones, meddled with."""

    def meddle(data: bytes, changes: list[Meddling]) -> bytes:
        for change in changes:
            data = change.apply(data)
        return data

    return st.one_of(
        st.binary(max_size=300),
        st.builds(meddle, st.sampled_from(valid), st.lists(meddlings, min_size=1, max_size=4)),
    )


def attempt(decode: Callable[[], object], byte_size: int, *refusals: type[Exception]) -> None:
    """Decode, and see that it takes little time and memory whether it works or not."""
    began = time.process_time()
    tracemalloc.start()
    try:
        decode()
    except refusals:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= MEMORY_BYTES + MEMORY_SHARE * byte_size
    assert time.process_time() - began < SECONDS_MAX


@cache
def blocks() -> tuple[bytes, ...]:
    some = dict(list(RECORDS.items())[:3])
    contents: list[dict[bytes, bytes | None]] = [RECORDS, PLAIN, some, {b"k": b"v" * 70_000, b"l": b""}]
    return tuple(encode_block(sorted(content), [content[key] for key in sorted(content)]) for content in contents)


def use_block(data: bytes) -> None:
    keys: list[bytes] = []
    values: list[bytes | None] = []
    append_records(data, keys, values)
    block = Block(data)
    assert len(block) == len(keys) == len(values)
    assert block.run() == (keys, values)
    for key in [*keys[:20], b"absent", b"key05"]:
        block.get(key)
    OpenBlock(block).get(b"a")


@given(bytes_like(*blocks()))
def test_blocks(data: bytes) -> None:
    attempt(lambda: use_block(data), len(data), DecodeError)


def use_table_part(data: bytes) -> None:
    index = Index.decode(data)
    count = len(index.last_keys)
    assert count == len(index.block_ends)
    assert sum(map(len, index.last_keys)) <= len(data)
    assert list(index.block_ends) == sorted(set(index.block_ends))


@given(bytes_like(Index([b"a", b"bcd", b"zz"], array("Q", [10, 4000, 1 << 33])).encode()))
def test_indexes(data: bytes) -> None:
    attempt(lambda: use_table_part(data), len(data), DecodeError)


def use_filter(data: bytes) -> None:
    BloomFilter.decode(data).may_contain(*probe(b"key"))


@given(bytes_like(BloomFilter.build(list(map(hash_key, PLAIN)), 12).encode()))
def test_filters(data: bytes) -> None:
    attempt(lambda: use_filter(data), len(data), DecodeError)


@given(bytes_like(Footer(100, 200, 300, 9, 1, 40, 2).encode()), st.booleans())
def test_footers(data: bytes, mend: bool) -> None:
    if mend and len(data) >= 68:
        data = data[:56] + crc32c(data[:56]).to_bytes(4, "little") + data[60:]
    attempt(lambda: Footer.decode(data), len(data), DecodeError)


@cache
def samples() -> list[bytes]:
    return [b'{"name": "n%d", "number": %d, "colour": "green"}' % (i, i * i) for i in range(2000)]


@cache
def dictionary() -> Dictionary:
    trained = Dictionary.train(samples(), 2048, 3)
    assert trained is not None
    return trained[0]


@cache
def sections() -> tuple[bytes, ...]:
    text = b"".join(samples()[:40])
    packers = (None, Packer(), Packer(3), Packer(3, dictionary()))
    return (*[seal(text, 0, packer) for packer in packers], seal(bytes(50_000), 0, Packer()))


@given(bytes_like(*sections()), st.booleans(), st.booleans())
def test_sections(data: bytes, mend: bool, has_dictionary: bool) -> None:
    if mend and len(data) >= SEAL_BYTES:
        data = data[:-4] + crc32c(data[:-4]).to_bytes(4, "little")
    attempt(lambda: unseal(data, 0, dictionary() if has_dictionary else None), len(data), DecodeError)


@given(bytes_like(*[section[:-SEAL_BYTES] for section in sections()]))
def test_zstd_frames(data: bytes) -> None:
    attempt(lambda: Decompressor().decompress(data), len(data), DecodeError)
    attempt(lambda: dictionary().decompressor.decompress(data), len(data), DecodeError)


@given(bytes_like(dictionary().content))
@settings(max_examples=50)
def test_dictionaries(data: bytes) -> None:
    frame = sections()[3][:-SEAL_BYTES]
    attempt(lambda: Dictionary.of(data).decompressor.decompress(frame), len(data), DecodeError)


@cache
def batches() -> tuple[bytes, ...]:
    with_ranges = batch_of(RECORDS)
    with_ranges.delete_range(b"x", None)
    with_ranges.delete_range(b"p", b"q")
    return tuple(encode_batch(5, batch) for batch in (batch_of(RECORDS), batch_of({b"k": b"v"}), with_ranges))


def use_batch(data: bytes) -> None:
    sequence, batch = decode_batch(data)
    assert 0 <= sequence < 1 << 64
    assert decode_batch(encode_batch(sequence, batch))[1].records == batch.records


@given(bytes_like(*batches()))
def test_batches(data: bytes) -> None:
    attempt(lambda: use_batch(data), len(data), DecodeError)


@cache
def edits() -> tuple[bytes, ...]:
    full = VersionEdit(((0, TABLE), (3, TABLE)), ((2, 9),), SequenceNumber(7), 3, 12)
    return encode_edit(full), encode_edit(VersionEdit(((1, TABLE),))), encode_edit(VersionEdit())


@given(bytes_like(*edits()))
def test_edits(data: bytes) -> None:
    attempt(lambda: Version().apply(decode_edit(data)), len(data), DecodeError, InvalidEditError)


def use_decoder(data: bytes) -> None:
    decoder = Decoder(data)
    while not decoder.is_done:
        decoder.bytes()
        if not decoder.is_done:
            decoder.varint()


@given(bytes_like(encode_bytes(b"abc") + encode_varint(1 << 40) + encode_bytes(b"")), st.sampled_from("HIQ"))
def test_integers_and_strings(data: bytes, typecode: str) -> None:
    attempt(lambda: use_decoder(data), len(data), DecodeError)
    attempt(lambda: encode_integers(typecode, decode_integers(typecode, data)), len(data), DecodeError)


# Whole files, also with frames and sections that are whole in themselves.


def file_of(data: bytes, name: str = "/db/file") -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    disk.open_append(name).close()
    disk.replace(name, data)
    return disk


def log_of(*payloads: bytes) -> bytes:
    disk = file_of(b"")
    log = CommitLogWriter(disk, "/db/file")
    for payload in payloads:
        log.append(payload)
        log.write_out()
        log.sync()
    log.close()
    return disk.content("/db/file")


@given(bytes_like(log_of(b"first", b"second" * 20, b"", b"x"), log_of()))
def test_logs(data: bytes) -> None:
    def read() -> None:
        reader = CommitLogReader(file_of(data), "/db/file")
        payloads = list(reader)
        assert sum(map(len, payloads)) <= reader.end <= len(data)
        assert (reader.damage is None) == (reader.end == len(data))

    attempt(read, len(data))


@given(st.lists(bytes_like(*batches()), max_size=4), bytes_like(*edits()), st.booleans())
def test_stores_with_logs_and_manifests_of_whole_frames(payloads: list[bytes], edit: bytes, continues: bool) -> None:
    """Whatever they say, the store opens or says what is wrong with it; nothing else is raised or removed."""
    disk = MemoryFileSystem()
    engine = Engine.open("/db", file_system=disk, executor=InlineExecutor())
    engine.write(batch_of(RECORDS))
    engine.flush()
    engine.close()
    names = disk.list_directory("/db")
    log = next(f"/db/{name}" for name in names if name.endswith(".log"))
    manifest = next(f"/db/{name}" for name in names if name.startswith("MANIFEST"))
    old = list(CommitLogReader(disk, manifest))
    disk.replace(log, log_of(*payloads))
    disk.replace(manifest, log_of(*old, edit) if continues else log_of(edit, *old))

    def use() -> None:
        assert isinstance(verify_engine("/db", file_system=disk.clone()), list)
        found = Engine.open("/db", Options(worker_process=False), file_system=disk.clone(), executor=InlineExecutor())
        try:
            list(found.scan())
            found.get(b"a")
            found.compact()
        finally:
            found.close()

    attempt(use, 1000, EngineError)


@given(bytes_like(b"MANIFEST-000001"), st.booleans())
def test_current(name: bytes, mend: bool) -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    ManifestWriter.create(disk, "/db", 1, Version()).close()
    disk.replace("/db/CURRENT", b"%s %08x\n" % (name, crc32c(name)) if mend else name)

    attempt(lambda: ManifestReader(disk, "/db"), len(name), CorruptionError)


@cache
def table_parts() -> tuple[tuple[bytes, ...], bytes, bytes, Table]:
    """Blocks, filter and index of a table, unpacked, and what the manifest says of it."""
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    writer = SSTableWriter(disk, "/db/000007.sst", 7, Options(block_bytes=64))
    content = {**RECORDS, **PLAIN}
    keys = sorted(content)
    writer.add(keys, [content[key] for key in keys])
    reader = writer.finish(BlockCache(0))
    ends = list(reader.index().block_ends)
    data = disk.content("/db/000007.sst")
    footer = Footer.decode(data[-68:])
    starts = [0, *ends[:-1]]
    found = tuple(unseal(data[start:end], start) for start, end in zip(starts, ends, strict=True))
    bloom = unseal(data[footer.filter_start : footer.index_start], footer.filter_start)
    return found, bloom, unseal(data[footer.index_start : -68], footer.index_start), reader.table


@given(
    st.integers(0, 7),
    bytes_like(table_parts()[0][0]),
    bytes_like(table_parts()[1]),
    bytes_like(table_parts()[2]),
    st.integers(0, 7),
)
def test_tables_of_whole_sections(number: int, block: bytes, bloom: bytes, index: bytes, which: int) -> None:
    """One or some parts are meddled with, and sealed again."""
    parts, old_bloom, old_index, table = table_parts()
    contents = [block if which & 1 and i == number % len(parts) else part for i, part in enumerate(parts)]
    contents += [bloom if which & 2 else old_bloom, index if which & 4 else old_index]
    data = b""
    starts = []
    for content in contents:
        starts.append(len(data))
        data += seal(content, len(data), Packer())
    data += Footer(starts[-2], starts[-2], starts[-1], table.records, table.tombstones, 0, 0).encode()
    disk = file_of(data, "/db/000007.sst")
    described = Table(7, len(data), table.smallest, table.largest, table.records, table.tombstones)

    def use() -> None:
        reader = SSTableReader(disk, "/db/000007.sst", described, BlockCache(1 << 20))
        for keys, values in reader.runs():
            assert len(keys) == len(values)
        list(reader.runs(b"b", keep=True))
        for key in (b"a", b"key05", b"zz"):
            if key <= described.largest:
                reader.get(key, *probe(key), True)

    attempt(use, len(data), CorruptionError)


def test_an_attempt_notices_waste() -> None:
    with pytest.raises(AssertionError):
        attempt(lambda: bytes(MEMORY_BYTES + MEMORY_SHARE + 1), 1)
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 // 0, 1, DecodeError)
