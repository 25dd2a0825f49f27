"""The memtable: the last write counts, and it can be read in order."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import SequenceNumber, WriteBatch
from engine.memtable import Memtable, records_between, sorted_runs
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


@given(records, st.booleans())
def test_sorted_runs_hold_everything_in_order(content: dict[bytes, bytes | None], reverse: bool) -> None:
    runs = list(sorted_runs(content, reverse=reverse))[:: -1 if reverse else 1]

    assert [item for run in runs for item in zip(*run, strict=True)] == sorted(content.items(), key=lambda i: i[0])


def test_no_run_of_many_records_is_long() -> None:
    """A long sort would keep other threads from the interpreter."""
    content: dict[bytes, bytes | None] = {os.urandom(8): b"" for _ in range(20_000)}

    runs = list(sorted_runs(content))

    assert [key for keys, _ in runs for key in keys] == sorted(content)
    assert max(len(keys) for keys, _ in runs) < 4096


@given(records, keys, keys)
def test_records_between_two_keys(content: dict[bytes, bytes | None], start: bytes, end: bytes) -> None:
    assert records_between(content, start, end) == {k: v for k, v in content.items() if start <= k < end}
    assert records_between(content, start, None) == {k: v for k, v in content.items() if start <= k}
    assert records_between(content, b"", None) == content


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
