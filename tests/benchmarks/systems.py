"""The two clusters that the gateway benchmark compares: ours and etcd's, three nodes each."""

import asyncio
import base64
import http.client
import itertools
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.cluster.nodes import Cluster, Process, free_port, wait_until

LOADERS = 16
PIPELINED = 32


class System(Protocol):
    """A cluster that can be started again and again on the same data."""

    name: str

    @property
    def ports(self) -> list[int]: ...
    @property
    def processes(self) -> list[Process]: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def load(self, keys: int, value: bytes) -> None: ...


def key_of(number: int) -> str:
    return f"bench/{number:06d}"


class Ringkv:
    """Our nodes with their default settings."""

    name = "ringkv"

    def __init__(self, directory: Path) -> None:
        self._cluster = Cluster(directory)

    @property
    def ports(self) -> list[int]:
        return [node.http_port for node in self._cluster]

    @property
    def processes(self) -> list[Process]:
        return list(self._cluster)

    def start(self) -> None:
        self._cluster.start()

    def stop(self) -> None:
        stop(self.processes)

    def load(self, keys: int, value: bytes) -> None:
        asyncio.run(self._load(keys, value))

    async def _load(self, keys: int, value: bytes) -> None:
        numbers = iter(range(keys))
        ports = itertools.cycle(self.ports)
        await asyncio.gather(*(_pipeline_puts(next(ports), numbers, value) for _ in range(LOADERS)))


async def _pipeline_puts(port: int, numbers: Iterator[int], value: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while batch := list(itertools.islice(numbers, PIPELINED)):
        for number in batch:
            head = f"PUT /v1/kv/{key_of(number)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(value)}\r\n\r\n"
            writer.write(head.encode() + value)
        for number in batch:
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 204"), f"loading {key_of(number)}: {answer!r}"
    writer.close()


class Etcd:
    """Debian's etcd with its default settings, spoken to through its JSON gateway."""

    name = "etcd"

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        peers = {f"e{i}": free_port() for i in (1, 2, 3)}
        members = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in peers.items())
        self.ports = [free_port() for _ in peers]
        self.processes: list[Process] = []
        for (name, peer), port in zip(peers.items(), self.ports, strict=True):
            urls = {"client": f"http://127.0.0.1:{port}", "peer": f"http://127.0.0.1:{peer}"}
            command = ["etcd", "--name", name, "--data-dir", str(directory / name), "--initial-cluster", members]
            command += ["--listen-client-urls", urls["client"], "--advertise-client-urls", urls["client"]]
            command += ["--listen-peer-urls", urls["peer"], "--initial-advertise-peer-urls", urls["peer"]]
            self.processes.append(Process(name, command, directory / f"{name}.log", {}))

    def start(self) -> None:
        for process in self.processes:
            process.start()
        for port in self.ports:
            wait_until(lambda port=port: self._is_healthy(port), 30, "etcd is healthy")  # type: ignore[misc]

    @staticmethod
    def _is_healthy(port: int) -> bool:
        try:
            return b"true" in _post(port, "/health", None)
        except OSError:
            return False

    def stop(self) -> None:
        stop(self.processes)

    def load(self, keys: int, value: bytes) -> None:
        """In transactions of 100 puts."""
        encoded = base64.b64encode(value).decode()
        for begin in range(0, keys, 100):
            names = [base64.b64encode(key_of(n).encode()).decode() for n in range(begin, min(keys, begin + 100))]
            puts = [{"requestPut": {"key": name, "value": encoded}} for name in names]
            _post(self.ports[0], "/v3/kv/txn", json.dumps({"success": puts}))


def _post(port: int, target: str, body: str | None) -> bytes:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET" if body is None else "POST", target, body)
        answer = link.getresponse()
        text = answer.read()
    finally:
        link.close()
    if answer.status != 200:
        raise ConnectionError(f"{target}: {answer.status} {text!r}")
    return text


def stop(processes: list[Process]) -> None:
    """SIGTERM to all, SIGKILL to whoever is still there ten seconds later."""
    for process in processes:
        process.send(signal.SIGTERM)
    deadline = time.monotonic() + 10
    for process in processes:
        if process.is_running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
