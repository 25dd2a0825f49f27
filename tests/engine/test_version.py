"""Versions: immutable, and never with two tables of a level over one key."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.record import SequenceNumber
from engine.version import InvalidEditError, Table, Version, VersionEdit


def table(number: int, smallest: bytes, largest: bytes, byte_size: int = 100, tombstones: int = 0) -> Table:
    return Table(number, byte_size, smallest, largest, 10, tombstones)


def version(*added: tuple[int, Table]) -> Version:
    return Version().apply(VersionEdit(added=added))


def test_an_edit_makes_another_version() -> None:
    before = version((1, table(1, b"a", b"c")))

    after = before.apply(
        VersionEdit(
            added=((1, table(2, b"d", b"f")), (0, table(3, b"a", b"z")), (0, table(4, b"a", b"z"))),
            removed=((1, 1),),
            flushed_sequence=SequenceNumber(9),
            oldest_log=5,
            next_number=6,
        )
    )

    assert [t.number for t in before.tables()] == [1]
    assert [t.number for t in after.levels[0]] == [4, 3]  # the newest first
    assert [t.number for t in after.levels[1]] == [2]
    assert (after.flushed_sequence, after.oldest_log, after.next_number) == (9, 5, 6)
    assert Version().apply(after.as_edit()) == after
    assert after.level_bytes(0) == 200


def test_what_an_edit_does_not_mention_stays() -> None:
    after = Version().apply(VersionEdit(flushed_sequence=SequenceNumber(9), oldest_log=5)).apply(VersionEdit())

    assert (after.flushed_sequence, after.oldest_log) == (9, 5)


@pytest.mark.parametrize(
    "edit",
    [
        VersionEdit(removed=((1, 7),)),
        VersionEdit(removed=((0, 1),)),
        VersionEdit(added=((1, table(2, b"c", b"d")),)),
        VersionEdit(added=((1, table(2, b"b", b"b")),)),
        VersionEdit(added=((2, table(1, b"x", b"x")),)),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edit: VersionEdit) -> None:
    with pytest.raises(InvalidEditError):
        version((1, table(1, b"a", b"c"))).apply(edit)


def test_overlapping_tables_include_those_that_only_touch() -> None:
    here = version(
        *[(1, table(i, bytes([2 * i]), bytes([2 * i + 1]))) for i in range(1, 6)],
        *[(0, table(10 + i, bytes([2 * i]), bytes([2 * i + 1]))) for i in range(1, 6)],
    )
    for level in (0, 1):
        for low in range(14):
            for high in range(low, 14):
                found = {t.number for t in here.overlapping(level, bytes([low]), bytes([high]))}
                expected = {t.number for t in here.levels[level] if t.smallest[0] <= high and low <= t.largest[0]}
                assert found == expected


def test_only_levels_below_count_as_below() -> None:
    here = version((1, table(1, b"a", b"c")), (3, table(2, b"b", b"d")))

    assert here.may_hold_below(0, b"a", b"a")
    assert not here.may_hold_below(1, b"a", b"a")
    assert here.may_hold_below(1, b"a", b"b")
    assert not here.may_hold_below(3, b"c", b"c")


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30), st.integers(0, 8)), max_size=9), st.integers(0, 3))
def test_spans_below_are_the_keys_that_may_be_held_below(tables: list[tuple[int, int, int]], level: int) -> None:
    """As `may_hold_below` says of each key; in order and apart."""
    here = Version()
    for number, (into, first, length) in enumerate(tables, 1):
        if not here.overlapping(into, bytes([first]), bytes([first + length])):
            added = (into, table(number, bytes([first]), bytes([first + length])))
            here = here.apply(VersionEdit(added=(added,)))

    spans = here.spans_below(level, bytes([10]), bytes([20]))

    for number in range(10, 21):
        key = bytes([number])
        assert any(first <= key <= last for first, last in spans) == here.may_hold_below(level, key, key)
    assert all(left[1] < right[0] for left, right in pairwise(spans))
