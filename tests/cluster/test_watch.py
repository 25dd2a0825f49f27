"""A watch of real processes: whatever is killed, it tells what was acknowledged, once and in order."""

import asyncio
import http.client
import itertools
import json
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import pytest

from app.client import Change, Client, ClientError
from tests.cluster.client import Answer, Link, LinkError
from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, wait_until
from tests.cluster.traffic import RETRY_SECONDS, Traffic

pytestmark = pytest.mark.cluster

STREAM = {"Accept": "text/event-stream"}
LAST = "watched/last"
Event = dict[str, Any]


class Changes(Traffic):
    """Puts, deletes, counts and lets expire under watched/, and remembers what became of each."""

    def __init__(self, cluster: Cluster, clients: int = 4, seed: int = 1) -> None:
        super().__init__(cluster, clients, seed)
        # By key and revision, the value; None: a delete.
        self.acknowledged: dict[tuple[str, int], str | None] = {}
        self.possible: set[tuple[str, str | None]] = set()
        self._numbers = itertools.count()

    async def client(self, rng: random.Random) -> None:
        nodes = list(self.cluster)
        links = {node.name: Link(node.http_port) for node in nodes}
        mine = rng.randrange(1 << 30)
        while not self.stopping:
            number = next(self._numbers)
            method, key, query, value = rng.choices(
                [
                    ("PUT", f"watched/{mine}/{rng.randrange(5)}", "", f"{number}"),
                    ("DELETE", f"watched/{mine}/{rng.randrange(5)}", "", None),
                    ("POST", f"watched/count/{mine}", "?op=incr", ""),
                    ("PUT", f"watched/soon/{number}", "?ttl=1", f"{number}"),
                ],
                (6, 2, 3, 1),
            )[0]
            try:
                answer = await links[rng.choice(nodes).name].request(
                    method, f"/v1/kv/{key}{query}", (value or "").encode(), {"KV-Timeout-Ms": "2000"}
                )
            except LinkError as error:
                if error.sent:
                    self.possible.add((key, value))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._ended(key, value, answer)
        for link in links.values():
            await link.close()

    def _ended(self, key: str, value: str | None, answer: Answer) -> None:
        if answer.status in (200, 204):
            value = answer.body.decode() if answer.status == 200 else value
            self.acknowledged[key, int(answer.headers["etag"].strip('"'))] = value
            self.succeeded += 1
        elif answer.problem.get("outcome") != "not_applied":
            self.possible.add((key, value))


class Reader:
    """Watches through all nodes in turn, on a thread of its own, until it is told to stop and hears of one key more."""

    def __init__(self, nodes: list[Node], prefix: str) -> None:
        self.events: list[Event] = []
        self.first_id = ""
        self._error: ClientError | None = None
        self._client = Client([node.url for node in nodes], timeout_seconds=60)
        self._changes = self._client.watch(prefix=prefix)
        self._begun, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._begun.wait(20), "the watch does not begin"

    def _run(self) -> None:
        try:
            with self._client, self._changes:
                self.first_id = self._changes.id
                self._begun.set()
                for change in self._changes:
                    if change.key.decode() != LAST:
                        self.events.append(event_of(change))
                    elif self._stopping.is_set():
                        return
        except ClientError as error:
            self._error = error

    def has_seen(self, changes: Changes) -> bool:
        assert self._error is None, self._error
        return is_whole(self.events, changes)

    def stop(self, node: Node) -> None:
        self._stopping.set()
        assert node.request("PUT", f"/v1/kv/{LAST}", b"")[0] == 204
        self._thread.join(20)
        assert not self._thread.is_alive(), "it is not told of a last key"


def event_of(change: Change) -> Event:
    """As a gateway tells it to those who poll."""
    event = {"event": change.event, "key": change.key.decode(), "encoding": "utf8", "revision": change.revision}
    if change.value is not None:
        event |= {"value": change.value.decode(), "content_type": change.content_type}
    return event


def is_whole(events: list[Event], changes: Changes) -> bool:
    """Whether all that was acknowledged was told, and that all expired that was to."""
    seen = {(event["key"], event["revision"]) for event in events}
    kinds = Counter(event["event"] for event in events if "/soon/" in event["key"])
    return changes.acknowledged.keys() <= seen and kinds["put"] == kinds["expire"]


def judge(events: list[Event], changes: Changes) -> None:
    """Everything acknowledged, once; nothing else but what may have been applied; each key in order."""
    of_key: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_key[event["key"]].append(event)
    seen: dict[tuple[str, int], str | None] = {}
    for key, own in of_key.items():
        revisions = [event["revision"] for event in own]
        assert revisions == sorted(set(revisions)), f"{key}: {revisions}"
        seen.update({(key, event["revision"]): event.get("value") for event in own if event["event"] != "expire"})
        if "/count/" in key:
            assert [event["value"] for event in own] == [str(number + 1) for number in range(len(own))]
        expected = ["put", "expire"] if "/soon/" in key else None
        assert expected is None or [event["event"] for event in own] == expected
    missing = changes.acknowledged.items() - seen.items()
    assert not missing, f"{len(missing)} acknowledged changes were never told: {sorted(missing)[:5]}"
    for (key, revision), value in seen.items() - changes.acknowledged.items():
        assert "/count/" in key or (key, value) in changes.possible, f"{key} at {revision}: {value} was refused"


def poll_all(node: Node, query: str, after: str) -> list[Event]:
    """What long polls through one node tell from an id on."""
    events: list[Event] = []
    while True:
        status, _, body = node.request("GET", f"/v1/watch?{query}&after={after}")
        assert status == 200, body
        answer = json.loads(body)
        if not answer["events"]:
            return events
        events += answer["events"]
        after = answer["next"]


def by_partition(events: list[Event], node: Node) -> dict[int, list[Event]]:
    """The events of each partition, in the order in which they were told."""
    found: dict[int, list[Event]] = defaultdict(list)
    partitions: dict[str, int] = {}
    for event in events:
        key = event["key"]
        if key not in partitions:
            partitions[key] = node.json(f"/v1/locate/{key}")["partition"]
        found[partitions[key]].append(event)
    return found


def _tells(node: Node, after: str, expected: dict[int, list[Event]]) -> bool:
    """Whether it has applied, and tells, exactly that."""
    told = [event for event in poll_all(node, "prefix=watched/", after) if event["key"] != LAST]
    return by_partition(told, node) == expected


@pytest.mark.parametrize("partitions", [4, 64])
def test_a_watch_survives_kills_of_every_node(
    new_cluster: NewCluster, measured: Callable[[str], None], partitions: int
) -> None:
    """Four nodes, so that each must ask others about a partition; every one of them is killed once or stopped.

    With many partitions ids are short: each stands for what the others have heard.
    """
    cluster = new_cluster(size=4, partitions=partitions)
    cluster.start()
    nodes = list(cluster)
    readers = [Reader(nodes, "watched/"), Reader(nodes[2:] + nodes[:2], "watched/")]

    with Changes(cluster, seed=int(time.time())) as changes:
        changes.advance(100)
        for node in nodes:
            node.send(signal.SIGTERM if node is nodes[1] else signal.SIGKILL)
            node.wait(10)
            changes.advance(60, seconds=40)
            node.start()
            node.wait_ready()
        changes.advance(100)
    for reader in readers:
        wait_until(partial(reader.has_seen, changes), 30, "everything is told")
        reader.stop(nodes[0])
        judge(reader.events, changes)

    expected = by_partition(readers[0].events, nodes[0])
    assert by_partition(readers[1].events, nodes[0]) == expected
    for node in nodes:
        wait_until(partial(_tells, node, readers[0].first_id, expected), 20, f"{node.name} tells all of it again")
    measured(f"watch: {len(readers[0].events)} changes, each told once, through 3 kills and a stop of 4 nodes")


def test_a_history_survives_the_restart_of_all(new_cluster: NewCluster) -> None:
    """Whoever was away meanwhile goes on at any node."""
    cluster = new_cluster(size=3, partitions=2)
    cluster.start()
    begun = cluster["n1"].json("/v1/watch?prefix=watched/")["next"]
    with Changes(cluster) as changes:
        changes.advance(150)
    nodes = list(cluster)
    wait_until(lambda: is_whole(poll_all(nodes[0], "prefix=watched/", begun), changes), 20, "everything is told")
    expected = by_partition(poll_all(nodes[0], "prefix=watched/", begun), nodes[0])
    for node in nodes:
        node.kill()
    cluster.start()

    for node in nodes:
        wait_until(partial(_tells, node, begun, expected), 20, f"{node.name} tells all of it again")
    judge([event for events in expected.values() for event in events], changes)


def test_open_streams_do_not_hold_a_stop_up(new_cluster: NewCluster) -> None:
    """Each is told that it ends, and the process ends as soon as without them."""
    cluster = new_cluster(size=1, partitions=4)
    cluster.start()
    node = cluster["n1"]
    with ExitStack() as stack:
        answers = []
        for number in range(100):
            link = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=20)))
            link.request("GET", f"/v1/watch?prefix={number}", headers=STREAM)
            answers.append(link.getresponse())
        assert [answer.status for answer in answers] == [200] * 100
        started = time.monotonic()
        node.send(signal.SIGTERM)
        assert node.wait(10) == 0
        took = time.monotonic() - started

        assert all(answer.read().count(b"event: error") == 1 for answer in answers)
    assert took < 3.0, f"it took {took:.1f} s"
