import random
from dataclasses import dataclass, field

import pytest

from app.simulation.disk import QUICK_SYNC_SECONDS, SimulatedDisk, SimulatedSyncer
from engine import StorageError, StorageFullError
from engine.memory_files import PowerLostError
from raftgroups.synctimes import SYNCS
from tests.simulation.machines import Machines

PATH = "/d/1.log"


@pytest.fixture
def disk() -> SimulatedDisk:
    """One log, that holds "old" for certain."""
    disk = SimulatedDisk(random.Random(1))
    disk.files.create_directory("/d")
    append(disk, b"old")
    disk.files.sync_directory("/d")
    return disk


def append(disk: SimulatedDisk, data: bytes, *, sync: bool = True) -> None:
    file = disk.files.open_append(PATH)
    file.write(data)
    if sync:
        file.sync()


def test_a_process_that_ends_leaves_what_it_wrote(disk: SimulatedDisk) -> None:
    append(disk, b" new", sync=False)

    disk.turn_off()
    disk.turn_on(forgets=False)
    assert disk.files.content(PATH) == b"old new"


def test_a_machine_that_ends_may_leave_less_but_never_less_than_was_synced() -> None:
    found = set[bytes]()

    for seed in range(40):
        disk = SimulatedDisk(random.Random(seed))
        disk.files.create_directory("/d")
        append(disk, b"old")
        disk.files.sync_directory("/d")
        append(disk, b"new", sync=False)
        disk.turn_off()
        disk.turn_on(forgets=True)
        found.add(disk.files.content(PATH))
    assert all(content.startswith(b"old") for content in found)
    assert {b"old", b"oldnew"} < found


def test_nothing_reaches_a_disk_that_is_off(disk: SimulatedDisk) -> None:
    file = disk.files.open_append(PATH)

    disk.turn_off()
    with pytest.raises(PowerLostError):
        file.write(b" new")
    disk.turn_on(forgets=False)
    assert not disk.is_off
    assert disk.files.content(PATH) == b"old"


def test_what_was_open_when_the_power_went_is_not_open_any_more(disk: SimulatedDisk) -> None:
    file = disk.files.open_append(PATH)
    disk.turn_off()
    disk.turn_on(forgets=True)

    with pytest.raises(PowerLostError):
        file.write(b" new")


def test_the_power_goes_in_the_middle_of_a_change(disk: SimulatedDisk) -> None:
    disk.lose_power_after(1)

    append(disk, b"1", sync=False)
    with pytest.raises(PowerLostError):
        append(disk, b"2345", sync=False)
    assert disk.is_off
    disk.turn_on(forgets=False)
    assert disk.files.content(PATH) == b"old123"


def test_the_power_may_be_kept_until_it_is_gone(disk: SimulatedDisk) -> None:
    disk.lose_power_after(0)
    disk.keep_power()
    append(disk, b" new")

    disk.lose_power_after(0)
    with pytest.raises(PowerLostError):
        append(disk, b" newer")
    disk.keep_power()
    assert disk.is_off


def test_a_full_disk_takes_a_part_of_a_write_and_no_directory(disk: SimulatedDisk) -> None:
    disk.fill()

    with pytest.raises(StorageFullError):
        append(disk, b"0123456789")
    with pytest.raises(StorageFullError):
        disk.files.create_directory("/d/new")
    assert disk.files.content(PATH) == b"old012"

    disk.make_room()
    append(disk, b"!")
    disk.files.create_directory("/d/new")
    assert disk.files.content(PATH) == b"old012!"


def test_a_sync_fails_once(disk: SimulatedDisk) -> None:
    disk.fail_sync()

    with pytest.raises(StorageError):
        append(disk, b"1")
    append(disk, b"2")


def test_a_sync_of_anything_but_a_log_does_not_fail(disk: SimulatedDisk) -> None:
    disk.fail_sync()

    disk.files.open_append("/d/1.sst").sync()


def test_a_failure_that_did_not_come_is_taken_back(disk: SimulatedDisk) -> None:
    forget = disk.fail_sync()

    forget()
    append(disk, b"1")
    forget()


def test_two_failures_do_not_take_each_other_back(disk: SimulatedDisk) -> None:
    forget = disk.fail_sync()
    disk.fail_sync()

    with pytest.raises(StorageError):
        append(disk, b"1")
    forget()
    with pytest.raises(StorageError):
        append(disk, b"2")


def test_a_cold_disk_lets_reads_wait(disk: SimulatedDisk) -> None:
    file = disk.files.open_read(PATH)

    disk.set_cold(is_cold=True)
    assert (file.read_nowait(0, 3), file.read(0, 3)) == (None, b"old")
    disk.set_cold(is_cold=False)
    assert file.read_nowait(0, 3) == b"old"


def test_one_bit_is_flipped_for_good(disk: SimulatedDisk) -> None:
    assert disk.flip_bit([PATH, "/d/gone.log"]) == PATH

    disk.turn_off()
    disk.turn_on(forgets=True)
    flipped = int.from_bytes(disk.files.content(PATH), "big") ^ int.from_bytes(b"old", "big")
    assert flipped.bit_count() == 1
    assert disk.is_damaged


def test_without_a_file_no_bit_is_flipped(disk: SimulatedDisk) -> None:
    disk.files.open_append("/d/empty.log")

    assert disk.flip_bit(["/d/gone.log", "/d/empty.log"]) is None
    assert not disk.is_damaged


def test_healing_ends_every_trouble_but_damage(disk: SimulatedDisk) -> None:
    disk.fill()
    disk.fail_sync()
    disk.set_cold(is_cold=True)
    disk.lose_power_after(0)
    disk.slow_seconds = 1.0
    disk.flip_bit([PATH])

    disk.heal()
    append(disk, b"!")
    disk.files.create_directory("/d/new")
    assert disk.files.open_read(PATH).read_nowait(3, 1) == b"!"
    assert (disk.slow_seconds, disk.is_damaged) == (0.0, True)


@dataclass
class Syncing:
    """A syncer, how often it synced, and what it told."""

    disk: SimulatedDisk
    machines: Machines
    syncs: list[float] = field(default_factory=list)
    told: list[tuple[int, Exception | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.syncer = SimulatedSyncer(
            self.disk, self.machines.loop, random.Random(1), self.sync, lambda *told: self.told.append(told)
        )

    def sync(self) -> None:
        self.syncs.append(self.machines.scheduler.now)
        append(self.disk, b".")


@pytest.fixture
def syncing(disk: SimulatedDisk) -> Syncing:
    return Syncing(disk, Machines())


def test_a_quick_disk_is_waited_for(syncing: Syncing) -> None:
    assert syncing.syncer.is_inline

    syncing.syncer.sync_inline()
    assert syncing.syncs == [0.0]


def test_it_is_known_how_long_syncs_take(syncing: Syncing) -> None:
    for _ in range(SYNCS):
        syncing.syncer.sync_inline()
    quick = syncing.syncer.times.median(0.0)

    syncing.disk.slow_seconds = 1.0
    for generation in range(SYNCS):
        syncing.syncer.ask(generation)
        syncing.machines.run(1.0)

    assert quick == 0.0
    slow = syncing.syncer.times.median(syncing.machines.scheduler.now)
    assert slow is not None and 0.2 < slow < 0.8


def test_a_slow_sync_ends_later_in_its_turn(syncing: Syncing) -> None:
    syncing.disk.slow_seconds = 1.0
    assert not syncing.syncer.is_inline

    for generation in (1, 2, 3):
        syncing.syncer.ask(generation)
    assert syncing.syncs == []
    syncing.machines.run(2.0)
    assert syncing.told == [(1, None), (2, None), (3, None)]
    assert syncing.syncs[0] >= QUICK_SYNC_SECONDS


def test_a_slow_sync_that_fails_is_told(syncing: Syncing) -> None:
    syncing.disk.slow_seconds = 1.0
    syncing.disk.fail_sync()

    syncing.syncer.ask(1)
    syncing.machines.run(2.0)
    ((generation, error),) = syncing.told
    assert (generation, type(error)) == (1, StorageError)


def test_a_syncer_that_is_closed_has_synced_what_it_was_asked_for(syncing: Syncing) -> None:
    syncing.disk.slow_seconds = 1.0
    syncing.syncer.ask(1)

    syncing.syncer.close()
    assert len(syncing.syncs) == 1
    syncing.machines.run(2.0)
    assert (syncing.told, len(syncing.syncs)) == ([(1, None)], 1)


def test_a_paused_node_syncs_nothing(syncing: Syncing) -> None:
    syncing.disk.slow_seconds = 1.0
    syncing.syncer.ask(1)

    syncing.machines.loop.pause()
    syncing.machines.run(9.0)
    assert syncing.syncs == []
