"""The promise of each level, where a replica is cut off, lags behind, or is not there; and what the receipts say."""

import json
import time
from dataclasses import dataclass
from functools import partial

import pytest

from raftgroups.leading import APPENDS_IN_FLIGHT
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until

pytestmark = pytest.mark.cluster

KEY = "k"
LEASE = {"RINGKV_LEASE_SECONDS": "0.8"}
CURRENT = ("linearizable", "lease")


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer to a read; `code` names the problem, if it is one."""

    status: int
    body: bytes
    code: str
    level: str
    age_ms: int
    by: str
    session: str


def read(node: Node, level: str, *, session: str = "", max_staleness: int | None = None) -> Shown:
    query = f"?consistency={level}" + (f"&max_staleness={max_staleness}" if max_staleness is not None else "")
    given = {"kv_timeout_ms": "3000", **({"kv_session": session} if session else {})}
    status, headers, body = node.request("GET", f"/v1/kv/{KEY}{query}", None, timeout=10, **given)
    problem = json.loads(body) if status >= 400 else {}
    assert problem.get("outcome", "not_applied") == "not_applied"
    return Shown(
        status,
        b"" if problem else body,
        problem.get("code", ""),
        headers.get("kv-consistency", ""),
        int(headers.get("kv-staleness-ms", -1)),
        headers.get("kv-served-by", ""),
        headers.get("kv-session", ""),
    )


def put(node: Node, value: bytes, query: str = "") -> str:
    """The session of who has written it."""
    status, headers, _ = node.request("PUT", f"/v1/kv/{KEY}{query}", value)
    assert status == 204
    return headers["kv-session"]


def shows(node: Node, value: bytes) -> bool:
    shown = read(node, "stale")
    return shown.body == value and shown.by.startswith(f"{node.name};")


def is_cut_off(node: Node) -> bool:
    try:
        return read(node, "linearizable").code == "NO_QUORUM"
    except ConnectionRefusedError:
        return False


@dataclass(frozen=True, slots=True)
class Lag:
    """One replica stood still when the key was written again, and reaches nobody now: all others do.

    earlier, later   the sessions of who wrote what it has, and of who wrote what it lacks
    """

    cluster: Cluster
    behind: Node
    earlier: str
    later: str

    def heal(self) -> None:
        for node in self.cluster:
            node.resume()


@pytest.fixture
def lag(new_cluster: NewCluster) -> Lag:
    cluster = new_cluster(partitions=1, environment=LEASE)
    cluster.start()
    behind, *_ = cluster.followers_of(KEY)
    others = [node for node in cluster if node is not behind]
    earlier = put(others[0], b"old")
    wait_until(partial(shows, behind, b"old"), 10, f"{behind.name} has the first write")
    behind.pause()
    # More than is sent to a follower that does not answer, so that what comes then is not on its way to it.
    for number in range(2 * APPENDS_IN_FLIGHT):
        assert others[0].request("PUT", "/v1/kv/filler", b"%d" % number)[0] == 204
    later = put(others[0], b"new")
    for node in others:
        node.pause()
    behind.resume()
    wait_until(partial(is_cut_off, behind), 10, f"{behind.name} knows that it is alone")
    return Lag(cluster, behind, earlier, later)


def test_a_replica_that_lags_and_is_cut_off_shows_its_past_only_to_who_takes_it(lag: Lag) -> None:
    behind, by = lag.behind, f"{lag.behind.name};role=follower"

    for level in CURRENT:
        assert read(behind, level).code == "NO_QUORUM"
    session = read(behind, "session", session=lag.earlier)
    assert (session.status, session.body, session.level, session.by) == (200, b"old", "session", by)
    assert read(behind, "session", session=lag.later).code == "BEHIND_SESSION"
    stale = read(behind, "stale")
    assert (stale.status, stale.body, stale.level, stale.by) == (200, b"old", "stale", by)


def test_an_age_that_was_never_proven_is_refused(lag: Lag) -> None:
    """A leader spoke to it a moment ago, but what it said may have been on its way for any time."""
    assert read(lag.behind, "bounded", max_staleness=60_000).code == "TOO_STALE"


def test_an_age_that_cannot_be_proven_any_more_is_refused(cluster: Cluster) -> None:
    """What was proven once is as old as that is long ago, and whoever takes that is told so."""
    put(cluster["n1"], b"v")
    alone, *_ = cluster.followers_of(KEY)
    proven = time.monotonic()
    assert read(alone, "bounded", max_staleness=0).body == b"v"
    for node in cluster:
        if node is not alone:
            node.pause()
    wait_until(partial(is_cut_off, alone), 10, f"{alone.name} knows that it is alone")

    for max_staleness in (0, 100):
        assert read(alone, "bounded", max_staleness=max_staleness).code == "TOO_STALE"
    old = read(alone, "bounded", max_staleness=60_000)
    assert (old.status, old.body, old.level, old.by) == (200, b"v", "bounded", f"{alone.name};role=follower")
    assert 100 < old.age_ms <= (time.monotonic() - proven) * 1_000 + 1


def test_a_session_is_served_by_a_replica_once_that_has_caught_up(lag: Lag) -> None:
    """By another, or by none, until then; and never again from before."""
    lag.heal()

    def is_served_here() -> bool:
        shown = read(lag.behind, "session", session=lag.later)
        assert shown.status == 503 or (shown.status, shown.body) == (200, b"new"), shown
        return (shown.level, shown.by) == ("session", f"{lag.behind.name};role=follower")

    wait_until(is_served_here, 20, f"{lag.behind.name} serves the session")
    for level in ("linearizable", "lease", "bounded"):
        assert read(lag.behind, level, max_staleness=0 if level == "bounded" else None).body == b"new"


def test_a_session_goes_from_node_to_node_and_sees_its_writes(new_cluster: NewCluster) -> None:
    cluster = new_cluster(size=5, partitions=1)
    cluster.start()
    nodes = list(cluster)
    seen = 0

    for number in range(40):
        session = put(nodes[number % 5], b"%d" % number)
        for node in (nodes[(number + 1) % 5], nodes[(number + 3) % 5]):
            shown = read(node, "session", session=session)
            assert (shown.status, int(shown.body)) == (200, number)
            seen += shown.by.endswith("role=follower")
            session = shown.session
    assert seen, "no follower ever served it"


def test_who_writes_elsewhere_is_never_shown_to_a_session_backwards(cluster: Cluster) -> None:
    """A session that only reads is monotonic, over all nodes."""
    writer, *nodes = list(cluster)
    put(writer, b"0")
    session, newest = "", 0

    for number in range(1, 60):
        put(writer, b"%d" % number)
        shown = read(nodes[number % 2], "session", session=session)
        assert shown.status == 200
        assert newest <= int(shown.body) <= number
        newest, session = int(shown.body), shown.session


def test_stale_reads_come_from_any_replica_that_can_be_reached(new_cluster: NewCluster) -> None:
    """Through a node that holds none, while a majority of those that do stands still."""
    cluster = new_cluster(size=5, partitions=1)
    cluster.start()
    place = cluster["n1"].json(f"/v1/locate/{KEY}")
    put(cluster["n1"], b"v")
    last = cluster[next(name for name in place["replicas"] if name != place["leader"])]
    wait_until(partial(shows, last, b"v"), 10, "the last replica has it")
    outside = next(node for node in cluster if node.name not in place["replicas"])
    for name in place["replicas"]:
        if name != last.name:
            cluster[name].pause()

    def is_answered() -> bool:
        shown = read(outside, "stale")
        assert shown.status == 503 or (shown.body, shown.level) == (b"v", "stale"), shown
        return shown.by == f"{last.name};role=follower"

    wait_until(is_answered, 20, f"{outside.name} answers through {last.name}")
    for level in CURRENT:
        assert read(outside, level).status in (503, 504)


@pytest.mark.parametrize("environment", [{}, LEASE], ids=["without leases", "with leases"])
def test_the_receipt_says_at_least_what_was_asked(new_cluster: NewCluster, environment: dict[str, str]) -> None:
    order = ["stale", "bounded", "session", "linearizable"]
    cluster = new_cluster(partitions=1, environment=environment)
    cluster.start()
    session = put(cluster["n1"], b"v")

    for node in cluster:
        wait_until(partial(shows, node, b"v"), 10, f"{node.name} has it")
        for level in [*order, "lease"]:
            shown = read(node, level, session=session if level == "session" else "")
            assert (shown.status, shown.body) == (200, b"v")
            is_lease = level == "lease" and shown.level == "lease"
            if is_lease:
                assert environment
            else:
                assert order.index(shown.level) >= order.index("linearizable" if level == "lease" else level)
            assert shown.age_ms == 0 if shown.level in CURRENT else 0 <= shown.age_ms <= 10_000
            name, _, role = shown.by.partition(";role=")
            assert (cluster.leader_of(KEY).name == name) is (role == "leader")
            assert bool(shown.session) is (level == "session")


# Expiry.


def until_gone(node: Node, session: str) -> str:
    """Waits until the key has expired for who has written it; the session that knows."""

    def is_gone() -> bool:
        nonlocal session
        shown = read(node, "session", session=session)
        session = shown.session
        return shown.status == 404

    wait_until(is_gone, 10, f"the key expires on {node.name}")
    return session


def test_what_has_expired_for_one_reader_has_for_all_that_must_know(new_cluster: NewCluster) -> None:
    """Time is what the log says: whoever has as much of it has the same, whatever node it asks, and after a restart."""
    cluster = new_cluster(partitions=1)
    cluster.start()
    written = put(cluster["n1"], b"v", "?ttl=1.2")
    _, headers, _ = cluster["n2"].request("GET", f"/v1/kv/{KEY}")
    assert headers.get("kv-expires-in") in ("0", "1", "2")

    session = until_gone(cluster["n3"], written)
    assert statuses(cluster, session) == {404}
    for node in cluster:
        node.kill()
    cluster.start()
    assert statuses(cluster, session) == {404}
    assert cluster["n1"].request("PUT", f"/v1/kv/{KEY}", b"again", if_none_match="*")[0] == 204


def statuses(cluster: Cluster, session: str) -> set[int]:
    """What all nodes say of the key at every level but stale."""
    shown = [read(node, level) for node in cluster for level in CURRENT]
    shown += [read(node, "session", session=session) for node in cluster]
    shown += [read(node, "bounded", max_staleness=0) for node in cluster]
    return {one.status for one in shown}


def test_a_replica_that_has_shown_a_key_as_expired_never_shows_it_again(cluster: Cluster) -> None:
    """Each by itself: stale reads, all the while that others write."""
    nodes = list(cluster)
    put(nodes[0], b"v", "?ttl=0.4")
    gone: set[str] = set()

    def all_gone() -> bool:
        nodes[0].request("PUT", "/v1/kv/other", b"v")
        for node in nodes:
            shown = read(node, "stale")
            by = shown.by.partition(";")[0]
            assert shown.status == 404 or by not in gone, f"{by} shows it again"
            if shown.status == 404 and shown.age_ms < 1_000:
                gone.add(by)
        return len(gone) == 3

    for node in nodes:
        wait_until(partial(shows, node, b"v"), 5, f"{node.name} has it")
    wait_until(all_gone, 10, "the key expires everywhere")
    assert {read(node, "stale").status for node in nodes} == {404}
