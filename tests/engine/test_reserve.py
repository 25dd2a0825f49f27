"""A full disk: puts are refused, reads and deletes go on, and it recovers by itself."""

import random
import threading
from pathlib import Path

import pytest

from engine import (
    Engine,
    EngineError,
    InlineExecutor,
    MemoryFileSystem,
    Options,
    StorageFullError,
    WriteBatch,
    verify_engine,
)
from engine.files import RESERVE
from engine.reserve import Reserve

OPTIONS = Options(
    memtable_bytes_max=8192,
    table_bytes_max=4096,
    level1_bytes_max=8192,
    level0_tables_compact=2,
    reserve_bytes=64 << 10,
)
KEYS = [b"%04d" % number for number in range(2_000)]


def open_engine(disk: MemoryFileSystem, options: Options = OPTIONS) -> Engine:
    return Engine.open("/db", options, file_system=disk, executor=InlineExecutor())


def fill(engine: Engine) -> list[bytes]:
    """Put until nothing more is taken; gives the keys that were."""
    rng = random.Random(0)
    taken = []
    for key in KEYS:
        try:
            engine.write(WriteBatch([(key, rng.randbytes(200))]))
        except StorageFullError:
            break
        taken.append(key)
    assert 10 < len(taken) < len(KEYS)
    return taken


def full(options: Options = OPTIONS) -> tuple[MemoryFileSystem, Engine, list[bytes]]:
    disk = MemoryFileSystem()
    engine = open_engine(disk, options)
    disk.capacity = 300 << 10
    taken = fill(engine)
    assert disk.room is not None
    disk.capacity -= disk.room
    return disk, engine, taken


def delete(engine: Engine, key: bytes) -> None:
    batch = WriteBatch()
    batch.delete(key)
    engine.write(batch)


def test_reads_and_deletes_go_on_and_puts_are_refused() -> None:
    _, engine, taken = full()
    deleted = taken[:20]

    for key in deleted:
        delete(engine, key)
        with pytest.raises(StorageFullError):
            engine.write(WriteBatch([(b"more", bytes(200))]))

    assert [key for key in taken if engine.get(key) is not None] == taken[20:]
    assert [key for key, _ in engine.scan()] == taken[20:]


def test_without_a_reserve_deletes_are_refused_as_well() -> None:
    disk, engine, taken = full(Options(memtable_bytes_max=8192, reserve_bytes=0))
    disk.capacity = 0

    with pytest.raises(StorageFullError):
        delete(engine, taken[0])
    assert engine.get(taken[0]) is not None


def test_it_recovers_by_itself_when_there_is_room_again() -> None:
    disk, engine, taken = full()
    delete(engine, taken[0])
    assert not disk.exists(f"/db/{RESERVE}")

    disk.capacity = None

    engine.write(WriteBatch([(b"more", bytes(200))]))
    assert disk.size(f"/db/{RESERVE}") == 64 << 10
    engine.compact()
    assert engine.get(taken[0]) is None
    assert engine.get(b"more") == bytes(200)


def test_deleting_makes_room_for_what_is_put_next() -> None:
    """Nobody gives the disk any space but the deletes themselves."""
    _, engine, _ = full()
    batch = WriteBatch()
    batch.delete_range(b"", None)

    engine.write(batch)
    engine.flush()

    engine.write(WriteBatch([(b"more", bytes(200))]))
    assert [key for key, _ in engine.scan()] == [b"more"]


def test_what_was_deleted_then_survives_a_crash() -> None:
    disk, engine, taken = full()
    delete(engine, taken[3])

    disk.restart()

    assert verify_engine("/db", file_system=disk) == []
    again = open_engine(disk)
    assert [key for key, _ in again.scan()] == [key for key in taken if key != taken[3]]
    with pytest.raises(StorageFullError):
        again.write(WriteBatch([(b"more", bytes(200))]))


def test_of_many_that_write_at_once_only_those_that_put_are_refused(tmp_path: Path) -> None:
    disk = MemoryFileSystem()
    engine = Engine.open("/db", OPTIONS, file_system=disk)
    disk.capacity = 300 << 10
    taken = fill(engine)
    refused: list[bytes] = []

    def write(number: int) -> None:
        try:
            if number % 2:
                delete(engine, taken[number])
            else:
                engine.write(WriteBatch([(b"more", bytes(100_000))]))
        except EngineError:
            refused.append(taken[number])

    threads = [threading.Thread(target=write, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(refused) == taken[0:10:2]
    assert [engine.get(key) for key in taken[1:10:2]] == [None] * 5
    engine.close()


def test_a_reserve_takes_its_space_once() -> None:
    disk = MemoryFileSystem()
    reserve = Reserve(disk, "/r", 1000)
    assert not reserve.release()
    assert reserve.hold()
    assert reserve.hold()
    assert Reserve(disk, "/r", 1500).hold()
    assert disk.size("/r") == 1500

    assert reserve.release()
    assert not reserve.release()
    assert not disk.exists("/r")
    disk.capacity = 999
    assert not reserve.hold()
    assert not disk.exists("/r"), "half a reserve is left to others"


def test_a_reserve_of_nothing_is_always_held() -> None:
    disk = MemoryFileSystem()
    reserve = Reserve(disk, "/r", 0)

    assert reserve.hold()
    assert not reserve.release()
    assert disk.paths == []


def test_what_a_full_disk_refused_is_tried_once_more_in_its_space() -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    reserve = Reserve(disk, "/db/RESERVE", 1000)
    refused = StorageFullError("/db/log", 28, "no space left on device")
    assert reserve.hold()

    assert reserve.once_more(refused, lambda: disk.exists("/db/RESERVE")) is False

    with pytest.raises(StorageFullError) as caught:
        reserve.once_more(refused, lambda: pytest.fail("there was no more space"))
    assert caught.value is refused
