import random

import msgspec
import pytest

from engine import CURRENT, CorruptionError, MemoryFileSystem, PowerLostError
from raftgroups import pace as pace_module
from raftgroups import receiving, sending
from raftgroups.ids import LogIndex, PartitionId
from raftgroups.messages import (
    Heartbeat,
    SnapshotChunk,
    SnapshotOffer,
    SnapshotReply,
    decode_messages,
)
from tests.raftgroups.bench import P0, Bench
from tests.raftgroups.ends import End, Transfer, assert_done, assert_given_up, bytes_of, make_small


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


# From end to end.


def test_a_follower_ends_up_with_what_its_leader_had() -> None:
    transfer = Transfer()
    transfer.offer()

    transfer.run()

    assert_done(transfer)
    assert transfer.follower.files() == ["p0000-0002"], "the old generation is gone"
    assert transfer.leader.files() == ["p0000-0001"], "and so is the checkpoint"


def test_a_snapshot_takes_the_place_of_damaged_tables() -> None:
    transfer = Transfer()
    replica = transfer.follower.group
    replica.doubt(CorruptionError("000001.sst", 8, "a flipped bit"))
    assert replica.is_impaired

    transfer.offer()
    transfer.run()

    assert_done(transfer)
    assert replica.damage is None
    assert not replica.is_impaired


def test_a_restart_finds_the_snapshot() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.run()
    transfer.follower.bench.sync()
    transfer.follower.disk.restart()

    again = End("b", transfer.follower.disk)

    assert again.keys() == transfer.leader.keys()
    assert again.group.consensus.applied_index == transfer.follower.group.consensus.applied_index


def test_two_snapshots_in_a_row() -> None:
    """The log was compacted again while the first was on its way."""
    transfer = Transfer()
    transfer.offer()
    transfer.run()
    transfer.write(20, b"more")
    transfer.leave_behind()

    transfer.offer()
    transfer.run()

    assert_done(transfer)
    assert transfer.follower.files() == ["p0000-0003"]


def test_what_is_written_meanwhile_is_not_in_it() -> None:
    """A flush and a compaction of the leader's tables do not harm the checkpoint."""
    transfer = Transfer()
    transfer.offer()
    before = transfer.leader.keys()
    transfer.write(5, b"later")
    transfer.leader.group.machine.engine.flush()
    transfer.leader.group.machine.engine.compact()

    transfer.run()

    assert transfer.follower.keys() == before


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_of_messages_and_jobs(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        transfer = Transfer(commands=6)
        transfer.offer()

        while transfer.step(rng):
            pass

        assert_done(transfer)


def test_chunks_run_only_a_window_ahead() -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    assert sum(size for _, size in offer.files) > 10_000
    transfer.follower.receive("a", offer)

    chunks = transfer.answer()

    assert bytes_of(chunks) == pace_module.FIRST_BYTES
    for chunk in chunks:
        transfer.follower.receive("a", chunk)
    transfer.run()
    assert_done(transfer)


def test_current_comes_last() -> None:
    (offer,) = Transfer().offers()

    assert isinstance(offer, SnapshotOffer)
    assert offer.files[-1][0] == CURRENT
    assert len(offer.files) >= 3


def test_nothing_waits_for_a_disk_on_the_event_loop() -> None:
    """Every read, write and sync of a transfer is a job of a worker."""
    transfer = Transfer()
    transfer.offer()
    a, b = transfer.leader, transfer.follower
    while True:
        before = a.disk.changes, b.disk.changes
        moved = transfer.deliver(a, b) or transfer.deliver(b, a)
        assert (a.disk.changes, b.disk.changes) == before
        if not (moved or b.work() or a.work()):
            break

    assert_done(transfer)


def test_entries_are_kept_for_the_follower_meanwhile() -> None:
    transfer = Transfer()
    transfer.offer()
    assert transfer.leader.group._holds == 1

    transfer.run()

    assert transfer.leader.group._holds == 0


def test_entries_are_not_kept_beyond_what_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transfer itself goes on."""
    transfer = Transfer()
    transfer.offer()
    monkeypatch.setattr(sending, "HELD_LOG_BYTES_MAX", 100)

    transfer.leader.snapshots.tick()

    assert transfer.leader.group._holds == 0
    transfer.run()
    assert_done(transfer)


def test_one_snapshot_at_a_time_goes_to_a_follower() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.leader.take()

    transfer.offer()

    assert transfer.leader.take() == []
    assert [name for name in transfer.leader.files() if name.startswith("checkpoint")] == ["checkpoint-0001"]


def test_a_replica_that_is_ahead_takes_no_snapshot() -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)

    transfer.follower.receive("a", msgspec.structs.replace(offer, index=0))

    (reply,) = transfer.follower.take()
    assert isinstance(reply, SnapshotReply)
    assert reply.installed
    assert transfer.follower.files() == ["p0000-0001"]


@pytest.mark.parametrize("steps", range(80))
def test_a_replica_that_went_ahead_meanwhile_keeps_its_state(steps: int) -> None:
    """Whenever it learns of newer entries by another way, the older snapshot is not put over them."""
    transfer = Transfer(commands=5)
    transfer.offer()
    taken = transfer.leader.group.consensus.applied_index
    for _ in range(steps):
        transfer.step()
    follower = transfer.follower
    if follower.group.consensus.applied_index >= taken:
        return
    newer = LogIndex(taken + 1)
    follower.group.machine.apply(newer, transfer.leader.group.consensus.term, follower.group.no_op(None))
    follower.group.consensus._SyncObj__raftLastApplied = newer
    follower.group.consensus._SyncObj__raftCommitIndex = newer

    transfer.run()

    assert follower.group.machine.applied_index == newer
    assert follower.files() == ["p0000-0001"]
    assert follower.snapshots.floor(P0) == receiving.NO_FLOOR
    assert follower.group.failure is None


# The link.


def every_cut() -> range:
    """One for each step of a transfer, and a few beyond."""
    return range(60)


@pytest.mark.parametrize("steps", every_cut())
def test_a_transfer_goes_on_where_the_link_was_cut(steps: int) -> None:
    """The same checkpoint, from the byte that the follower has."""
    transfer = Transfer(commands=8)
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)
    for _ in range(steps):
        transfer.step()
    was_installed = transfer.follower.group.consensus.applied_index >= offer.index
    transfer.cut()
    transfer.wait(5.0)

    transfer.offer_again()
    again = decode_messages(transfer.leader.outbox[0][1])[0] if transfer.leader.outbox else offer
    before = transfer.follower.disk.changes
    transfer.run()

    assert again == offer
    assert_done(transfer)
    if was_installed:
        assert transfer.follower.disk.changes - before <= 10, "nothing is received again"


def test_no_byte_that_is_stored_is_sent_again() -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)
    size = sum(size for _, size in offer.files)
    for _ in range(40):
        transfer.step()
    transfer.cut()
    transfer.follower.work_off()
    stored = transfer.follower.snapshots._receiving._transfers[P0].stored
    assert 0 < stored < size

    (repeated,) = transfer.offers()
    transfer.follower.receive("a", repeated)
    (first, *_) = transfer.answer()

    assert isinstance(first, SnapshotChunk)
    assert first.offset == stored


@pytest.mark.parametrize("seed", range(60))
def test_a_link_that_is_cut_again_and_again(seed: int) -> None:
    """In any order of messages and jobs; the transfer never begins anew."""
    rng = random.Random(seed)
    transfer = Transfer(commands=10)
    offers = set()
    for _ in range(rng.randrange(12)):
        transfer.offer_again()
        offers |= {message.transfer for message in transfer.leader.offers()}
        for _ in range(rng.randrange(40)):
            transfer.step(rng)
        transfer.cut()
        transfer.wait(rng.choice((0.0, 1.0)))
    transfer.offer_again()
    offers |= {message.transfer for message in transfer.leader.offers()}

    while transfer.step(rng):
        pass

    assert len(offers) <= 1
    assert_done(transfer)


def test_a_link_lost_before_the_checkpoint_is_taken() -> None:
    transfer = Transfer()
    transfer.leader.snapshots.needed(transfer.leader.group, "b")
    transfer.cut()
    transfer.leader.work_off()
    assert transfer.leader.take() == []

    transfer.offer()
    transfer.run()

    assert_done(transfer)


@pytest.mark.parametrize("steps", range(0, 30, 3))
def test_what_is_cut_off_is_kept_for_a_bounded_time(steps: int) -> None:
    transfer = Transfer()
    transfer.offer()
    for _ in range(steps):
        transfer.step()
    transfer.cut()
    for end in (transfer.leader, transfer.follower):
        end.work_off()
    assert transfer.leader.group._holds == 1

    transfer.wait(sending.KEPT_SECONDS + 1)
    transfer.wait(receiving.KEPT_SECONDS)

    assert_given_up(transfer)
    transfer.introduce()
    transfer.offer()
    transfer.run()
    assert_done(transfer)


def test_a_transfer_that_does_not_move_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    transfer = Transfer()
    transfer.offers()
    transfer.leader.bench.now += sending.STALLED_SECONDS + 1

    transfer.leader.snapshots.tick()
    transfer.leader.work_off()

    assert transfer.leader.files() == ["p0000-0001"]
    assert "does not move" in caplog.text


def test_a_long_check_does_not_end_the_transfer() -> None:
    """The follower says that it is still there."""
    transfer = Transfer()
    transfer.offer()
    while not (transfer.follower.received_all() and not transfer.follower.outbox):
        transfer.step()

    for _ in range(30):
        for end in (transfer.leader, transfer.follower):
            end.bench.now += 1.0
            end.snapshots.tick()
        transfer.deliver(transfer.follower, transfer.leader)

    transfer.run()
    assert_done(transfer)


def test_other_partitions_wait_for_their_turn() -> None:
    """One transfer at a time to a peer, so that not all of them fill the link at once."""
    transfer = Transfer()
    other = Bench("abc", "a", transfer.leader.disk, "/a/other", "/a/otherlog").lead()
    other.group.partition = PartitionId(1)
    other.put(b"other")
    other.turn()
    transfer.offer()
    (offer,) = transfer.leader.take()

    transfer.leader.snapshots.needed(other.group, "b")
    transfer.leader.work_off()
    assert transfer.leader.take() == []
    transfer.follower.receive("a", offer)
    while not (found := transfer.leader.offers()):
        transfer.step()

    assert [message.group for message in found] == [1]
    assert transfer.leader.group._holds == 0, "the first is done"


# Processes.


@pytest.mark.parametrize("steps", every_cut())
def test_a_sender_that_was_killed_begins_anew(steps: int) -> None:
    """Its new life knows nothing of the transfer, and no number of it is taken for one of the old."""
    transfer = Transfer(commands=8)
    transfer.offer()
    for _ in range(steps):
        transfer.step()
    transfer.cut()
    transfer.leader.disk.kill()
    transfer.leader = End("a", transfer.leader.disk, seed=1)
    assert [name for name in transfer.leader.files() if name.startswith("checkpoint")] == []
    transfer.leader.bench.now = 10.0
    transfer.leader.bench.lead()
    transfer.leave_behind()
    transfer.introduce()

    transfer.insist()

    assert_done(transfer)


@pytest.mark.parametrize("steps", every_cut())
def test_a_receiver_that_was_killed_begins_anew(steps: int) -> None:
    """It is offered the same transfer, and takes it from its first byte."""
    transfer = Transfer(commands=8)
    transfer.offer()
    for _ in range(steps):
        transfer.step()
    transfer.cut()
    transfer.follower.disk.kill()
    transfer.follower = End("b", transfer.follower.disk)
    assert transfer.follower.keys() in ([], transfer.leader.keys())
    assert len(transfer.follower.files()) == 1
    transfer.introduce()

    transfer.offer()
    transfer.run()

    assert_done(transfer)


@pytest.mark.parametrize("seed", range(240))
def test_power_may_fail_at_any_change_of_the_followers_disk(seed: int) -> None:
    """It then has its old replica, or the new one whole; the node starts in either case, and is sent what it lacks."""
    rng = random.Random(seed)
    disk = MemoryFileSystem()
    transfer = Transfer(disk, commands=3)
    for index in range(1, 3):
        machine = transfer.follower.group.machine
        machine.apply(LogIndex(index), transfer.leader.group.consensus.term, transfer.leader.group.no_op(None))
    transfer.follower.group.machine.engine.flush()
    before = transfer.follower.keys()
    transfer.offer()
    disk.power_lost_at = disk.changes + seed % 60
    try:
        transfer.run()
        transfer.follower.bench.sync()
    except PowerLostError:
        pass
    disk.restart(rng)

    transfer.follower = End("b", disk)

    assert transfer.follower.keys() in (before, transfer.leader.keys())
    assert len(transfer.follower.files()) == 1
    transfer.cut()
    transfer.introduce()
    transfer.offer()
    transfer.run()
    assert_done(transfer)


@pytest.mark.parametrize("steps", every_cut())
def test_a_leader_that_is_deposed_ends_its_transfers(steps: int) -> None:
    """Whoever leads then sends its own; what came of the first is not mixed with it."""
    transfer = Transfer(commands=8)
    transfer.offer()
    for _ in range(steps):
        transfer.step()
    old = transfer.leader
    taken = transfer.follower.group.consensus.applied_index
    old.bench.depose("c")
    transfer.follower.group.consensus.receive("c", Heartbeat(0, old.group.consensus.term, 0, 0), 3.0)

    transfer.run()
    transfer.wait(1.0)
    transfer.run()

    assert old.group._holds == 0
    assert old.files() == ["p0000-0001"]
    assert len(transfer.follower.files()) == 1
    assert transfer.follower.keys() in ([], old.keys())
    assert transfer.follower.group.consensus.applied_index >= taken


@pytest.mark.parametrize("steps", every_cut())
def test_a_group_that_is_removed_takes_its_transfers_along(steps: int) -> None:
    transfer = Transfer(commands=8)
    transfer.offer()
    for _ in range(steps):
        transfer.step()
    was_done = transfer.follower.files() == ["p0000-0002"]
    for end in (transfer.leader, transfer.follower):
        end.snapshots.forget(end.group)
        end.outbox.clear()

    transfer.run()

    assert transfer.leader.files() == ["p0000-0001"]
    assert transfer.leader.group._holds == 0
    in_force = transfer.follower.group.machine.engine
    assert len(transfer.follower.files()) == 1
    assert in_force.get(b"x") is None, "the engine in use is open"
    if was_done:
        assert transfer.follower.keys() == transfer.leader.keys()


def test_nothing_moves_after_the_end() -> None:
    for steps in range(40):
        transfer = Transfer(commands=4)
        transfer.offer()
        for _ in range(steps):
            transfer.step()
        for end in (transfer.leader, transfer.follower):
            end.snapshots.close()
            end.outbox.clear()

        for end in (transfer.leader, transfer.follower):
            end.work_off()

        assert not transfer.step(), "neither a message nor a job"
