import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Fault, MemoryFileSystem, PowerLostError, StorageError, StorageFullError
from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import PartitionId
from raftgroups.nodelog import (
    Entries,
    HardState,
    NodeLog,
    Record,
    Remains,
    Reset,
    segment_numbers,
    segment_path,
)

DIRECTORY = "/node/log"


def open_log(disk: MemoryFileSystem, segment_bytes: int = 1 << 20) -> NodeLog:
    return NodeLog(disk, DIRECTORY, segment_bytes)


def entries(group: int, first: int, *payloads: bytes, term: int = 1) -> Entries:
    return Entries(group, first, [(term, payload) for payload in payloads])


def newest(disk: MemoryFileSystem) -> str:
    return segment_path(DIRECTORY, segment_numbers(disk, DIRECTORY)[-1])


def remains(log: NodeLog, group: int) -> Remains:
    return log.remains[PartitionId(group)]


# Generations.


def test_a_record_is_durable_with_the_generation_that_gathers_it() -> None:
    log = open_log(MemoryFileSystem())

    first = log.add(entries(0, 1, b"a"))
    assert log.add(HardState(1, 1, "n1")) == first
    assert log.write() == first
    second = log.add(entries(0, 2, b"b"))
    assert second == first + 1
    assert log.synced_generation < first
    log.sync()
    log.synced(first)
    assert log.synced_generation == first
    assert log.has_gathered, "what came during the sync waits for the next"


def test_one_generation_at_a_time_is_on_its_way() -> None:
    log = open_log(MemoryFileSystem())
    log.add(entries(0, 1, b"a"))
    log.write()
    log.add(entries(0, 2, b"b"))

    with pytest.raises(AssertionError):
        log.write()


def test_committing_nothing_touches_no_disk() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    changes = disk.changes

    log.commit()

    assert disk.changes == changes


# What a restart finds.


def test_what_was_synced_is_found_again() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(HardState(0, 3, "n2"))
    log.add(entries(0, 1, b"a", b"b", term=3))
    log.add(entries(7, 1, b"x"))
    log.commit()
    log.add(entries(0, 3, b"lost", term=3))
    log.write()
    disk.restart()

    log = open_log(disk)

    found = remains(log, 0)
    assert (found.term, found.vote, found.first, found.entries) == (3, "n2", 1, [(3, b"a"), (3, b"b")])
    assert remains(log, 7).entries == [(1, b"x")]


def test_a_frame_of_nothing_is_written_to_try_the_disk_and_changes_nothing() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(HardState(1, 3, "n2"))
    log.commit()
    size = log.bytes_on_disk

    generation = log.write()
    log.sync()
    log.synced(generation)

    assert log.bytes_on_disk > size
    assert (log.synced_generation, log.synced_records) == (generation, [])
    disk.kill()
    again = open_log(disk)
    assert (remains(again, 1).term, remains(again, 1).vote, remains(again, 1).entries) == (3, "n2", [])


def test_a_conflicting_write_cuts_what_stood_there() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a", b"b", b"c", b"d"))
    log.add(entries(0, 3, b"C", term=2))
    log.commit()

    assert remains(open_log(disk), 0).entries == [(1, b"a"), (1, b"b"), (2, b"C")]


def test_a_reset_starts_the_log_after_a_snapshot() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(HardState(0, 4, "n3"))
    log.add(entries(0, 1, b"a", b"b"))
    log.add(Reset(0, 50, 4))
    log.add(entries(0, 51, b"c", term=4))
    log.commit()

    found = remains(open_log(disk), 0)

    assert (found.start, found.first, found.entries) == ((50, 4), 51, [(4, b"c")])
    assert (found.term, found.vote) == (4, "n3")


def test_entries_that_do_not_follow_the_log_are_damage() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    log.add(entries(0, 4, b"d"))
    log.commit()

    with pytest.raises(DamagedDirectoryError, match=r"000001\.log: group 0: entry 4 does not follow"):
        open_log(disk)


def test_a_torn_frame_at_the_end_is_cut_off() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    log.commit()
    whole = disk.content(newest(disk))
    log.add(entries(0, 2, b"torn" * 100))
    log.write()
    disk.replace(newest(disk), disk.content(newest(disk))[: len(whole) + 30])

    assert remains(open_log(disk), 0).entries == [(1, b"a")]
    assert remains(open_log(disk), 0).entries == [(1, b"a")], "and stays cut off"


@pytest.mark.parametrize("segment", [1, 2])
def test_damage_to_what_was_synced_is_refused(segment: int) -> None:
    """Replaying less than was acknowledged would be a wrong answer; the line names the file."""
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=1)
    for index in range(1, 4):
        log.add(entries(0, index, b"payload"))
        log.commit()
    path = segment_path(DIRECTORY, segment)
    data = bytearray(disk.content(path))
    data[data.index(b"payload")] ^= 1
    disk.replace(path, bytes(data))

    with pytest.raises(DamagedDirectoryError, match=path):
        open_log(disk)


def test_a_frame_of_another_grammar_is_refused() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    log._writer.append(b"\x91\x92\x63\x00")
    log.commit()

    with pytest.raises(DamagedDirectoryError, match="000001"):
        open_log(disk)


def test_what_a_restart_found_survives_a_power_loss() -> None:
    """After kill -9 the log may hold a frame that was written but never synced. The node goes on
    to count it as durable, so it must be made so."""
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    log.write()
    disk.kill()
    found = remains(open_log(disk), 0)
    disk.restart()

    assert remains(open_log(disk), 0).entries == found.entries == [(1, b"a")]


def test_what_a_failed_sync_left_in_memory_survives_a_power_loss_after_the_restart() -> None:
    """The node ends itself and is started again in the same boot, where the frames can still be read; the kernel
    takes them for written. A vote that was read there, and kept to, must not be forgotten."""
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    log.commit()
    log.add(entries(0, 2, b"b"))
    log.add(HardState(1, 7, "n2"))
    disk.faults.append(Fault("sync", StorageError(newest(disk), 5, "Input/output error"), forgets=True))
    with pytest.raises(StorageError):
        log.commit()
    disk.kill()
    log = open_log(disk)
    assert remains(log, 0).entries == [(1, b"a"), (1, b"b")]
    log.add(entries(0, 3, b"c"))
    log.commit()
    disk.restart()

    log = open_log(disk)
    assert remains(log, 0).entries == [(1, b"a"), (1, b"b"), (1, b"c")]
    assert remains(log, 1).term == 7
    assert remains(log, 1).vote == "n2"


# Segments.


def test_a_full_segment_is_followed_by_another() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=100)
    for index in range(1, 10):
        log.add(entries(0, index, b"x" * 60))
        log.commit()

    assert len(segment_numbers(disk, DIRECTORY)) > 3
    disk.restart()
    assert len(remains(open_log(disk), 0).entries) == 9


def test_dropping_segments_forgets_no_term_and_no_vote() -> None:
    """Each segment begins with every group's hard state: a second vote in a term elects two leaders."""
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=100)
    log.add(HardState(0, 5, "n2"))
    log.add(HardState(1, 9, ""))
    log.commit()
    for index in range(1, 20):
        log.add(entries(0, index, b"x" * 60))
        log.commit()
    log.drop_flushed({PartitionId(0): 19}, retained_bytes=0)
    assert len(segment_numbers(disk, DIRECTORY)) == 1
    disk.restart()

    log = open_log(disk)

    assert (remains(log, 0).term, remains(log, 0).vote) == (5, "n2")
    assert (remains(log, 1).term, remains(log, 1).vote) == (9, "")


def test_a_restarted_node_repeats_the_hard_states_too() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=100)
    log.add(HardState(0, 5, "n2"))
    log.commit()
    for _ in range(3):
        log = open_log(disk, segment_bytes=100)
    log.drop_flushed({}, retained_bytes=0)

    assert segment_numbers(disk, DIRECTORY) == [4]
    assert remains(open_log(disk), 0).vote == "n2"


def test_unflushed_entries_pin_their_segment() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=1)
    for index in range(1, 6):
        log.add(entries(0, index, b"a"))
        log.add(entries(1, index, b"b"))
        log.commit()

    log.drop_flushed({PartitionId(0): 5, PartitionId(1): 2}, retained_bytes=0)

    assert log.pins({PartitionId(0): 5, PartitionId(1): 2}) == [1]
    assert [payload for _, payload in remains(open_log(disk), 1).entries] == [b"b"] * 3


def test_a_group_that_is_no_longer_held_pins_nothing() -> None:
    log = open_log(MemoryFileSystem(), segment_bytes=1)
    for index in range(1, 4):
        log.add(entries(9, index, b"a"))
        log.commit()

    assert log.pins({}) == []


def test_flushed_segments_are_kept_for_followers_that_fell_behind() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=100)
    for index in range(1, 20):
        log.add(entries(0, index, b"x" * 60))
        log.commit()
    before = log.bytes_on_disk

    log.drop_flushed({PartitionId(0): 19}, retained_bytes=before - 1)
    assert before - 250 < log.bytes_on_disk < before
    log.drop_flushed({PartitionId(0): 19}, retained_bytes=500)
    assert 250 < log.bytes_on_disk <= 500


@pytest.mark.parametrize("drops", [[0], [400, 0], [600, 400, 200, 0]])
def test_a_crash_brings_back_no_segment_without_the_next(drops: list[int]) -> None:
    """Whatever of the directory's changes is on disk: what is left of the log has no gap."""
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=100)
    for index in range(1, 10):
        log.add(entries(0, index, b"x" * 60))
        log.commit()
    for retained_bytes in drops:
        log.drop_flushed({PartitionId(0): 9}, retained_bytes=retained_bytes)
    assert len(segment_numbers(disk, DIRECTORY)) == 1

    for seed in range(60):
        twin = disk.twin()
        twin.restart(random.Random(seed))

        found = remains(open_log(twin), 0)

        assert found.first + len(found.entries) == 10


def test_a_segment_that_is_missing_between_others_is_missed() -> None:
    """It has the newest entry of group 1, of which nothing after it knows."""
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=1)
    for group, first in ((0, 1), (1, 1), (0, 2)):
        log.add(entries(group, first, b"a"))
        log.commit()
    assert segment_numbers(disk, DIRECTORY) == [1, 2, 3]

    disk.remove(segment_path(DIRECTORY, 2))

    with pytest.raises(DamagedDirectoryError, match=r"000002\.log is missing"):
        open_log(disk)


def test_a_write_that_reaches_below_a_dropped_segment_is_no_gap() -> None:
    """Entry 2 was replaced after entry 3 had been replaced before it, and the first entry 2 was dropped."""
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=1)
    for first, term in ((1, 1), (3, 2), (2, 3)):
        log.add(entries(0, first, b"a", b"b", term=term))
        log.commit()
    log.drop_flushed({PartitionId(0): 2}, retained_bytes=log.bytes_on_disk - 1)

    found = remains(open_log(disk, segment_bytes=1), 0)

    assert (found.first, found.entries) == (2, [(3, b"a"), (3, b"b")])


# Failing disks.


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_commit_is_reported(operation: str) -> None:
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    disk.faults.append(Fault(operation, StorageError("log", 5, "input/output error")))

    with pytest.raises(StorageError):
        log.commit()
    log.add(entries(0, 2, b"b"))
    with pytest.raises((StorageError, AssertionError)):
        log.commit()


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_a_full_disk_changes_nothing_and_is_tried_again(skip: int) -> None:
    """Wherever in the change to a new segment it strikes; no vote is forgotten by it."""
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=100)
    log.add(HardState(0, 5, "n2"))
    log.add(entries(0, 1, b"x" * 100))
    log.commit()
    full = StorageFullError("log", 28, "no space left on device")
    disk.faults.append(Fault("write", full, skip=skip))
    disk.faults.append(Fault("open_append", full, skip=skip))
    for index in range(2, 6):
        log.add(entries(0, index, b"x" * 100))
        for _ in range(2):
            try:
                log.commit()
            except StorageFullError:
                assert log.has_gathered
    log.drop_flushed({PartitionId(0): 5}, retained_bytes=0)
    assert len(segment_numbers(disk, DIRECTORY)) < 3

    found = remains(open_log(disk), 0)

    assert found.vote == "n2"
    assert found.first + len(found.entries) - 1 == 5


def test_a_disk_that_is_full_only_when_synced_stops_the_log() -> None:
    """What it holds is not known then, so it is no case for another try."""
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(0, 1, b"a"))
    log.write()
    disk.faults.append(Fault("sync", StorageFullError("log", 28, "no space left on device")))

    with pytest.raises(StorageError) as raised:
        log.sync()

    assert not isinstance(raised.value, StorageFullError)


def test_nothing_is_dropped_before_its_hard_states_are_repeated_on_disk() -> None:
    disk = MemoryFileSystem()
    log = open_log(disk, segment_bytes=1)
    log.add(HardState(0, 5, "n2"))
    log.commit()
    log.add(entries(1, 1, b"x"))
    log.write()
    log.drop_flushed({PartitionId(1): 1}, retained_bytes=0)
    disk.sync_directory(DIRECTORY)
    disk.restart()

    assert remains(open_log(disk), 0).vote == "n2"


# Against a model.


@dataclass
class Model:
    """What the log should hold: one copy of the groups after each generation."""

    groups: dict[int, Remains] = field(default_factory=dict)
    generations: list[dict[int, Remains]] = field(default_factory=lambda: [{}])
    flushed: dict[PartitionId, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        group = self.groups.setdefault(record.group, Remains())
        if isinstance(record, HardState):
            group.term, group.vote = type(group.term)(record.term), record.vote
        elif isinstance(record, Entries):
            kept = dict(enumerate(group.entries, group.first))
            kept = {index: entry for index, entry in kept.items() if index < record.first}
            kept.update(enumerate(record.entries, record.first))
            group.first = type(group.first)(min(kept))
            group.entries = [kept[index] for index in sorted(kept)]
        elif isinstance(record, Reset):
            group.start = type(group.first)(record.index), type(group.term)(record.term)
            group.first, group.entries = type(group.first)(record.index + 1), []

    def wrote(self) -> None:
        self.generations.append(deepcopy(self.groups))

    def allows(self, found: dict[PartitionId, Remains]) -> bool:
        """The generation that was synced last, or the one on its way.

        A new segment begins with the newest hard states, so those may be ahead of the entries.
        """
        synced, on_its_way = self.generations[-2:] if len(self.generations) > 1 else self.generations * 2
        for group in synced.keys() | on_its_way.keys() | found.keys():
            states = [known.get(group, Remains()) for known in (synced, on_its_way)]
            kept = found.get(PartitionId(group), Remains())
            if (kept.term, kept.vote) not in [(state.term, state.vote) for state in states]:
                return False
        return logs_of(found) in (logs_of(synced), logs_of(on_its_way))


def logs_of(groups: Mapping[int, Remains] | Mapping[PartitionId, Remains]) -> dict[int, tuple[object, ...]]:
    return {group: (known.start, known.first, known.entries) for group, known in groups.items() if known.entries}


def random_record(rng: random.Random, model: Model) -> Record:
    group = rng.randrange(3)
    known = model.groups.get(group, Remains())
    last = known.first + len(known.entries) - 1
    choice = rng.random()
    if choice < 0.25:
        return HardState(group, known.term + 1, rng.choice(["", "n1", "n2"]))
    if choice < 0.32:
        return Reset(group, last + rng.randrange(1, 5), known.term)
    # What is flushed is committed, and is never written again.
    floor = max(known.first, model.flushed.get(PartitionId(group), 0) + 1, last - 2)
    first = rng.randint(floor, last + 1) if known.entries else known.first
    return Entries(
        group, first, [(known.term, rng.randbytes(rng.randrange(1, 80))) for _ in range(rng.randrange(1, 4))]
    )


def drive(log: NodeLog, model: Model, rng: random.Random, steps: int) -> None:
    for _ in range(steps):
        for _ in range(rng.randrange(1, 4)):
            record = random_record(rng, model)
            model.add(record)
            log.add(record)
        model.wrote()
        log.commit()


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_a_crash_leaves_a_prefix_that_holds_all_that_was_synced(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    disk, model = MemoryFileSystem(), Model()
    log = open_log(disk, segment_bytes=rng.choice([1, 300, 1 << 20]))
    drive(log, model, rng, steps)
    model.add(last := random_record(rng, model))
    log.add(last)
    model.wrote()
    if rng.random() < 0.8:
        log.write()
    disk.restart(rng)

    found = open_log(disk).remains

    assert model.allows(found)


@given(st.integers(0, 2**32))
def test_power_may_fail_at_any_change_of_the_disk(seed: int) -> None:
    rng = random.Random(seed)
    disk, model = MemoryFileSystem(), Model()
    disk.power_lost_at = rng.randrange(60)
    try:
        log = open_log(disk, segment_bytes=200)
        drive(log, model, rng, 30)
    except PowerLostError:
        pass
    disk.restart(rng)

    found = open_log(disk).remains

    assert model.allows(found)
    disk.restart()
    assert open_log(disk).remains == found, "what was found once is found again"


@given(st.integers(0, 2**32))
def test_what_is_dropped_is_only_what_was_flushed(seed: int) -> None:
    rng = random.Random(seed)
    disk, model = MemoryFileSystem(), Model()
    log = open_log(disk, segment_bytes=200)
    flushed = model.flushed
    for _ in range(12):
        drive(log, model, rng, 2)
        for group, known in model.groups.items():
            before = known.first - 1
            flushed[PartitionId(group)] = max(
                flushed.get(PartitionId(group), 0), rng.randint(before, before + len(known.entries))
            )
        log.drop_flushed(flushed, retained_bytes=rng.choice([0, 400]))
    disk.restart()

    found = open_log(disk).remains

    for group, known in model.groups.items():
        kept = found[PartitionId(group)]
        assert (kept.term, kept.vote) == (known.term, known.vote)
        expected = dict(enumerate(known.entries, known.first))
        actual = dict(enumerate(kept.entries, kept.first))
        assert actual.items() <= expected.items()
        assert all(index in actual for index in expected if index > flushed[PartitionId(group)])


def test_a_full_disk_loses_nothing_and_is_tried_again() -> None:
    """What could not be written stays gathered, and is durable once there is room."""
    disk = MemoryFileSystem()
    log = open_log(disk)
    log.add(entries(1, 1, b"kept"))
    disk.faults.append(Fault("write", StorageFullError("log", 28, "no space left"), ".log"))

    with pytest.raises(StorageFullError):
        log.commit()
    assert log.has_gathered
    log.commit()
    disk.restart()

    assert open_log(disk).remains[PartitionId(1)].entries == [(1, b"kept")]
