"""What must not start does not, with one line that says why; what must not connect is cut off."""

import contextlib
import json
import os
import random
import shutil
import socket
import threading
from pathlib import Path
from typing import Self

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node, free_port, wait_until

pytestmark = pytest.mark.cluster

START_SECONDS = 15.0


def refusal(node: Node) -> str:
    """Starts a node that must end at once with exit code 1; the one line that it says."""
    before = len(node.log_text())
    node.start()
    code = node.wait(START_SECONDS)
    said = node.log_text()[before:].strip().splitlines()
    assert code == 1, said
    assert len(said) == 1, said
    return said[0]


@pytest.mark.parametrize("which", ["http", "peer"])
def test_a_port_in_use_is_one_clear_line(new_cluster: NewCluster, which: str) -> None:
    node = new_cluster(size=1)["n1"]
    port = node.http_port if which == "http" else node.peer_port

    with socket.create_server(("127.0.0.1", port)):
        said = refusal(node)

    assert str(port) in said
    assert "in use" in said


def test_a_data_directory_in_use_is_one_clear_line(new_cluster: NewCluster) -> None:
    first = new_cluster(size=1)
    first.start()
    second = Node("n1", first.directory, {"n1": free_port()}, first.environment, free_port())

    try:
        said = refusal(second)
    finally:
        second.kill()

    assert str(first["n1"].directory) in said
    assert "in use" in said
    assert first["n1"].is_ready()


def test_a_data_directory_of_another_node_is_one_clear_line(new_cluster: NewCluster) -> None:
    cluster = new_cluster()
    cluster.start()
    cluster["n1"].kill()
    cluster["n2"].kill()

    shutil.rmtree(cluster["n2"].directory)
    cluster["n1"].directory.rename(cluster["n2"].directory)

    said = refusal(cluster["n2"])
    assert str(cluster["n2"].directory) in said
    assert "n1" in said


def test_a_directory_of_something_else_is_one_clear_line(new_cluster: NewCluster) -> None:
    """Nothing in it is touched, and nothing but a lock file is left in it."""
    node = new_cluster(size=1)["n1"]
    node.directory.mkdir()
    stranger = node.directory / "letter.txt"
    stranger.write_text("dear reader")

    said = refusal(node)

    assert str(node.directory) in said
    assert {path.name for path in node.directory.iterdir()} <= {"letter.txt", "LOCK"}
    assert (node.directory / "letter.txt").read_text() == "dear reader"


def damage(directory: Path) -> Path:
    """Turns one byte in the middle of the node log, and makes more of the log follow it."""
    logs = sorted(path for path in directory.rglob("*.log") if path.stat().st_size > 4_000)
    with logs[0].open("r+b") as log:
        log.seek(logs[0].stat().st_size // 2)
        byte = log.read(1)
        log.seek(-1, os.SEEK_CUR)
        log.write(bytes([byte[0] ^ 0x40]))
    return logs[0]


def test_a_damaged_node_log_is_one_clear_line(new_cluster: NewCluster) -> None:
    """A bad frame with good frames after it is damage, not a torn end: the file is named, nothing is served."""
    cluster = new_cluster(size=1)
    cluster.start()
    for number in range(200):
        assert cluster["n1"].request("PUT", f"/v1/kv/{number}", b"x" * 100)[0] == 204
    cluster["n1"].kill()
    path = damage(cluster["n1"].directory)

    said = refusal(cluster["n1"])

    assert path.name in said


def with_stranger(cluster: Cluster, variable: str, value: str) -> Node:
    """Start the cluster with n3 set up unlike the others; returns n3 once they are ready without it."""
    stranger = cluster["n3"]
    stranger.environment[variable] = value
    for node in cluster:
        node.start()
    for node in (cluster["n1"], cluster["n2"]):
        node.wait_ready()
    return stranger


def told(node: Node) -> list[str]:
    """Why a node is not ready, and what else is not as it should be, as it says itself."""
    report = json.loads(node.request("GET", "/readyz?verbose")[2])
    return [*report.get("reasons", ["it is still starting"]), *report.get("warnings", [])]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_who_is_no_node_is_told_from_one(new_cluster: NewCluster, answer: bytes) -> None:
    """Something else listens where n1 should be: the log hears of it once, however often it is dialed."""
    cluster = new_cluster()
    node = cluster["n2"]

    with Stranger(cluster["n1"].peer_port, answer) as stranger:
        node.start()
        what = "what answers there is no node of ringkv"
        wait_until(lambda: node.is_running and what in node.log_text(), START_SECONDS, "n2 knows")
        wait_until(lambda: any(what in line and "--seeds" in line for line in told(node)), 10, "n2 tells")
        wait_until(lambda: stranger.calls >= 4, 10, "n2 dials again and again")

    assert node.log_text().count(what) == 1


def test_a_peer_that_nobody_hears_of_is_told_once(new_cluster: NewCluster) -> None:
    cluster = new_cluster()
    node = cluster["n2"]
    node.start()

    what = f"nobody answers at 127.0.0.1:{cluster['n1'].peer_port} (connection refused); start node 'n1'"
    wait_until(lambda: what in node.log_text(), START_SECONDS, "the log tells of what lasts")

    assert any(what in line for line in told(node))
    assert node.log_text().count(what) == 1


class Stranger:
    """A server that gives everybody the same answer, and hangs up."""

    def __init__(self, port: int, answer: bytes) -> None:
        self.calls = 0
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._server.accept()
                with link, contextlib.suppress(OSError):
                    link.recv(4096)
                    link.sendall(self._answer)
                self.calls += 1


def test_a_node_with_a_foreign_secret_is_refused(new_cluster: NewCluster) -> None:
    """The others go on without it, and their logs tell of it."""
    cluster = new_cluster()
    stranger = with_stranger(cluster, "RINGKV_SECRET", "not the secret of the others")

    wait_until(lambda: "secret" in cluster["n1"].log_text() + cluster["n2"].log_text(), 10, "a line about the secret")
    wait_until(lambda: "the secret of this node may be wrong" in told(stranger)[0], 20, "n3 doubts its own secret")
    assert "compare its --secret-file or RINGKV_SECRET with those of the others" in told(stranger)[0]
    wait_until(
        lambda: any("node 'n3' does not have this cluster's secret" in line for line in told(cluster["n1"])), 10, ""
    )
    assert cluster["n1"].request("PUT", "/v1/kv/a", b"1")[0] == 204
    assert stranger.request("PUT", "/v1/kv/a", b"2", kv_timeout_ms="500")[0] == 503
    assert not stranger.is_ready()


def test_a_data_directory_of_another_cluster_is_one_clear_line(new_cluster: NewCluster) -> None:
    """One with other nodes; one with nodes of the same names is found out when they meet (test_moved.py)."""
    ours, theirs = new_cluster()["n3"], new_cluster(size=5)["n3"]
    theirs.start()
    wait_until(lambda: "serves" in theirs.log_text(), START_SECONDS, "the other node runs")
    theirs.kill()
    theirs.directory.rename(ours.directory)

    said = refusal(ours)

    assert str(ours.directory) in said
    assert "cluster" in said


def test_a_node_of_another_cluster_is_refused(new_cluster: NewCluster) -> None:
    """Same secret, same names, same addresses; but it was founded with another number of partitions."""
    cluster = new_cluster()
    stranger = with_stranger(cluster, "RINGKV_PARTITIONS", "32")

    def is_told() -> bool:
        return all("'n3' is of cluster" in node.log_text() for node in (cluster["n1"], cluster["n2"]))

    wait_until(is_told, 10, "a line about the other cluster")
    differs = "--partitions is 32 on n3 and 16 on n1; give the wrong one the right --partitions and an empty data"
    wait_until(lambda: any(differs in line for line in told(stranger)), 20, "n3 tells which setting differs")
    assert cluster["n1"].request("PUT", "/v1/kv/a", b"1")[0] == 204
    assert stranger.request("PUT", "/v1/kv/a", b"2", kv_timeout_ms="500")[0] == 503
    assert not stranger.is_ready()


GARBAGE = {
    "random bytes": random.Random(7).randbytes(2_000),
    "a huge length": b"\xff" * 64,
    "half a frame": b"\x00\x00\x01",
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "nothing": b"",
}


def test_garbage_on_the_peer_port_closes_that_connection_only(cluster: Cluster) -> None:
    """Each kind is cut off in time, while the node keeps its links to the others."""
    node = cluster["n1"]

    for name, sent in GARBAGE.items():
        with socket.create_connection(("127.0.0.1", node.peer_port), timeout=15) as link:
            link.sendall(sent)
            assert is_closed(link), f"{name}: the connection stays open"

    assert node.is_running
    assert node.request("PUT", "/v1/kv/a", b"1")[0] == 204
    assert "link lost" not in node.log_text()
    assert "Traceback" not in node.log_text()


def is_closed(link: socket.socket) -> bool:
    """Reads to the end, whatever the node has to say first."""
    try:
        while link.recv(4096):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    node = Node("n1", tmp_path, {"n1": free_port()}, {"RINGKV_PARTITIONS": "12"}, free_port())

    node.start()

    assert node.wait(START_SECONDS) == 2
    assert "partitions" in node.log_text()


def test_links_full_of_silence_do_not_keep_the_others_out(cluster: Cluster) -> None:
    """Many connections that say nothing hold no node up."""
    silent = [socket.create_connection(("127.0.0.1", cluster["n1"].peer_port)) for _ in range(100)]

    try:
        cluster["n2"].kill()
        cluster["n2"].start()
        cluster["n2"].wait_ready()
        assert cluster["n2"].request("PUT", "/v1/kv/a", b"1")[0] == 204
    finally:
        for link in silent:
            link.close()
