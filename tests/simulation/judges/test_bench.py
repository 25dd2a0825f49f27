from app.simulation.judges import Answer
from app.simulation.judges.lifetimes import Lifetimes
from app.simulation.judges.promptness import Promptness
from raftgroups import (
    Item,
    Level,
    LogIndex,
    PartitionId,
    Put,
    Receipt,
    Written,
    encode_command,
    revision_of,
)
from tests.simulation.judges.court import NO_OP, P0, Court, FakeGroup, breaks, entry

LOST = "nothing acknowledged is lost, nothing refused is done"
READINGS = "reads are committed, fresh and monotonic"
PUT = encode_command(Put(b"k", b"1."))


def test_every_rule_says_how_often_it_was_checked() -> None:
    court = Court()
    court.elect("a", term=1)
    court.replicate(entry(Put(b"k", b"1.")))

    tallies = dict(court.bench.tallies())
    assert len(tallies) == 17
    assert {name for name, checked in tallies.items() if not checked} == {
        LOST,
        READINGS,
        Lifetimes.name,
        Promptness.name,
        "counters are exact",
        "linearizable histories",
        "all replicas recover and are equal",
    }


def test_what_clients_were_told_is_judged_at_the_end_of_the_step() -> None:
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)

    court.bench.acknowledgements.acknowledged(P0, PUT, Written(revision_of(LogIndex(1), 0)))
    with breaks(LOST):
        court.see("a")


def test_what_clients_read_is_judged_at_the_end_of_the_step() -> None:
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)

    court.bench.readings.read(never_written())
    with breaks(READINGS):
        court.see("a")


def test_what_clients_were_told_last_is_judged_at_the_end() -> None:
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)
    court.bench.acknowledgements.acknowledged(P0, PUT, Written(revision_of(LogIndex(1), 0)))
    with breaks(LOST):
        court.bench.finish()

    court.bench.readings.read(never_written())
    with breaks(READINGS):
        court.bench.finish()


def never_written() -> Answer:
    return Answer(
        P0, b"k", Item(revision_of(LogIndex(1), 0), b"1."), Receipt(Level.STALE, 0, "a", "leader", 1), (1, 1), 1, 2
    )


def test_a_history_is_judged_at_the_end() -> None:
    court = Court()
    history = court.bench.history
    history.end(history.call(1, "get", "k"), ok=True, output="never written")
    court.see()

    with breaks("linearizable histories"):
        court.bench.finish()


def test_a_replica_that_goes_as_another_comes_is_missed() -> None:
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)

    court["b"].host.groups = {PartitionId(1): FakeGroup()}
    with breaks("one membership change at a time", "b's replica of partition 0 is gone"):
        court.see()


def test_a_node_that_is_down_is_not_looked_at() -> None:
    court = Court()
    court["a"].group.failure = AssertionError("of ours")
    court["a"].host = None

    court.see()


def test_a_step_is_judged_once_in_the_order_of_the_rules() -> None:
    """Each rule relies on those before it: what is broken first is what is told."""
    court = Court()
    court.elect("a", term=1)
    court.replicate(NO_OP)

    court["b"].append((0, NO_OP))
    court["b"].commit(2)
    with breaks("log matching"):
        court.see("b")
