"""The cache of blocks: bounded in bytes, whoever uses it, and what is used stays."""

import threading

from engine import BlockCache
from engine.block import Block, encode_block
from engine.cache import Places
from engine.openblock import OpenBlock


def block(size: int = 600) -> Block:
    return Block(encode_block([b"k"], [bytes(size)]))


def kept(places: Places) -> list[Block | OpenBlock]:
    return [block for block in places if block is not None]


def test_it_never_takes_more_than_its_bound() -> None:
    cache = BlockCache(20_000)
    places: Places = [None] * 200
    for number in range(200):
        cache.add(places, number, block(number * 10))
        assert cache.byte_size <= 20_000

    assert cache.byte_size == sum(b.byte_size for b in kept(places)) > 10_000


def test_what_was_used_stays_longer() -> None:
    cache = BlockCache(10 * block().byte_size)
    places: Places = [None] * 15
    used = block()
    cache.add(places, 0, used)
    for number in range(1, 10):
        cache.add(places, number, block())
    used.hits += 1

    for number in range(10, 15):
        cache.add(places, number, block())

    assert places[0] is used
    assert places[1:6] == [None] * 5
    assert len(kept(places)) == 10


def test_tables_share_it() -> None:
    """What one table reads is what another loses."""
    cache = BlockCache(2 * block().byte_size)
    first: Places = [None] * 2
    second: Places = [None] * 2
    for places in (first, second):
        for number in range(2):
            cache.add(places, number, block())

    assert first == [None, None]
    assert len(kept(second)) == 2


def test_a_block_larger_than_the_cache_is_not_kept() -> None:
    cache = BlockCache(100)
    places: Places = [None]

    cache.add(places, 0, block())

    assert (places, cache.byte_size) == ([None], 0)


def test_a_block_added_twice_is_counted_once() -> None:
    cache = BlockCache(100_000)
    places: Places = [None]
    first = block()
    cache.add(places, 0, first)
    cache.add(places, 0, block())

    assert places == [first]
    assert cache.byte_size == first.byte_size


def test_many_threads_may_add_at_once() -> None:
    cache = BlockCache(50_000)
    places: Places = [None] * 1400

    def add(first: int) -> None:
        for number in range(first, first + 500):
            cache.add(places, number, block())
            for used in kept(places)[:3]:
                used.hits += 1

    threads = [threading.Thread(target=add, args=(i * 300,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.byte_size == sum(b.byte_size for b in kept(places)) <= 50_000


def test_every_hit_is_counted_also_those_of_blocks_that_are_gone() -> None:
    cache = BlockCache(2 * block().byte_size)
    places: Places = [None] * 10
    for number in range(10):
        used = block()
        used.hits = number
        cache.add(places, number, used)

    assert cache.stats().hits == sum(range(10))
    assert cache.stats().misses == 10
    assert cache.stats().hit_share == 45 / 55
    assert len(kept(places)) == 2


def large_block() -> Block:
    return Block(encode_block([b"%03d" % i for i in range(10)], [bytes(200)] * 10))


def test_a_block_is_opened_where_there_is_room_to_spare() -> None:
    """It keeps its hits, and the cache counts what it takes now."""
    cache = BlockCache(20_000)
    places: Places = [None]
    block = large_block()
    cache.add(places, 0, block)
    block.hits = 5

    cache.open(places, 0, block)

    opened = places[0]
    assert isinstance(opened, OpenBlock)
    assert opened.hits == cache.stats().hits == 5
    assert cache.byte_size == opened.byte_size > block.byte_size


def test_no_block_is_opened_at_the_expense_of_others() -> None:
    block = large_block()
    cache = BlockCache(3 * block.byte_size)
    places: Places = [None] * 3
    blocks = [block, large_block(), large_block()]
    for number, added in enumerate(blocks):
        cache.add(places, number, added)

    cache.open(places, 0, block)

    assert places == blocks
    assert cache.byte_size == 3 * block.byte_size


def test_a_block_of_tiny_records_is_not_opened() -> None:
    cache = BlockCache(1 << 20)
    places: Places = [None]
    block = Block(encode_block([b"%03d" % i for i in range(500)], [b"v"] * 500))
    cache.add(places, 0, block)

    cache.open(places, 0, block)

    assert places == [block]


def test_a_block_that_was_dropped_meanwhile_is_not_opened() -> None:
    cache = BlockCache(1 << 20)
    places: Places = [None]

    cache.open(places, 0, large_block())

    assert (places, cache.byte_size) == ([None], 0)
