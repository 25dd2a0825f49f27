"""`ringkv replicas` and `ringkv transfer`, against a gateway that really listens."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from app import replicas
from app.cli import main
from app.replicas import format_replicas
from app.views import Replicas
from raftgroups import ChangeRefusedError, NoQuorumError, OutcomeUnknownError, PartitionId, RaftGroupError
from tests.app.running import Running, running

BEFORE = Replicas(1, ("n1", "n2", "n3"), (), ("n1", "n2", "n3"))
LEARNING = Replicas(1, ("n1", "n2", "n3"), ("n4",), ("n1", "n2", "n4"))
PROMOTED = Replicas(1, ("n1", "n2", "n4", "n3"), (), ("n1", "n2", "n4"))
MOVED = Replicas(1, ("n1", "n2", "n4"), (), ("n1", "n2", "n4"))


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(replicas, "POLL_SECONDS", 0.001)
    with running() as gateway:
        yield gateway


def tell(gateway: Running, monkeypatch: pytest.MonkeyPatch, *story: Replicas | RaftGroupError) -> None:
    """What the gateway answers, one after the other, and then the last for ever."""
    left = list(story)

    def answer(partition: int) -> Replicas:
        assert partition == 1
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, RaftGroupError):
            raise now
        return now

    monkeypatch.setattr(gateway.fake, "replicas", answer)


def run(gateway: Running, *arguments: str) -> Result:
    name, *rest = arguments
    return CliRunner().invoke(main, [name, "--url", gateway.url, *rest])


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (BEFORE, "partition 1: voters n1 n2 n3"),
        (LEARNING, "partition 1: voters n1 n2 n3, learners n4, target n1 n2 n4"),
        (PROMOTED, "partition 1: voters n1 n2 n4 n3, target n1 n2 n4"),
        (Replicas(1, ("n3", "n1"), (), ("n1", "n3")), "partition 1: voters n3 n1"),
    ],
)
def test_what_is_shown(now: Replicas, text: str) -> None:
    shown = {"partition": 1, "voters": now.voters, "learners": now.learners, "target": now.target}

    assert format_replicas(shown) == text


def test_without_nodes_nothing_changes(gateway: Running) -> None:
    result = run(gateway, "replicas", "1")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "partition 1: voters n1 n2 n3\n", "")
    assert gateway.fake.targets == {}


def test_with_nodes_the_target_is_set(gateway: Running) -> None:
    result = run(gateway, "replicas", "1", "n3", "n1")

    assert (result.exit_code, result.stdout) == (0, "partition 1: voters n1 n2 n3, target n3 n1\n")
    assert gateway.fake.targets == {1: ("n3", "n1")}


def test_it_waits_until_the_replicas_have_moved(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that has not heard of the change yet, or fails for a while, ends nothing."""
    lost = NoQuorumError(PartitionId(1))
    tell(gateway, monkeypatch, BEFORE, BEFORE, LEARNING, lost, PROMOTED, MOVED)

    moved = run(gateway, "replicas", "1", "n2", "n1", "n3", "--wait")
    settled = run(gateway, "replicas", "1", "--wait")

    assert (moved.exit_code, moved.stdout) == (0, "partition 1: voters n1 n2 n3\n")
    assert (settled.exit_code, settled.stdout) == (0, "partition 1: voters n1 n2 n4\n")


def test_it_does_not_take_the_state_before_for_the_end(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(gateway, monkeypatch, MOVED, MOVED, MOVED, BEFORE)

    result = run(gateway, "replicas", "1", "n3", "n2", "n1", "--wait")

    assert (result.exit_code, result.stdout) == (0, "partition 1: voters n1 n2 n3\n")


def test_it_does_not_wait_for_ever(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(gateway, monkeypatch, LEARNING)

    result = run(gateway, "replicas", "1", "--wait", "--timeout", "0.3")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: not done after 0.3 s, and it goes on: partition 1: voters n1 n2 n3, learners n4, target n1 n2 n4\n"
    )


def test_while_it_waits_a_gateway_that_goes_is_named(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(partition: int) -> Replicas:
        gateway.server.should_exit = True
        return LEARNING

    monkeypatch.setattr(gateway.fake, "replicas", leave)

    result = run(gateway, "replicas", "1", "n2", "--wait", "--timeout", "2")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: not done after 2 s, and it goes on: partition 1: voters n1 n2 n3, ")
    assert result.stderr.endswith(f"; cannot reach {gateway.url}: connection refused\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("replicas", "9"), "there is no partition 9; they are 0 to 3 (status 404, NO_SUCH_PARTITION)"),
        (("replicas", "1", "n9"), "there is no node n9; they are n1, n2, n3 (status 422, BAD_REPLICAS)"),
        (("replicas", "1", "n1", "n1", "--wait"), "n1 is named twice (status 422, BAD_REPLICAS)"),
        (("transfer", "1", "n9"), "n9 holds no replica of partition 1 (status 422, NOT_A_REPLICA)"),
    ],
)
def test_what_cannot_be_is_one_line(gateway: Running, arguments: tuple[str, ...], text: str) -> None:
    result = run(gateway, *arguments)

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {text}\n")


def test_a_change_that_is_refused_says_why(gateway: Running) -> None:
    gateway.fake.error = ChangeRefusedError("not now")

    result = run(gateway, "replicas", "1", "n2")

    assert (result.exit_code, result.stderr) == (1, "Error: not now (status 409, CHANGE_REFUSED)\n")


def test_a_change_whose_outcome_is_unknown_says_so(gateway: Running) -> None:
    gateway.fake.error = OutcomeUnknownError("the leader was lost")

    result = run(gateway, "replicas", "1", "n2")

    assert result.exit_code == 1
    assert result.stderr.endswith("(status 504, OUTCOME_UNKNOWN); it may have been applied\n")


def test_a_leadership_moves(gateway: Running) -> None:
    result = run(gateway, "transfer", "3", "n2")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "OK, n2 leads partition 3\n", "")
    assert gateway.fake.leaders[3] == "n2"


@pytest.mark.parametrize(("nodes", "copies"), [(("n1",), "1 copy"), (("n1", "n3"), "2 copies")])
def test_fewer_copies_than_the_cluster_keeps_are_meant_or_refused(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, nodes: tuple[str, ...], copies: str
) -> None:
    monkeypatch.setattr(gateway.fake, "replication_factor", 3)

    refused = run(gateway, "replicas", "0", *nodes)
    meant = run(gateway, "replicas", "0", *nodes, "--allow-fewer", "--json")

    assert refused.exit_code == 1
    assert f"partition 0 would be left with {copies}, where this cluster keeps 3: name 3 nodes" in refused.stderr
    assert "--allow-fewer" in refused.stderr
    assert meant.exit_code == 0 and json.loads(meant.stdout)["target"] == list(nodes)


def test_no_more_nodes_are_asked_for_than_there_are(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.fake, "replication_factor", 5)

    assert run(gateway, "replicas", "0", "n1", "n2").exit_code == 1
    assert run(gateway, "replicas", "0", "n1", "n2", "n3").exit_code == 0
