"""An open block answers as the block it was."""

import sys

import pytest
from hypothesis import assume, given

from engine.block import Block, encode_block
from engine.openblock import OpenBlock, open_bytes_max
from engine.record import ABSENT
from tests.strategies import keys as any_key
from tests.strategies import records


def make(content: dict[bytes, bytes | None]) -> Block:
    keys = sorted(content)
    return Block(encode_block(keys, [content[key] for key in keys]))


@given(records, any_key)
def test_it_answers_as_the_block_does(content: dict[bytes, bytes | None], other: bytes) -> None:
    assume(content)
    block = make(content)

    opened = OpenBlock(block)

    assert [opened.get(key) for key in content] == [block.get(key) for key in content]
    assert opened.get(other) == content.get(other, ABSENT)
    assert opened.run() == block.run()
    keys: list[bytes] = [b"before"]
    values: list[bytes | None] = [None]
    opened.append_to(keys, values)
    assert (keys[1:], values[1:]) == block.run()
    assert len(opened) == len(block)
    assert opened.byte_size <= open_bytes_max(block)


@pytest.mark.parametrize(("count", "value_length"), [(1, 4000), (4, 1000), (36, 100), (43, 80), (200, 4)])
def test_it_knows_the_memory_it_takes(count: int, value_length: int) -> None:
    """At least what Python says its parts take, and at most a fifth more."""
    opened = OpenBlock(make({b"key %012d" % i: bytes(value_length) for i in range(count)}))
    objects = sum(map(sys.getsizeof, (*opened.rows, *opened.rows.values())))

    taken = sys.getsizeof(opened) + sys.getsizeof(opened.rows) + objects

    assert taken <= opened.byte_size <= 1.2 * taken + 500
