"""Wrong clocks, pauses and times without a leader, on real nodes: what expires does so in true time, and not before."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.chaos.shim import Shim, compile_shim, missing
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

DAY_MS = 86_400_000
PARTITION = 0
# A second of state-machine time may be so much more or less of a true one, and what is due is told with the next tick.
LATE_SECONDS = 0.5


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = missing()
    if reason:
        pytest.skip(reason)
    return compile_shim(tmp_path_factory.mktemp("shim"))


class Clocks:
    """A cluster of one partition whose nodes' clocks can be set."""

    def __init__(self, cluster: Cluster, shims: Mapping[str, Shim]) -> None:
        self.cluster = cluster
        self._shims = shims

    def set(self, name: str, ahead_ms: int) -> None:
        """The time of day of a node is ahead by so much, and its monotonic clock goes on as it did."""
        self._shims[name].set(clock_ms=ahead_ms)

    def lead(self, name: str) -> None:
        """Have a node lead."""

        def is_done() -> bool:
            if self.cluster.leaders()[PARTITION] == name:
                return True
            node = self.cluster[name]
            node.request("POST", f"/v1/partitions/{PARTITION}/leader", b'{"node":"%b"}' % name.encode(),
                         content_type="application/json")  # fmt: skip
            return False

        wait_until(is_done, 10, f"{name} leads")


@pytest.fixture
def clocks(new_cluster: NewCluster, library: Path, tmp_path: Path) -> Callable[..., Clocks]:
    """Starts a cluster; `ahead_ms` says whose clock is ahead by how much from the beginning."""

    def start(ahead_ms: Mapping[str, int] | None = None, size: int = 3, **environment: str) -> Clocks:
        cluster = new_cluster(size, partitions=1, environment=environment)
        shims = {node.name: Shim(library, tmp_path, node.name) for node in cluster}
        made = Clocks(cluster, shims)
        for node in cluster:
            node.environment.update(shims[node.name].environment)
            if node.name in (ahead_ms or {}):
                made.set(node.name, (ahead_ms or {})[node.name])
        cluster.start()
        return made

    return start


def put(node: Node, key: str, ttl: float) -> float:
    """Put a key with a TTL; when that began."""
    begun = time.monotonic()
    status, _, body = node.request("PUT", f"/v1/kv/{key}?ttl={ttl}", b"value")
    assert status == 204, body
    return begun


def is_there(node: Node, key: str) -> bool:
    status, _, body = node.request("GET", f"/v1/kv/{key}")
    assert status in (200, 404), body
    return status == 200


def seconds_left(node: Node, key: str) -> int:
    return int(node.request("GET", f"/v1/kv/{key}")[1]["kv-expires-in"])


def lives_for(node: Node, key: str, begun: float, seconds: float) -> None:
    """The key, put at `begun`, is there for so long, and then it is not."""
    wait_until(lambda: not is_there(node, key), 2 * seconds + 10, f"{key} has expired")
    lived = time.monotonic() - begun
    assert seconds * 0.9 <= lived <= seconds * 1.12 + LATE_SECONDS, f"{key} lived for {lived:.2f} s, not {seconds:g}"


def touch_while(node: Node, key: str, ttl: float, seconds: float) -> list[int]:
    """What every renewal of a key was answered with."""
    answers = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answers.append(node.request("POST", f"/v1/kv/{key}?op=touch&ttl={ttl}", kv_timeout_ms="500")[0])
        time.sleep(0.2)
    return answers


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ahead_ms", [DAY_MS, -DAY_MS, -1_600_000_000_000])
def test_a_leader_with_a_wrong_clock_ends_nothing_before_its_time(clocks: Callable[..., Clocks], ahead_ms: int) -> None:
    """From the start, a day ahead or behind, or in 1970."""
    made = clocks({"n1": ahead_ms})
    cluster = made.cluster
    made.lead("n2")
    for ttl in (60, 3_600, 86_000):
        put(cluster["n2"], f"key{ttl}", ttl)
    assert cluster["n2"].request("POST", "/v1/kv/count?op=incr", idempotency_key="once")[2] == b"1"

    made.lead("n1")

    assert cluster["n1"].request("POST", "/v1/kv/count?op=incr", idempotency_key="once")[2] == b"1"
    short = put(cluster["n1"], "short", 2)
    for node in cluster:
        assert seconds_left(node, "short") == 2
        for ttl in (60, 3_600, 86_000):
            assert ttl - 40 <= seconds_left(node, f"key{ttl}") <= ttl
    lives_for(cluster["n3"], "short", short, 2)
    made.lead("n2")
    short = put(cluster["n2"], "short", 2)
    assert seconds_left(cluster["n3"], "short") == 2
    lives_for(cluster["n3"], "short", short, 2)
    assert all(is_there(node, f"key{ttl}") for node in cluster for ttl in (60, 3_600, 86_000))


@pytest.mark.timeout(120)
def test_a_clock_that_is_off_is_named(clocks: Callable[..., Clocks]) -> None:
    made = clocks()
    cluster = made.cluster
    assert cluster["n2"].json("/readyz?verbose")["warnings"] == []

    made.set("n1", DAY_MS)
    for node in cluster:
        wait_until(lambda node=node: node.json("/readyz?verbose")["warnings"], 10, f"{node.name} names n1")  # type: ignore[misc]  # a default binds the variable
        [warning] = node.json("/readyz?verbose")["warnings"]
        assert "n1" in warning and "86400.0 s ahead" in warning
    offset = next(
        float(line.split()[1])
        for line in cluster["n2"].request("GET", "/metrics")[2].decode().splitlines()
        if line.startswith('ringkv_clock_offset_seconds{peer="n1"}')
    )
    assert offset == pytest.approx(86_400, abs=1)
    named = "the clock of node n1 is 86400.0 s ahead"
    wait_until(lambda: named in cluster["n2"].log_text(), 5, "the log of n2 names n1")

    made.set("n1", 0)
    wait_until(lambda: not cluster["n2"].json("/readyz?verbose")["warnings"], 20, "n1 is right again")
    right = "the clock of node n1 is right again"
    wait_until(lambda: right in cluster["n2"].log_text(), 5, "the log of n2 says that it is right")
    assert cluster["n2"].log_text().count(named) == 1


@pytest.mark.timeout(120)
def test_a_clock_that_is_set_during_a_reign_moves_nothing(clocks: Callable[..., Clocks]) -> None:
    made = clocks()
    cluster = made.cluster
    made.lead("n1")
    long = put(cluster["n1"], "long", 100)
    begun = put(cluster["n1"], "short", 4)

    for ahead_ms in (DAY_MS, -DAY_MS, 0):
        made.set("n1", ahead_ms)
        time.sleep(0.5)

    lives_for(cluster["n1"], "short", begun, 4)
    assert abs(seconds_left(cluster["n2"], "long") - (100 - (time.monotonic() - long))) <= 2


@pytest.mark.timeout(120)
def test_a_read_whose_leader_stood_still_shows_nothing_that_is_over(new_cluster: NewCluster) -> None:
    """The leader keeps its place, and the read is asked of it, or of a follower, as soon as it goes on."""
    cluster = new_cluster(partitions=1)
    cluster.start()
    for number, lag in enumerate((0.0, 0.2, 0.5)):
        key = f"key{number}"
        leader = cluster.leader_of(key)
        follower = cluster.followers_of(key)[0]
        begun = put(leader, key, 0.5)
        leader.pause()
        time.sleep(max(0.0, begun + 0.5 + lag - time.monotonic()))
        leader.resume()
        for node in (leader, follower):
            assert time.monotonic() - begun >= 0.5
            assert not is_there(node, key), f"{key} is shown by {node.name} {time.monotonic() - begun:.3f} s after"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("grace", "harm"), [("60", "kill"), ("60", "pause"), ("0", "kill")])
def test_what_is_renewed_outlives_a_time_without_a_quorum(new_cluster: NewCluster, grace: str, harm: str) -> None:
    """As long as it is set so; nobody could have renewed it. Who stood still reads of a leader that has long gone."""
    cluster = new_cluster(partitions=1, environment={"RINGKV_TTL_GRACE_SECONDS": grace})
    cluster.start()
    alive = cluster.leader_of("lock")
    others = [node for node in cluster if node is not alive]
    put(alive, "lock", 3)
    touch_while(alive, "lock", 3, 1.0)

    for node in others:
        node.kill() if harm == "kill" else node.pause()
    touch_while(alive, "lock", 3, 6.0)
    for node in others:
        node.resume()
    cluster.start()
    found = [is_there(node, "lock") for node in cluster]
    answers = touch_while(alive, "lock", 3, 4.0)

    assert found == [grace != "0"] * 3
    assert set(answers) == ({200} if grace != "0" else {404})
    if grace != "0":
        assert is_there(others[0], "lock")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("size", [3, 1])
def test_what_is_renewed_outlives_all_nodes_standing_still(new_cluster: NewCluster, size: int) -> None:
    """Whoever led reads, when it goes on, that it was followed long ago."""
    cluster = new_cluster(size, partitions=1)
    cluster.start()
    put(cluster["n1"], "lock", 3)

    for node in cluster:
        node.pause()
    time.sleep(5)
    for node in cluster:
        node.resume()
    wait_until(cluster["n1"].is_ready, 10, "n1 goes on")
    cluster.wait_ready()

    assert is_there(cluster["n1"], "lock")
    assert set(touch_while(cluster["n1"], "lock", 3, 4.0)) == {200}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("grace", "survives"), [("60", True), ("1", False)])
def test_a_cluster_that_was_off_goes_on_where_it_was_up_to_a_bound(
    new_cluster: NewCluster, grace: str, survives: bool
) -> None:
    cluster = new_cluster(partitions=1, environment={"RINGKV_TTL_GRACE_SECONDS": grace})
    cluster.start()
    begun = put(cluster["n1"], "lock", 4)

    for node in cluster:
        node.kill()
    time.sleep(max(0.0, begun + 6.0 - time.monotonic()))
    cluster.start()

    assert is_there(cluster["n1"], "lock") == survives
    wait_until(lambda: not is_there(cluster["n1"], "lock"), 6, "it ends all the same")


@pytest.mark.timeout(120)
def test_a_node_alone_that_was_off_for_a_week_ends_what_is_over(clocks: Callable[..., Clocks]) -> None:
    """Its clock is all that says so."""
    made = clocks(size=1)
    node = made.cluster["n1"]
    put(node, "hour", 3_600)
    put(node, "month", 30 * 86_400)

    node.kill()
    made.set("n1", 7 * DAY_MS)
    made.cluster.start()

    assert not is_there(node, "hour")
    assert 22 * 86_400 < seconds_left(node, "month") <= 23 * 86_400 + 61
    begun = put(node, "short", 2)
    lives_for(node, "short", begun, 2)
