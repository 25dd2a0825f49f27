"""A store that is only read: by many at once, and where nothing can be written."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import (
    CorruptionError,
    Engine,
    ForeignDirectoryError,
    LockedError,
    MemoryFileSystem,
    Options,
    ReadOnlyError,
    SequenceNumber,
    StorageError,
    WriteBatch,
    verify_engine,
)
from tests.engine.test_paths import SMALL, write


@pytest.mark.parametrize("ending", ["closed", "killed", "torn"])
def test_it_shows_all_that_a_writer_would_find_and_changes_nothing(disk: MemoryFileSystem, ending: str) -> None:
    engine = Engine.open("/db", SMALL, file_system=disk)
    rows = write(engine, b"w")
    for number in range(300):
        # More than a memtable, none of it flushed.
        engine.put(b"unflushed %d" % number, b"v" * 50)
        rows[b"unflushed %d" % number] = b"v" * 50
    if ending == "closed":
        engine.close()
    disk = disk.clone()
    if ending == "torn":
        log = max(path for path in disk.paths if path.endswith(".log"))
        disk.replace(log, disk.content(log) + b"rkl1 torn")
    before = disk.fingerprint(), disk.changes

    with (
        Engine.open("/db", read_only=True, file_system=disk) as one,
        Engine.open("/db", Options(own_log=False), read_only=True, file_system=disk) as other,
    ):
        for reader in (one, other):
            assert dict(reader.scan()) == rows
            assert reader.get(b"last") == b"w"
            assert reader.multi_get([b"00-00", b"none"]) == [b"w" * 200, None]
            with reader.snapshot() as snapshot:
                assert len(list(snapshot.scan(prefix=b"unflushed"))) == 300
            assert "read only" in reader.stats().failure

    assert (disk.fingerprint(), disk.changes) == before


def test_every_write_is_refused(disk: MemoryFileSystem) -> None:
    with Engine.open("/db", file_system=disk) as engine:
        engine.put(b"a", b"1")
    before = disk.changes
    batch = WriteBatch({b"a": b"2"})
    with Engine.open("/db", read_only=True, file_system=disk) as reader:
        acts: list[Callable[[], object]] = [
            lambda: reader.put(b"a", b"2"),
            lambda: reader.write(batch),
            lambda: reader.write(batch, sequence=SequenceNumber(9)),
            lambda: reader.ingest([(b"a", b"2")]),
            reader.flush,
            reader.request_flush,
            reader.compact,
            lambda: reader.checkpoint("/copy"),
        ]
        for act in acts:
            with pytest.raises(ReadOnlyError, match="open it to be written"):
                act()
        reader.retry()
        reader.advance_clock(10**15)
        assert reader.get(b"a") == b"1"
    assert disk.changes == before


def test_readers_share_a_store_and_keep_writers_out(tmp_path: Path) -> None:
    with Engine.open(tmp_path / "db") as engine:
        engine.put(b"a", b"1")
        with pytest.raises(LockedError):
            Engine.open(tmp_path / "db", read_only=True)
        with pytest.raises(LockedError):
            verify_engine(str(tmp_path / "db"))

    with Engine.open(tmp_path / "db", read_only=True), Engine.open(tmp_path / "db", read_only=True):
        assert verify_engine(str(tmp_path / "db")) == []
        with pytest.raises(LockedError):
            Engine.open(tmp_path / "db")
    Engine.open(tmp_path / "db").close()


def test_without_a_store_there_is_nothing_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="No such file"):
        Engine.open(tmp_path / "none", read_only=True)
    with pytest.raises(ForeignDirectoryError, match="no store"):
        Engine.open(tmp_path / "empty", read_only=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty"]


def test_damage_is_an_error(disk: MemoryFileSystem) -> None:
    with Engine.open("/db", file_system=disk) as engine:
        for number in range(3):
            engine.put(b"%d" % number, b"v" * 50)
    log = next(path for path in disk.paths if path.endswith(".log"))
    content = bytearray(disk.content(log))
    content[30] ^= 1
    disk.replace(log, bytes(content))

    with pytest.raises(CorruptionError):
        Engine.open("/db", read_only=True, file_system=disk)


ON_A_READ_ONLY_MOUNT = """
import os, subprocess, sys
from engine import *
path = sys.argv[1]
with Engine.open(path) as engine:
    engine.put(b"a", b"1")
    engine.flush()
    engine.put(b"b", b"2")
if sys.argv[2] == "without":
    os.remove(path + "/LOCK")
subprocess.run(["mount", "--bind", path, path], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
try:
    open(path + "/x", "w")
except OSError:
    pass
else:
    raise AssertionError("it can be written")
with Engine.open(path, read_only=True) as one, Engine.open(path, read_only=True) as other:
    assert dict(one.scan()) == dict(other.scan()) == {b"a": b"1", b"b": b"2"}
assert verify_engine(path) == []
assert repair_engine(path, path + "-new").is_whole
"""


@pytest.mark.parametrize("lock", ["with", "without"])
def test_it_may_be_where_nothing_can_be_written(tmp_path: Path, lock: str) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount can be made here")
    command = [*unshare, sys.executable, "-c", ON_A_READ_ONLY_MOUNT, str(tmp_path / "db"), lock]

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
