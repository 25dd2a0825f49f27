import random

import pytest

from engine import Fault, MemoryFileSystem, PowerLostError, StorageFullError, crc32c
from raftgroups.acquaintances import (
    ACQUAINTANCES,
    Acquaintances,
    StrangerError,
    decode_acquaintances,
    encode_acquaintances,
    read_acquaintances,
)
from raftgroups.errors import DamagedDirectoryError

PATH = f"/data/{ACQUAINTANCES}"


def disk_with(*met: tuple[str, str]) -> MemoryFileSystem:
    disk = MemoryFileSystem()
    disk.create_directory("/data")
    acquaintances = Acquaintances(disk, "/data")
    for name, incarnation in met:
        acquaintances.meet(name, incarnation)
    return disk


def test_a_peer_is_known_again_after_a_crash() -> None:
    disk = disk_with(("n2", "aa"), ("n3", "bb"))
    disk.restart()

    acquaintances = Acquaintances(disk, "/data")

    acquaintances.meet("n2", "aa")
    with pytest.raises(StrangerError, match="node 'n3' runs on another data directory"):
        acquaintances.meet("n3", "cc")


def test_the_text_says_what_to_do() -> None:
    acquaintances = Acquaintances(disk_with(("n2", "aa")), "/data")

    with pytest.raises(StrangerError, match=r"start it on that one, or if it is lost, have other nodes take its place"):
        acquaintances.meet("n2", "bb")


def test_a_stranger_does_not_take_the_place_of_who_was_met() -> None:
    disk = disk_with(("n2", "aa"))
    for acquaintances in (Acquaintances(disk, "/data"), Acquaintances(disk, "/data")):
        with pytest.raises(StrangerError):
            acquaintances.meet("n2", "bb")

    Acquaintances(disk, "/data").meet("n2", "aa")


def test_a_directory_from_before_incarnations_has_the_empty_one() -> None:
    """So a new directory in its place is refused as well."""
    acquaintances = Acquaintances(disk_with(("n2", "")), "/data")

    acquaintances.meet("n2", "")
    with pytest.raises(StrangerError):
        acquaintances.meet("n2", "aa")


def test_nothing_is_written_when_nobody_new_is_met() -> None:
    disk = disk_with(("n2", "aa"))
    acquaintances = Acquaintances(disk, "/data")
    changes = disk.changes

    acquaintances.meet("n2", "aa")

    assert disk.changes == changes


def test_who_could_not_be_written_down_is_not_remembered() -> None:
    disk = disk_with()
    acquaintances = Acquaintances(disk, "/data")
    disk.faults.append(Fault("sync", StorageFullError(PATH, 28, "no room"), suffix=".tmp"))

    with pytest.raises(StorageFullError):
        acquaintances.meet("n2", "aa")
    acquaintances.meet("n2", "bb")

    assert read_acquaintances(disk, "/data") == {"n2": "bb"}


def test_a_crash_at_any_moment_leaves_the_old_or_the_new() -> None:
    steps = disk_with(("n2", "aa"), ("n3", "bb")).changes - disk_with(("n2", "aa")).changes
    for step in range(steps):
        for seed in range(5):
            disk = disk_with(("n2", "aa"))
            disk.power_lost_at = disk.changes + step
            with pytest.raises(PowerLostError):
                Acquaintances(disk, "/data").meet("n3", "bb")
            disk.restart(random.Random(seed))

            assert read_acquaintances(disk, "/data") in ({"n2": "aa"}, {"n2": "aa", "n3": "bb"})


def test_the_content_does_not_depend_on_the_order_of_meeting() -> None:
    assert encode_acquaintances({"n3": "b", "n2": "a"}) == encode_acquaintances({"n2": "a", "n3": "b"})


def test_every_flipped_bit_is_found() -> None:
    data = encode_acquaintances({"n2": "aa", "nœud": "bb"})
    for place in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8

        with pytest.raises(DamagedDirectoryError, match=PATH):
            decode_acquaintances(PATH, bytes(flipped))


@pytest.mark.parametrize("line", [b"[]", b"{}}", b'{"n2": 1}', b"\xff"])
def test_what_was_never_written_is_damage(line: bytes) -> None:
    with pytest.raises(DamagedDirectoryError, match=PATH):
        decode_acquaintances(PATH, line + b"\n%08x\n" % crc32c(line))


def test_damage_is_told_and_nothing_is_forgotten() -> None:
    disk = disk_with(("n2", "aa"))
    disk.replace(PATH, disk.content(PATH)[:-3])

    with pytest.raises(DamagedDirectoryError, match="checksum does not match; restore it from a backup"):
        Acquaintances(disk, "/data")
