"""What an answer says became of a command is what became of it: each way to fail is driven, then looked up."""

from errno import ENOSPC
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.chaos import shim
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until
from tests.cluster.outcomes import APPLIED, NOT_APPLIED, UNKNOWN, Outcomes

pytestmark = pytest.mark.cluster


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    """One partition: whoever leads it leads all keys."""
    made = new_cluster(partitions=1)
    made.start()
    return made


def leader(cluster: Cluster) -> Node:
    return cluster.leader_of("any")


def followers(cluster: Cluster) -> list[Node]:
    return cluster.followers_of("any")


def judge(cluster: Cluster, outcomes: Outcomes) -> None:
    """All is well again: whoever is asked, everything is as it was said to be."""
    for node in cluster:
        node.resume()
    cluster.start()
    assert outcomes.told
    assert outcomes.wrong(followers(cluster)[0]) == []


def told(outcomes: Outcomes, *codes: str, outcome: str) -> bool:
    return any(outcomes.codes[code, outcome] for code in codes)


def test_while_all_is_well_everything_is_known(cluster: Cluster) -> None:
    with Outcomes(cluster, deadline_ms=5_000) as outcomes:
        outcomes.advance(200)

    assert set(outcomes.told.values()) == {APPLIED, NOT_APPLIED}
    assert {code for code, _ in outcomes.codes} == {"", "PRECONDITION_FAILED"}
    judge(cluster, outcomes)


def test_the_deadline_passes_after_the_proposal(cluster: Cluster) -> None:
    """The leader alone: what stands in its log may be committed by whoever comes next, or cut off."""
    alone, others = leader(cluster), followers(cluster)

    with Outcomes(cluster, [alone], deadline_ms=200) as outcomes:
        outcomes.advance(30)
        for node in others:
            node.pause()
        wait_until(lambda: told(outcomes, "OUTCOME_UNKNOWN", outcome=UNKNOWN), 10, "an outcome is unknown")
        wait_until(lambda: told(outcomes, "NO_QUORUM", outcome=NOT_APPLIED), 15, "it knows that it is alone")

    judge(cluster, outcomes)


def test_the_link_to_the_leader_is_lost(cluster: Cluster) -> None:
    """What a follower had passed on is unknown; the leader was paused, so that all of it was on its way."""
    gone = leader(cluster)

    with Outcomes(cluster, followers(cluster), deadline_ms=5_000) as outcomes:
        outcomes.advance(30)
        gone.pause()
        asked = len(outcomes.told)
        wait_until(lambda: len(outcomes.told) == asked, 1, "every client waits")
        gone.kill()
        wait_until(lambda: told(outcomes, "OUTCOME_UNKNOWN", outcome=UNKNOWN), 10, "an outcome is unknown")
        outcomes.advance(30)

    judge(cluster, outcomes)


def test_the_leader_is_killed_with_its_clients(cluster: Cluster) -> None:
    """Whoever gets no answer knows nothing; the others go on."""
    with Outcomes(cluster) as outcomes:
        for _ in range(3):
            outcomes.advance(100)
            victim = leader(cluster)
            victim.kill()
            outcomes.advance(50)
            victim.start()
            victim.wait_ready()

    assert told(outcomes, "", outcome=UNKNOWN)
    judge(cluster, outcomes)


def test_a_node_that_drains_says_what_it_did_not_do(cluster: Cluster) -> None:
    with Outcomes(cluster, deadline_ms=5_000) as outcomes:
        for _ in range(2):
            outcomes.advance(100)
            victim = leader(cluster)
            victim.send(SIGTERM)
            assert victim.wait(20) == 0
            outcomes.advance(50)
            victim.start()
            victim.wait_ready()

    judge(cluster, outcomes)


@pytest.mark.skipif(bool(shim.missing()), reason=shim.missing() or "there is a compiler")
def test_a_full_disk_refuses_what_it_does_not_do(new_cluster: NewCluster, tmp_path: Path) -> None:
    cluster = new_cluster(partitions=1)
    library = shim.compile_shim(tmp_path)
    shims = {node.name: shim.Shim(library, tmp_path, node.name) for node in cluster}
    for node in cluster:
        node.environment.update(shims[node.name].environment)
    cluster.start()
    full = leader(cluster)

    with Outcomes(cluster, deadline_ms=2_000) as outcomes:
        outcomes.advance(50)
        shims[full.name].set(path=f"/{full.name}/", write_errno=ENOSPC)
        wait_until(lambda: told(outcomes, "STORAGE_FULL", outcome=NOT_APPLIED), 15, "a write is refused")
        shims[full.name].clear()
        outcomes.advance(50)

    judge(cluster, outcomes)


def test_what_is_too_much_at_once_is_refused_or_done(new_cluster: NewCluster) -> None:
    """More connections than a node takes: whoever is sent away has done nothing."""
    cluster = new_cluster(partitions=1, environment={"RINGKV_CONNECTIONS_MAX": "4"})
    cluster.start()

    with Outcomes(cluster, [cluster["n1"]], deadline_ms=2_000) as outcomes:
        outcomes.advance(50)
        wait_until(lambda: told(outcomes, "TOO_MANY_CONNECTIONS", outcome=NOT_APPLIED), 10, "one is sent away")

    judge(cluster, outcomes)
