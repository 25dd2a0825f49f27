"""The tree: a reader's view stays as it was, whatever becomes of the tree."""

import pytest

from engine import ClosedError, SequenceNumber
from engine.memtable import Memtable
from engine.tree import Tree
from engine.version import Version
from engine.view import Levels

EMPTY = Levels(Version(), {})


def write(tree: Tree, key: bytes, value: bytes | None, sequence: int) -> None:
    tree.view.active.write({key: value}, 1, SequenceNumber(sequence))


def test_a_sealed_memtable_is_read_until_its_table_is_there() -> None:
    tree = Tree(Memtable(SequenceNumber(0)), EMPTY)
    write(tree, b"a", b"1", 1)
    write(tree, b"b", b"1", 1)
    first = tree.view.active
    tree.seal(5)
    write(tree, b"a", b"2", 2)
    second = tree.view.active
    tree.seal(6)
    write(tree, b"b", None, 3)

    assert tree.oldest_sealed() is first
    assert (first.next_log, second.next_log) == (5, 6)
    assert tree.sealed_sequence == 2
    before = tree.view
    assert before.find(b"a", wait=True) == b"2"
    assert list(before.scan(b"", None)) == [(b"a", b"2")]
    tree.publisher([first])(EMPTY)
    assert tree.oldest_sealed() is second
    assert list(before.scan(b"", None)) == [(b"a", b"2")]
    assert tree.view.find(b"a", wait=True) == b"2"
    tree.publisher([second])(EMPTY)
    assert tree.oldest_sealed() is None
    assert tree.view.find(b"a", wait=True) is None


def test_a_closed_tree_answers_nothing() -> None:
    tree = Tree(Memtable(SequenceNumber(0)), EMPTY)
    write(tree, b"a", b"1", 1)
    tree.close()

    with pytest.raises(ClosedError):
        tree.view.find(b"a", wait=True)
    with pytest.raises(ClosedError):
        tree.view.scan(b"", None)
