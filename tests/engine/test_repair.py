"""A damaged store becomes a whole one: of what was written, the newest that is left; and the rest is named."""

import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import (
    Engine,
    Fault,
    ForeignDirectoryError,
    LockedError,
    MemoryFileSystem,
    Repair,
    SequenceNumber,
    StorageError,
    StorageFullError,
    WriteBatch,
    repair_engine,
    verify_engine,
)
from engine.commitlog import CommitLogReader, Frame
from engine.footer import FOOTER_BYTES, Footer
from engine.manifest import ManifestReader
from engine.survey import TableSurvey, WholeBlock
from tests.engine.badsectors import BadSectors
from tests.engine.small import batch, open_engine

Content = dict[bytes, bytes]


class Doubts(list[bytes]):
    """The keys that a repair was not sure of."""


def repair(disk: MemoryFileSystem, *, keep_doubtful: bool = True) -> tuple[Repair, Content, Doubts]:
    """Repair /db into /new, which must be a whole store; what it holds, and of what the repair was not sure."""
    before = {path: disk.content(path) for path in disk.paths}
    doubts = Doubts()
    done = repair_engine("/db", "/new", keep_doubtful=keep_doubtful, tell_doubtful=doubts.append, file_system=disk)
    assert {path: disk.content(path) for path in disk.paths if path in before} == before
    assert verify_engine("/new", file_system=disk) == []
    engine = open_engine(disk, "/new", own_log=done.has_own_log)
    content = dict(engine.scan())
    engine.close()
    assert done.doubtful == len(doubts) == len(set(doubts))
    assert done.records == len(content)
    assert all(line.isprintable() for line in done.lines())
    return done, content, doubts


def write(engine: Engine, made: WriteBatch) -> None:
    engine.write(made, sequence=None if engine._log else SequenceNumber(engine.applied_sequence + 1))


def layered(*, own_log: bool = True) -> tuple[MemoryFileSystem, Content]:
    """A closed store with old values in a lower level, newer ones and deletions in level 0, the newest in the log."""
    disk = MemoryFileSystem()
    engine = open_engine(disk, own_log=own_log)
    content = {b"key%03d" % i: b"old%03d" % i * 9 for i in range(100)}
    write(engine, WriteBatch(content))
    engine.compact()
    newer = {b"key%03d" % i: b"new%03d" % i * 9 for i in range(0, 100, 2)}
    update = WriteBatch(newer)
    for i in range(1, 100, 10):
        update.delete(b"key%03d" % i)
        content.pop(b"key%03d" % i)
    write(engine, update)
    engine.flush()
    content |= newer
    if own_log:
        for i in range(10):
            engine.write(batch((b"key%03d" % i, b"log%03d" % i)))
            content[b"key%03d" % i] = b"log%03d" % i
    engine.close()
    return disk, content


def tables(disk: MemoryFileSystem) -> list[str]:
    """Oldest first."""
    return [path for path in disk.paths if path.startswith("/db/") and path.endswith(".sst")]


def log(disk: MemoryFileSystem) -> str:
    return next(path for path in disk.paths if path.startswith("/db/") and path.endswith(".log"))


def flip(disk: MemoryFileSystem, path: str, *places: int) -> None:
    data = bytearray(disk.content(path))
    for place in places:
        data[place] ^= 0x10
    disk.replace(path, bytes(data))


def blocks(disk: MemoryFileSystem, path: str) -> list[WholeBlock]:
    return [part for part in TableSurvey(disk, path).blocks() if isinstance(part, WholeBlock)]


@pytest.mark.parametrize("own_log", [True, False])
def test_a_whole_store_is_copied(own_log: bool) -> None:
    disk, content = layered(own_log=own_log)

    done, found, _ = repair(disk)

    assert found == content
    assert done.is_whole
    assert (done.losses, done.notes) == ([], [])
    assert done.has_own_log == own_log
    assert done.writes == (10 if own_log else 0)
    sequence = ManifestReader(disk, "/new").version.flushed_sequence
    assert sequence == (12 if own_log else 2)
    assert list(done.lines())[-1] == ("/new: 91 keys, with what 10 writes of logs made" if own_log else "/new: 90 keys")


def test_an_empty_store_is_copied() -> None:
    disk = MemoryFileSystem()
    open_engine(disk).close()

    done, found, _ = repair(disk)

    assert (found, done.is_whole) == ({}, True)


@pytest.mark.parametrize("keep_doubtful", [True, False])
def test_what_a_lost_block_held_is_named_and_what_it_hid_is_doubtful(keep_doubtful: bool) -> None:
    disk, content = layered(own_log=False)
    lost = blocks(disk, tables(disk)[-1])[1]
    flip(disk, tables(disk)[-1], lost.start + 4)

    done, found, doubts = repair(disk, keep_doubtful=keep_doubtful)

    # Every key has an older value; the filter knows that the others between them were not in the block.
    assert doubts == lost.keys
    for key in content.keys() - set(lost.keys):
        assert found[key] == content[key]
    for key in lost.keys:
        assert found.get(key) == (b"old%s" % key[3:] * 9 if keep_doubtful else None)
    [loss] = done.losses
    assert (loss.path, loss.start, loss.end) == (tables(disk)[-1], lost.start, lost.end)
    assert loss.keys is not None and loss.keys.last == lost.keys[-1]
    assert loss.doubtful == len(lost.keys) == done.doubtful
    deleted = lost.values.count(None)
    assert deleted > 0
    assert done.lost_records == {tables(disk)[-1]: (len(lost.keys), deleted)}
    assert not done.is_whole


def test_without_its_filter_more_is_doubtful() -> None:
    disk, _ = layered(own_log=False)
    path = tables(disk)[-1]
    lost = blocks(disk, path)[1]
    footer = Footer.decode(disk.content(path)[-FOOTER_BYTES:])
    flip(disk, path, lost.start + 4, footer.filter_start)

    _, found, doubts = repair(disk)

    assert set(doubts) > set(lost.keys)
    assert all(lost.keys[0] <= key or key > blocks(disk, tables(disk)[0])[0].keys[0] for key in doubts)
    assert set(doubts) <= found.keys()


def test_what_is_older_than_a_lost_block_alone_is_doubtful() -> None:
    """A newer table, and the log, are above all doubt."""
    disk, content = layered()
    path = tables(disk)[0]
    for block in blocks(disk, path):
        flip(disk, path, block.start)

    done, found, doubts = repair(disk)

    assert doubts == []
    assert found == {key: value for key, value in content.items() if not value.startswith(b"old")}
    [loss] = done.losses
    assert loss.keys is not None
    assert (loss.keys.first, loss.keys.last) == (b"key000", b"key099")
    assert done.lost_records == {path: (100, 0)}


def test_a_missing_table_is_lost_with_its_range() -> None:
    disk, content = layered(own_log=False)
    newest = tables(disk)[-1]
    held = {key for block in blocks(disk, newest) for key in block.keys}
    disk.remove(newest)

    done, found, doubts = repair(disk)

    assert found == {b"key%03d" % i: b"old%03d" % i * 9 for i in range(100)}
    assert held <= set(doubts)
    assert [loss.reason for loss in done.losses] == ["the table is missing"]
    assert set(content) <= set(found)


@pytest.mark.parametrize("part", ["footer", "filter", "index"])
def test_no_record_is_lost_with_what_comes_behind_the_blocks(part: str) -> None:
    disk, content = layered()
    for path in tables(disk):
        footer = Footer.decode(disk.content(path)[-FOOTER_BYTES:])
        place = {"footer": -5, "filter": footer.filter_start, "index": footer.index_start}[part]
        flip(disk, path, place)

    done, found, doubts = repair(disk)

    assert found == content
    assert (done.is_whole, doubts, done.lost_records) == (True, [], {})
    assert len(done.losses) == len(tables(disk))


@pytest.mark.parametrize("is_gone", [True, False])
def test_without_current_the_only_manifest_is_taken(is_gone: bool) -> None:
    disk, content = layered()
    if is_gone:
        disk.remove("/db/CURRENT")
    else:
        flip(disk, "/db/CURRENT", 3)

    done, found, _ = repair(disk)

    assert found == content
    assert done.is_whole
    assert "MANIFEST-000001 is taken for the manifest in force" in done.notes


def test_without_current_a_manifest_that_was_replaced_is_not_taken() -> None:
    disk, content = layered()
    old = disk.content("/db/MANIFEST-000001")
    engine = open_engine(disk, manifest_bytes_max=256)
    engine.write(batch((b"a", b"1")))
    engine.flush()
    engine.close()
    disk.open_append("/db/MANIFEST-000001").close()
    disk.replace("/db/MANIFEST-000001", old)
    disk.remove("/db/CURRENT")

    _, found, doubts = repair(disk)

    assert (found, doubts) == ({**content, b"a": b"1"}, [])


def test_without_a_manifest_footers_tell_the_age_of_tables() -> None:
    disk, content = layered()
    disk.remove("/db/MANIFEST-000001")

    done, found, doubts = repair(disk)

    assert (found, doubts) == (content, [])
    # A file that should be gone may have been among them.
    assert not done.is_whole
    assert not done.is_ordered


def test_of_a_damaged_manifest_every_edit_that_is_left_counts() -> None:
    disk, content = layered()
    frames = [part for part in CommitLogReader(disk, "/db/MANIFEST-000001").parts() if isinstance(part, Frame)]
    edits = [frame for frame in frames if frame.payload]
    assert len(edits) > 3
    whole = disk.content("/db/MANIFEST-000001")
    for edit in edits[:-1]:
        flip(disk, "/db/MANIFEST-000001", edit.start + 17)

        done, found, doubts = repair(disk)

        assert (found, doubts) == (content, [])
        assert [loss.path for loss in done.losses] == ["/db/MANIFEST-000001"]
        for path in [path for path in disk.paths if path.startswith("/new/")]:
            disk.remove(path)
        disk.replace("/db/MANIFEST-000001", whole)


def test_writes_behind_a_lost_one_are_kept_and_counted() -> None:
    disk, content = layered()
    frames = [part for part in CommitLogReader(disk, log(disk)).parts() if isinstance(part, Frame) and part.payload]
    flip(disk, log(disk), frames[3].start + 20, frames[4].start + 20)

    done, found, _ = repair(disk)

    expected = {**content, b"key004": b"new004" * 9}
    expected[b"key003"] = b"old003" * 9
    assert found == expected
    [loss] = done.losses
    assert (loss.start, loss.end, loss.writes) == (frames[3].start, frames[5].start, (6, 7))
    assert (done.writes, done.uncertain_writes) == (8, 5)
    assert not done.is_whole
    assert any(line.endswith("lost: writes 6 to 7") for line in done.lines())


def test_a_torn_tail_is_left_out_as_open_would() -> None:
    disk, content = layered()
    frames = [part for part in CommitLogReader(disk, log(disk)).parts() if isinstance(part, Frame) and part.payload]
    disk.replace(log(disk), disk.content(log(disk))[: frames[-1].start + 20])
    content[b"key009"] = b"old009" * 9

    done, found, _ = repair(disk)

    assert found == content
    assert done.is_whole
    assert "torn by a crash" in done.notes[0]


def test_a_missing_log_is_lost_with_its_writes() -> None:
    disk, content = layered()
    disk.remove(log(disk))

    done, found, _ = repair(disk)

    assert [(loss.reason, loss.writes) for loss in done.losses] == [("the log is missing", (3, 0))]
    assert found.keys() <= content.keys()
    assert not done.is_whole
    assert any(line.endswith("perhaps lost: writes from 3 on") for line in done.lines())


def test_a_missing_log_before_another_is_lost_with_the_writes_between() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk, memtable_bytes_max=4096, sealed_memtables_max=64)
    disk.faults.append(Fault("open_append", StorageFullError("/db/x", 28, "full"), suffix=".sst", times=None))
    for i in range(60):
        engine.write(batch((b"key%03d" % i, b"x" * 100)))
    logs = [path for path in disk.paths if path.endswith(".log")]
    assert len(logs) > 2
    engine.close()
    disk.faults.clear()
    disk.remove(logs[1])

    done, found, _ = repair(disk)

    [loss] = done.losses
    assert loss.writes is not None
    first, last = loss.writes
    assert found == {b"key%03d" % i: b"x" * 100 for i in range(60) if not first <= i + 1 <= last}
    assert done.uncertain_writes == 60 - last


def test_a_part_of_something_larger_is_not_put_back_in_its_place() -> None:
    """A replica that lacks acknowledged records must not rejoin as if it were whole."""
    disk, _ = layered(own_log=False)
    flip(disk, tables(disk)[0], 3)

    done, _, _ = repair(disk)

    assert done.has_own_log
    assert done.notes == ["the store kept no log; the new one does, so that it cannot take its place"]
    with pytest.raises(ForeignDirectoryError, match="it keeps its own log"):
        open_engine(disk, "/new", own_log=False)


def test_what_the_keeper_of_the_log_has_is_applied() -> None:
    """And then the new store keeps a log, as its keeper's may hold what never counted."""
    disk, content = layered(own_log=False)
    later = [(sequence, batch((b"key000", b"at %d" % sequence))) for sequence in (1, 2, 3, 4)]

    done = repair_engine("/db", "/new", later=later, file_system=disk)

    assert (done.is_whole, done.writes, done.has_own_log) == (True, 2, True)
    engine = open_engine(disk, "/new")
    assert dict(engine.scan()) == {**content, b"key000": b"at 4"}
    engine.close()


def test_a_keeper_whose_log_begins_too_late_is_told() -> None:
    disk, _ = layered(own_log=False)

    done = repair_engine("/db", "/new", later=[(5, batch((b"a", b"1")))], file_system=disk)

    assert [(loss.reason, loss.writes) for loss in done.losses] == [("writes are missing here", (3, 4))]
    assert (done.is_whole, done.uncertain_writes) == (False, 1)


def test_ranges_and_expiry_are_kept() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    engine.write(batch(*[(b"key%d" % i, b"v") for i in range(9)]))
    engine.flush()
    expiring = WriteBatch()
    expiring.put(b"late", b"v", expires_ms=1000)
    expiring.put(b"early", b"v", expires_ms=10)
    engine.write(expiring)
    deleting = WriteBatch()
    deleting.delete_range(b"key2", b"key5")
    deleting.put(b"key3", b"again")
    engine.write(deleting)
    engine.close()

    _, found, _ = repair(disk)

    assert found == {b"late": b"v", b"early": b"v", b"key3": b"again"} | {
        b"key%d" % i: b"v" for i in (0, 1, 5, 6, 7, 8)
    }
    engine = open_engine(disk, "/new")
    engine.advance_clock(500)
    assert (engine.get(b"late"), engine.get(b"early")) == (b"v", None)
    engine.close()


def test_what_the_disk_does_not_give_is_lost_and_no_more() -> None:
    disk = BadSectors()
    engine = open_engine(disk, memtable_bytes_max=1 << 20)
    content = {b"key%04d" % i: random.Random(i).randbytes(50) for i in range(1000)}
    engine.write(WriteBatch(content))
    engine.flush()
    engine.close()
    path = tables(disk)[0]
    disk.bad[path] = {20_000}
    held = [block for block in blocks(disk, path) if not (block.start < 24576 and block.end > 16384)]

    done, found, _ = repair(disk)

    assert content.items() > found.items()
    assert {key for block in held for key in block.keys} <= found.keys()
    assert {loss.reason for loss in done.losses} == {"Input/output error"}


def test_a_new_store_is_written_only_into_an_empty_directory_that_is_not_the_old_one() -> None:
    disk, _ = layered()
    disk.create_directory("/full")
    disk.open_append("/full/precious").close()
    before = disk.paths

    for new in ("/full", "/db", "/db/new"):
        with pytest.raises(ForeignDirectoryError):
            repair_engine("/db", new, file_system=disk)
    assert disk.paths == before


def test_there_must_be_a_store_that_nobody_has_open() -> None:
    disk = MemoryFileSystem()
    disk.create_directory("/other")
    engine = open_engine(disk)

    with pytest.raises(LockedError):
        repair_engine("/db", "/new", file_system=disk)
    engine.close()
    with pytest.raises(ForeignDirectoryError, match="there is no store"):
        repair_engine("/other", "/new", file_system=disk)
    with pytest.raises(StorageError):
        repair_engine("/missing", "/new", file_system=disk)
    assert not disk.exists("/new")


@pytest.mark.parametrize("suffix", [".sst", ".log", "MANIFEST-000003", "CURRENT.tmp"])
def test_a_repair_that_fails_leaves_nothing(suffix: str) -> None:
    disk, _ = layered()
    before = disk.paths
    disk.faults.append(Fault("open_append", StorageFullError("/new/x", 28, "full"), suffix=suffix, times=None))

    with pytest.raises(StorageFullError):
        repair_engine("/db", "/new", file_system=disk)

    assert disk.paths == before
    assert not disk.exists("/new")


def test_a_large_store_gets_many_tables_in_one_level() -> None:
    disk = MemoryFileSystem()
    engine = open_engine(disk)
    content = {b"key%04d" % i: random.Random(i).randbytes(60) for i in range(2000)}
    engine.write(WriteBatch(content))
    engine.compact()
    engine.close()

    done = repair_engine("/db", "/new", engine._options, file_system=disk)

    levels = ManifestReader(disk, "/new").version.levels
    assert [len(level) > 10 for level in levels] == [False, False, True, False, False, False, False]
    reopened = open_engine(disk, "/new")
    assert dict(reopened.scan()) == content
    reopened.close()
    assert done.is_whole


# What keys, values and damage do not matter to.


KEYS = [b"%03d" % number for number in range(400)]
SMALL: dict[str, Any] = {
    "memtable_bytes_max": 4096,
    "table_bytes_max": 4096,
    "level1_bytes_max": 4096,
    "level_bytes_ratio": 2,
    "level0_tables_compact": 3,
    "block_bytes": 256,
}


def worked(rng: random.Random, steps: int) -> tuple[MemoryFileSystem, dict[bytes, set[bytes]], Content]:
    """A closed store after some work, what was ever written to each key, and what should be there."""
    disk = MemoryFileSystem()
    engine = open_engine(disk, **SMALL)
    written: dict[bytes, set[bytes]] = {}
    content: Content = {}
    for step in range(steps):
        made = WriteBatch()
        if rng.random() < 0.03:
            start = rng.randrange(len(KEYS))
            gone = KEYS[start : start + 20]
            made.delete_range(gone[0], gone[-1])
            content = {key: value for key, value in content.items() if not gone[0] <= key < gone[-1]}
        first = rng.randrange(len(KEYS))
        for key in rng.sample(KEYS[first : first + 60], min(rng.randint(1, 20), len(KEYS) - first)):
            if rng.random() < 0.2:
                made.delete(key)
                content.pop(key, None)
            else:
                value = b"%s at %d" % (key, step) + rng.randbytes(40)
                made.put(key, value)
                written.setdefault(key, set()).add(value)
                content[key] = value
        engine.write(made)
    engine.close()
    return disk, written, content


def check(
    disk: MemoryFileSystem, written: dict[bytes, set[bytes]], content: Content, *, is_complete: bool = True
) -> None:
    """No value that was never there; what is wrong is doubtful, and what is missing is in what is lost."""
    done, found, doubts = repair(disk)

    for key, value in found.items():
        assert value in written[key]
    # Where writes are lost, also with what testified for them, nobody knows which keys they had.
    told = "".join([*done.notes, *[loss.reason for loss in done.losses]])
    lost_writes = any(loss.writes for loss in done.losses)
    if lost_writes or "any key" in told or "there is no log" in told or "torn by a crash" in told:
        return
    if not (is_complete or done.is_ordered):
        return
    spans = [loss.keys for loss in done.losses if loss.keys is not None]
    for key in written:
        if found.get(key) != content.get(key):
            assert key in doubts or (key not in found and any(key in span for span in spans)), key


@pytest.mark.parametrize("seed", range(12))
def test_without_a_manifest_nothing_is_wrong_that_is_not_doubtful(seed: int) -> None:
    rng = random.Random(seed)
    disk, written, content = worked(rng, 250)
    assert len(tables(disk)) > 5
    for path in [path for path in disk.paths if "MANIFEST" in path]:
        disk.remove(path)

    check(disk, written, content)


@cache
def kept(seed: int) -> tuple[MemoryFileSystem, dict[bytes, set[bytes]], Content]:
    return worked(random.Random(seed), 120)


@settings(max_examples=60)
@given(
    st.integers(0, 7),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=8),
    st.lists(st.integers(0, 50), max_size=2),
)
def test_whatever_is_damaged_nothing_is_wrong_that_is_not_doubtful(
    seed: int, flips: list[tuple[int, int, int]], removed: list[int]
) -> None:
    whole, written, content = kept(seed)
    disk = whole.clone()
    paths = disk.paths
    for file, place, change in flips:
        path = paths[file % len(paths)]
        data = bytearray(disk.content(path))
        data[place % len(data)] ^= change
        disk.replace(path, bytes(data))
    for path in {paths[file % len(paths)] for file in removed}:
        disk.remove(path)
    if not any(path.startswith("/db/") for path in disk.paths):
        return

    # Without a manifest nobody misses a table.
    check(disk, written, content, is_complete=set(tables(whole)) == set(tables(disk)))
