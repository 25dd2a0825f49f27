"""A frame of the node log reads as what it says."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine import CommitLogReader, MemoryFileSystem, inspect_file
from raftgroups.inspect import describe_records
from raftgroups.nodelog import Entries, HardState, NodeLog, Reset


def test_every_kind_of_record_is_described() -> None:
    disk = MemoryFileSystem()
    log = NodeLog(disk, "/log")
    log.add(HardState(1, 3, "n1"))
    log.add(HardState(2, 4, ""))
    log.add(Entries(1, 7, [(2, b"abc"), (3, b"d")]))
    log.add(Entries(2, 9, [(4, b"abc")]))
    log.add(Reset(1, 12, 3))
    log.close()
    payload = next(iter(CommitLogReader(disk, "/log/000001.log")))

    assert describe_records(payload) == [
        "5 records",
        "    partition 1: term 3, vote for 'n1'",
        "    partition 2: term 4, no vote",
        "    partition 1: entries 7 to 8 of terms 2, 3, 4 bytes",
        "    partition 2: entries 9 to 9 of term 4, 3 bytes",
        "    partition 1: what follows comes after a snapshot up to 12, of term 3",
    ]
    lines = list(inspect_file("/log/000001.log", describe=describe_records, file_system=disk))
    assert lines[3].endswith("  5 records")
    assert lines[4] == "    partition 1: term 3, vote for 'n1'"


@given(st.binary(max_size=50))
def test_anything_else_is_not_described(payload: bytes) -> None:
    described = describe_records(payload)

    assert described is None or described[0].endswith(("record", "records"))


def test_a_record_without_entries_is_described() -> None:
    assert describe_records(msgspec.msgpack.encode([Entries(1, 7, [])])) == [
        "1 record",
        "    partition 1: no entries from 7 on",
    ]
