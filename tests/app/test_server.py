"""A node as a process: starting, refusing to start, and stopping."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from app.server import connections_within
from tests.app.running import Client, RawAnswer

pytestmark = [pytest.mark.cluster]

PUT = b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Node:
    """A cluster of one."""

    data: Path
    http: int
    peer: int
    process: subprocess.Popen[str]

    def ask(self, path: str) -> RawAnswer:
        with Client(self.http) as client:
            return client.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the node has ended"
            try:
                if self.ask("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("the node does not become ready")

    def stop(self) -> tuple[int, float]:
        """Its exit code, and how long it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        return code, time.monotonic() - started


def start(
    data: Path, http: int, peer: int, name: str = "n1", files_max: int | None = None, **environ: str
) -> subprocess.Popen[str]:
    limited = [] if files_max is None else ["prlimit", f"--nofile={files_max}:{files_max}"]
    return subprocess.Popen(
        [
            *(*limited, sys.executable, "-m", "app.cli", "node", "--name", name, "--data", str(data)),
            *("--http", f"127.0.0.1:{http}", "--peer", f"127.0.0.1:{peer}"),
        ],
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def node(data: Path, files_max: int | None = None, **environ: str) -> Iterator[Node]:
    http, peer = free_port(), free_port()
    process = start(data, http, peer, files_max=files_max, **environ)
    try:
        started = Node(data, http, peer, process)
        started.wait_until_ready()
        yield started
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def refusal(process: subprocess.Popen[str]) -> str:
    """The one line of a node that exits with 1."""
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1, said
    (line,) = said.splitlines()
    return line


def test_a_stopped_node_exits_with_0_whoever_is_connected(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running:
        idle, half, silent, lingering = (Client(running.http) for _ in range(4))
        assert idle.ask(PUT).status == 204
        half.send(PUT[:30])
        lingering.send(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert lingering.read_answer().status == 413

        code, seconds = running.stop()

        assert code == 0
        assert seconds < 5
        assert idle.is_closed() and half.is_closed() and silent.is_closed()
        assert not (tmp_path / "n1" / "node.pid").exists()
        for client in (idle, half, silent, lingering):
            client.socket.close()


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running:
        with Client(running.http) as client:
            revision = client.ask(PUT).headers["etag"]
        assert running.stop()[0] == 0
    with node(tmp_path / "n1") as running:
        answer = running.ask("/v1/kv/k")

    assert (answer.body, answer.headers["etag"]) == (b"v", revision)


def test_only_the_owner_may_read_what_a_node_keeps(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running:
        assert int((running.data / "node.pid").read_text()) == running.process.pid
        for path in (running.data, *running.data.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running, Client(running.http) as client:
        client.ask(PUT)
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        running.process.wait(5)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        http = refusal(start(tmp_path / "n1", port, free_port()))
        peer = refusal(start(tmp_path / "n1", free_port(), port))

    assert http == f"ringkv: cannot listen on http address 127.0.0.1:{port}: Address already in use"
    assert peer == f"ringkv: cannot listen on peer address 127.0.0.1:{port}: Address already in use"


def test_a_directory_in_use_or_of_another_node_is_one_line(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running:
        in_use = refusal(start(tmp_path / "n1", free_port(), free_port()))
        assert (running.data / "node.pid").read_text().strip() == str(running.process.pid)
        assert running.stop()[0] == 0
    foreign = refusal(start(tmp_path / "n1", free_port(), free_port(), name="n2"))

    assert "in use" in in_use
    assert "n1" in foreign and "n2" in foreign


def test_a_damaged_directory_is_one_line(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running:
        assert running.stop()[0] == 0
    identity = tmp_path / "n1" / "identity"
    identity.write_bytes(identity.read_bytes()[:-1] + b"\x00")

    assert str(tmp_path / "n1") in refusal(start(tmp_path / "n1", free_port(), free_port()))


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert str(tmp_path / "file") in refusal(start(tmp_path / "file" / "n1", free_port(), free_port()))


def test_logs_are_lines_and_hold_no_values(tmp_path: Path) -> None:
    with node(tmp_path / "n1") as running:
        with Client(running.http) as client:
            client.ask(b"PUT /v1/kv/hidden-key HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nhidden-value")
            client.ask(b"garbage\r\n\r\n")
        assert running.stop()[0] == 0
        assert running.process.stderr is not None
        said = running.process.stderr.read()

    assert "hidden" not in said
    assert all(line[:2] == "20" and "Z " in line for line in said.splitlines()), said


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    with node(tmp_path / "n1", RINGKV_PAIR_BYTES_MAX="100", RINGKV_PARTITIONS="2") as running:
        with Client(running.http) as client:
            assert (
                client.ask(b"PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + b"v" * 100).status
                == 413
            )
        assert len(json.loads(running.ask("/v1/cluster").body)["partitions"]) == 2


def test_more_clients_than_files_are_refused_and_the_node_goes_on(tmp_path: Path) -> None:
    with node(tmp_path / "n1", files_max=128, RINGKV_PARTITIONS="2") as running:
        clients = [Client(running.http) for _ in range(200)]
        statuses = [client.ask(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").status for client in clients]
        for client in clients:
            client.socket.close()

        assert (statuses.count(200), statuses.count(503)) == (42, 158)
        with Client(running.http) as client:
            assert client.ask(PUT).status == 204


@pytest.mark.parametrize(
    ("files_max", "partitions", "expected"),
    [(65_536, 16, 32_768), (1_024, 16, 512), (256, 16, 96), (256, 2, 128), (128, 2, 42), (256, 256, 32)],
)
def test_clients_get_half_of_the_files_or_what_others_leave(
    files_max: int, partitions: int, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that accepts more connections than that has none left for its log, and takes no writes."""
    assert connections_within(files_max, partitions) == expected
    assert ("ulimit -n 1632" in caplog.text) == (partitions == 256)


def test_a_node_tells_its_version_its_settings_and_its_end_but_no_secret(tmp_path: Path) -> None:
    secret = "s" * 32
    with node(tmp_path / "n1", RINGKV_SECRET=secret, RINGKV_PARTITIONS="2", RINGKV_LOG_FORMAT="json") as running:
        running.process.terminate()
        _, said = running.process.communicate(timeout=20)

    events = [json.loads(line) for line in said.splitlines()]
    messages = [event["message"] for event in events]
    (first,) = (text for text in messages if text.startswith(f"ringkv {version('ringkv')} serves, process "))
    assert f" {running.process.pid}, with name=n1 " in first
    assert " secret=(set) partitions=2 log_format=json" in first and secret not in said
    assert "n1 got SIGTERM, and stops" in messages and messages[-1] == "n1 has stopped"


def test_what_ends_a_node_is_json_too(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(tmp_path / "n1", taken.getsockname()[1], free_port(), RINGKV_LOG_FORMAT="json")
        _, said = process.communicate(timeout=20)

    assert process.returncode == 1
    event = json.loads(said.splitlines()[-1])
    assert event["level"] == "CRITICAL" and "cannot listen on http address" in event["message"]
