"""Every file of a store is printed for what it is, and anything at all without a failure but its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import EngineError, MemoryFileSystem, StorageError, UnknownFileError, inspect_file
from engine.coding import crc32c
from tests.engine.badsectors import BadSectors
from tests.engine.test_repair import layered

NAMES = ["000001.sst", "000001.log", "MANIFEST-000001", "CURRENT", "0123456789abcdef-000001.tmp", "other"]


def disk_with(name: str, data: bytes) -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/db")
    disk.open_append(f"/db/{name}").close()
    disk.replace(f"/db/{name}", data)
    return disk


def stored() -> dict[str, bytes]:
    disk, _ = layered()
    return {path.removeprefix("/db/"): disk.content(path) for path in disk.paths}


def printed(disk: MemoryFileSystem, name: str) -> list[str]:
    """All that can be asked for, line by line."""
    lines = list(inspect_file(f"/db/{name}", keys=True, values=True, file_system=disk))
    assert all(line.isprintable() for line in lines)
    assert next(inspect_file(f"/db/{name}", limit=0, file_system=disk)) == lines[0]
    return lines


def test_every_file_is_printed_for_what_it_is() -> None:
    kinds = {name: printed(disk_with(name, data), name)[0] for name, data in stored().items() if name != "RESERVE"}

    assert {name: line.split(": ")[1].split(",")[0] for name, line in kinds.items()} == {
        "000004.sst": "SSTable",
        "000005.log": "commit log",
        "000006.sst": "SSTable",
        "CURRENT": "CURRENT",
        "MANIFEST-000001": "manifest",
    }
    assert kinds["CURRENT"].endswith("CURRENT, names MANIFEST-000001")


def test_a_renamed_file_is_known_by_what_is_in_it() -> None:
    for name, data in stored().items():
        if name not in {"CURRENT", "RESERVE"}:
            here, there = printed(disk_with(name, data), name), printed(disk_with("backup", data), "backup")
            assert [line.replace(name, "backup") for line in here] == there


def test_a_damaged_current_is_told() -> None:
    assert printed(disk_with("CURRENT", b"MANIFEST-000001 00000000\n"), "CURRENT") == [
        "/db/CURRENT: CURRENT, damaged: its checksum does not match"
    ]


def test_what_is_nothing_of_a_store_is_refused() -> None:
    for data in (b"", b"hello", bytes(1000)):
        with pytest.raises(UnknownFileError, match="is no SSTable"):
            inspect_file("/db/other", file_system=disk_with("other", data))
    with pytest.raises(StorageError):
        inspect_file("/db/missing", file_system=disk_with("other", b""))


def test_empty_files_are_printed() -> None:
    assert [printed(disk_with(name, b""), name)[0].split(", ")[-1] for name in NAMES[:3]] == ["0 bytes"] * 3


@given(st.sampled_from(NAMES), st.binary(max_size=300), st.booleans(), st.booleans())
def test_arbitrary_bytes_are_printed_or_refused(name: str, data: bytes, is_log: bool, is_table: bool) -> None:
    if is_log:
        # A whole frame, whatever is in it.
        covered = len(data).to_bytes(4, "little") + bytes(4) + data
        data = b"rkl1" + crc32c(covered, 0).to_bytes(4, "little") + covered
    if is_table:
        data += b"ringkvst"
    try:
        printed(disk_with(name, data), name)
    except EngineError:
        assert name == "other" and not (is_log or is_table)


@given(
    st.integers(0, 5), st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=5), st.integers(0, 9)
)
def test_damaged_files_are_printed_or_refused(number: int, flips: list[tuple[int, int]], cut: int) -> None:
    files = stored()
    name = sorted(files)[number % len(files)]
    data = bytearray(files[name])
    for place, change in flips:
        data[place % len(data)] ^= change
    data = data[: len(data) - cut * len(data) // 20]

    try:
        printed(disk_with(name, bytes(data)), name)
    except UnknownFileError:
        assert name == "RESERVE"


def test_what_the_disk_does_not_give_is_told() -> None:
    disk = BadSectors()
    for name, data in stored().items():
        disk.create_directory("/db")
        disk.open_append(f"/db/{name}").close()
        disk.replace(f"/db/{name}", data)
        disk.bad[f"/db/{name}"] = {20}
        if name not in {"CURRENT", "RESERVE"}:
            assert any("Input/output error" in line for line in printed(disk, name))
