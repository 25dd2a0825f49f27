"""Ingest: sorted pairs become tables, newer than all before and visible at once."""

import pytest

from engine import InvalidBatchError, MemoryFileSystem, WriteBatch
from tests.engine.test_ranges import KEYS, filled, keys, open_engine


def test_ingested_pairs_replace_what_was_there() -> None:
    engine = filled(MemoryFileSystem())
    engine.write(WriteBatch([(b"0001", b"in the memtable")]))

    engine.ingest((key, b"new") for key in [b"0000", b"0001", b"zz"])
    engine.write(WriteBatch([(b"0001", b"newer")]))

    assert engine.multi_get([b"0000", b"0001", b"0002", b"zz"]) == [b"new", b"newer", b"v" * 60, b"new"]
    engine.compact()
    assert engine.multi_get([b"0000", b"0001", b"0002", b"zz"]) == [b"new", b"newer", b"v" * 60, b"new"]


def test_where_nothing_overlaps_them_they_go_to_the_lowest_level() -> None:
    engine = open_engine(MemoryFileSystem())

    engine.ingest((key, b"v" * 100) for key in KEYS)
    engine.ingest([(b"x", b"1")])

    levels = [level.records for level in engine.stats().levels]
    assert levels[-1] == len(KEYS) + 1
    assert sum(levels) == levels[-1]
    assert engine.stats().compacted_bytes == 0


def test_what_was_ingested_survives_a_crash() -> None:
    disk = MemoryFileSystem()
    engine = filled(disk)
    engine.ingest((key, b"new") for key in KEYS[::2])
    disk.restart()

    again = open_engine(disk)
    assert {again.get(key) for key in KEYS[::2]} == {b"new"}


@pytest.mark.parametrize(
    "pairs",
    [[(b"b", b""), (b"a", b"")], [(b"a", b""), (b"a", b"")], [(b"%04d" % (n % 1500), b"") for n in range(1501)]],
)
def test_pairs_out_of_order_are_refused_and_nothing_is_left(pairs: list[tuple[bytes, bytes]]) -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    before = disk.list_directory("/db")

    with pytest.raises(InvalidBatchError, match="ascend"):
        engine.ingest(pairs)

    assert disk.list_directory("/db") == before
    assert keys(engine) == []


def test_no_pairs_are_no_work() -> None:
    engine = open_engine(MemoryFileSystem())
    engine.ingest([])
    assert engine.stats().levels[-1].tables == 0
