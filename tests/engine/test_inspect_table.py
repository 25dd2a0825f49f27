"""A table is printed as it is, and a damaged one as far as it is whole."""

import random

from engine import BlockCache, MemoryFileSystem, Options, SequenceNumber
from engine.inspect_table import inspect_table
from engine.listing import Wish
from engine.record import Expiring
from engine.sstable import SSTableWriter
from tests.engine.contents import dictionary

PATH = "/db/000001.sst"


def written(*, level: int = 1, sequence: int | None = 9, is_trained: bool = False) -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    options = Options(block_bytes=300, zstd_from_level=2)
    number = None if sequence is None else SequenceNumber(sequence)
    writer = SSTableWriter(disk, PATH, 1, options, level, number, dictionary() if is_trained else None)
    # Not to be compressed, so that sizes depend on nobody else.
    content: dict[bytes, bytes | None] = {b"key%02d" % i: random.Random(i).randbytes(45) for i in range(20)}
    content[b"key03"] = None
    content[b"key04"] = Expiring.at(1000, b"soon gone")
    writer.add(list(content), list(content.values()))
    writer.finish(BlockCache(0))
    return disk


def test_a_table_is_printed() -> None:
    assert list(inspect_table(written(), PATH, Wish())) == [
        "/db/000001.sst: SSTable, 1,182 bytes",
        "footer      format 3; for level 1, with every write up to 9",
        "records     20, 1 of them deletions",
        "filter      24 bytes, 9.6 bits a key, 39.6% of them used; lets about 3.7% of absent keys through",
        "index       3 blocks, up to b'key19'",
        "",
        "  BLOCK             AT      BYTES   UNPACKED  CODEC      RECORDS  DELETED  EXPIRING  KEYS",
        "      0              0        373        368  stored           8        1         1  b'key00' to b'key07'",
        "      1            373        326        321  stored           6        0         0  b'key08' to b'key13'",
        "      2            699        326        321  stored           6        0         0  b'key14' to b'key19'",
        "",
        "whole       3 blocks, 1,025 bytes, 1,010 unpacked: 0.99 to 1",
        "            20 records, 1 of them deletions",
        "            stored 3",
    ]


def test_keys_and_values_are_printed_if_wished() -> None:
    keys = [line for line in inspect_table(written(), PATH, Wish(keys=True)) if line.startswith("    b'")]
    values = list(inspect_table(written(), PATH, Wish(keys=True, values=True, limit=4)))

    assert len(keys) == 20
    assert keys[2:5] == ["    b'key02' = 45 bytes", "    b'key03' deleted", "    b'key04' = 9 bytes until 1000"]
    assert [line for line in values if line.startswith("    b'")] == [
        *[f"    b'key{i:02}' = {random.Random(i).randbytes(45)!r}" for i in range(3)],
        "    b'key03' deleted",
    ]
    assert "... 16 more keys" in values


def test_a_limit_bounds_the_blocks_but_not_what_they_sum_up_to() -> None:
    lines = list(inspect_table(written(), PATH, Wish(limit=1)))

    assert sum("  stored  " in line for line in lines) == 1
    assert "... 2 more blocks" in lines
    assert any(line.startswith("whole       3 blocks") for line in lines)


def test_what_is_not_known_of_its_age_is_said() -> None:
    ingested = list(inspect_table(written(sequence=None), PATH, Wish()))
    in_place = list(inspect_table(written(level=3, sequence=0), PATH, Wish()))

    assert ingested[1] == "footer      format 3; for a level not known then, with writes of an age not told"
    assert in_place[1] == "footer      format 3; for level 3, with writes of an age not told"


def test_a_dictionary_is_told() -> None:
    lines = list(inspect_table(written(level=2, is_trained=True), PATH, Wish()))

    assert lines[3] == f"dictionary  {len(dictionary().content)} bytes"


def test_damage_is_told_where_it_is() -> None:
    disk = written()
    data = bytearray(disk.content(PATH))
    data[400] ^= 1
    data[1030] ^= 1
    disk.replace(PATH, bytes(data))

    lines = list(inspect_table(disk, PATH, Wish()))

    mismatch = "the checksum of a section does not match"
    assert [line for line in lines if line.startswith("damaged")] == [
        f"damaged     bytes 1,025 to 1,054: {mismatch}",
        f"damaged     bytes 373 to 699: {mismatch}; lost: keys after b'key07', up to b'key13'",
        "damaged     1 place where blocks were",
    ]
    assert not any(line.startswith("filter") for line in lines)
    assert any(line.startswith("whole       2 blocks") for line in lines)


def test_of_a_table_without_an_end_its_blocks_are_printed() -> None:
    disk = written()
    disk.replace(PATH, disk.content(PATH)[:710])

    lines = list(inspect_table(disk, PATH, Wish()))

    assert lines[0] == "/db/000001.sst: SSTable, 710 bytes"
    assert not any(line.startswith(("footer", "filter", "index")) for line in lines)
    assert sum("  stored  " in line for line in lines) == 2
    assert any("lost: keys after b'key13'" in line for line in lines)
