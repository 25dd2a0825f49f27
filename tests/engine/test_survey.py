"""Of a damaged table every whole block is found, and every lost record is in a hole that says so."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import BlockCache, MemoryFileSystem, Options, SequenceNumber, StorageError
from engine.footer import FOOTER_BYTES, Footer
from engine.sstable import SSTableWriter
from engine.survey import Hole, TableSurvey, WholeBlock
from engine.version import Table
from tests.engine.badsectors import BadSectors
from tests.engine.contents import dictionary, documents

PATH = "/db/000001.sst"
CONTENT: dict[bytes, bytes | None] = {
    b"key%03d" % i: None if i % 11 == 0 else value for i, value in enumerate(documents(200))
}
CODECS = ["lz4", "zstd", "zstd+dict"]


def write(disk: MemoryFileSystem, codec: str = "lz4", content: dict[bytes, bytes | None] | None = None) -> Table:
    content = content or CONTENT
    disk.create_directory("/db")
    options = Options(block_bytes=512, zstd_from_level=3)
    trained = dictionary() if codec == "zstd+dict" else None
    writer = SSTableWriter(disk, PATH, 1, options, 0 if codec == "lz4" else 3, SequenceNumber(9), trained)
    writer.add(list(content), list(content.values()))
    return writer.finish(BlockCache(0)).table


class Parts:
    """Where everything is in a whole table."""

    def __init__(self, disk: MemoryFileSystem) -> None:
        survey = TableSurvey(disk, PATH)
        assert survey.index is not None and survey.footer is not None
        self.blocks = [part for part in survey.blocks() if isinstance(part, WholeBlock)]
        self.footer = survey.footer
        self.size = survey.byte_size
        self.dictionary = self.footer.dictionary_start
        self.filter = self.footer.filter_start
        self.index = self.footer.index_start


def damage(disk: MemoryFileSystem, *places: int) -> None:
    data = bytearray(disk.content(PATH))
    for place in places:
        data[place] ^= 0x55
    disk.replace(PATH, bytes(data))


def records(survey: TableSurvey) -> dict[bytes, bytes | None]:
    found = [part for part in survey.blocks() if isinstance(part, WholeBlock)]
    return {key: value for part in found for key, value in zip(part.keys, part.values, strict=True)}


def holes(survey: TableSurvey) -> Iterator[Hole]:
    return (part for part in survey.blocks() if isinstance(part, Hole))


@pytest.mark.parametrize("codec", CODECS)
def test_a_whole_table_has_no_holes(codec: str) -> None:
    disk = MemoryFileSystem()
    table = write(disk, codec)

    for survey in (TableSurvey(disk, PATH, table), TableSurvey(disk, PATH)):
        assert records(survey) == CONTENT
        assert survey.holes == list(holes(survey)) == []
        assert survey.bloom is not None and survey.index is not None
        assert survey.footer is not None and survey.footer.records == table.records
        assert (survey.dictionary is not None) == (codec == "zstd+dict")
        parts = [part for part in survey.blocks() if isinstance(part, WholeBlock)]
        assert {part.codec for part in parts} - {"stored"} == {codec}
        assert [part.start for part in parts] == [0, *[part.end for part in parts[:-1]]]
        assert all(part.unpacked > part.end - part.start for part in parts if part.codec == codec)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("part", ["footer", "index", "filter", "index and footer", "everything behind the blocks"])
def test_no_block_is_lost_with_what_comes_behind_them(codec: str, part: str) -> None:
    disk = MemoryFileSystem()
    table = write(disk, codec)
    where = Parts(disk)
    places = {
        "footer": [where.size - 30],
        "index": [where.index + 3],
        "filter": [where.filter],
        "index and footer": [where.index + 3, where.size - 1],
        "everything behind the blocks": [where.filter, where.index, where.size - 1],
    }[part]
    damage(disk, *places)

    for known in (table, None):
        survey = TableSurvey(disk, PATH, known)
        assert records(survey) == CONTENT
        assert survey.holes
        assert (survey.index is None) == ("index" in part or "everything" in part)
        lost = list(holes(survey))
        # Without index and footer nobody knows that the last block was found, unless the manifest tells its key.
        assert all(hole.keys is None for hole in lost) if known else len(lost) <= 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lost", ["nothing else", "index", "footer", "index and footer"])
def test_lost_blocks_leave_holes_with_their_keys(known: bool, lost: str) -> None:
    """First, last, one alone and two in a row."""
    disk = MemoryFileSystem()
    table = write(disk)
    where = Parts(disk)
    hit = [where.blocks[number] for number in (0, 5, 6, 9, len(where.blocks) - 1)]
    damage(disk, *[block.start + 1 for block in hit])
    damage(disk, *[where.index + 3] * ("index" in lost), *[where.size - 30] * ("footer" in lost))

    survey = TableSurvey(disk, PATH, table if known else None)

    gone = {key for block in hit for key in block.keys}
    assert records(survey) == {key: value for key, value in CONTENT.items() if key not in gone}
    spans = [(hole, hole.keys) for hole in holes(survey) if hole.keys]
    for key in CONTENT:
        assert any(key in keys for _, keys in spans) == (key in gone), key
    if "index" not in lost:
        assert [(hole.start, hole.end) for hole, _ in spans] == [(block.start, block.end) for block in hit]
        assert all(keys.last == block.keys[-1] for (_, keys), block in zip(spans, hit, strict=True))


def test_without_its_dictionary_a_table_is_lost() -> None:
    disk = MemoryFileSystem()
    table = write(disk, "zstd+dict")
    where = Parts(disk)
    damage(disk, where.dictionary + 2)

    survey = TableSurvey(disk, PATH, table)

    assert records(survey) == {}
    assert [hole.start for hole in survey.holes] == [where.dictionary]
    assert all(hole.is_consequence for hole in holes(survey))
    assert len(list(holes(survey))) == len(where.blocks)


@pytest.mark.parametrize("known", [True, False])
def test_of_a_table_that_was_cut_off_the_beginning_is_left(known: bool) -> None:
    disk = MemoryFileSystem()
    table = write(disk)
    where = Parts(disk)
    whole = disk.content(PATH)
    kept = where.blocks[:7]
    for cut in (0, 1, kept[-1].end, kept[-1].end + 1, where.filter, where.index + 1, where.size - FOOTER_BYTES):
        disk.replace(PATH, whole[:cut])
        survey = TableSurvey(disk, PATH, table if known else None)
        expected = [block for block in where.blocks if block.end <= cut]
        assert list(records(survey)) == [key for block in expected for key in block.keys]
        assert survey.holes
        if known:
            assert survey.holes[0].reason == f"it has {cut} of {table.byte_size} bytes"


def test_what_follows_a_table_does_not_belong_to_it() -> None:
    disk = MemoryFileSystem()
    table = write(disk)
    disk.replace(PATH, disk.content(PATH) + b"something else" * 100)

    survey = TableSurvey(disk, PATH, table)

    assert records(survey) == CONTENT
    assert [(hole.start, hole.end) for hole in survey.holes] == [(table.byte_size, table.byte_size + 1400)]
    assert list(holes(survey)) == []
    assert records(TableSurvey(disk, PATH)) == CONTENT


def test_a_table_of_long_values_is_found_without_its_index() -> None:
    disk = MemoryFileSystem()
    rng = random.Random(1)
    content: dict[bytes, bytes | None] = {b"key%d" % i: rng.randbytes(100_000) for i in range(8)}
    table = write(disk, content=content)
    where = Parts(disk)
    damage(disk, where.index + 3)

    assert records(TableSurvey(disk, PATH, table)) == content


def test_what_the_disk_does_not_give_is_a_hole_with_its_reason() -> None:
    disk = BadSectors()
    content: dict[bytes, bytes | None] = {b"key%04d" % i: random.Random(i).randbytes(40) for i in range(1000)}
    table = write(disk, content=content)
    where = Parts(disk)
    disk.bad[PATH] = {5000, where.index + 1}

    survey = TableSurvey(disk, PATH, table)

    found = records(survey)
    lost = [(hole.reason, hole.keys) for hole in holes(survey)]
    assert content.items() > found.items()
    assert {reason for reason, _ in lost} == {"Input/output error"} == {hole.reason for hole in survey.holes}
    for key in content.keys() - found.keys():
        assert any(keys is not None and key in keys for _, keys in lost)


def test_another_tables_index_is_not_believed() -> None:
    disk = MemoryFileSystem()
    table = write(disk)
    where = Parts(disk)
    data = disk.content(PATH)
    footer = Footer(where.blocks[2].end, where.filter, where.index, 1, 0, 9, 0).encode()
    disk.replace(PATH, data[:-FOOTER_BYTES] + footer)

    survey = TableSurvey(disk, PATH, table)

    assert survey.index is None
    assert "the index belongs to another table" in {hole.reason for hole in survey.holes}


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=6), st.booleans())
def test_whatever_is_flipped_only_what_was_written_is_found(flips: list[tuple[int, int]], known: bool) -> None:
    """And what is not found is told, if the table is known at all."""
    disk = MemoryFileSystem()
    content: dict[bytes, bytes | None] = {b"key%02d" % i: b"value%d" % i * 4 for i in range(40)}
    table = write(disk, content=content)
    data = bytearray(disk.content(PATH))
    for place, change in flips:
        data[place % len(data)] ^= change
    disk.replace(PATH, bytes(data))

    survey = TableSurvey(disk, PATH, table if known else None)

    found = records(survey)
    assert found.items() <= content.items()
    spans = [hole.keys for hole in holes(survey) if hole.keys]
    for key in content.keys() - found.keys():
        assert any(key in keys for keys in spans)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_hole(data: bytes) -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    disk.open_append(PATH).close()
    disk.replace(PATH, data)

    survey = TableSurvey(disk, PATH)

    assert records(survey) == {}
    assert survey.holes


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(StorageError):
        TableSurvey(MemoryFileSystem(), PATH)
