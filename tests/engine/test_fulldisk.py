"""On a disk that is too small puts are refused, reads and deletes go on, and all is well once there is room."""

import contextlib
import gc
import os
import random
import subprocess
import time
from errno import EFBIG, ENOSPC
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, Fault, InlineExecutor, MemoryFileSystem, Options, StorageFullError, verify_engine
from engine.sstable import SSTableReader
from engine.upkeep import Upkeep
from tests.engine.fulldisk import Life
from tests.engine.small import batch, open_engine


@pytest.mark.parametrize("seed", range(60))
def test_a_small_disk_leaves_no_state_that_only_a_reopen_mends(seed: int) -> None:
    life = Life(seed)
    for _ in range(40):
        life.step()
    life.recover()
    for _ in range(10):
        life.step()
    life.recover()
    life.end()


def test_a_log_that_may_not_grow_is_followed_by_another() -> None:
    """As under `ulimit -f`: a file may become no larger, while there is space for others."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    engine.put(b"a", b"1")
    disk.faults.append(Fault("write", StorageFullError("/db/1.log", EFBIG, "File too large"), suffix=".log"))

    engine.put(b"b", b"2")

    assert list(engine.scan()) == [(b"a", b"1"), (b"b", b"2")]
    engine.close()
    assert verify_engine("/db", file_system=disk) == []


def test_without_a_file_to_be_had_deletes_go_on() -> None:
    """There are bytes, but no inodes: of those, too, some are held back."""
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    disk.capacity = 1 << 30
    for number in range(400):
        engine.put(b"%04d" % number, bytes(100), sync=False)
    disk.files_max = len(disk.paths)

    def put_all() -> None:
        for number in range(400):
            engine.put(b"%04d" % number, bytes(100), sync=False)

    with pytest.raises(StorageFullError):
        put_all()
    for number in range(200):
        engine.write(batch((b"%04d" % number, None)), sync=False)

    assert len(list(engine.scan())) == 200
    disk.files_max = None
    engine.put(b"more", b"1")
    engine.close()


def test_what_a_full_disk_has_refused_holds_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the space of those that were replaced comes back when the collector runs, which may be never."""
    disk = MemoryFileSystem()
    disk.create_directory("/here")
    disk.capacity = 600 << 10
    options = Options(
        memtable_bytes_max=16384,
        table_bytes_max=8192,
        level1_bytes_max=8192,
        level0_tables_compact=2,
        reserve_bytes=16384,
        stall_seconds_max=0,
    )
    engine = Engine.open("/here", options, file_system=disk, executor=InlineExecutor())
    refusals = 0
    merge = Upkeep._merge

    def counted(self: Upkeep, *arguments: Any) -> None:
        nonlocal refusals
        refusals += 1
        if refusals % 2:
            raise StorageFullError("/here", ENOSPC, "no room")
        merge(self, *arguments)

    monkeypatch.setattr(Upkeep, "_merge", counted)
    gc.collect()
    gc.disable()
    try:
        rng = random.Random(0)
        with contextlib.suppress(StorageFullError):
            while True:
                engine.put(b"%d" % rng.randrange(1000), rng.randbytes(300), sync=False)
        readers = (each for each in gc.get_objects() if isinstance(each, SSTableReader))
        # One whose table could not be opened has no path.
        there = [reader for reader in readers if getattr(reader, "path", "").startswith("/here/")]
        assert refusals > 4 and len(there) == engine.stats().tables
    finally:
        gc.enable()
        engine.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_real_small_disk_gives_back_what_is_deleted(tmp_path: Path) -> None:
    """With threads and the worker process: filled twice over, emptied by single deletes, filled again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)], check=True)
    try:
        options = Options(memtable_bytes_max=1 << 20, table_bytes_max=1 << 19, level0_tables_max=8)
        engine = Engine.open(str(tmp_path / "db"), options)
        try:
            counts = [_fill_and_empty(engine) for _ in range(2)]
        finally:
            engine.close()
        assert counts[0] > 3000, "most of the disk is of use"
        assert verify_engine(str(tmp_path / "db")) == []
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def _fill_and_empty(engine: Engine) -> int:
    rng = random.Random(0)
    keys = [b"again"]
    while True:
        key = rng.randbytes(8)
        try:
            engine.put(key, rng.randbytes(4000), sync=False)
        except StorageFullError:
            break
        keys.append(key)
    for key in keys:
        engine.write(batch((key, None)), sync=False)
    assert next(engine.scan(), None) is None
    # Nobody flushes, compacts or reopens.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            engine.put(b"again", b"1", sync=False)
        except StorageFullError:
            time.sleep(0.05)
        else:
            return len(keys)
    raise AssertionError("puts are refused for good on a disk whose keys are all deleted")
