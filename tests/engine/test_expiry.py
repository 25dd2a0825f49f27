"""What expires: its writer says when, and the caller's clock alone decides."""

import pytest

from engine import Engine, InlineExecutor, MemoryFileSystem, Options, WriteBatch

OPTIONS = Options(
    memtable_bytes_max=4096,
    table_bytes_max=4096,
    level1_bytes_max=8192,
    level0_tables_compact=2,
    row_cache_bytes_max=8192,
)


def open_engine(disk: MemoryFileSystem, options: Options = OPTIONS) -> Engine:
    return Engine.open("/db", options, file_system=disk, executor=InlineExecutor())


def put(engine: Engine, key: bytes, value: bytes, expires_ms: int | None = None) -> None:
    batch = WriteBatch()
    batch.put(key, value, expires_ms=expires_ms)
    engine.write(batch)


def records(engine: Engine) -> int:
    return sum(level.records for level in engine.stats().levels)


@pytest.mark.parametrize("where", ["memtable", "table", "row"])
def test_a_value_is_there_until_its_time(where: str) -> None:
    engine = open_engine(MemoryFileSystem())
    put(engine, b"a", b"1", expires_ms=100)
    put(engine, b"b", b"2")
    if where != "memtable":
        engine.flush()
    if where == "row":
        assert engine.get(b"a") == b"1"

    engine.advance_clock(99)
    assert engine.get(b"a") == b"1"
    assert engine.get(b"a").__class__ is bytes
    assert engine.multi_get([b"b", b"a"]) == [b"2", b"1"]
    assert list(engine.scan()) == [(b"a", b"1"), (b"b", b"2")]
    assert all(value.__class__ is bytes for _, value in engine.scan())
    engine.advance_clock(100)
    assert engine.get(b"a") is None
    assert engine.multi_get([b"b", b"a"]) == [b"2", None]
    assert list(engine.scan()) == list(engine.scan(reverse=True)) == [(b"b", b"2")]


def test_the_clock_never_goes_back() -> None:
    engine = open_engine(MemoryFileSystem())
    put(engine, b"a", b"1", expires_ms=100)

    engine.advance_clock(100)
    engine.advance_clock(50)

    assert engine.clock_ms == 100
    assert engine.get(b"a") is None


def test_what_has_expired_hides_what_is_older_but_not_what_is_newer() -> None:
    engine = open_engine(MemoryFileSystem())
    put(engine, b"a", b"old")
    engine.flush()
    put(engine, b"a", b"short", expires_ms=10)
    engine.flush()
    engine.advance_clock(20)
    assert engine.get(b"a") is None

    engine.compact()
    assert engine.get(b"a") is None
    put(engine, b"a", b"new")
    assert engine.get(b"a") == b"new"


def test_a_snapshot_stays_at_its_time() -> None:
    engine = open_engine(MemoryFileSystem())
    put(engine, b"a", b"1", expires_ms=100)

    with engine.snapshot() as before:
        engine.advance_clock(200)
        engine.compact()
        assert before.get(b"a") == b"1"
        assert before.multi_get([b"a"]) == [b"1"]
        assert list(before.scan()) == [(b"a", b"1")]
    with engine.snapshot() as after:
        assert after.get(b"a") is None
        assert list(after.scan()) == []


def test_compaction_drops_what_has_expired() -> None:
    engine = open_engine(MemoryFileSystem())
    for number in range(100):
        put(engine, b"%03d" % number, b"v" * 40, expires_ms=100 + number)

    engine.compact()
    assert records(engine) == 100
    # Half of it, and nobody asks for a compaction.
    engine.advance_clock(200)

    assert records(engine) < 60
    assert len(list(engine.scan())) == 0
    engine.advance_clock(1_000)
    assert records(engine) == 0


def test_an_expired_table_is_rewritten_where_it_is_unless_there_may_be_older_records_below() -> None:
    engine = open_engine(MemoryFileSystem())
    put(engine, b"a", b"old")
    engine.compact()
    put(engine, b"a", b"short", expires_ms=10)
    engine.flush()

    engine.advance_clock(10)

    assert engine.get(b"a") is None
    assert records(engine) == 0, "the older record went with it"


def test_a_store_that_is_opened_again_has_not_gone_behind_what_it_dropped() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    put(engine, b"a", b"1", expires_ms=100)
    put(engine, b"b", b"2", expires_ms=10_000)
    engine.flush()
    engine.advance_clock(500)
    engine.compact()
    engine.close()

    again = open_engine(disk)
    assert again.clock_ms == 500
    assert list(again.scan()) == [(b"b", b"2")]


def test_a_log_keeps_the_time_of_expiry() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    put(engine, b"a", b"1", expires_ms=100)
    disk.kill()

    again = open_engine(disk)
    assert again.get(b"a") == b"1"
    again.advance_clock(100)
    assert again.get(b"a") is None
