import pytest

from engine import CorruptionError
from raftgroups import Delete, Item, Put, encode_item
from tests.simulation.judges.court import NO_OP, Court, breaks, entry

CONTENTS = "equal contents at equal index"

STRAY = encode_item(Item(1, b"9."))


@pytest.fixture
def court() -> Court:
    court = Court()
    court.elect("a", term=1)
    court.replicate(entry(Put(b"k", b"1.")), entry(Put(b"other", b"2.")))
    return court


def append(court: Court, payload: bytes) -> None:
    """Everybody has it on disk, and the leader has committed it."""
    for node in court.nodes.values():
        node.append((1, payload))
        node.sync()
    court.see()
    court["a"].commit(court["a"].group.log.last_index)
    court.see()


def test_an_entry_that_was_applied_wrongly_is_found_at_once(court: Court) -> None:
    append(court, entry(Put(b"k", b"3.")))

    court["b"].commit(3)
    court["b"].group.machine.engine.records[b"\x01k"] = STRAY
    with breaks(CONTENTS, f"b's replica of partition 0 has applied 3 and holds {STRAY!r} under b'k'"):
        court.see()


def test_a_delete_that_deletes_nothing_is_found_at_once(court: Court) -> None:
    append(court, entry(Delete(b"k")))
    kept = court["b"].group.machine.engine.records[b"\x01k"]

    court["b"].commit(3)
    court["b"].group.machine.engine.records[b"\x01k"] = kept
    with breaks(CONTENTS, "not nothing"):
        court.see()


def test_an_entry_that_was_passed_over_is_found_at_once(court: Court) -> None:
    append(court, entry(Put(b"new", b"3.")))

    court["b"].commit(3)
    del court["b"].group.machine.engine.records[b"\x01new"]
    with breaks(CONTENTS, "holds nothing under b'new'"):
        court.see()


@pytest.mark.parametrize("is_missing", [True, False], ids=["missing", "too many"])
def test_everything_is_compared_after_a_start(court: Court, is_missing: bool) -> None:
    records = court["b"].group.machine.engine.records
    if is_missing:
        del records[b"\x01other"]
    else:
        records[b"\x01stray"] = STRAY
    court.see()

    court["b"].restart()
    with breaks(CONTENTS, "b's replica"):
        court.see()


def test_everything_is_compared_after_a_snapshot(court: Court) -> None:
    machine = court["b"].group.machine
    court.see()

    court["b"].group.machine = type(machine)(type(machine.engine)({b"\x01k": STRAY}), machine.applied_index)
    with breaks(CONTENTS, "b's replica"):
        court.see()


def test_everything_is_compared_at_the_end(court: Court) -> None:
    court["b"].group.machine.engine.records[b"\x01stray"] = STRAY
    court.see()

    with breaks(CONTENTS, "b's replica"):
        court.bench.finish()


def test_the_state_machines_own_records_are_equal_too(court: Court) -> None:
    court["a"].group.machine.engine.records[b"\x00applied"] = b"one"
    court["b"].group.machine.engine.records[b"\x00applied"] = b"other"

    with breaks(CONTENTS, "the state machine's own records"):
        court.bench.finish()


def test_tokens_that_were_not_committed_are_found(court: Court) -> None:
    for node in court.nodes.values():
        node.group.machine.engine.records[b"\x03stray"] = b""

    with breaks(CONTENTS, "other tokens than were committed"):
        court.bench.finish()


def test_what_has_expired_may_wait_to_be_removed(court: Court) -> None:
    stored = encode_item(Item(1, b"9.", "", expires_ms=50))
    for node in court.nodes.values():
        node.group.machine.engine.records[b"\x01lent"] = stored
        node.group.machine.clock_ms = 50
    court.bench.finish()

    for node in court.nodes.values():
        node.group.machine.clock_ms = 49
    with breaks(CONTENTS, "under b'lent'"):
        court.bench.finish()


def test_they_may_differ_at_different_indexes(court: Court) -> None:
    append(court, NO_OP)
    court["a"].group.machine.engine.records[b"\x00applied"] = b"later"
    court["b"].group.machine.engine.records[b"\x00applied"] = b"earlier"
    court["c"].group.machine.engine.records[b"\x00applied"] = b"earlier"

    court.bench.finish()


@pytest.mark.parametrize("is_damaged", [True, False])
def test_an_engine_that_cannot_be_read_is_on_a_damaged_disk(court: Court, is_damaged: bool) -> None:
    node = court["b"]
    node.disk.is_damaged = is_damaged
    node.group.machine.engine.failure = CorruptionError("/b/1.sst", 7, "the checksum of a block does not match")

    node.restart()
    if is_damaged:
        court.see()
    else:
        with breaks(CONTENTS, "cannot be read"):
            court.see()


def test_a_replica_that_has_stopped_is_not_compared(court: Court) -> None:
    """It stopped in the middle of an entry, for a broken disk, and answers nobody any more."""
    node = court["b"]
    node.disk.is_damaged = True
    node.group.failure = CorruptionError("/b/1.sst", 7, "the checksum of a block does not match")
    node.group.machine.engine.records[b"\x01stray"] = STRAY

    node.restart()
    court.see()
