import msgspec
import pytest

from engine import CURRENT, CorruptionError, Fault, StorageError
from raftgroups import receiving, sending
from raftgroups.messages import (
    SnapshotChunk,
    SnapshotOffer,
    SnapshotReply,
)
from tests.raftgroups.ends import Transfer, assert_done, assert_given_up, make_small


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


# Disks.


def fill_up(transfer: Transfer) -> None:
    full = Fault("write", StorageError("x", 28, "no space left on device"))
    transfer.follower.disk.faults.append(full)


def test_a_disk_that_fails_is_reported_to_the_leader() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.step()
    fill_up(transfer)

    transfer.run()

    assert_given_up(transfer)


def test_what_failed_is_not_tried_again_at_once() -> None:
    transfer = Transfer()
    transfer.offer()
    fill_up(transfer)
    transfer.run()

    assert transfer.offers() == []
    assert_given_up(transfer)
    transfer.leader.bench.now += sending.PAUSE_SECONDS
    transfer.offer()
    transfer.run()

    assert_done(transfer)


def test_what_fails_again_is_tried_less_and_less_often() -> None:
    transfer = Transfer()
    began = transfer.leader.bench.now
    tries = 0
    while transfer.leader.bench.now < began + 120:
        transfer.offer()
        if transfer.leader.outbox:
            tries += 1
            fill_up(transfer)
            transfer.run()
            transfer.follower.disk.faults.clear()
        transfer.leader.bench.now += 0.5

    assert 5 <= tries <= 8


@pytest.mark.parametrize("operation", ["open_append", "write", "sync", "rename", "sync_directory", "read", "open_read"])
@pytest.mark.parametrize("skip", range(0, 12, 2))
def test_any_operation_of_the_followers_disk_may_fail(operation: str, skip: int) -> None:
    """The replica is what it was, or whole; unless it cannot tell, and then it stops."""
    transfer = Transfer(commands=5)
    transfer.offer()
    transfer.follower.disk.faults.append(Fault(operation, StorageError("x", 5, "input/output error"), skip=skip))
    transfer.run()
    transfer.follower.disk.faults.clear()

    assert transfer.follower.group.failure is None
    assert transfer.follower.keys() in ([], transfer.leader.keys())
    transfer.leader.bench.now += sending.PAUSE_SECONDS
    if transfer.follower.keys() == []:
        transfer.offer()
        transfer.run()
    assert transfer.follower.keys() == transfer.leader.keys()


def test_a_replica_stops_when_it_cannot_take_back_what_a_restart_would_find() -> None:
    transfer = Transfer(commands=5)
    transfer.offer()
    broken = StorageError("x", 5, "input/output error")
    # CURRENT has its name, but neither can that be made durable nor can it be removed again.
    transfer.follower.disk.faults.append(Fault("remove", broken, suffix=CURRENT, times=None))
    transfer.follower.disk.faults.append(Fault("sync_directory", broken, suffix="p0000-0002", skip=1, times=None))

    transfer.run()

    assert transfer.follower.group.failure is not None


@pytest.mark.parametrize("kind", [".sst", "MANIFEST", CURRENT])
def test_damage_does_not_spread(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not one flipped bit of the leader's files reaches a replica that is in force."""
    at, step = 0, 13 if kind == ".sst" else 1
    while True:
        transfer = Transfer(commands=2)
        transfer.offer()
        folder = next(name for name in transfer.leader.files() if name.startswith("checkpoint"))
        (path,) = [
            f"/a/{folder}/{name}" for name in transfer.leader.disk.list_directory(f"/a/{folder}") if kind in name
        ]
        content = bytearray(transfer.leader.disk.content(path))
        if at >= len(content):
            return
        content[at] ^= 1 << at % 8
        transfer.leader.disk.replace(path, bytes(content))

        transfer.run()

        assert transfer.follower.keys() == []
        assert transfer.follower.files() == ["p0000-0001"]
        assert "cannot be taken" in caplog.text
        assert isinstance(transfer.leader.group.damage, CorruptionError | StorageError)
        assert transfer.leader.files() == ["p0000-0001"]
        at += step


def test_a_refusal_alone_makes_no_leader_doubt_its_tables() -> None:
    """What the follower could not take is read again, all of it, and is well."""
    transfer = Transfer(commands=5)
    transfer.offer()
    while not transfer.follower.received_all():
        transfer.step()
    transfer.follower.disk.faults.append(Fault("rename", StorageError("x", 5, "input/output error")))

    transfer.run()

    assert_given_up(transfer)
    assert transfer.leader.group.damage is None


def test_a_leader_takes_its_time_to_look_for_damage() -> None:
    """Whatever it finds for a transfer that is over by then says nothing of its tables."""
    transfer = Transfer(commands=5)
    transfer.offer()
    transfer.follower.disk.faults.append(Fault("rename", StorageError("x", 5, "input/output error")))
    while not any(one.is_refused for one in transfer.leader.snapshots._sending._transfers.values()):
        assert transfer.step()

    transfer.wait(2 * sending.STALLED_SECONDS)
    assert transfer.leader.snapshots._sending._transfers
    transfer.leader.bench.depose()
    transfer.wait(1.0)
    while transfer.leader.jobs:
        # The checkpoint is gone before it is read.
        transfer.leader.jobs.rotate()
        transfer.leader.work()

    assert transfer.leader.group.damage is None
    assert transfer.leader.files() == ["p0000-0001"]


def test_a_checkpoint_that_cannot_be_taken_is_tried_again_later() -> None:
    transfer = Transfer()
    transfer.leader.disk.faults.append(Fault("link", StorageError("x", 28, "no space left on device")))

    assert transfer.offers() == []
    assert_given_up(transfer)
    transfer.leader.bench.now += sending.PAUSE_SECONDS
    transfer.offer()
    transfer.run()

    assert_done(transfer)


def test_a_checkpoint_that_cannot_be_read_is_given_up() -> None:
    transfer = Transfer()
    transfer.offer()
    transfer.leader.disk.faults.append(Fault("read", StorageError("x", 5, "input/output error")))

    transfer.run()
    assert transfer.leader.files() == ["p0000-0001"]
    assert transfer.leader.group.damage is not None

    transfer.wait(sending.PAUSE_SECONDS)
    transfer.offer()
    transfer.run()
    assert_done(transfer)


# Peers that say what they should not.


@pytest.mark.parametrize(("sender", "term"), [("c", 0), ("a", -1), ("a", 1)])
def test_only_the_leader_of_the_term_may_offer(sender: str, term: int) -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)

    transfer.follower.receive(sender, msgspec.structs.replace(offer, term=offer.term + term))

    (reply,) = transfer.follower.take()
    assert isinstance(reply, SnapshotReply)
    assert reply.failed
    assert transfer.follower.files() == ["p0000-0001"]


def test_an_offer_of_somebody_else_does_not_disturb() -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)

    transfer.follower.receive("c", msgspec.structs.replace(offer, transfer=1, term=offer.term - 1))
    transfer.follower.outbox.clear()
    transfer.run()

    assert_done(transfer)


@pytest.mark.parametrize(
    "files",
    [
        [("../../identity", 5), (CURRENT, 16)],
        [("/etc/passwd", 5), (CURRENT, 16)],
        [("..", 5), (CURRENT, 16)],
        [("a\0b", 5), (CURRENT, 16)],
        [("", 5), (CURRENT, 16)],
        [("000001.sst", 5)],
        [(CURRENT, 16), ("000001.sst", 5)],
        [("000001.sst", -5), (CURRENT, 16)],
        [],
    ],
)
def test_files_that_are_no_checkpoint_are_refused(files: list[tuple[str, int]]) -> None:
    """Names come from a peer: none of them may lead out of the directory."""
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)

    transfer.follower.receive("a", msgspec.structs.replace(offer, files=files))
    transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, 0, b"12345"))
    transfer.follower.work_off()

    replies = transfer.follower.take()
    assert [reply.failed for reply in replies if isinstance(reply, SnapshotReply)] == [True]
    assert transfer.follower.files() == ["p0000-0001"]


@pytest.mark.parametrize("offset", [-1, 1, 1000])
def test_a_chunk_out_of_order_ends_the_transfer(offset: int) -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)
    transfer.follower.work_off()

    transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, offset, b"x"))
    transfer.run()

    assert_given_up(transfer)


def test_chunks_beyond_the_end_are_void() -> None:
    """Also while what came is put in force."""
    transfer = Transfer(commands=4)
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    size = sum(size for _, size in offer.files)
    transfer.follower.receive("a", offer)
    while transfer.step():
        if transfer.follower.received_all():
            transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, size, b"x"))

    assert_done(transfer)


def test_a_chunk_that_is_longer_than_its_file_ends_the_transfer() -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)

    transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, 0, b"x" * 1_000_000))
    transfer.run()

    assert_given_up(transfer)


def test_a_leader_that_sends_more_than_a_window_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the disk is in memory meanwhile."""
    monkeypatch.setattr(receiving, "WINDOW_BYTES", 1500)
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)
    transfer.follower.receive("a", offer)
    transfer.follower.work_off()

    for offset in (0, 1000):
        transfer.follower.receive("a", SnapshotChunk(0, offer.transfer, offset, b"x" * 1000))
    transfer.run()

    assert_given_up(transfer)


@pytest.mark.parametrize("received", [-1, 1 << 40])
def test_a_confirmation_of_what_was_not_sent_ends_the_transfer(received: int) -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)

    transfer.leader.receive("b", SnapshotReply(0, offer.term, offer.transfer, received))
    transfer.leader.work_off()

    assert transfer.leader.files() == ["p0000-0001"]
    assert transfer.leader.group._holds == 0


def test_replies_to_another_transfer_are_void() -> None:
    transfer = Transfer()
    (offer,) = transfer.offers()
    assert isinstance(offer, SnapshotOffer)

    transfer.leader.receive("b", SnapshotReply(0, offer.term, offer.transfer + 1, 0, failed=True))
    transfer.follower.receive("a", offer)
    transfer.run()

    assert_done(transfer)
