"""Logs and manifests are printed frame by frame, around what is damaged."""

from engine import CommitLogReader, CommitLogWriter, MemoryFileSystem, SequenceNumber, WriteBatch
from engine.inspect_log import inspect_log, inspect_manifest
from engine.listing import Wish
from engine.manifest import ManifestWriter, encode_edit
from engine.record import encode_batch
from engine.version import Table, Version, VersionEdit

LOG = "/db/000002.log"
MANIFEST = "/db/MANIFEST-000001"


def nobody(payload: bytes) -> list[str] | None:
    return None


def logged() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    log = CommitLogWriter(disk, LOG)
    first, second = WriteBatch(), WriteBatch()
    first.put(b"a", b"1")
    first.delete(b"b")
    second.delete_range(b"c", None)
    second.delete_range(b"a", b"b")
    for sequence, batch in ((5, first), (6, second), (7, WriteBatch())):
        log.append(encode_batch(sequence, batch))
        log.write_out()
        log.sync()
    log.append(b"something else")
    log.close()
    return disk


def test_a_log_is_printed() -> None:
    assert list(inspect_log(logged(), LOG, Wish(keys=True, values=True), nobody)) == [
        "/db/000002.log: commit log, 176 bytes",
        "",
        "           AT        BYTES      SYNCED TO  CONTENT",
        "            0           47              0  write 5: 1 put, 1 deletion",
        "    b'a' = b'1'",
        "    b'b' deleted",
        "           47           55             47  write 6: 2 deleted ranges",
        "    b'c' to the end deleted",
        "    b'a' to b'b' deleted",
        "          102           28            102  write 7: nothing",
        "          130           30            130  not a batch: a batch is cut off",
        "          160           16            160  mark",
        "",
        "whole       4 frames, 1 mark",
        "            1 put, 1 deletion, 2 deleted ranges",
    ]


def test_whoever_keeps_another_log_describes_it() -> None:
    lines = list(inspect_log(logged(), LOG, Wish(), lambda payload: [repr(payload), "    a line more"]))

    place = next(number for number, line in enumerate(lines) if line.endswith("b'something else'"))
    assert lines[place + 1] == "    a line more"


def test_a_limit_bounds_frames_and_keys() -> None:
    lines = list(inspect_log(logged(), LOG, Wish(keys=True, limit=1), nobody))

    assert lines[3:8] == [
        "            0           47              0  write 5: 1 put, 1 deletion",
        "    b'a' = 1 byte",
        "... 4 more frames",
        "... 1 more key",
        "",
    ]


def test_damage_in_a_log_is_told_and_whether_it_was_on_disk() -> None:
    disk = logged()
    data = bytearray(disk.content(LOG))
    data[60] ^= 1
    disk.replace(LOG, bytes(data[:-5]))

    lines = list(inspect_log(disk, LOG, Wish(), nobody))

    cut_off = "the header of a frame is cut off; nothing behind it testifies that it was on disk"
    assert [line for line in lines if line.startswith("damaged")] == [
        "damaged     bytes 47 to 102: the checksum of a frame does not match; it was on disk",
        f"damaged     bytes 160 to 171: {cut_off}",
        "damaged     2 parts",
    ]


def made() -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    first = Table(3, 100, b"a", b"k", 10, 2)
    version = Version().apply(VersionEdit(((0, first),), (), SequenceNumber(10), 2, 4))
    manifest = ManifestWriter.create(disk, "/db", 1, version)
    second = Table(5, 200, b"b", b"z", 20, 0, 77)
    manifest.append(VersionEdit(((1, second),), ((0, 3),), clock_ms=50))
    manifest.close()
    return disk


def test_a_manifest_is_printed_edit_by_edit_and_in_sum() -> None:
    assert list(inspect_manifest(made(), MANIFEST, Wish())) == [
        "/db/MANIFEST-000001: manifest, 102 bytes",
        "",
        "           AT        BYTES      SYNCED TO  EDIT",
        "            0           37              0  edit 1: flushed 10, oldest log 2, next number 4, clock 0",
        "    + level 0, table 3: 100 bytes, 10 records, 2 of them deletions, b'a' to b'k'",
        "           37           16             37  mark",
        "           53           33             37  edit 2: clock 50",
        "    - level 0, table 3",
        "    + level 1, table 5: 200 bytes, 20 records, 0 of them deletions, half expired at 77, b'b' to b'z'",
        "           86           16             86  mark",
        "",
        "in sum      2 edits",
        "            flushed 10, oldest log 2, next number 4",
        "            clock 50",
        "level 1     1 table, 200 bytes, 20 records",
        "    table 5: 200 bytes, 20 records, 0 of them deletions, half expired at 77, b'b' to b'z'",
    ]


def test_a_damaged_manifest_is_summed_up_to_the_damage() -> None:
    disk = made()
    data = bytearray(disk.content(MANIFEST))
    data[60] ^= 1
    disk.replace(MANIFEST, bytes(data))

    lines = list(inspect_manifest(disk, MANIFEST, Wish()))

    assert "damaged     bytes 53 to 86: the checksum of a frame does not match; it was on disk" in lines
    assert "in sum      up to the damage at byte 53" in lines
    assert any(line.startswith("level 0     1 table") for line in lines)


def test_an_edit_that_does_not_fit_is_told() -> None:
    disk = made()
    log = CommitLogWriter(disk, MANIFEST)
    log.append(encode_edit(VersionEdit(removed=((0, 9),))))
    log.append(b"\xff")
    log.close()

    lines = list(inspect_manifest(disk, MANIFEST, Wish(limit=1)))

    assert "... 5 more edits" in lines
    assert [part.start for part in CommitLogReader(disk, MANIFEST).parts()][4] == 102
    assert any(line.startswith("damaged     bytes 121 to 138: ") for line in lines)
    assert "in sum      up to the edit at byte 102, which does not fit: table 9 is not in level 0" in lines
