import pytest

from raftgroups import Configuration, LogIndex
from tests.simulation.judges.court import NO_OP, P0, Court, breaks, configured

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

    court["a"].append((1, configured("a", "b")), after=1)
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


def test_a_replica_that_was_removed_may_go(court: Court) -> None:
    court.replicate(configured("a", "b"))
    del court["c"].host.groups[P0]

    court.see()
    assert court.facts.replica(P0, "c").is_retired
