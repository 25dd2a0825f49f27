"""The agents (agent.py), one in each node's namespace, as the harness sees them."""

import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.simulation.history import Operation
from tests.chaos.network import Namespace
from tests.chaos.record import Record, Seen, View

CLIENTS_PER_AGENT = 1_000_000
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """status 0: there was no answer"""

    status: int
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RemoteAgent:
    """The clients of one node, and a way to ask that node whatever the network does."""

    def __init__(
        self, number: int, name: str, space: Namespace, address: str, port: int, record: Record, log: Path
    ) -> None:
        self.name = name
        self._number = number
        self._record = record
        self._ids = itertools.count(1)
        self._answers: dict[int, queue.Queue[Reply]] = {}
        self._stopped: queue.Queue[None] = queue.Queue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                space.command(sys.executable, "-m", "tests.chaos.agent", name, address, str(port)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(
        self,
        clients: int,
        keys: Sequence[str],
        seed: int,
        deadline_ms: int,
        pace_ms: float,
        big: float,
        nodes: Mapping[str, tuple[str, int]],
    ) -> None:
        order = {"clients": clients, "keys": keys, "seed": f"{seed}", "deadline_ms": deadline_ms, "pace_ms": pace_ms}
        self._order({"do": "start", "big_share": big, "nodes": nodes, **order})

    def stop(self) -> None:
        """Begin to stop; `wait` tells when all clients have."""
        self._order({"do": "stop"})

    def read(self, keys: Sequence[str], deadline_ms: int) -> None:
        """Begin to read every key once; `wait` tells when that is done."""
        self._order({"do": "read", "keys": keys, "deadline_ms": deadline_ms})

    def wait(self) -> None:
        self._stopped.get(timeout=STOP_SECONDS)

    def ask(self, method: str, target: str, body: str = "", timeout: float = 5.0) -> Reply:
        number = next(self._ids)
        answer = self._answers[number] = queue.Queue()
        self._order(
            {"do": "ask", "number": number, "method": method, "target": target, "body": body, "timeout": timeout}
        )
        try:
            return answer.get(timeout=timeout * 2 + 5)
        finally:
            del self._answers[number]

    def close(self) -> None:
        """End the process; every report it made has been taken in then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _order(self, order: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, *fields = json.loads(line)
            if kind == "operation":
                self._operation(*fields)
            elif kind == "view":
                asked, partitions = fields
                for partition in partitions:
                    self._record.add_view(View(self.name, asked, *partition))
            elif kind == "counted":
                self._record.add_counted(*fields)
            elif kind == "session":
                self._record.add_session(*fields)
            elif kind == "answer":
                number, status, body = fields
                if number in self._answers:
                    self._answers[number].put(Reply(status, body))
            else:
                self._stopped.put(None)

    def _operation(
        self,
        client: int,
        kind: str,
        key: str,
        value: str | None,
        output: str | None,
        ok: bool | None,
        called: int,
        returned: int,
        status: int,
    ) -> None:
        client += self._number * CLIENTS_PER_AGENT
        operation = Operation(client, kind, key, value, output, ok, called, returned if ok is not None else None)
        self._record.add_operation(Seen(self.name, operation, status, returned))


def now() -> int:
    return time.monotonic_ns()
