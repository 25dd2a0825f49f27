"""A snapshot stays as it was taken, whatever becomes of the store."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import (
    ClosedError,
    CorruptionError,
    Engine,
    Fault,
    InvalidKeyError,
    InvalidLimitError,
    MemoryFileSystem,
    Options,
    SequenceNumber,
)
from tests.engine.small import batch, open_engine


@pytest.fixture
def engine(disk: MemoryFileSystem) -> Iterator[Engine]:
    engine = open_engine(disk)
    yield engine
    engine.close()


def fill(engine: Engine, value: bytes, count: int = 300) -> None:
    for number in range(count):
        engine.write(batch((b"key%06d" % (number * 7919 % count), value)), sync=False)


def test_it_stays_as_it_was_through_writes_flushes_and_compactions(engine: Engine) -> None:
    fill(engine, b"old" * 20)
    engine.write(batch((b"gone", None), (b"key000007", None)))
    expected = dict(engine.scan())
    snapshot = engine.snapshot()
    sequence = engine.applied_sequence

    fill(engine, b"new" * 20)
    engine.write(batch((b"gone", b"back"), *[(key, None) for key in list(expected)[:100]]))
    engine.compact()

    assert snapshot.sequence == sequence < engine.applied_sequence
    assert dict(snapshot.scan()) == expected
    assert {key: snapshot.get(key) for key in expected} == expected
    assert snapshot.multi_get([b"gone", b"key000007", b"key000008"]) == [None, None, b"old" * 20]
    assert engine.get(b"gone") == b"back"
    snapshot.close()


def test_it_is_scanned_as_the_engine_is(engine: Engine) -> None:
    engine.write(batch(*[(b"a%d" % number, b"1") for number in range(10)], (b"b", b"1")))
    with engine.snapshot() as snapshot:
        engine.write(batch((b"a3", None)))

        assert [key for key, _ in snapshot.scan(b"a2", b"a5")] == [b"a2", b"a3", b"a4"]
        assert [key for key, _ in snapshot.scan(b"a8", prefix=b"a")] == [b"a8", b"a9"]
        assert [key for key, _ in snapshot.scan(limit=2)] == [b"a0", b"a1"]
        with pytest.raises(InvalidKeyError):
            snapshot.scan(prefix="a")  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(InvalidLimitError):
            snapshot.scan(limit=-1)
        with pytest.raises(InvalidKeyError):
            snapshot.get(b"")


def test_it_outlives_its_engine_and_the_next(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    fill(engine, b"old")
    engine.flush()
    engine.write(batch((b"recent", b"1")))
    expected = list(engine.scan())
    snapshot = engine.snapshot()
    engine.close()

    again = open_engine(disk)
    fill(again, b"new")
    again.compact()

    assert list(snapshot.scan()) == expected
    assert snapshot.get(b"key000007") == b"old"
    assert snapshot.get(b"recent") == b"1"
    again.close()


def test_once_closed_it_says_so(engine: Engine) -> None:
    engine.write(batch((b"a", b"1"), (b"b", b"1")))
    with engine.snapshot() as snapshot:
        scan = snapshot.scan()
    snapshot.close()

    acts: list[Callable[[], object]] = [
        lambda: snapshot.get(b"a"),
        lambda: snapshot.multi_get([b"a"]),
        snapshot.scan,
    ]
    for act in acts:
        with pytest.raises(ClosedError, match="the snapshot is closed"):
            act()
    assert len(list(scan)) == 2


def test_none_is_taken_of_a_closed_engine(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.close()

    with pytest.raises(ClosedError, match="the engine is closed"):
        engine.snapshot()


def test_stats_count_those_that_are_open(engine: Engine) -> None:
    engine.write(batch((b"a", b"1")))
    first, second = engine.snapshot(), engine.snapshot()
    assert engine.stats().snapshots == 2

    first.close()
    first.close()
    assert engine.stats().snapshots == 1
    del second
    assert engine.stats().snapshots == 0


def test_between_two_writes_all_share_one_copy(engine: Engine) -> None:
    engine.write(batch((b"a", b"1")))
    first, second = engine.snapshot(), engine.snapshot()
    engine.write(batch((b"a", b"2")))
    third = engine.snapshot()
    engine.write(batch())
    fourth = engine.snapshot()

    assert first._view.active is second._view.active
    assert (second.get(b"a"), third.get(b"a"), fourth.get(b"a")) == (b"1", b"2", b"2")
    assert [snapshot.sequence for snapshot in (first, second, third, fourth)] == [1, 1, 2, 3]


def test_writes_of_one_sequence_are_told_apart(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk, own_log=False)
    engine.write(batch((b"a", b"1")), sequence=SequenceNumber(5))
    first = engine.snapshot()
    engine.write(batch((b"a", b"2")), sequence=SequenceNumber(5))
    second = engine.snapshot()

    assert (first.get(b"a"), second.get(b"a")) == (b"1", b"2")
    assert first.sequence == second.sequence == 5


def test_the_space_of_replaced_tables_comes_back_when_it_closes(tmp_path: Path) -> None:
    """Their files have no name any more, but are open."""

    def files_open() -> int:
        return sum("(deleted)" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())

    engine = Engine.open(str(tmp_path / "db"))
    fill(engine, b"old")
    engine.flush()
    snapshot = engine.snapshot()
    fill(engine, b"new")
    before = files_open()
    engine.compact()

    assert files_open() > before
    assert snapshot.get(b"key000007") == b"old"
    snapshot.close()
    assert files_open() == before
    engine.close()


def test_a_damaged_table_is_an_error_in_a_snapshot_too(disk: MemoryFileSystem, engine: Engine) -> None:
    engine.write(batch((b"a", b"1")))
    engine.flush()
    snapshot = engine.snapshot()
    disk.faults.append(Fault("read", CorruptionError("/db/000001.sst", 0, "damaged"), suffix=".sst", times=None))

    with pytest.raises(CorruptionError):
        snapshot.get(b"a")
    with pytest.raises(CorruptionError):
        list(snapshot.scan())


def test_it_is_taken_while_a_sync_goes_on(disk: MemoryFileSystem, engine: Engine) -> None:
    """It waits neither for the disk nor for a writer that waits for room."""
    engine.write(batch((b"a", b"1")))
    taken = []
    disk.on_sync = lambda path: taken.append(engine.snapshot())

    engine.write(batch((b"a", b"2")))
    disk.on_sync = lambda path: None

    assert [snapshot.get(b"a") for snapshot in taken] == [b"1"]


def test_a_write_that_was_cut_short_is_no_obstacle(engine: Engine) -> None:
    """An interrupt may end a write anywhere."""
    engine.write(batch((b"a", b"1")))
    engine._writer.active.byte_size_begun += 100

    with engine.snapshot() as snapshot:
        assert snapshot.get(b"a") == b"1"
    with engine.snapshot() as snapshot:
        assert snapshot.sequence == 1


def test_under_threads_each_has_whole_writes_up_to_its_sequence(tmp_path: Path, quick_switches: None) -> None:
    small = Options(memtable_bytes_max=64 << 10, table_bytes_max=64 << 10, level1_bytes_max=128 << 10)
    engine = Engine.open(str(tmp_path / "db"), small)
    keys = [b"key%03d" % i for i in range(100)]
    engine.write(batch(*[(key, b"1") for key in keys]))
    done = threading.Event()
    failures: list[str] = []

    def read() -> None:
        last = 0
        while not done.is_set():
            with engine.snapshot() as snapshot:
                expected = [(key, b"%0100d" % snapshot.sequence) for key in keys]
                if snapshot.sequence > 1 and list(snapshot.scan()) != expected:
                    failures.append(f"{snapshot.sequence} is not whole")
                if snapshot.sequence < last:
                    failures.append(f"from {last} back to {snapshot.sequence}")
                last = snapshot.sequence

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(2, 80):
        engine.write(batch(*[(key, b"%0100d" % number) for key in keys]), sync=False)
    done.set()
    for reader in readers:
        reader.join()
    assert engine.stats().snapshots == 0
    engine.close()

    assert failures == []
