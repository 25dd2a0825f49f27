"""Clients that repeat: one counts under Idempotency-Keys, one keeps a session; each through whatever node it likes.

report := ["counted", key, by, ok]        one addition, after all its repeats; ok null: nobody knows
        | ["session", reads, complaint]   so many reads have shown what they must, or what one showed instead
"""

import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from tests.chaos.connection import Connection

COUNTERS = ("counter-0", "counter-1", "counter-2")
REPEATS = 3
PACE_SECONDS = 0.05
# So long it goes on, at the end, to learn what became of an addition.
DOUBT_SECONDS = 15.0
DEADLINE_MS = 1_000
TIMEOUT_SECONDS = 2.0


class Teller(Protocol):
    """Takes reports."""

    name: str

    def tell(self, *report: object) -> None: ...


class CountingClient:
    """Adds to counters: each addition up to three times, also when it was answered, and until its outcome is known."""

    def __init__(self, agent: Teller, nodes: Mapping[str, Connection], rng: random.Random) -> None:
        self._agent = agent
        self._nodes = nodes
        self._rng = rng

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            key, by, token = self._rng.choice(COUNTERS), self._rng.randint(1, 9), f"{self._rng.getrandbits(96):x}"
            self._agent.tell("counted", key, by, self._add(key, by, token, stopping))
            time.sleep(PACE_SECONDS)
        for connection in self._nodes.values():
            connection.close()

    def _add(self, key: str, by: int, token: str, stopping: threading.Event) -> bool | None:
        headers = f"Idempotency-Key: {token}\r\nKV-Timeout-Ms: {DEADLINE_MS}\r\n"
        known: bool | None = False
        given_up = None
        asked = 0
        while asked < REPEATS or known is None:
            asked += 1
            if stopping.is_set():
                given_up = given_up or time.monotonic() + DOUBT_SECONDS
                if known is not None or time.monotonic() > given_up:
                    break
            node = self._nodes[self._rng.choice(list(self._nodes))]
            status, fields, body = node.request("POST", f"/v1/kv/{key}?op=incr&by={by}", b"", headers, TIMEOUT_SECONDS)
            if status == 200:
                known = True
            elif known is False and not _is_certain(status, fields, body):
                known = None
            if status != 200:
                time.sleep(PACE_SECONDS)
        return known


def _is_certain(status: int, fields: Mapping[str, str], body: bytes) -> bool:
    """Whether it was certainly not done."""
    if status == 0:
        return True
    is_problem = fields.get("content-type", "").startswith("application/problem+json")
    return is_problem and json.loads(body)["outcome"] == "not_applied"


class SessionClient:
    """Writes a key that nobody else writes, and reads it elsewhere: it must see what it has written and seen."""

    def __init__(self, agent: Teller, nodes: Mapping[str, Connection], rng: random.Random) -> None:
        self._agent = agent
        self._nodes = nodes
        self._rng = rng
        self._token = ""

    def run(self, stopping: threading.Event) -> None:
        key, number, floor = self._new_key(), 0, 0
        while not stopping.is_set():
            number += 1
            status, fields, answer = self._ask("PUT", f"/v1/kv/{key}", b"%d" % number)
            if status == 204:
                floor = number
            elif not _is_certain(status, fields, answer):
                # It may take effect after any later one.
                key, number, floor = self._new_key(), 0, 0
            reads, complaint = 0, ""
            for _ in range(2):
                status, _, answer = self._ask("GET", f"/v1/kv/{key}?consistency=session", b"")
                if status not in (200, 404):
                    continue
                found = int(answer) if status == 200 else 0
                if not floor <= found <= number:
                    complaint = f"a session that had seen {floor} of {key} was shown {found}"
                reads, floor = reads + 1, max(found, floor)
            self._agent.tell("session", reads, complaint)
            time.sleep(PACE_SECONDS)
        for connection in self._nodes.values():
            connection.close()

    def _new_key(self) -> str:
        return f"session-{self._agent.name}-{self._rng.getrandbits(32):x}"

    def _ask(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        node = self._nodes[self._rng.choice(list(self._nodes))]
        headers = f"KV-Timeout-Ms: {DEADLINE_MS}\r\n" + (f"KV-Session: {self._token}\r\n" if self._token else "")
        status, fields, answer = node.request(method, target, body, headers, TIMEOUT_SECONDS)
        self._token = fields.get("kv-session", self._token)
        return status, fields, answer
