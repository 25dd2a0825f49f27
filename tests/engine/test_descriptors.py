"""As many files are open as there may be, and all can be read."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine import Options, OsFileSystem, StorageError
from engine.descriptors import OpenFiles


@pytest.fixture
def files(tmp_path: Path) -> OsFileSystem:
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    disk = OsFileSystem()
    disk.files = OpenFiles(3)
    return disk


def test_of_more_files_than_may_be_open_each_can_be_read(files: OsFileSystem, tmp_path: Path) -> None:
    readers = [files.open_read(str(tmp_path / f"{number}")) for number in range(8)]
    for _ in range(2):
        assert [reader.read(0, 9) for reader in readers] == [b"%d" % number for number in range(8)]
        assert len(files.files) == 3
    del readers
    assert len(files.files) == 0


def test_what_is_read_most_stays_open(files: OsFileSystem, tmp_path: Path) -> None:
    """Without waiting only what is open can be read."""
    often = files.open_read(str(tmp_path / "0"))
    for number in range(1, 8):
        often.read(0, 1)
        files.open_read(str(tmp_path / f"{number}"))
    others = [files.open_read(str(tmp_path / f"{number}")) for number in range(1, 3)]
    often.read(0, 1)
    others.append(files.open_read(str(tmp_path / "3")))

    assert often.read_nowait(0, 1) in {b"0", None}
    assert len(files.files) == 3
    assert others[0].read_nowait(0, 1) is None


def test_what_is_kept_can_be_read_once_it_is_removed(files: OsFileSystem, tmp_path: Path) -> None:
    """As far as there is room: who is told that there is none must not remove it."""
    readers = [files.open_read(str(tmp_path / f"{number}")) for number in range(4)]

    kept = [reader.keep() for reader in readers]

    assert kept == [True, True, False, False]
    for number in range(2):
        (tmp_path / f"{number}").unlink()
    assert [reader.read(0, 9) for reader in readers] == [b"0", b"1", b"2", b"3"]
    del readers[:2]
    assert readers[0].keep()


def test_another_file_in_the_place_of_one_is_an_error(files: OsFileSystem, tmp_path: Path) -> None:
    readers = [files.open_read(str(tmp_path / f"{number}")) for number in range(4)]
    (tmp_path / "new").write_bytes(b"another")
    (tmp_path / "new").rename(tmp_path / "0")

    with pytest.raises(StorageError, match="another file"):
        readers[0].read(0, 9)


def test_who_lacks_a_descriptor_gets_one_of_those_that_read(tmp_path: Path) -> None:
    code = """
import os, resource, sys
from engine import OsFileSystem
from engine.descriptors import OpenFiles
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
disk = OsFileSystem()
disk.files = OpenFiles(1000)
for number in range(60):
    disk.open_append(f"{sys.argv[1]}/{number}").close()
readers = [disk.open_read(f"{sys.argv[1]}/{number}") for number in range(60)]
assert len(os.listdir("/proc/self/fd")) > 20
appended = [disk.open_append(f"{sys.argv[1]}/{number}") for number in range(25)]
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_stores_share_a_quarter_of_what_the_process_may_open() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    assert Options().open_files_max == 0
    assert OpenFiles().files_max == max(16, min(limit // 4, 1 << 14))


UNDER_A_LIMIT = """
import os, random, resource, sys
from engine import *

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
path = sys.argv[1]
options = Options(memtable_bytes_max=1 << 14, table_bytes_max=4096, level1_bytes_max=4096, level_bytes_ratio=4,
                  level0_tables_compact=8, level0_tables_max=256, worker_process=sys.argv[2] == "worker",
                  debt_bytes_max=1 << 30)
rng = random.Random(1)
with Engine.open(path, options) as engine:
    rows = {}
    for number in range(25_000):
        key = b"%05d" % rng.randrange(20_000)
        rows[key] = rng.randbytes(100)
        engine.put(key, rows[key], sync=False)
        if number == 20_000:
            snapshot, then = engine.snapshot(), dict(rows)
    engine.flush()
    most = sum(level.tables for level in engine.stats().levels)
    assert most > 150, most
    assert dict(engine.scan()) == rows
    engine.compact()
    assert len(os.listdir("/proc/self/fd")) < 150
    assert [engine.get(key) for key in rows] == list(rows.values())
    assert dict(snapshot.scan()) == then
    engine.checkpoint(path + "-copy")
    others = [Engine.open(f"{path}-{number}") for number in range(16)]
    for other in others:
        other.put(b"a", b"1")
        other.flush()
        other.close()
    snapshot.close()
    # What the snapshot kept is removed with the next table that is replaced.
    engine.put(b"a", b"1")
    engine.compact()
    engine.flush()
    tables = sum(level.tables for level in engine.stats().levels)
    assert sum(name.endswith(".sst") for name in os.listdir(path)) == tables
assert verify_engine(path) == verify_engine(path + "-copy") == []
assert repair_engine(path, path + "-new", options).is_whole
with Engine.open(path + "-copy", options) as copy:
    assert dict(copy.scan()) == rows
"""


@pytest.mark.parametrize("where", ["worker", "here"])
def test_a_store_of_many_tables_lives_under_a_low_limit(tmp_path: Path, where: str) -> None:
    """With a snapshot that holds more replaced tables than may be open."""
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(tmp_path / "db"), where]

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
