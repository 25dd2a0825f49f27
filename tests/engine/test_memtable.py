"""The memtable: the last write counts, and it can be read in order."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import SequenceNumber, WriteBatch
from engine.memtable import Memtable
from engine.record import Run
from tests.strategies import keys, records


def test_a_write_replaces_and_is_counted() -> None:
    memtable = Memtable(SequenceNumber(4))
    assert memtable.is_untouched
    batch = WriteBatch()
    batch.put(b"a", b"1")

    memtable.write(batch.records, batch.byte_size, SequenceNumber(5))
    once = memtable.byte_size
    memtable.write(batch.records, batch.byte_size, SequenceNumber(6))

    assert memtable.records == {b"a": b"1"}
    assert memtable.byte_size == 2 * once
    assert (memtable.first_sequence, memtable.sequence) == (4, 6)
    assert not memtable.is_untouched


def test_an_empty_write_touches_it() -> None:
    memtable = Memtable(SequenceNumber(4))

    memtable.write({}, 0, SequenceNumber(5))

    assert not memtable.is_untouched


def flat(runs: Iterator[Run], *, reverse: bool = False) -> list[tuple[bytes, bytes | None]]:
    return [item for keys, values in runs for item in list(zip(keys, values, strict=True))[:: -1 if reverse else 1]]


def made_of(*writes: dict[bytes, bytes | None]) -> Memtable:
    memtable = Memtable(SequenceNumber(0))
    for number, content in enumerate(writes, 1):
        memtable.write(content, 1, SequenceNumber(number))
    return memtable


bounds = st.tuples(st.one_of(st.just(b""), keys), st.one_of(st.none(), keys))


@given(records, bounds, st.booleans())
def test_runs_hold_everything_within_bounds_in_order(
    content: dict[bytes, bytes | None], bounds: tuple[bytes, bytes | None], reverse: bool
) -> None:
    start, end = bounds

    found = flat(made_of(content).runs(start, end, reverse=reverse), reverse=reverse)

    within = [(k, content[k]) for k in sorted(content) if start <= k and (end is None or k < end)]
    assert found == within[:: -1 if reverse else 1]


@pytest.mark.parametrize("reverse", [False, True])
def test_runs_grow_but_none_is_long(reverse: bool) -> None:
    """A scan that ends soon pays for little, and no step keeps other threads waiting for long."""
    memtable = made_of({os.urandom(8): b"" for _ in range(20_000)})

    lengths = [len(keys) for keys, _ in memtable.runs(reverse=reverse)]

    assert sum(lengths) == 20_000
    assert lengths[0] < 20
    assert max(lengths) <= 1024
    assert len(lengths) < 60


@given(st.lists(records, min_size=1, max_size=3), records, bounds, st.booleans(), st.integers(0, 40))
def test_what_is_read_now_does_not_change(
    writes: list[dict[bytes, bytes | None]],
    later: dict[bytes, bytes | None],
    bounds: tuple[bytes, bytes | None],
    reverse: bool,
    limit: int,
) -> None:
    memtable = made_of(*writes)
    start, end = bounds
    expected = [(k, v) for k, v in sorted(memtable.records.items(), key=lambda item: item[0])]
    within = [(k, v) for k, v in expected if start <= k and (end is None or k < end)][:: -1 if reverse else 1]

    limited = memtable.runs_now(start, end, reverse=reverse, limit=limit)
    unlimited = memtable.runs_now(start, end, reverse=reverse)
    memtable.write(later, 1, SequenceNumber(9))

    assert flat(unlimited, reverse=reverse) == within
    found = flat(limited, reverse=reverse)
    assert found == within[: len(found)]
    assert found == within or sum(value is not None for _, value in found) >= limit


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [None, 1, 100, 2000])
def test_of_many_records_too(limit: int | None, reverse: bool) -> None:
    content: dict[bytes, bytes | None] = {b"%05d" % n: None if n % 7 < 5 else b"1" for n in range(5000)}
    memtable = made_of(content)
    expected = sorted(content.items(), reverse=reverse, key=lambda item: item[0])

    runs = memtable.runs_now(b"", None, reverse=reverse, limit=limit)
    memtable.write({b"%05d" % n: b"2" for n in range(0, 9000, 3)}, 1, SequenceNumber(9))

    found = flat(runs, reverse=reverse)
    assert found == expected[: len(found)]
    assert len(found) == 5000 or sum(value is not None for _, value in found) >= (limit or 5000)


def test_a_few_records_are_read_without_a_copy_of_all() -> None:
    """As long as nothing is written meanwhile."""

    class Watched(dict[bytes, bytes | None]):
        copies = 0

        def copy(self) -> dict[bytes, bytes | None]:
            self.copies += 1
            return super().copy()

    records = Watched()
    memtable = Memtable(SequenceNumber(0), records)
    memtable.write({b"%05d" % n: b"1" for n in range(5000)}, 1, SequenceNumber(1))

    for reverse in (False, True):
        memtable.runs_now(b"", None, reverse=reverse, limit=100)
        memtable.runs_now(b"01", b"011", reverse=reverse)
    assert records.copies == 0
    memtable.runs_now(b"", None)
    assert records.copies == 1
    memtable.byte_size_begun += 1
    memtable.runs_now(b"", None, limit=1)
    assert records.copies == 2


def test_a_copy_stands_still_and_is_shared_until_the_next_write() -> None:
    memtable = Memtable(SequenceNumber(4))
    memtable.write({b"a": b"1"}, 2, SequenceNumber(5))
    first = memtable.copy()
    assert first is memtable.copy()
    assert first is not None

    memtable.write({b"a": b"2"}, 2, SequenceNumber(6))
    second = memtable.copy()

    assert second is not None
    assert (first.records, first.sequence, first.first_sequence) == ({b"a": b"1"}, 5, 4)
    assert (second.records, second.sequence) == ({b"a": b"2"}, 6)
    assert second.byte_size == memtable.byte_size > first.byte_size


def test_there_is_no_copy_of_half_a_write() -> None:
    """Its records are visible, its sequence is not yet; or it was cut short there."""
    memtable = Memtable(SequenceNumber(4))

    class Interrupted(dict[bytes, bytes | None]):
        def update(self, *records: Any) -> None:
            super().update(*records)
            assert memtable.copy() is None
            raise KeyboardInterrupt

    memtable.records = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        memtable.write({b"a": b"1"}, 2, SequenceNumber(5))

    assert memtable.copy() is None
    memtable.settle()
    assert memtable.copy() is not None


def test_a_copy_knows_nothing_of_keys_that_come_later() -> None:
    memtable = made_of({b"b": b"1", b"d": b"1"})
    copied = memtable.copy()
    memtable.write({b"a": b"2", b"b": b"2", b"c": b"2"}, 1, SequenceNumber(2))
    assert flat(memtable.runs()) == [(b"a", b"2"), (b"b", b"2"), (b"c", b"2"), (b"d", b"1")]

    assert copied is not None
    assert flat(copied.runs()) == [(b"b", b"1"), (b"d", b"1")]
    assert flat(copied.runs(b"c", reverse=True)) == [(b"d", b"1")]


def test_nor_of_a_write_that_began_meanwhile() -> None:
    memtable = Memtable(SequenceNumber(4))

    class Overtaken(dict[bytes, bytes | None]):
        def copy(self) -> dict[bytes, bytes | None]:
            memtable.byte_size_begun += 100
            self[b"a"] = b"1"
            return super().copy()

    memtable.records = Overtaken()

    assert memtable.copy() is None
