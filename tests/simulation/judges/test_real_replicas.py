"""The judges watch real replicas, with which a test tampers between two steps."""

from collections.abc import Callable, Iterator

import pytest

from app.simulation.judges import Bench
from engine import SequenceNumber, WriteBatch
from engine.memory_files import _MemoryAppendableFile
from raftgroups import LogIndex, RaftGroup, Term
from tests.simulation.judges.court import NO_OP, breaks
from tests.simulation.stage import P0, Stage


class Watched(Stage):
    """Three nodes that have written something, and the judges."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(self.simulation.nodes)
        self.simulation.judges.append(self.bench)
        self.run(2.0)
        self.write(5)
        self.run(4.0)

    @property
    def leading(self) -> RaftGroup:
        return self.group(self.leader)

    @property
    def follower(self) -> str:
        return min(set(self.simulation.nodes) - {self.leader})

    @property
    def following(self) -> RaftGroup:
        return self.group(self.follower)


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


def test_they_have_nothing_to_say_while_nobody_tampers(watched: Watched) -> None:
    watched.write(5)
    watched.run(9.0)

    watched.bench.finish()
    assert watched.bench.recovery.trouble() is None


def forget_the_term(watched: Watched) -> None:
    watched.following.log.set_term(Term(0), None)


def vote_again(watched: Watched) -> None:
    watched.following.log.set_term(watched.following.log.term, watched.follower)


def lead_as_well(watched: Watched) -> None:
    watched.following.consensus.is_leader = True


def stop(watched: Watched) -> None:
    watched.following.failure = AssertionError("of ours")


def let_go(watched: Watched) -> None:
    host = watched[watched.follower].host
    assert host is not None
    del host.groups[P0]


def commit_alone(watched: Watched) -> None:
    log = watched.leading.log
    log.write(LogIndex(log.last_index + 1), [(log.term, NO_OP)])
    watched.leading.consensus._store_commit(log.last_index)


def commit_nothing(watched: Watched) -> None:
    watched.following.consensus._store_commit(LogIndex(watched.following.log.last_index + 1))


def uncommit(watched: Watched) -> None:
    watched.following.consensus._store_commit(LogIndex(watched.following.consensus.commit_index - 1))


def cut_off(watched: Watched) -> None:
    log = watched.following.log
    log.write(log.last_index, [(log.term + 1, NO_OP)])


def write_something_else(watched: Watched) -> None:
    log = watched.following.log
    log.write(LogIndex(log.last_index + 1), [(log.term - 1, NO_OP)])


TAMPERINGS: list[tuple[Callable[[Watched], None], str]] = [
    (forget_the_term, "term and vote are kept"),
    (vote_again, "term and vote are kept"),
    (lead_as_well, "one leader per term"),
    (stop, "no replica stops without a broken disk"),
    (let_go, "one membership change at a time"),
    (commit_alone, "committed means on disk at a majority"),
    (commit_nothing, "state machine safety"),
    (uncommit, "state machine safety"),
    (cut_off, "state machine safety"),
    (write_something_else, "log matching"),
]


@pytest.mark.parametrize(("tamper", "rule"), TAMPERINGS, ids=[tamper.__name__ for tamper, _ in TAMPERINGS])
def test_tampering_is_found_at_the_next_step(watched: Watched, tamper: Callable[[Watched], None], rule: str) -> None:
    tamper(watched)

    with breaks(rule):
        for node in watched.simulation.nodes.values():
            watched.bench.observe(node)


@pytest.mark.parametrize("is_put", [True, False])
def test_a_record_that_no_entry_made_is_found_at_the_end(watched: Watched, is_put: bool) -> None:
    engine = watched.following.machine.engine
    batch = WriteBatch()
    if is_put:
        batch.put(b"\x01stray", b"9.")
    else:
        batch.delete(b"\x01k0")
    engine.write(batch, sequence=SequenceNumber(watched.following.machine.applied_index))
    watched.run(6.0)

    with breaks("equal contents at equal index"):
        watched.bench.finish()


def test_syncs_that_do_nothing_are_found_when_the_power_goes(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_MemoryAppendableFile, "sync", lambda file: None)
    watched.write(5)
    watched.run(6.0)
    for node in watched.simulation.nodes.values():
        node.lose_power()
        node.start()

    with breaks("log matching", "which were on its disk"):
        watched.run(9.0)
