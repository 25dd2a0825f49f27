import pytest

from raftgroups import Configuration, LogIndex
from tests.simulation.judges.court import NO_OP, P0, Court, FakeConsensus, FakeGroup, breaks, configured

MEMBERSHIPS = "one membership change at a time"


@pytest.fixture
def court() -> Court:
    court = Court("a", "b", "c", "d")
    court.elect("a", term=1)
    court.replicate(NO_OP)
    return court


def test_two_voters_never_change_at_once(court: Court) -> None:
    court["a"].append((1, configured("a", "b", "d")))

    with breaks(MEMBERSHIPS, "entry 2 changes ['c', 'd'] at once"):
        court.see()


def test_a_group_is_never_left_without_voters(court: Court) -> None:
    court.replicate(configured("a", "b"))
    court.replicate(configured("a"))
    court["a"].append((1, configured()))

    with breaks(MEMBERSHIPS, "to ()"):
        court.see()


def test_one_voter_after_the_other_may_change(court: Court) -> None:
    court.replicate(configured("a", "b", "c", "d"))
    court.replicate(configured("a", "b", "d"))

    assert court.facts.chain(P0).configured_at(LogIndex(3)) == (3, Configuration(("a", "b", "d")))


def test_the_next_change_waits_until_the_last_is_committed(court: Court) -> None:
    court["a"].append((1, configured("a", "b", "c", "d")), (1, configured("a", "b", "d")))

    with breaks(MEMBERSHIPS, "wrote a configuration at 3 before that at 2 was committed"):
        court.see()


def test_a_change_that_was_cut_off_does_not_count(court: Court) -> None:
    """The next one is compared with what is left."""
    court["a"].append((1, configured("a", "b", "c", "d")))
    court.see()

    court["a"].append((2, configured("a", "b")), after=1)
    court.see()


def test_a_change_after_a_snapshot_follows_the_one_within_it(court: Court) -> None:
    court["b"].append((1, configured("a", "b", "c", "d")))
    court.see()
    court.replicate_to("acd", configured("a", "b", "c", "d"))
    court.replicate_to("acd", configured("a", "b", "d"))
    court["b"].receive_snapshot(court["a"])
    court.see()

    court["b"].append((1, configured("a", "b")))
    court.see()


def test_a_change_that_a_snapshot_cut_off_does_not_count(court: Court) -> None:
    """The snapshot says who is in force, though an entry that it covers said otherwise here."""
    court["b"].append((1, configured("b", "c")))
    court.see()
    court.replicate_to("acd", NO_OP, NO_OP, term=2)

    court["b"].receive_snapshot(court["a"])
    court["b"].append((2, configured("a", "b")))
    court.see()


def test_everybody_acts_by_the_newest_that_it_has(court: Court) -> None:
    """Committed or not: so it counts its majorities (thesis, 4.1)."""
    court["b"].append((1, configured("a", "b", "c", "d")))

    court["b"].group.consensus.configuration = Configuration(("a", "b", "c"))
    with breaks(MEMBERSHIPS, "not by the configuration of 2"):
        court.see()


def test_nobody_acts_by_what_was_cut_off(court: Court) -> None:
    court["b"].append((1, configured("a", "b", "c", "d")))
    court.see()

    court["b"].append((2, NO_OP), after=1)
    court["b"].group.consensus.configuration = Configuration(("a", "b", "c", "d"))
    with breaks(MEMBERSHIPS, "not by the configuration of 0"):
        court.see()


def test_who_is_new_acts_by_nothing_until_a_snapshot_comes(court: Court) -> None:
    court.replicate_to("abc", configured("a", "b", "c", "d"))
    new = court["d"]
    court.facts.replica(P0, "d").retire()
    new.group = FakeGroup(consensus=FakeConsensus(Configuration(), (LogIndex(0), Configuration())))
    new.host.groups[P0] = new.group
    new.set_term(1, "a")
    court.see()

    new.receive_snapshot(court["a"])
    court.see()
    new.append((1, NO_OP))
    new.group.consensus.configuration = Configuration()
    with breaks(MEMBERSHIPS, "d's replica of partition 0 acts by"):
        court.see()


def test_everybody_believes_in_what_is_committed(court: Court) -> None:
    court.replicate(configured("a", "b", "c", "d"))

    court["b"].group.consensus.committed_configuration = LogIndex(0), Configuration(("a", "b", "c"))
    court["b"].set_term(2, None)
    with breaks(MEMBERSHIPS, "believes in the configuration of 0"):
        court.see()


def test_nobody_believes_in_what_is_not_committed(court: Court) -> None:
    court["b"].append((1, configured("a", "b", "c", "d")))

    court["b"].group.consensus.committed_configuration = LogIndex(2), Configuration(("a", "b", "c", "d"))
    with breaks(MEMBERSHIPS, "and none is committed"):
        court.see()


def test_everybody_was_founded_by_the_same(court: Court) -> None:
    court["b"].group.consensus.committed_configuration = LogIndex(0), Configuration(("a", "b", "d"))

    court["b"].set_term(2, None)
    with breaks(MEMBERSHIPS, "was founded by"):
        court.see()


def test_a_replica_that_nobody_removed_never_goes(court: Court) -> None:
    del court["b"].host.groups[P0]

    with breaks(MEMBERSHIPS, "b's replica of partition 0 is gone"):
        court.see()


def test_a_member_is_never_let_go(court: Court) -> None:
    court.replicate(configured("a", "b", "c", "d"))
    del court["d"].host.groups[P0]

    with breaks(MEMBERSHIPS, "d's replica of partition 0 is gone"):
        court.see()


def test_a_replica_with_nothing_on_disk_may_go(court: Court) -> None:
    """It was being made for a member to be, and its node stopped: it is made again."""
    court.facts.replica(P0, "d").durable = LogIndex(0)
    del court["d"].host.groups[P0]

    court.see()
    assert court.facts.replica(P0, "d").is_retired


def test_a_replica_that_was_removed_may_go(court: Court) -> None:
    court.replicate(configured("a", "b"))
    del court["c"].host.groups[P0]

    court.see()
    assert court.facts.replica(P0, "c").is_retired
