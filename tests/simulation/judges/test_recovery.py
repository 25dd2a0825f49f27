import pytest

from raftgroups import LogIndex, Put
from tests.simulation.judges.court import NO_OP, Court, breaks, configured, entry


@pytest.fixture
def court() -> Court:
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP, entry(Put(b"k", b"1.")))
    return court


def test_a_group_that_is_led_and_equal_has_recovered(court: Court) -> None:
    assert court.bench.recovery.trouble() is None


def test_a_group_that_nobody_leads_has_not(court: Court) -> None:
    court["a"].group.consensus.is_leader = False

    assert court.bench.recovery.trouble() == "partition 0: it is led by nobody"


def test_a_group_that_two_believe_to_lead_has_not(court: Court) -> None:
    court["b"].group.consensus.is_leader = True

    assert court.bench.recovery.trouble() == "partition 0: it is led by ['a', 'b']"


def test_a_node_that_is_down_has_not_recovered(court: Court) -> None:
    court["b"].host, court["b"].failure = None, "the disk is full"

    assert court.bench.recovery.trouble() == "partition 0: b is not up: the disk is full"


def test_a_node_without_its_replica_has_not_recovered(court: Court) -> None:
    court["b"].host.groups.clear()

    assert court.bench.recovery.trouble() == "partition 0: b has no replica"


def test_a_founder_that_never_had_a_replica_has_not_recovered() -> None:
    court = Court()
    court["c"].host.groups.clear()
    court.elect("a", term=1)

    assert court.bench.recovery.trouble() == "partition 0: c has no replica"


def test_a_replica_that_has_stopped_has_not_recovered(court: Court) -> None:
    court["b"].group.failure = AssertionError("of ours")

    assert court.bench.recovery.trouble() == "partition 0: b's replica has stopped: of ours"


def test_a_replica_that_is_behind_has_not_recovered(court: Court) -> None:
    court["b"].group.consensus.applied_index = LogIndex(1)

    assert court.bench.recovery.trouble() == "partition 0: b has applied 1 of 2 entries"


def test_a_replica_with_more_than_is_committed_has_not_recovered(court: Court) -> None:
    court["b"].append((1, NO_OP))

    assert court.bench.recovery.trouble() == "partition 0: b has applied 2 of 2 entries"


def test_a_damaged_disk_need_not_recover(court: Court) -> None:
    court["b"].host, court["b"].disk.is_damaged = None, True

    assert court.bench.recovery.trouble() is None


def test_only_members_need_to_be_there(court: Court) -> None:
    court.replicate(configured("a", "b"))
    court["c"].host = None

    assert court.bench.recovery.trouble() is None


def test_the_last_look_is_at_everything(court: Court) -> None:
    court["b"].group.machine.engine.records[b"\x01stray"] = b"9."

    with breaks("equal contents at equal index"):
        court.bench.recovery.settle()
    assert court.bench.recovery.checked == 2
