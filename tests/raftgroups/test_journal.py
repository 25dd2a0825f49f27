import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import MemoryFileSystem
from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.journal import GroupLog, StoredEntry
from raftgroups.nodelog import NodeLog

GROUP = PartitionId(3)


class Disk:
    """A disk, and the log of one group on it."""

    def __init__(self) -> None:
        self.files = MemoryFileSystem()
        self.open()

    def open(self, applied: int = 0, applied_term: int = 0) -> GroupLog:
        """As after a restart, with an engine that holds everything up to `applied`."""
        self.node_log = NodeLog(self.files, "/log")
        self.log = GroupLog(self.node_log, GROUP, LogIndex(applied), Term(applied_term))
        return self.log

    def crash(self, applied: int = 0, applied_term: int = 0) -> GroupLog:
        self.files.restart()
        return self.open(applied, applied_term)

    def write(self, first: int, *terms: int) -> None:
        self.log.write(LogIndex(first), [(term, b"%d@%d" % (term, first + at)) for at, term in enumerate(terms)])

    def commit(self) -> bool:
        self.node_log.commit()
        return self.log.synced(self.node_log.synced_generation)


def terms_of(log: GroupLog) -> list[int]:
    return [log.term_at(LogIndex(index)) for index in range(log.first_index, log.last_index + 1)]


def test_a_new_log_starts_after_nothing() -> None:
    log = Disk().log

    assert (log.first_index, log.last_index, log.last_term, log.term, log.vote) == (0, 0, 0, 0, None)


def test_entries_follow_each_other() -> None:
    disk = Disk()
    disk.write(1, 1, 1)
    disk.write(3, 2)

    assert (disk.log.last_index, disk.log.last_term) == (3, 2)
    assert disk.log.entry_at(LogIndex(2)) == (1, b"1@2")
    assert terms_of(disk.log) == [0, 1, 1, 2]


@pytest.mark.parametrize("first", [0, 4, 9])
def test_a_gap_is_our_mistake(first: int) -> None:
    disk = Disk()
    disk.write(1, 1, 1)

    with pytest.raises(AssertionError):
        disk.write(first, 2)


def test_a_conflict_cuts_what_stood_there() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 1, 1)
    disk.write(3, 2)

    assert terms_of(disk.log) == [0, 1, 1, 2]
    assert disk.log.bytes_in_memory == sum(len(disk.log.entry_at(LogIndex(index))[1]) for index in (1, 2, 3))
    disk.commit()
    assert terms_of(disk.crash()) == [0, 1, 1, 2]


def test_entries_leave_in_batches_of_bounded_size_but_at_least_one() -> None:
    log = Disk().log
    log.write(LogIndex(1), [(1, b"x" * 10), (1, b"y" * 10), (1, b"z" * 100)])

    assert [payload[:1] for _, payload in log.entries_from(LogIndex(1), 25)] == [b"x", b"y"]
    assert [payload[:1] for _, payload in log.entries_from(LogIndex(3), 25)] == [b"z"]
    assert [payload[:1] for _, payload in log.entries_from(LogIndex(1), 1000)] == [b"x", b"y", b"z"]
    assert log.entries_from(LogIndex(4), 25) == []


# Durability.


def test_an_entry_is_durable_once_its_generation_is_synced() -> None:
    disk = Disk()
    disk.write(1, 1, 1)
    assert disk.log.durable_index == 0

    generation = disk.node_log.write()
    disk.write(3, 1)
    disk.node_log.sync()
    disk.node_log.synced(generation)
    assert disk.log.synced(generation)

    assert disk.log.durable_index == 2
    assert disk.log.entry_generation > generation
    assert disk.commit()
    assert disk.log.durable_index == 3


def test_a_sync_without_entries_of_the_group_is_no_news() -> None:
    disk = Disk()
    disk.log.set_term(Term(2), "n1")

    assert not disk.commit()


def test_what_was_cut_before_its_sync_ended_is_not_durable() -> None:
    """The old entries 2 and 3 reach the disk, but other ones stand there by now."""
    disk = Disk()
    disk.write(1, 1, 1, 1)
    generation = disk.node_log.write()
    disk.write(2, 2, 2)
    disk.node_log.sync()
    disk.node_log.synced(generation)

    disk.log.synced(generation)

    assert disk.log.durable_index == 1
    disk.commit()
    assert disk.log.durable_index == 3


def test_durable_entries_that_are_replaced_are_not_durable() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 1)
    disk.commit()

    disk.write(2, 2)

    assert disk.log.durable_index == 1


@given(st.integers(0, 2**32))
def test_the_durable_index_never_promises_more_than_the_disk_holds(seed: int) -> None:
    rng = random.Random(seed)
    disk = Disk()
    term, written = 1, 0
    for _ in range(rng.randrange(1, 15)):
        term += rng.randrange(2)
        disk.write(rng.randint(max(1, disk.log.last_index - 2), disk.log.last_index + 1), *[term] * rng.randrange(1, 4))
        if rng.random() < 0.6 and not disk.node_log.is_syncing:
            written = disk.node_log.write()
        if rng.random() < 0.6 and disk.node_log.is_syncing:
            disk.node_log.sync()
            disk.node_log.synced(written)
            disk.log.synced(written)
    promised = [disk.log.entry_at(LogIndex(index)) for index in range(1, disk.log.durable_index + 1)]

    log = disk.crash()

    assert log.entries_from(LogIndex(1), 1 << 20)[: len(promised)] == promised


def test_term_and_vote_survive() -> None:
    disk = Disk()
    disk.log.set_term(Term(4), None)
    disk.log.set_term(Term(5), "n2")
    assert disk.log.term_generation == disk.node_log.generation
    disk.commit()

    log = disk.crash()

    assert (log.term, log.vote) == (5, "n2")


def test_a_term_that_was_not_synced_is_forgotten() -> None:
    disk = Disk()
    disk.log.set_term(Term(4), "n1")
    disk.commit()
    disk.log.set_term(Term(5), "n2")

    log = disk.crash()

    assert (log.term, log.vote) == (4, "n1")


def test_the_term_is_never_below_what_the_engine_has_applied() -> None:
    assert Disk().open(applied=7, applied_term=3).term == 3


# Where the log starts after a restart.


def test_entries_that_the_engine_has_not_flushed_are_replayed() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 2, 2)
    disk.commit()

    log = disk.crash(applied=2, applied_term=1)

    assert log.entries_from(LogIndex(3), 1000) == [(2, b"2@3"), (2, b"2@4")]
    assert log.durable_index == 4


def test_entries_before_what_is_flushed_still_serve_a_follower() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 2)
    disk.commit()

    log = disk.crash(applied=3, applied_term=2)

    assert (log.first_index, terms_of(log)) == (1, [1, 1, 2])


def test_an_engine_ahead_of_the_log_starts_it() -> None:
    """It flushed what other replicas had made durable before this node's own log was synced."""
    disk = Disk()
    disk.write(1, 1, 1)
    disk.commit()

    log = disk.crash(applied=5, applied_term=2)

    assert (log.first_index, terms_of(log)) == (5, [2])


def test_entries_right_after_the_engine_follow_it() -> None:
    disk = Disk()
    disk.log.reset(LogIndex(9), Term(2))
    disk.write(10, 2, 3)
    disk.commit()

    log = disk.crash(applied=9, applied_term=2)

    assert (log.first_index, terms_of(log)) == (9, [2, 2, 3])


def test_a_log_that_lacks_what_the_engine_needs_is_damaged() -> None:
    disk = Disk()
    disk.log.reset(LogIndex(9), Term(2))
    disk.write(10, 2)
    disk.commit()

    with pytest.raises(DamagedDirectoryError, match="entries 8 to 9 are missing"):
        disk.crash(applied=7, applied_term=2)


def test_an_engine_older_than_the_logs_snapshot_is_damaged() -> None:
    disk = Disk()
    disk.log.reset(LogIndex(9), Term(2))
    disk.commit()

    with pytest.raises(DamagedDirectoryError, match="snapshot at 9, but the engine ends at 7"):
        disk.crash(applied=7, applied_term=2)


# Snapshots.


def test_a_snapshot_takes_the_place_of_everything() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 1)

    disk.log.reset(LogIndex(40), Term(4))

    assert (disk.log.first_index, disk.log.last_index, disk.log.last_term) == (40, 40, 4)
    assert (disk.log.durable_index, disk.log.bytes_in_memory) == (40, 0)
    disk.commit()
    assert disk.log.durable_index == 40
    log = disk.crash(applied=40, applied_term=4)
    assert (log.first_index, log.last_index) == (40, 40)


def test_a_crash_between_snapshot_and_reset_drops_a_divergent_tail() -> None:
    """The engine holds the snapshot; the log still holds entries of a leader that lost."""
    disk = Disk()
    disk.write(1, 1, 1, 1, 1, 1, 1)
    disk.commit()
    disk.log.reset(LogIndex(4), Term(3))

    log = disk.crash(applied=4, applied_term=3)

    assert (log.first_index, terms_of(log)) == (4, [3])


def test_a_crash_between_snapshot_and_reset_keeps_a_matching_tail() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 3, 3, 3, 3)
    disk.commit()

    log = disk.crash(applied=4, applied_term=3)

    assert log.last_index == 6


def test_a_log_goes_on_after_a_crash_between_snapshot_and_reset() -> None:
    disk = Disk()
    disk.write(1, 1, 1, 1)
    disk.commit()
    disk.crash(applied=40, applied_term=4)
    disk.write(41, 4, 4)
    disk.commit()

    log = disk.crash(applied=40, applied_term=4)

    assert (log.first_index, terms_of(log)) == (40, [4, 4, 4])


# Memory.


def test_forgotten_entries_free_memory_but_stay_on_disk() -> None:
    disk = Disk()
    entries: list[StoredEntry] = [(1, b"x" * 100)] * 10
    disk.log.write(LogIndex(1), entries)
    disk.commit()

    disk.log.forget_before(LogIndex(8))

    assert (disk.log.first_index, disk.log.last_index) == (8, 10)
    assert disk.log.bytes_in_memory == 300
    assert disk.crash(applied=2, applied_term=1).last_index == 10


def test_the_last_entry_is_never_forgotten() -> None:
    disk = Disk()
    disk.write(1, 1, 1)

    disk.log.forget_before(LogIndex(50))

    assert (disk.log.first_index, disk.log.last_term) == (2, 1)


def test_groups_share_a_node_log_and_nothing_else() -> None:
    files = MemoryFileSystem()
    node_log = NodeLog(files, "/log")
    a, b = (GroupLog(node_log, PartitionId(group), LogIndex(0), Term(0)) for group in (1, 2))
    a.write(LogIndex(1), [(1, b"a")])
    b.write(LogIndex(1), [(7, b"b")])
    b.set_term(Term(7), "n1")
    node_log.commit()
    files.restart()

    node_log = NodeLog(files, "/log")
    a, b = (GroupLog(node_log, PartitionId(group), LogIndex(0), Term(0)) for group in (1, 2))

    assert (a.entry_at(LogIndex(1)), a.vote) == ((1, b"a"), None)
    assert (b.entry_at(LogIndex(1)), b.vote) == ((7, b"b"), "n1")
