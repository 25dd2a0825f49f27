"""The cache of blocks: bounded in bytes, whoever uses it, and what is used stays."""

import threading

from engine import BlockCache
from engine.block import Block, encode_block


def block(size: int = 600) -> Block:
    return Block(encode_block([b"k"], [bytes(size)]))


def test_it_never_takes_more_than_its_bound() -> None:
    cache = BlockCache(20_000)
    for number in range(200):
        cache.add(number, block(number * 10))
        assert cache.byte_size <= 20_000

    assert cache.byte_size == sum(b.byte_size for b in cache.blocks.values()) > 10_000


def test_what_was_used_stays_longer() -> None:
    cache = BlockCache(10 * block().byte_size)
    for number in range(10):
        cache.add(number, block())
    cache.blocks[0].referenced = True

    for number in range(10, 15):
        cache.add(number, block())

    assert 0 in cache.blocks
    assert not {1, 2, 3, 4, 5} & cache.blocks.keys()


def test_a_block_larger_than_the_cache_is_not_kept() -> None:
    cache = BlockCache(100)

    cache.add(1, block())

    assert (cache.blocks, cache.byte_size) == ({}, 0)


def test_a_block_added_twice_is_counted_once() -> None:
    cache = BlockCache(100_000)
    first = block()
    cache.add(1, first)
    cache.add(1, block())

    assert cache.blocks[1] is first
    assert cache.byte_size == first.byte_size


def test_ids_of_two_tables_never_meet() -> None:
    cache = BlockCache(1)

    assert abs(cache.table_id() - cache.table_id()) >= 1 << 32


def test_many_threads_may_add_at_once() -> None:
    cache = BlockCache(50_000)

    def add(first: int) -> None:
        for number in range(first, first + 500):
            cache.add(number, block())
            for kept in list(cache.blocks.values())[:3]:
                kept.referenced = True

    threads = [threading.Thread(target=add, args=(i * 300,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.byte_size == sum(b.byte_size for b in cache.blocks.values()) <= 50_000
