"""Real nodes in real processes on loopback, for tests that kill, pause and cut them off."""

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECRET = "a secret of the test suite"
READY_SECONDS = 20.0
POLL_SECONDS = 0.01

_given_ports: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on, below those that the kernel gives to outgoing links."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                if port not in _given_ports:
                    _given_ports.add(port)
                    return port


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Polls until the condition holds; returns how long that took.

    Raises: TimeoutError naming `what` when it still does not hold after `seconds`.
    """
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begun


class Process:
    """One server process with a log file, in a process group of its own."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.is_running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        if self.is_running:
            os.killpg(self.pid, number)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends the signal and, when it is SIGKILL, waits for the end."""
        self.send(number)
        if number == signal.SIGKILL:
            self.wait(10)

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """The exit code. Raises: subprocess.TimeoutExpired."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.wait(seconds)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def cpu_seconds(self) -> float:
        """Processor time used so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Node(Process):
    """One `ringkv node`: its addresses, its directory, and plain requests to it."""

    def __init__(
        self,
        name: str,
        directory: Path,
        seeds: Mapping[str, int],
        environment: Mapping[str, str],
        http_port: int,
        *,
        files_max: int | None = None,
    ) -> None:
        self.directory = directory / name
        self.peer_port = seeds[name]
        self.http_port = http_port
        limited = [] if files_max is None else ["prlimit", f"--nofile={files_max}:{files_max}"]
        command = [*limited, sys.executable, "-m", "app.cli", "node", "--name", name, "--data", str(self.directory)]
        command += ["--http", f"127.0.0.1:{http_port}", "--peer", f"127.0.0.1:{self.peer_port}"]
        if len(seeds) > 1:
            command += ["--seeds", ",".join(f"{seed}=127.0.0.1:{port}" for seed, port in seeds.items())]
        super().__init__(name, command, directory / f"{name}.log", environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def request(
        self, method: str, target: str, body: bytes | None = None, *, timeout: float = 10, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body; one connection per request.

        Headers are keyword arguments: `kv_timeout_ms="500"` sends `kv-timeout-ms: 500`.
        """
        link = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)
        try:
            link.request(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = link.getresponse()
            return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
        finally:
            link.close()

    def json(self, target: str) -> Any:
        status, _, body = self.request("GET", target)
        assert status == 200, f"{self.name} {target}: {status} {body!r}"
        return json.loads(body)

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz", timeout=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_ready(self, seconds: float = READY_SECONDS) -> float:
        def ready_or_dead() -> bool:
            return self.is_ready() or not self.is_running

        try:
            took = wait_until(ready_or_dead, seconds, f"{self.name} is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.request('GET', '/readyz?verbose')[2]!r}") from error
        assert self.is_running, f"{self.name} ended with {self.wait(0)}: {self.log_text()[-2000:]}"
        return took


class Cluster:
    """Nodes n1, n2, … that seed each other. A context manager that leaves nothing behind but the logs."""

    def __init__(
        self,
        directory: Path,
        size: int = 3,
        partitions: int = 16,
        environment: Mapping[str, str] | None = None,
        files_max: int | None = None,
    ) -> None:
        """`files_max` is how many descriptors each node may have, None for what this process may."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.environment = {"RINGKV_SECRET": SECRET, "RINGKV_PARTITIONS": str(partitions), **(environment or {})}
        seeds = {f"n{i}": free_port() for i in range(1, size + 1)}
        self.nodes = {
            name: Node(name, directory, seeds, self.environment, free_port(), files_max=files_max) for name in seeds
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def start(self) -> None:
        """Starts what does not run and waits until all are ready."""
        for node in self:
            if not node.is_running:
                node.start()
        self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        for node in self:
            node.wait_ready(seconds)

    def leaders(self) -> dict[int, str | None]:
        """Partition → leader, as the first running node that answers sees it."""
        for node in self:
            if node.is_running:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return {p["id"]: p["leader"] for p in node.json("/v1/cluster")["partitions"]}
        raise AssertionError("no node answers")

    def leader_of_most(self) -> Node:
        leaders = [name for name in self.leaders().values() if name is not None and self[name].is_running]
        return self[max(sorted(set(leaders)), key=leaders.count)]

    def followers_of(self, key: str) -> list[Node]:
        place = next(node for node in self if node.is_running).json(f"/v1/locate/{key}")
        return [self[name] for name in place["replicas"] if name != place["leader"]]

    def leader_of(self, key: str) -> Node:
        leader = next(node for node in self if node.is_running).json(f"/v1/locate/{key}")["leader"]
        assert leader is not None, f"nobody leads the partition of {key}"
        return self[leader]

    def close(self) -> None:
        """Ends every process, however it stands, prints the ends of the logs, removes the data."""
        for node in self:
            if node.is_running:
                node.kill()
            print(f"--- {node.log}\n{node.log_text()[-4000:]}")
            shutil.rmtree(node.directory, ignore_errors=True)
