"""A compaction's dictionary comes from all of its inputs, and only if it pays."""

import random
from dataclasses import replace

import pytest

from engine import BlockCache, MemoryFileSystem, Options
from engine.sstable import SSTableReader, SSTableWriter
from engine.training import _distance, _samples, train_dictionary
from tests.engine.contents import documents

OPTIONS = Options(dictionary_bytes=1024, block_bytes=1024)


def table(disk: MemoryFileSystem, number: int, values: list[bytes]) -> SSTableReader:
    disk.create_directory("/db")
    writer = SSTableWriter(disk, f"/db/{number:06}.sst", number, OPTIONS)
    writer.add([b"%d-%06d" % (number, i) for i in range(len(values))], [*values])
    return writer.finish(BlockCache(0))


def test_values_that_are_alike_are_worth_a_dictionary() -> None:
    disk = MemoryFileSystem()
    tables = [table(disk, number, documents(1500, number)) for number in (1, 2)]

    dictionary = train_dictionary(tables, OPTIONS)

    assert dictionary is not None
    assert len(dictionary.content) <= 1024


@pytest.mark.parametrize("count", [0, 1, 30])
def test_a_dictionary_is_not_made_for_a_few_blocks(count: int) -> None:
    disk = MemoryFileSystem()

    assert train_dictionary([table(disk, 1, documents(count))] if count else [], OPTIONS) is None


def test_a_dictionary_is_not_made_of_noise() -> None:
    rng = random.Random(1)

    assert train_dictionary([table(MemoryFileSystem(), 1, [rng.randbytes(90) for _ in range(2000)])], OPTIONS) is None


def test_a_dictionary_that_saves_less_than_it_takes_is_not_kept() -> None:
    tables = [table(MemoryFileSystem(), 1, documents(600))]

    assert train_dictionary(tables, OPTIONS) is not None
    # Now each of many tables would have one.
    assert train_dictionary(tables, replace(OPTIONS, dictionary_bytes=2048, table_bytes_max=4096)) is None


def test_samples_come_from_everywhere() -> None:
    disk = MemoryFileSystem()
    tables = [table(disk, number, [b"%d" % number * 1100] * 50) for number in (1, 2, 3)]

    samples = _samples(tables, 64)

    assert 32 <= len(samples) <= 40
    for number in (1, 2, 3):
        assert 10 <= sum(sample.startswith(b"%d-" % number) for sample in samples) <= 15


@pytest.mark.parametrize(
    ("blocks", "samples"), [(0, 0), (1, 1), (31, 31), (40, 40), (100, 34), (2048, 32), (6400, 100), (100_000, 128)]
)
def test_more_blocks_have_more_samples_within_bounds(blocks: int, samples: int) -> None:
    assert len(range(0, blocks, _distance(blocks, 128))) == samples
