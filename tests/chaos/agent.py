"""A process in a node's namespace: the clients of that node, and an errand boy for the harness.

It takes orders on stdin and tells what happens on stdout, a JSON line each; it ends when stdin does.

    order  := {"do": "start", "clients", "keys", "seed", "deadline_ms", "pace_ms", "big_share", "nodes"}
            | {"do": "stop"}                                                  answered by ["stopped"]
            | {"do": "read", "keys", "deadline_ms"}                           answered by ["stopped"]
            | {"do": "ask", "number", "method", "target", "body", "timeout"}      answered by ["answer", …]
    report := ["operation", client, kind, key, value, output, ok, call, return, status]
            | ["view", ns, [[partition, leader, term, commit, applied], …]]   now and then
            | ["answer", number, status, body]                                    status 0: no answer came
            | ["stopped"] | what counting.py tells

Times are CLOCK_MONOTONIC, which all processes of a machine share. An operation's status is that of
HTTP, or 0 when there was no connection, or -1 when the answer did not come or was cut short.
"""

import itertools
import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos.connection import Connection
from tests.chaos.counting import CountingClient, SessionClient

WATCH_SECONDS = 0.5
RETRY_SECONDS = 0.02
# An answer may be late by so much of its deadline before it counts as never coming.
GRACE_SECONDS = 2.0
BIG_BYTES = 3_000


@dataclass(frozen=True, slots=True)
class Work:
    """What every client does.

    big_share  of the values, so many are bigger than a packet
    """

    keys: list[str]
    deadline_ms: int
    pace_ms: float = 0.0
    big_share: float = 0.0


class Client:
    """Puts, gets and deletes, one after the other, each reported with its outcome."""

    _ids = itertools.count(1)

    def __init__(self, agent: "Agent", work: Work, rng: random.Random) -> None:
        self._agent = agent
        self._work = work
        self._rng = rng
        self._connection = Connection(agent.address)
        self._headers = f"KV-Timeout-Ms: {work.deadline_ms}\r\n"
        self._id = next(self._ids)
        self._count = 0

    def run(self, stopping: threading.Event) -> None:
        rng, keys, pace = self._rng, self._work.keys, self._work.pace_ms / 1_000
        while not stopping.is_set():
            kind = rng.choices(("get", "put", "delete"), (50, 45, 5))[0]
            ok = self.operate(kind, rng.choice(keys))
            time.sleep(rng.uniform(0, pace) if ok else RETRY_SECONDS)
        self._connection.close()

    def read_all(self) -> None:
        for key in self._work.keys:
            self.operate("get", key)
        self._connection.close()

    def operate(self, kind: str, key: str) -> bool | None:
        value, body = None, b""
        if kind == "put":
            self._count += 1
            value = f"{self._agent.name}.{self._id}.{self._count}"
            is_big = self._rng.random() < self._work.big_share
            body = (value + " " + "x" * (BIG_BYTES if is_big else 0)).encode()
        called = time.monotonic_ns()
        timeout = self._work.deadline_ms / 1_000 + GRACE_SECONDS
        status, headers, answer = self._connection.request(kind.upper(), f"/v1/kv/{key}", body, self._headers, timeout)
        returned = time.monotonic_ns()
        ok, output = _outcome(kind, status, headers, answer)
        self._agent.tell("operation", self._id, kind, key, value, output, ok, called, returned, status)
        if ok is None:
            self._id = next(self._ids)  # the operation may go on, so a new client does
        return ok


def _outcome(kind: str, status: int, headers: dict[str, str], body: bytes) -> tuple[bool | None, str | None]:
    """Whether it happened, as far as the answer proves it, and what a get saw."""
    if status in (200, 204):
        return True, _checked(body) if kind == "get" else None
    if status == 404 and kind == "get":
        return True, None
    if status == 0:
        return False, None
    if headers.get("content-type", "").startswith("application/problem+json"):
        return (False if json.loads(body)["outcome"] == "not_applied" else None), None
    return None, None


def _checked(body: bytes) -> str:
    """The value, without the padding, which must be whole; else all of it, which nobody has written."""
    text = body.decode(errors="replace")
    value, _, padding = text.partition(" ")
    return value if padding in ("", "x" * BIG_BYTES) else text


class Agent:
    """The process."""

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self.name = name
        self.address = address
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def tell(self, *report: object) -> None:
        data = (json.dumps(report) + "\n").encode()
        with self._lock:
            while data:
                data = data[os.write(1, data) :]

    def run(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()
        for line in sys.stdin:
            order = json.loads(line)
            do = order.pop("do")
            if do == "start":
                self._start(order.pop("clients"), order.pop("seed"), order.pop("nodes"), Work(**order))
            elif do == "stop":
                self._stop()
            elif do == "read":
                self._start_reader(Work(**order))
            else:
                threading.Thread(target=self._ask, kwargs=order, daemon=True).start()

    def _start(self, clients: int, seed: str, nodes: dict[str, tuple[str, int]], work: Work) -> None:
        self._stopping = threading.Event()
        for number in range(clients):
            client = Client(self, work, random.Random(f"{seed}/{self.name}/{number}"))
            self._threads.append(threading.Thread(target=client.run, args=(self._stopping,), daemon=True))
            self._threads[-1].start()
        for kind in (CountingClient, SessionClient):
            links = {name: Connection((host, port)) for name, (host, port) in nodes.items()}
            repeating = kind(self, links, random.Random(f"{seed}/{self.name}/{kind.__name__}"))
            self._threads.append(threading.Thread(target=repeating.run, args=(self._stopping,), daemon=True))
            self._threads[-1].start()

    def _stop(self) -> None:
        """Let every client finish what it has begun."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.tell("stopped")

    def _start_reader(self, work: Work) -> None:
        def read() -> None:
            Client(self, work, random.Random(0)).read_all()
            self.tell("stopped")

        threading.Thread(target=read, daemon=True).start()

    def _ask(self, number: int, method: str, target: str, body: str, timeout: float) -> None:
        connection = Connection(self.address)
        headers = "Content-Type: application/json\r\n" if body else ""
        status, _, answer = connection.request(method, target, body.encode(), headers, timeout)
        connection.close()
        self.tell("answer", number, max(0, status), answer.decode(errors="replace"))

    def _watch(self) -> None:
        """Tell what the node thinks of the cluster, as long as it answers."""
        connection = Connection(self.address)
        while True:
            asked = time.monotonic_ns()
            status, _, body = connection.request("GET", "/v1/cluster", b"", "", 1.0)
            if status == 200:
                partitions: list[dict[str, Any]] = json.loads(body)["partitions"]
                fields = ("id", "leader", "term", "commit_index", "applied_index")
                self.tell("view", asked, [[p[field] for field in fields] for p in partitions])
            time.sleep(WATCH_SECONDS)


if __name__ == "__main__":
    Agent(sys.argv[1], (sys.argv[2], int(sys.argv[3]))).run()
