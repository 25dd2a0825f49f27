import pytest

from raftgroups import LogIndex, Put
from tests.simulation.judges.court import NO_OP, Court, breaks, entry

COMMITS = "state machine safety"


@pytest.fixture
def court() -> Court:
    """Two entries, committed and applied everywhere."""
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP, entry(Put(b"k", b"1.")))
    return court


def test_two_replicas_commit_the_same_at_an_index(court: Court) -> None:
    court["a"].append((1, NO_OP))
    court["b"].append((1, NO_OP))
    for name in "ab":
        court[name].sync()
        court.see(name)
    court["a"].commit(3)
    court.see("a")
    court["c"].append((2, NO_OP))
    court["c"].commit(3)

    with breaks(COMMITS, "an entry of term 2 at 3, where one of term 1 was committed"):
        court.see("c")


def test_what_was_committed_is_not_cut_off(court: Court) -> None:
    court["b"].append((2, NO_OP), after=1)
    court["b"].group.consensus.commit_index = LogIndex(2)

    with breaks(COMMITS, "cut entry 2 of term 1 off"):
        court.see("b")


def test_what_others_committed_is_not_cut_off(court: Court) -> None:
    """A replica that does not know yet what is committed must keep it all the same."""
    for name in "abc":
        court[name].append((1, NO_OP))
        court[name].sync()
        court.see(name)
    court["a"].commit(3)
    court.see("a")

    court["b"].append((2, NO_OP), after=2)
    with breaks(COMMITS, "cut entry 3 of term 1 off"):
        court.see("b")


def test_what_is_committed_and_was_not_on_disk_may_be_lost_by_a_crash(court: Court) -> None:
    """It is on the disks of others: it was committed without this one."""
    for name in "abc":
        court[name].append((1, NO_OP))
    court["a"].sync()
    court["b"].sync()
    court.see()
    court["a"].commit(3)
    court.see("a")

    del court["c"].group.log.entries[3:]
    court["c"].restart()
    court.see("c")


def test_what_is_committed_is_not_cut_off_though_it_was_not_on_disk(court: Court) -> None:
    """Only a crash may take it: whoever runs knows what it holds."""
    for name in "abc":
        court[name].append((1, NO_OP))
    court["a"].sync()
    court["b"].sync()
    court.see()
    court["a"].commit(3)
    court.see("a")

    court["c"].append((2, NO_OP), after=2)
    with breaks(COMMITS, "cut entry 3 of term 1 off"):
        court.see("c")


def test_what_was_not_committed_may_be_cut_off(court: Court) -> None:
    """Though another entry was committed at its index."""
    court["c"].append((1, entry(Put(b"k", b"2."))))
    court["c"].sync()
    court.see("c")
    for name in "ab":
        court[name].append((2, NO_OP))
        court[name].sync()
        court.see(name)
    court["a"].commit(3)
    court.see("a")

    court["c"].append((2, NO_OP), after=2)
    court.see("c")


def test_nobody_comes_back_with_more_than_was_committed(court: Court) -> None:
    court["c"].append((1, NO_OP), (1, NO_OP))
    court["c"].sync()
    court.see("c")

    court["c"].restart()
    court["c"].group.consensus.applied_index = LogIndex(3)
    court["c"].group.consensus.commit_index = LogIndex(4)
    with breaks(COMMITS, "committed 4, but nobody committed 3"):
        court.see("c")


def test_nothing_is_applied_before_it_is_committed(court: Court) -> None:
    court["a"].append((1, NO_OP))
    court["a"].apply(3)

    with breaks(COMMITS, "applied 3, but committed 2"):
        court.see()


def test_nothing_is_committed_that_is_not_in_the_log(court: Court) -> None:
    court["a"].group.consensus.commit_index = LogIndex(9)

    with breaks(COMMITS, "committed 9, but its log ends at 2"):
        court.see()


@pytest.mark.parametrize(
    ("field", "words"), [("commit_index", "committed 2, then 1"), ("applied_index", "applied 2, then 1")]
)
def test_a_replica_never_goes_back(court: Court, field: str, words: str) -> None:
    consensus = court["b"].group.consensus
    consensus.applied_index = LogIndex(1)
    setattr(consensus, field, LogIndex(1))

    with breaks(COMMITS, words):
        court.see()


def test_what_the_engine_had_flushed_is_there_after_a_restart(court: Court) -> None:
    court["b"].group.machine.engine.flushed_sequence = 2
    court.see()

    court["b"].restart()
    court["b"].group.consensus.commit_index = court["b"].group.consensus.applied_index = LogIndex(1)
    with breaks(COMMITS, "came back at 1, but its engine had flushed 2"):
        court.see()


def test_what_the_engine_had_not_flushed_is_applied_again(court: Court) -> None:
    node = court["b"]
    node.group.machine.engine.flushed_sequence = 1
    court.see()

    node.restart()
    node.group.consensus.commit_index = node.group.consensus.applied_index = LogIndex(1)
    node.group.machine.applied_index = LogIndex(1)
    node.group.machine.engine.records.clear()
    court.see()
    node.commit(2)
    court.see()


def test_a_snapshot_holds_nothing_that_nobody_committed(court: Court) -> None:
    node = court["b"]
    node.append(*[(1, NO_OP)] * 5)
    node.sync()
    node.group.consensus.commit_index = node.group.consensus.applied_index = LogIndex(7)
    node.forget_before(7)

    with breaks(COMMITS, "has committed 7 of 2 entries"):
        court.see("b")
