"""The directory of a store is the one that was opened, whatever it is called meanwhile."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import Engine, EngineError, LockedError, Options, StorageError, verify_engine
from engine.files import OsFileSystem, is_data
from tests.engine.test_delegate import fill, options

Rows = dict[bytes, bytes]


@contextmanager
def standing_in(directory: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def write(engine: Engine, letter: bytes) -> Rows:
    """Every kind of file is made, and some are removed."""
    rows = {}
    for number in range(6):
        for part in range(50):
            rows[b"%02d-%02d" % (number, part)] = letter * 200
            engine.put(b"%02d-%02d" % (number, part), letter * 200)
        engine.flush()
    engine.compact()
    engine.put(b"last", letter)
    return rows | {b"last": letter}


SMALL = Options(memtable_bytes_max=8 << 10, level0_tables_compact=2, manifest_bytes_max=300)


def other_store(path: Path) -> Rows:
    with Engine.open(path, SMALL) as engine:
        return write(engine, b"o")


def content(path: Path) -> Rows:
    assert verify_engine(str(path)) == []
    with Engine.open(path, SMALL) as engine:
        return dict(engine.scan())


def change_directory(here: Path, there: Path) -> None:
    os.chdir(there)


def rename(here: Path, there: Path) -> None:
    (here / "db").rename(here / "moved")
    shutil.copytree(there / "db", here / "db")


def retarget(here: Path, there: Path) -> None:
    (here / "link").unlink()
    (here / "link").symlink_to(there)


@pytest.mark.parametrize(
    ("path", "become_another", "then"),
    [
        ("db", change_directory, "db"),
        ("./../here/db", change_directory, "db"),
        ("db", rename, "moved"),
        ("link/db", retarget, "db"),
    ],
)
def test_a_name_that_comes_to_mean_another_store_harms_neither(
    tmp_path: Path, path: str, become_another: Callable[[Path, Path], None], then: str
) -> None:
    """Every acknowledged put is in the one that was opened, and the other one is as it was."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    theirs = other_store(there / "db")
    (here / "link").symlink_to(here)
    with standing_in(here):
        engine = Engine.open(path, SMALL)
        engine.put(b"first", b"w")

        become_another(here, there)

        ours = {b"first": b"w", **write(engine, b"w")}
        assert dict(engine.scan()) == ours
        engine.close()
    assert content(here / then) == ours
    assert content(there / "db") == theirs


def test_the_worker_process_makes_its_tables_in_the_directory_that_was_opened(tmp_path: Path) -> None:
    """Under its name there is another store by then, which loses nothing, and gains nothing."""
    engine = Engine.open(tmp_path / "db", options())
    (tmp_path / "db").rename(tmp_path / "moved")
    theirs = other_store(tmp_path / "db")
    for value in (b"1", b"2", b"3"):
        fill(engine, value)
    engine.compact()

    assert engine.get(b"000001") == b"3" * 100
    assert sum(level.tables for level in engine.stats().levels) > 0
    engine.close()
    assert content(tmp_path / "db") == theirs
    assert list((tmp_path / "moved").glob("*.sst"))
    assert verify_engine(str(tmp_path / "moved")) == []


def test_a_directory_that_was_renamed_is_locked_all_the_same(tmp_path: Path) -> None:
    with Engine.open(tmp_path / "db"):
        (tmp_path / "db").rename(tmp_path / "moved")
        with pytest.raises(LockedError):
            Engine.open(tmp_path / "moved")
    Engine.open(tmp_path / "moved").close()


def test_a_directory_that_is_removed_under_a_store_is_an_error_and_not_another_directory(tmp_path: Path) -> None:
    engine = Engine.open(tmp_path / "db", SMALL)
    engine.put(b"a", b"1")
    shutil.rmtree(tmp_path / "db")
    (tmp_path / "db").mkdir()

    with pytest.raises(StorageError):
        engine.flush()

    assert engine.get(b"a") == b"1"
    with pytest.raises(EngineError):
        engine.put(b"b", b"2")
    engine.close()
    assert list((tmp_path / "db").iterdir()) == []


def test_a_checkpoint_goes_where_its_path_leads_at_the_call(tmp_path: Path) -> None:
    """Though the flush before it takes its time, in which the program goes elsewhere."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with standing_in(tmp_path / "here"), Engine.open("db", SMALL) as engine:
        rows = write(engine, b"w")
        flush = engine.flush

        def elsewhere() -> None:
            flush()
            os.chdir(tmp_path / "there")

        engine.flush = elsewhere  # type: ignore[method-assign]
        engine.checkpoint("copy")

    assert content(tmp_path / "here" / "copy") == rows
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_a_path_may_be_text_bytes_or_a_path(tmp_path: Path, kind: Callable[[str], str | bytes | Path]) -> None:
    with Engine.open(kind(str(tmp_path / "db"))) as engine:
        engine.put(b"a", b"1")
        engine.checkpoint(kind(str(tmp_path / "copy")))
    with Engine.open(kind(str(tmp_path / "copy"))) as copy:
        assert copy.get(b"a") == b"1"


def test_a_path_need_not_be_text(tmp_path: Path) -> None:
    """Names of files are bytes; also for the worker process."""
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    with Engine.open(path, options()) as engine:
        fill(engine, b"1")
        engine.flush()
    assert any(map(is_data, map(os.fsdecode, os.listdir(path))))
    with Engine.open(path, options()) as engine:
        assert engine.get(b"000001") == b"1" * 100


@pytest.mark.parametrize("path", ["", b"", "a\0b"])
def test_what_is_no_path_is_refused(path: str | bytes) -> None:
    with pytest.raises(StorageError, match="no path"):
        Engine.open(path)


def test_what_is_held_is_found_by_its_own_name_alone(tmp_path: Path) -> None:
    """A directory whose name begins alike is another one."""
    (tmp_path / "db2").mkdir()
    held, path = OsFileSystem().hold(str(tmp_path / "db"))
    held.open_append(f"{path}2/a").close()
    held.create_directory(f"{path}/b/c")
    inner, _ = held.hold(f"{path}/b")
    inner.open_append(f"{path}/b/d").close()

    assert held.list_directory(path) == ["b"]
    assert held.list_directory(f"{path}/b") == ["c", "d"]
    assert os.listdir(tmp_path / "db2") == ["a"]
    inner.release()
    held.release()
    with pytest.raises(EngineError, match="closed"):
        held.exists(f"{path}/b")
