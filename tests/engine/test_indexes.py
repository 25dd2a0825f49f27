"""Indexes: what tables keep in memory is counted and, where it is bounded, stays within the bound."""

import random
import threading

import pytest

from engine import (
    BlockCache,
    BlockCacheStats,
    Engine,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    WouldBlockError,
    WriteBatch,
)
from engine.block import Block, encode_block
from engine.cache import Places
from engine.indexes import Indexes


class FakeTable:
    """Has an index or not."""

    def __init__(self) -> None:
        self.is_used = self.is_counted = False
        self.has_index = False

    def keep_index(self) -> None:
        self.has_index = True

    def forget_index(self) -> None:
        assert self.has_index
        self.has_index = False


def add(indexes: Indexes, byte_size: int = 10) -> FakeTable:
    table = FakeTable()
    indexes.add(table, byte_size, table.keep_index)
    return table


def test_without_a_bound_all_are_kept_and_counted() -> None:
    indexes = Indexes(None)
    tables = [add(indexes) for _ in range(100)]

    assert all(table.has_index for table in tables)
    assert (indexes.byte_size, indexes.loads) == (1000, 100)


def test_with_a_bound_the_oldest_that_was_not_used_goes() -> None:
    indexes = Indexes(35)
    first, second, third = (add(indexes) for _ in range(3))
    first.is_used = True

    fourth = add(indexes)

    assert [table.has_index for table in (first, second, third, fourth)] == [True, False, True, True]
    assert not second.is_counted
    assert not first.is_used, "until it is used again"
    assert indexes.byte_size == 30
    indexes.add(second, 10, second.keep_index)
    assert [table.has_index for table in (first, second, third, fourth)] == [True, True, False, True]


def test_one_that_is_larger_than_the_bound_is_not_kept() -> None:
    indexes = Indexes(35)
    small, large = add(indexes), add(indexes, 36)

    assert (small.has_index, large.has_index, indexes.byte_size) == (True, False, 10)


def test_one_that_two_threads_read_at_once_is_counted_once() -> None:
    indexes = Indexes(None)
    table = add(indexes)
    indexes.add(table, 10, lambda: pytest.fail("it has one already"))

    assert (indexes.byte_size, indexes.loads) == (10, 2)


@pytest.mark.parametrize("bytes_max", [None, 100])
def test_a_table_that_is_gone_takes_nothing(bytes_max: int | None) -> None:
    indexes = Indexes(bytes_max)
    tables = [add(indexes) for _ in range(10)]
    del tables[:8]

    assert indexes.byte_size == 20
    more = [add(indexes) for _ in range(8)]
    assert all(table.has_index for table in tables + more)
    assert indexes.byte_size == 100


def test_blocks_make_room_for_indexes() -> None:
    """They have the rest of the cache: here a quarter."""
    size = 1000
    cache = BlockCache(40 * size, holds_indexes=True)
    places: Places = [None] * 60
    for number in range(60):
        cache.add(places, number, Block(encode_block([b"k"], [bytes(size - 500)])))
    assert cache.byte_size > 38 * size
    tables = []
    for _ in range(50):
        tables.append(FakeTable())
        cache.add_index(tables[-1], size, tables[-1].keep_index)
        assert cache.byte_size + cache.stats().index_bytes <= 40 * size

    assert cache.stats().index_bytes == 30 * size
    assert sum(table.has_index for table in tables) == 30
    assert 8 * size < cache.byte_size <= 10 * size
    tables.clear()
    for number in range(60):
        cache.add(places, number, Block(encode_block([b"k"], [bytes(size - 500)])))
    assert cache.byte_size > 38 * size, "what the tables do not take any more"


def test_a_cache_that_does_not_hold_them_only_counts_indexes() -> None:
    cache = BlockCache(1000)
    table = FakeTable()
    cache.add_index(table, 5000, table.keep_index)
    places: Places = [None]
    cache.add(places, 0, Block(encode_block([b"k"], [bytes(100)])))

    assert table.has_index
    assert (cache.stats().index_bytes, cache.stats().index_loads) == (5000, 1)
    assert places[0] is not None


KEYS = [b"key%05d" % number for number in range(3000)]


def filled(*, cache_indexes: bool, cache_bytes_max: int) -> Engine:
    """A dozen tables, whose indexes and filters take 80 kB."""
    options = Options(
        memtable_bytes_max=65536, table_bytes_max=8192, block_bytes=256, row_cache_bytes_max=0,
        cache_bytes_max=cache_bytes_max, cache_indexes=cache_indexes,
    )  # fmt: skip
    engine = Engine.open("/db", options, file_system=MemoryFileSystem(), executor=InlineExecutor())
    rng = random.Random(1)
    for key in KEYS:
        engine.write(WriteBatch([(key, rng.randbytes(60))]), sync=False)
    engine.compact()
    return engine


def cache_of(engine: Engine) -> BlockCacheStats:
    stats = engine.stats().block_cache
    assert stats is not None, "it has a cache of its own"
    return stats


def memory_of(engine: Engine) -> int:
    return cache_of(engine).byte_size + cache_of(engine).index_bytes


def test_an_engine_finds_everything_with_few_indexes_in_memory() -> None:
    rng = random.Random(1)
    values = dict(zip(KEYS, [rng.randbytes(60) for _ in KEYS], strict=True))
    engine = filled(cache_indexes=True, cache_bytes_max=20_000)
    assert engine.stats().tables > 10
    shuffled = random.Random(2).sample(KEYS, 300)

    for key in shuffled:
        assert engine.get(key) == values[key]
        assert engine.get(key + b"x") is None
        assert memory_of(engine) <= 20_000

    assert list(engine.scan()) == sorted(values.items())
    assert cache_of(engine).index_loads > 100
    assert cache_of(engine).index_bytes > 5000


def test_an_engine_keeps_every_index_unless_told_otherwise() -> None:
    engine = filled(cache_indexes=False, cache_bytes_max=20_000)
    engine.multi_get(KEYS)
    loads = cache_of(engine).index_loads
    for key in random.Random(2).sample(KEYS, 300):
        engine.get(key)

    assert cache_of(engine).index_loads == loads
    assert cache_of(engine).index_bytes > 60_000


def test_an_index_that_is_not_in_memory_has_to_be_waited_for() -> None:
    engine = filled(cache_indexes=True, cache_bytes_max=20_000)

    with pytest.raises(WouldBlockError, match="the index of"):
        [engine.get(key, wait=False) for key in KEYS]


@pytest.mark.usefixtures("quick_switches")
def test_indexes_may_come_and_go_while_other_threads_read() -> None:
    engine = filled(cache_indexes=True, cache_bytes_max=20_000)
    rng = random.Random(1)
    values = dict(zip(KEYS, [rng.randbytes(60) for _ in KEYS], strict=True))
    wrong: list[bytes] = []

    def read(seed: int) -> None:
        keys = random.Random(seed).sample(KEYS, 400)
        wrong.extend(key for key in keys if engine.get(key) != values[key] or engine.get(key + b"x") is not None)

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert not wrong
    assert memory_of(engine) <= 20_000
