"""A node whose disk is full: reads, deletes, 507, before a restart and after it, and puts again once there is room."""

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import SECRET, Node, free_port, wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
]

VALUE = random.Random(0).randbytes(9000)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """One node alone, on a disk of 24 MiB; its own log is elsewhere."""
    disk = tmp_path / "n1"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    environment = {"RINGKV_SECRET": SECRET, "RINGKV_PARTITIONS": "4"}
    node = Node("n1", tmp_path, {"n1": free_port()}, environment, free_port())
    try:
        node.start()
        node.wait_ready()
        yield node
    finally:
        node.kill()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(node: Node) -> list[str]:
    """Put until a put is refused; the keys that were taken."""
    taken: list[str] = []
    while True:
        key = f"/v1/kv/k{len(taken):05}"
        status = node.request("PUT", key, VALUE)[0]
        if status == 507:
            assert len(taken) > 500, "most of the disk is of use"
            return taken
        assert status in (204, 503), status
        if status == 204:
            taken.append(key)


def take_the_rest(node: Node) -> Path:
    """Another program takes all that is left of the disk."""
    stranger = node.directory / "p0000-0001" / "stranger"
    with contextlib.suppress(OSError), stranger.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return stranger


def check_full(node: Node, keys: list[str]) -> None:
    """Reads, deletes and 507; and everybody who asks hears of it."""
    assert node.request("GET", keys[-1])[2] == VALUE
    assert node.request("PUT", "/v1/kv/more", VALUE)[0] == 507
    assert node.request("DELETE", keys.pop())[0] == 204
    assert any("the disk is full" in text for text in node.json("/readyz?verbose")["warnings"])
    report = node.json("/v1/node")
    assert report["disk_full"]
    assert report["disk_total_bytes"] == 24 << 20
    metrics = node.request("GET", "/metrics")[2].decode()
    assert "\nringkv_disk_full 1.0\n" in metrics
    assert "\nringkv_disk_free_bytes " in metrics


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_restarted_on_a_full_disk_serves_as_it_did(node: Node, number: signal.Signals) -> None:
    keys = fill(node)
    check_full(node, keys)
    stranger = take_the_rest(node)
    check_full(node, keys)

    node.kill(number)
    node.wait(30)
    node.start()
    node.wait_ready()
    # What it gave back to the disk when it started is taken as well.
    take_the_rest(node)
    wait_until(lambda: node.json("/v1/node")["disk_full"], 10, "the node has noticed")
    check_full(node, keys)

    stranger.unlink(missing_ok=True)
    for key in keys:
        assert node.request("DELETE", key)[0] == 204
    wait_until(lambda: node.request("PUT", "/v1/kv/more", VALUE)[0] == 204, 30, "there is room again")
    wait_until(lambda: not node.json("/readyz?verbose")["warnings"], 30, "nothing is amiss")
    assert node.request("GET", "/v1/kv/more")[2] == VALUE


def test_a_node_without_its_reserve_starts_on_a_full_disk(node: Node) -> None:
    keys = fill(node)
    node.kill()
    (node.directory / "reserve").unlink(missing_ok=True)
    stranger = take_the_rest(node)

    node.start()
    node.wait_ready()

    assert node.request("GET", keys[-1])[2] == VALUE
    wait_until(lambda: node.request("PUT", "/v1/kv/more", VALUE)[0] == 507, 10, "puts are refused")
    stranger.unlink(missing_ok=True)
    for key in keys:
        assert node.request("DELETE", key)[0] == 204
    wait_until(lambda: node.request("PUT", "/v1/kv/more", VALUE)[0] == 204, 30, "there is room again")
