import pytest

from app.simulation.requests import Request, Requests
from app.simulation.violation import Violation
from raftgroups import (
    Delete,
    Item,
    Level,
    NoQuorumError,
    OutcomeUnknownError,
    PartitionId,
    Put,
    RaftGroupError,
    Written,
)
from tests.simulation.judges.court import breaks
from tests.simulation.scene import Scene

PATIENCE = 1.0
PUT = Request("put", b"k", Put(b"k", b"1.xyz"))
GET = Request("get", b"k")


class Asking:
    """One client, and what it was told."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.requests = Requests(self.scene.simulation, self.scene.bench, PATIENCE)
        self.told: list[bool | None] = []

    def ask(self, request: Request, *, silent: bool = False, error: RaftGroupError | None = None) -> None:
        self.scene.coordinator.silent, self.scene.coordinator.error = silent, error
        self.requests.ask(7, self.scene.node, request, self.told.append)
        self.scene.run(0.1)


@pytest.fixture
def asking() -> Asking:
    return Asking()


def test_a_request_is_what_a_coordinator_is_asked(asking: Asking) -> None:
    asking.ask(PUT)
    asking.ask(Request("delete", b"k", Delete(b"k")))
    asking.ask(GET)
    asking.ask(Request("get", b"k", level=Level.STALE))

    assert asking.scene.coordinator.asked == [
        Put(b"k", b"1.xyz"), Delete(b"k"), (b"k", Level.LINEARIZABLE), (b"k", Level.STALE),
    ]  # fmt: skip


def test_its_deadline_is_by_the_nodes_clock(asking: Asking) -> None:
    asking.scene.run(5.0)
    asking.ask(PUT)

    (deadline,) = asking.scene.coordinator.deadlines
    assert deadline == pytest.approx(asking.scene.node.clock.local(5.0) + PUT.deadline_seconds, abs=0.01)


@pytest.mark.parametrize(
    ("error", "outcome", "told"),
    [
        (None, "done", True),
        (NoQuorumError(PartitionId(0)), "refused", False),
        (OutcomeUnknownError("it may yet apply"), "unknown", None),
    ],
)
def test_an_answer_is_told_counted_and_remembered(
    asking: Asking, error: RaftGroupError | None, outcome: str, told: bool | None
) -> None:
    asking.ask(PUT, error=error)

    (operation,) = asking.scene.bench.history.operations()
    assert asking.told == [told]
    assert asking.requests.outcomes == {f"put {outcome}": 1}
    assert (operation.client, operation.kind, operation.key, operation.value) == (7, "put", "k", "1")
    assert operation.ok is told


def test_a_read_remembers_what_it_saw(asking: Asking) -> None:
    asking.ask(GET, silent=True)
    asking.scene.coordinator.open[0](asking.scene.coordinator.reading(Item(4096, b"12.xyz")))

    (operation,) = asking.scene.bench.history.operations()
    assert (operation.kind, operation.output, operation.ok) == ("get", "12", True)
    assert asking.requests.outcomes == {"get linearizable done": 1}


def test_a_stale_read_is_no_part_of_the_history(asking: Asking) -> None:
    asking.ask(Request("get", b"k", level=Level.STALE))

    assert asking.scene.bench.history.operations() == []
    assert asking.requests.outcomes == {"get stale done": 1}


def test_a_read_of_what_was_never_written_is_judged(asking: Asking) -> None:
    asking.ask(Request("get", b"k", level=Level.STALE), silent=True)
    asking.scene.coordinator.open[0](asking.scene.coordinator.reading(Item(4096, b"12.xyz")))

    with breaks("reads are committed, fresh and monotonic"):
        asking.scene.bench.readings.settle()


def test_an_acknowledgement_of_what_is_not_committed_is_judged(asking: Asking) -> None:
    asking.ask(PUT)

    with breaks("nothing acknowledged is lost, nothing refused is done"):
        asking.scene.bench.acknowledgements.settle()


def test_who_gets_no_answer_gives_up_in_time(asking: Asking) -> None:
    asking.ask(PUT, silent=True)

    asking.scene.run(PUT.deadline_seconds + PATIENCE - 0.2)
    assert asking.told == []
    asking.scene.run(0.2)
    assert asking.told == [None]
    assert asking.requests.outcomes == {"put unknown": 1}


@pytest.mark.parametrize("is_well", [True, False])
def test_a_node_that_is_well_answers_in_time(asking: Asking, *, is_well: bool) -> None:
    asking.ask(PUT, silent=True)
    asking.scene.run(0.1)
    if not is_well:
        asking.scene.node.pause()
        asking.scene.node.resume()
    asking.scene.run(60.0)

    failure = asking.requests.failure
    assert (failure.rule if failure else None) == ("a node that is well answers in time" if is_well else None)


def test_an_answer_that_comes_too_late_is_told_to_nobody_but_must_be_true(asking: Asking) -> None:
    asking.ask(PUT, silent=True)
    asking.scene.run(60.0)
    asking.requests.failure = None

    asking.scene.coordinator.open[0](Written(4096))
    assert asking.told == [None]
    assert asking.requests.failure is None
    with breaks("nothing acknowledged is lost, nothing refused is done"):
        asking.scene.bench.acknowledgements.settle()


@pytest.mark.parametrize("second", [Written(4097), NoQuorumError(PartitionId(0))], ids=["again", "otherwise"])
def test_a_request_that_is_answered_twice_breaks_a_promise(asking: Asking, second: Written | RaftGroupError) -> None:
    asking.ask(PUT, silent=True)
    done = asking.scene.coordinator.open[0]

    failures = list[Violation | None]()
    for answer in (Written(4096), second):
        done(answer)
        failures.append(asking.requests.failure)
    assert [failure and failure.rule for failure in failures] == [None, "one answer"]
    assert asking.told == [True]


def test_a_node_that_stands_still_sees_a_request_when_it_goes_on(asking: Asking) -> None:
    asking.scene.node.pause()
    asking.ask(PUT)
    assert asking.scene.coordinator.asked == []

    asking.scene.node.resume()
    asking.scene.run(0.1)
    assert asking.told == [True]


def test_a_node_that_has_gone_answers_nobody(asking: Asking) -> None:
    asking.scene.node.coordinator = None
    asking.ask(PUT)

    asking.scene.run(60.0)
    assert asking.told == [None]
