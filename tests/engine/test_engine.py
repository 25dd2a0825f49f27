"""The engine's front door: what each call promises."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine import (
    BlockCache,
    ClosedError,
    CorruptionError,
    Engine,
    EngineError,
    Fault,
    ForeignDirectoryError,
    InlineExecutor,
    InvalidBatchError,
    InvalidKeyError,
    InvalidLimitError,
    LockedError,
    MemoryFileSystem,
    Options,
    SequenceNumber,
    StallError,
    StorageError,
    StorageFullError,
    WouldBlockError,
    WriteBatch,
    verify_engine,
)
from engine.footer import FOOTER_BYTES, Footer
from engine.tree import Tree
from tests.engine.contents import documents
from tests.engine.small import batch, open_engine

FULL = StorageFullError("/db/x", 28, "No space left on device")
FAILED = StorageError("/db/x", 5, "Input/output error")


@pytest.fixture
def engine(disk: MemoryFileSystem) -> Iterator[Engine]:
    engine = open_engine(disk)
    yield engine
    engine.close()


def fill(engine: Engine, count: int, *, value: bytes = b"v" * 100, first: int = 0) -> None:
    for number in range(first, first + count):
        engine.write(batch((b"key%06d" % (number * 7919 % count), value)))


def test_what_was_written_is_read(engine: Engine) -> None:
    sequence = engine.write(batch((b"a", b"1"), (b"b", b"2"), (b"c", b"")))

    assert engine.write(batch((b"a", b"3"), (b"b", None))) == sequence + 1 == engine.applied_sequence
    assert engine.get(b"a") == b"3"
    assert engine.get(b"b") is None
    assert engine.get(b"c") == b""
    assert engine.multi_get([b"c", b"zz", b"a", b"b"]) == [b"", None, b"3", None]
    assert list(engine.scan()) == [(b"a", b"3"), (b"c", b"")]


def test_a_tombstone_is_an_answer_wherever_the_value_is(engine: Engine) -> None:
    engine.write(batch((b"a", b"1"), (b"b", b"1")))
    engine.flush()
    engine.write(batch((b"a", None)))

    assert engine.get(b"a") is None
    engine.flush()
    assert engine.get(b"a") is None
    assert list(engine.scan()) == [(b"b", b"1")]
    engine.compact()
    assert engine.get(b"a") is None
    assert sum(level.records for level in engine.stats().levels) == 1


def test_a_scan_has_bounds(engine: Engine) -> None:
    engine.write(batch(*[(b"%d" % i, b"v") for i in range(10)]))

    assert [k for k, _ in engine.scan(b"3", b"6")] == [b"3", b"4", b"5"]
    assert [k for k, _ in engine.scan(b"8")] == [b"8", b"9"]
    assert list(engine.scan(b"6", b"3")) == []
    assert list(engine.scan(b"a")) == []


def test_a_scan_may_have_a_prefix_and_a_limit(engine: Engine) -> None:
    engine.write(batch(*[(b"%02d" % i, b"" if i % 3 else b"v") for i in range(40)], (b"10", None)))

    assert [k for k, _ in engine.scan(prefix=b"1", limit=3)] == [b"11", b"12", b"13"]
    assert [k for k, _ in engine.scan(b"18", b"22", prefix=b"1")] == [b"18", b"19"]
    assert [k for k, _ in engine.scan(b"20", prefix=b"1")] == []
    assert len(list(engine.scan(prefix=b"3"))) == 10
    assert list(engine.scan(limit=0)) == []


def test_a_scan_may_go_backward(engine: Engine) -> None:
    fill(engine, 300)
    engine.write(batch((b"key000298", None), (b"key000296", b"")))
    forward = list(engine.scan())

    assert list(engine.scan(reverse=True)) == forward[::-1]
    assert list(engine.scan(b"key000200", b"key000210", reverse=True)) == forward[209:199:-1]
    assert [k for k, _ in engine.scan(reverse=True, limit=3)] == [b"key000299", b"key000297", b"key000296"]
    assert [k for k, _ in engine.scan(prefix=b"key00001", reverse=True, limit=2)] == [b"key000019", b"key000018"]


def test_a_scan_sees_one_moment(engine: Engine) -> None:
    """Writes, flushes and compactions after the call do not change what it yields."""
    fill(engine, 300)
    expected = list(engine.scan())
    scan = engine.scan()
    first = next(scan)

    fill(engine, 300, value=b"w" * 100)
    engine.write(batch(*[(k, None) for k, _ in expected[:100]]))
    engine.compact()

    assert [first, *scan] == expected


def test_data_moves_down_the_levels_and_stays_readable(engine: Engine) -> None:
    expected = {}
    for number in range(3000):
        key = b"key%06d" % (number * 7919 % 1500)
        expected[key] = b"%d" % number * 20
        engine.write(batch((key, expected[key])))

    stats = engine.stats()
    assert stats.flushes > 10
    assert stats.compactions > 3
    assert stats.levels[1].tables > 1
    assert dict(engine.scan()) == expected
    assert all(engine.get(key) == value for key, value in expected.items())
    assert engine.get(b"key") is None


def test_a_store_may_be_reopened_with_other_codecs(disk: MemoryFileSystem) -> None:
    """Every table says itself how it is packed."""
    expected: dict[bytes, bytes] = {}
    for turn, from_level in enumerate((7, 1, 7, 2)):
        engine = open_engine(disk, zstd_from_level=from_level, dictionary_bytes=1024 if turn else 0)
        assert dict(engine.scan()) == expected
        for number, value in enumerate(documents(600, seed=turn)):
            key = b"key%06d" % (number * 7919 % (400 + turn))
            expected[key] = value
            engine.write(batch((key, value)))
        engine.flush()
        assert dict(engine.scan()) == expected
        engine.close()
    assert verify_engine("/db", file_system=disk) == []


def test_what_a_deleted_range_leaves_keeps_its_dictionary(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk, zstd_from_level=1, dictionary_bytes=1024, block_bytes=1024, table_bytes_max=1 << 20)
    values = {b"key%03d" % (number * 7 % 1000): value for number, value in enumerate(documents(1000))}
    for key, value in values.items():
        engine.write(batch((key, value)))
    engine.compact()
    deletion = WriteBatch()
    deletion.delete_range(b"key300", b"key700")

    engine.write(deletion)
    engine.flush()

    (name,) = [name for name in disk.list_directory("/db") if name.endswith(".sst")]
    footer = Footer.decode(disk.content(f"/db/{name}")[-FOOTER_BYTES:])
    assert footer.records == 600
    assert footer.dictionary_start < footer.filter_start
    assert dict(engine.scan()) == {key: value for key, value in values.items() if not b"key300" <= key < b"key700"}


def test_reopening_gives_what_was_written(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    fill(engine, 500)
    expected = list(engine.scan())
    sequence = engine.applied_sequence
    engine.close()

    again = open_engine(disk)

    assert list(again.scan()) == expected
    assert again.applied_sequence == sequence
    assert again.write(batch((b"more", b"1"))) == sequence + 1


def test_what_was_synced_survives_the_loss_of_power(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    fill(engine, 500)
    expected = list(engine.scan())

    disk.restart()

    assert list(open_engine(disk).scan()) == expected


def test_what_was_not_synced_survives_a_kill(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")), sync=False)

    disk.kill()

    assert open_engine(disk).get(b"a") == b"1"


def test_closing_makes_everything_durable(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")), sync=False)
    engine.close()

    disk.restart()

    assert open_engine(disk).get(b"a") == b"1"


def test_opening_reads_no_table(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    fill(engine, 500)
    engine.flush()
    engine.close()
    disk.faults.append(Fault("read", FAILED, suffix=".sst", times=None))

    engine = open_engine(disk)

    with pytest.raises(StorageError):
        engine.get(b"key000001")


@pytest.mark.parametrize("key", [b"", "text", bytes((64 << 10) + 1), 7, None])
def test_a_bad_key_is_refused(engine: Engine, key: Any) -> None:
    with pytest.raises(InvalidKeyError):
        engine.get(key)
    with pytest.raises(InvalidKeyError):
        engine.multi_get([b"a", key])


def test_the_bounds_of_a_scan_are_bytes(engine: Engine) -> None:
    for bounds in (("a", None), (b"a", "b"), (None, None)):
        with pytest.raises(InvalidKeyError):
            engine.scan(*bounds)
    with pytest.raises(InvalidKeyError):
        engine.scan(prefix="a")  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(InvalidLimitError):
        engine.scan(limit=-1)


def test_a_closed_engine_says_so(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1"), (b"b", b"1")))
    engine.flush()
    scan = engine.scan()
    engine.close()
    engine.close()

    acts: list[Callable[[], object]] = [
        lambda: engine.get(b"a"),
        lambda: engine.multi_get([b"a"]),
        engine.scan,
        lambda: engine.write(batch((b"a", b"2"))),
        engine.flush,
        engine.request_flush,
        lambda: engine.checkpoint("/copy"),
    ]
    for act in acts:
        with pytest.raises(ClosedError):
            act()
    assert len(list(scan)) == 2
    assert engine.stats().failure == ""


def test_a_directory_is_opened_once(disk: MemoryFileSystem, engine: Engine) -> None:
    with pytest.raises(LockedError):
        open_engine(disk)


def test_another_process_is_kept_out_until_this_one_is_gone(tmp_path: Path) -> None:
    code = "import sys, engine\nstore = engine.Engine.open(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(LockedError, match="in use"):
            Engine.open(str(tmp_path / "db"))
        child.kill()
        child.wait()

    Engine.open(str(tmp_path / "db")).close()


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")

    with pytest.raises(ForeignDirectoryError, match=r"holiday\.jpg"):
        Engine.open(str(tmp_path))
    with pytest.raises(EngineError):
        Engine.open(str(tmp_path / "holiday.jpg"))


def test_keys_may_have_64_kib(engine: Engine) -> None:
    long = [bytes([65 + i]) * (64 << 10) for i in range(5)]
    engine.write(batch(*[(key, b"%d" % i) for i, key in enumerate(long)]))
    engine.compact()

    assert engine.multi_get(long) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_checkpoint_is_a_store_of_its_own(disk: MemoryFileSystem, engine: Engine) -> None:
    fill(engine, 300)
    expected = list(engine.scan())

    sequence = engine.checkpoint("/copy/one")
    fill(engine, 300, value=b"later")
    engine.compact()

    copy = open_engine(disk, "/copy/one")
    assert list(copy.scan()) == expected
    assert copy.applied_sequence == sequence
    copy.write(batch((b"x", b"1")))
    copy.compact()
    assert engine.get(b"x") is None


def test_a_checkpoint_copies_nothing(tmp_path: Path) -> None:
    engine = Engine.open(str(tmp_path / "db"))
    engine.write(batch((b"a", b"1")))

    engine.checkpoint(str(tmp_path / "copy"))

    tables = list((tmp_path / "copy").glob("*.sst"))
    assert [os.stat(path).st_nlink for path in tables] == [2]
    engine.close()


# Without a log of its own


def without_log(disk: MemoryFileSystem, **options: Any) -> Engine:
    return open_engine(disk, own_log=False, **options)


def test_the_caller_gives_sequences_that_never_fall(disk: MemoryFileSystem) -> None:
    engine = without_log(disk)

    assert engine.write(batch((b"a", b"1")), sequence=SequenceNumber(7)) == 7
    engine.write(batch((b"b", b"1")), sequence=SequenceNumber(7))
    with pytest.raises(InvalidBatchError):
        engine.write(batch((b"a", b"2")), sequence=SequenceNumber(6))
    with pytest.raises(InvalidBatchError):
        engine.write(batch((b"a", b"2")))
    assert engine.get(b"a") == b"1"
    assert (engine.applied_sequence, engine.flushed_sequence) == (7, 0)
    with pytest.raises(InvalidBatchError):
        open_engine(disk, "/other").write(batch(), sequence=SequenceNumber(1))


def test_it_comes_back_as_of_the_last_flush(disk: MemoryFileSystem) -> None:
    engine = without_log(disk)
    engine.write(batch((b"a", b"1")), sequence=SequenceNumber(7))
    engine.flush()
    engine.write(batch((b"a", b"2")), sequence=SequenceNumber(9))
    assert engine.flushed_sequence == 7
    disk.restart()

    again = without_log(disk)

    assert again.applied_sequence == again.flushed_sequence == 7
    assert again.get(b"a") == b"1"
    assert not [name for name in disk.list_directory("/db") if name.endswith(".log")]


def test_empty_batches_advance_it_for_the_price_of_an_edit(disk: MemoryFileSystem) -> None:
    engine = without_log(disk)
    engine.write(batch((b"a", b"1")), sequence=SequenceNumber(7))
    engine.flush()
    before = disk.list_directory("/db")

    engine.write(batch(), sequence=SequenceNumber(500))
    assert engine.applied_sequence == 500
    engine.request_flush()

    assert engine.flushed_sequence == 500
    assert disk.list_directory("/db") == before
    changes = disk.changes
    engine.request_flush()
    engine.flush()
    assert disk.changes == changes  # nothing has happened since
    disk.restart()
    assert without_log(disk).applied_sequence == 500


def test_writes_of_one_sequence_are_flushed_together(disk: MemoryFileSystem) -> None:
    engine = without_log(disk)
    for number in range(1, 40):
        for part in range(5):
            engine.write(batch((b"%d-%d" % (number, part), b"v" * 200)), sequence=SequenceNumber(number))
        flushed = engine.flushed_sequence
        disk_copy = disk.clone()
        copy = without_log(disk_copy)
        assert copy.applied_sequence == flushed
        assert len(list(copy.scan())) == 5 * flushed


def test_it_never_waits_but_tells(disk: MemoryFileSystem) -> None:
    disk.faults.append(Fault("open_append", FULL, suffix=".sst", times=None))
    engine = without_log(disk)
    for number in range(1, 400):
        engine.write(batch((b"%d" % number, b"v" * 100)), sequence=SequenceNumber(number))
    assert engine.is_stalled
    assert engine.stats().sealed_memtables > 2
    assert engine.get(b"1") == b"v" * 100

    disk.faults.clear()
    engine.flush()

    assert not engine.stats().is_stalled
    assert engine.flushed_sequence == engine.applied_sequence == 399
    assert len(list(engine.scan())) == 399


def test_a_store_with_a_log_is_not_opened_without_it(disk: MemoryFileSystem) -> None:
    """What is only in the log would be missing; a checkpoint has no log, and may."""
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")))
    engine.checkpoint("/copy")
    engine.close()

    with pytest.raises(ForeignDirectoryError, match="own log"):
        without_log(disk)
    copy = open_engine(disk, "/copy", own_log=False)
    assert copy.get(b"a") == b"1"


def test_reads_that_would_wait_are_refused(disk: MemoryFileSystem) -> None:
    engine = without_log(disk)
    engine.write(batch((b"a", b"1")), sequence=SequenceNumber(1))
    assert engine.get(b"a", wait=False) == b"1"
    engine.flush()
    disk.nowait = False

    with pytest.raises(WouldBlockError):
        engine.get(b"a", wait=False)
    assert engine.get(b"x", wait=False) is None  # out of every table's range
    assert engine.get(b"a") == b"1"
    assert engine.get(b"a", wait=False) == b"1"


# Threads


def write_unsynced(engine: Engine, count: int) -> None:
    """Half a MiB each, which is worth a sync ahead."""
    for number in range(count):
        engine.write(batch((b"%d" % number, bytes(1 << 19))), sync=False)


def test_a_large_log_is_synced_before_its_memtable_is_sealed(disk: MemoryFileSystem) -> None:
    """At three quarters of the memtable, in the background: the sync at its end is short then."""
    engine = open_engine(disk, memtable_bytes_max=4 << 20)
    synced: list[tuple[str, int]] = []
    disk.on_sync = lambda path: synced.append((path, disk.size(path)))

    write_unsynced(engine, 8)

    log = next(f"/db/{name}" for name in disk.list_directory("/db") if name.endswith(".log"))
    ((path, size),) = synced
    assert path == log
    assert 3 << 20 <= size < disk.size(log)
    engine.close()


def test_a_log_that_cannot_be_synced_ahead_closes_the_engine_to_writes(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk, memtable_bytes_max=4 << 20)
    disk.faults.append(Fault("sync", FAILED, suffix=".log"))

    with pytest.raises(StorageError, match="closed to writes"):
        write_unsynced(engine, 8)

    assert engine.get(b"0") is not None
    engine.close()


def test_a_sync_ahead_that_cannot_run_closes_the_engine_to_writes(disk: MemoryFileSystem) -> None:
    executor = ThreadPoolExecutor(1)
    engine = Engine.open("/db", file_system=disk, executor=executor)
    executor.shutdown()

    with pytest.raises(EngineError, match="closed to writes: sync of the log cannot run"):
        write_unsynced(engine, 8)

    engine.close()


def test_a_log_is_named_durably_before_the_manifest_names_it(disk: MemoryFileSystem) -> None:
    """Also where the flush had no tables to make, as of batches without records."""
    engine = open_engine(disk)
    engine.write(WriteBatch(), sync=False)
    engine.flush()
    disk.restart()

    engine = open_engine(disk)

    assert engine.applied_sequence == 1
    engine.close()


def test_concurrent_writes_share_a_sync(disk: MemoryFileSystem) -> None:
    """While one sync runs all that arrive gather for the next one."""
    engine = Engine.open("/db", file_system=disk)
    syncing, proceed = threading.Event(), threading.Event()
    syncs: list[str] = []

    def pause(path: str) -> None:
        syncs.append(path)
        syncing.set()
        assert proceed.wait(30)

    disk.on_sync = pause
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(engine.write, batch((b"first", b"1")))
        assert syncing.wait(30)
        assert engine.get(b"first") is None  # not durable, so not visible
        others = [pool.submit(engine.write, batch((b"%d" % i, b"1"))) for i in range(15)]
        while len(engine._waiting) < 15:
            threading.Event().wait(0.001)
        proceed.set()
        sequences = [write.result(30) for write in (first, *others)]

    assert len(syncs) == 2
    assert sorted(sequences) == list(range(1, 17))
    assert len(list(engine.scan())) == 16
    disk.on_sync = lambda path: None
    engine.close()


def test_an_interrupt_leaves_no_other_writer_waiting(disk: MemoryFileSystem) -> None:
    """It is for the thread that writes for all; the others hear that nobody knows what became of theirs."""
    engine = Engine.open("/db", file_system=disk)
    syncing, proceed = threading.Event(), threading.Event()

    def pause(path: str) -> None:
        if syncing.is_set():
            raise KeyboardInterrupt
        syncing.set()
        assert proceed.wait(30)

    disk.on_sync = pause
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(engine.write, batch((b"first", b"1")))
        assert syncing.wait(30)
        others = [pool.submit(engine.write, batch((b"%d" % i, b"1"))) for i in range(5)]
        while len(engine._waiting) < 5:
            threading.Event().wait(0.001)
        proceed.set()
        errors = [write.exception(30) for write in others]

    assert first.result() == 1
    assert [type(error) for error in errors].count(KeyboardInterrupt) == 1
    assert sum(isinstance(error, EngineError) and "cut short" in str(error) for error in errors) == 4
    with pytest.raises(EngineError, match="cut short"):
        engine.write(batch((b"last", b"1")))
    disk.on_sync = lambda path: None
    engine.close()


def test_an_interrupt_between_log_and_memtable_gives_no_sequence_twice(
    disk: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches of one sequence in a log are damage."""
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")))

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "apply", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.write(batch((b"b", b"1")))
    assert engine.write(batch((b"c", b"1"))) == 2
    engine.close()

    engine = open_engine(disk)
    assert list(engine.scan()) == [(b"a", b"1"), (b"c", b"1")]
    assert engine.write(batch((b"c", b"1"))) == 3
    engine.close()


def test_readers_and_jobs_run_beside_the_writer(tmp_path: Path) -> None:
    """Under real threads nobody ever sees half a batch, or an older value than before."""
    small = Options(memtable_bytes_max=64 << 10, table_bytes_max=64 << 10, level1_bytes_max=128 << 10)
    engine = Engine.open(str(tmp_path / "db"), small)
    keys = [b"key%03d" % i for i in range(200)]
    done = threading.Event()
    failures: list[str] = []

    def read() -> None:
        last = [0] * len(keys)
        while not done.is_set():
            for number, key in enumerate(keys):
                seen = int(engine.get(key) or b"0")
                if seen < last[number]:
                    failures.append(f"{key!r} went from {last[number]} back to {seen}")
                last[number] = seen
            values = {int(value) for _, value in engine.scan()}
            if len(values) > 1:
                failures.append(f"a scan saw {values}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 400):
        engine.write(batch(*[(key, b"%0100d" % number) for key in keys]), sync=False)
    done.set()
    for reader in readers:
        reader.join()
    stats = engine.stats()
    engine.close()

    assert failures == []
    assert stats.flushes > 10
    assert stats.compactions > 1


def test_short_scans_beside_the_writer_see_whole_batches(tmp_path: Path, quick_switches: None) -> None:
    """Each batch replaces two keys and adds the one that is next to them."""
    small = Options(memtable_bytes_max=64 << 10, table_bytes_max=64 << 10, level1_bytes_max=128 << 10)
    engine = Engine.open(str(tmp_path / "db"), small)

    def write(number: int) -> None:
        value = b"%0100d" % number
        names = (b"a-%06d" % number, b"b", b"c", b"d-%06d" % (10**6 - number))
        engine.write(batch(*[(name, value) for name in names]), sync=False)

    write(1)
    done = threading.Event()
    failures: list[str] = []

    def read(reverse: bool) -> None:
        last = 0
        while not done.is_set():
            bounds = (b"a", b"d") if reverse else (b"b", None)
            values = {int(value) for _, value in engine.scan(*bounds, reverse=reverse, limit=3)}
            if len(values) > 1 or min(values) < last:
                failures.append(f"after {last} came {values}")
            last = min(values)

    readers = [threading.Thread(target=read, args=(reverse,)) for reverse in (False, True)]
    for reader in readers:
        reader.start()
    for number in range(2, 1000):
        write(number)
    done.set()
    for reader in readers:
        reader.join()
    flushes = engine.stats().flushes
    engine.close()

    assert failures == []
    assert flushes > 3


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    before = threading.active_count()
    engine = Engine.open(str(tmp_path / "db"), Options(memtable_bytes_max=64 << 10, worker_process=False))
    for number in range(20_000):
        engine.write(batch((b"%d" % number, b"v" * 100)), sync=False)

    engine.close()

    assert threading.active_count() == before
    assert len(list(Engine.open(str(tmp_path / "db")).scan())) == 20_000


def test_engines_may_share_a_cache_and_an_executor(tmp_path: Path) -> None:
    cache = BlockCache(100_000)
    with ThreadPoolExecutor(2) as executor:
        small = Options(memtable_bytes_max=32 << 10)
        engines = [Engine.open(str(tmp_path / f"db{i}"), small, cache=cache, executor=executor) for i in range(4)]
        for number in range(1000):
            for index, engine in enumerate(engines):
                engine.write(batch((b"%d" % number, b"%d" % index * 100)), sync=False)
        for index, engine in enumerate(engines):
            engine.flush()
            assert all(engine.get(b"%d" % number) == b"%d" % index * 100 for number in range(1000))
        assert 0 < cache.byte_size <= 100_000
        for engine in engines:
            engine.close()
        executor.submit(lambda: None).result(30)  # it is not theirs to shut down


# Failures


def test_a_failed_sync_closes_the_engine_to_writes(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")))
    disk.faults.append(Fault("sync", FAILED, suffix=".log"))

    with pytest.raises(StorageError):
        engine.write(batch((b"a", b"2")))

    for _ in range(2):
        with pytest.raises(StorageError, match="closed to writes: Input/output error"):
            engine.write(batch((b"a", b"3")))
    assert engine.get(b"a") == b"1"
    assert "Input/output error" in engine.stats().failure
    engine.close()
    assert open_engine(disk).get(b"a") in {b"1", b"2"}  # unknown, but not the third


@pytest.mark.parametrize("sync", [True, False])
def test_a_full_disk_refuses_writes_until_there_is_space(disk: MemoryFileSystem, sync: bool) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")))
    disk.faults.append(Fault("write", FULL, suffix=".log", times=3))

    for _ in range(3):
        with pytest.raises(StorageFullError):
            engine.write(batch((b"a", b"2")), sync=sync)
    assert engine.get(b"a") == b"1"

    assert engine.write(batch((b"b", b"3")), sync=sync) == 2
    disk.kill()
    assert list(open_engine(disk).scan()) == [(b"a", b"1"), (b"b", b"3")]


@pytest.mark.parametrize("operation", ["open_append", "write", "sync"])
def test_flushes_go_on_when_there_is_space_again(disk: MemoryFileSystem, operation: str) -> None:
    engine = open_engine(disk)
    disk.faults.append(Fault(operation, FULL, suffix=".sst", times=None))
    with pytest.raises(StorageFullError):
        fill(engine, 2000)
    assert engine.is_stalled
    assert not [name for name in disk.list_directory("/db") if name.endswith(".sst")]
    expected = list(engine.scan())

    for _ in range(5):
        with pytest.raises(StorageFullError):
            engine.flush()
    assert engine.stats().sealed_memtables == Options().sealed_memtables_max
    disk.faults.clear()
    engine.write(batch((b"more", b"1")))

    assert not engine.stats().is_stalled
    assert list(engine.scan()) == [*expected, (b"more", b"1")]
    engine.close()
    assert list(open_engine(disk).scan()) == [*expected, (b"more", b"1")]


@pytest.mark.parametrize(
    ("operation", "suffix"),
    [("sync", ".sst"), ("write", ".sst"), ("sync", "MANIFEST-000001"), ("sync_directory", "/db"), ("read", ".sst")],
)
def test_a_failed_job_closes_the_engine_to_writes(disk: MemoryFileSystem, operation: str, suffix: str) -> None:
    engine = open_engine(disk)
    disk.faults.append(Fault(operation, FAILED, suffix=suffix))

    with pytest.raises(StorageError, match="Input/output error"):
        fill(engine, 2000)

    with pytest.raises(StorageError):
        engine.flush()
    expected = dict(engine.scan())
    with pytest.raises(StorageError, match="closed to writes"):
        engine.write(batch((b"a", b"1")))
    engine.close()
    assert dict(open_engine(disk).scan()) == expected


def test_our_own_mistake_in_a_job_is_heard_of(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    disk.faults.append(Fault("open_append", ValueError("a mistake"), suffix=".sst"))

    with pytest.raises(EngineError, match=r"closed to writes: .*a mistake"):
        fill(engine, 2000)


def test_a_damaged_block_is_an_error_and_never_an_answer(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")))
    engine.flush()
    name = next(name for name in disk.list_directory("/db") if name.endswith(".sst"))
    data = bytearray(disk.content(f"/db/{name}"))
    data[0] ^= 1
    disk.replace(f"/db/{name}", bytes(data))

    with pytest.raises(CorruptionError) as caught:
        engine.get(b"a")
    assert (caught.value.path, caught.value.offset) == (f"/db/{name}", 0)
    with pytest.raises(CorruptionError):
        list(engine.scan())
    engine.write(batch((b"a", b"2")))
    with pytest.raises(CorruptionError):
        engine.compact()
    with pytest.raises(CorruptionError, match="closed to writes"):
        engine.write(batch((b"b", b"1")))


class NoExecutor(InlineExecutor):
    """Takes jobs and never runs them."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        from concurrent.futures import Future

        return Future()


def test_a_write_waits_for_room_and_then_says_so(disk: MemoryFileSystem) -> None:
    options = Options(memtable_bytes_max=4096, stall_seconds_max=0.01)
    engine = Engine.open("/db", options, file_system=disk, executor=NoExecutor())

    with pytest.raises(StallError):
        fill(engine, 2000)

    assert engine.is_stalled
    assert engine.stats().stalls == 1
    assert engine.stats().sealed_memtables == options.sealed_memtables_max
    engine.close()


def test_a_batch_that_fits_no_frame_is_refused_alone(engine: Engine) -> None:
    large = WriteBatch()
    for number in range(3):
        large.put(b"%d" % number, bytes(22 << 20))

    with pytest.raises(InvalidBatchError):
        engine.write(large)

    assert engine.write(batch((b"a", b"1"))) == 1


def test_a_missing_log_keeps_the_store_closed(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    engine.write(batch((b"a", b"1")))
    engine.close()
    name = next(name for name in disk.list_directory("/db") if name.endswith(".log"))
    disk.remove(f"/db/{name}")

    with pytest.raises(CorruptionError, match="the log is missing"):
        open_engine(disk)


def test_logs_go_once_tables_have_their_records(disk: MemoryFileSystem) -> None:
    engine = open_engine(disk)
    fill(engine, 1000)
    engine.flush()

    names = disk.list_directory("/db")

    assert len([name for name in names if name.endswith(".log")]) == 1
    engine.close()
    for _ in range(3):  # opening again and again does not pile them up
        open_engine(disk).close()
    assert len([name for name in disk.list_directory("/db") if name.endswith(".log")]) == 1


def test_what_was_found_after_a_kill_is_found_after_a_power_loss(disk: MemoryFileSystem) -> None:
    """What it flushes while it opens must not be ahead of its log: the next write would leave a gap there."""
    engine = open_engine(disk, memtable_bytes_max=1 << 20)
    for number in range(100):
        engine.write(batch((b"%d" % number, b"v" * 100)), sync=False)
    disk.kill()

    engine = open_engine(disk)
    assert 0 < engine.flushed_sequence < engine.applied_sequence == 100
    disk.restart()
    engine = open_engine(disk)
    assert engine.applied_sequence == 100
    engine.write(batch((b"one more", b"")))
    disk.restart()

    assert len(list(open_engine(disk).scan())) == 101
