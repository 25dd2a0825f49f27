"""A node's engines flush and compact in one process beside it, which does not outlive it."""

import os
import signal
from pathlib import Path

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Node, wait_until

pytestmark = pytest.mark.cluster

VALUE = bytes(100_000)
KEYS = [f"key/{number}" for number in range(2)]
ROUNDS = 50  # for more than a memtable of each partition


def children(node: Node) -> list[int]:
    """The processes that a node has started."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            except FileNotFoundError:
                continue
            if parent == node.pid:
                found.append(int(directory.name))
    return found


def is_there(pid: int) -> bool:
    """Whether it still runs: one that nobody waits for stays as a zombie, but has ended."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_node_has_one_worker_which_ends_with_it(new_cluster: NewCluster) -> None:
    cluster = new_cluster(environment={"RINGKV_PAIR_BYTES_MAX": str(2 * len(VALUE))})
    cluster.start()
    drained, killed, other = cluster
    for _ in range(ROUNDS):
        for key in KEYS:
            assert drained.request("PUT", f"/v1/kv/{key}", VALUE)[0] == 204
    for node in cluster:
        wait_until(lambda node=node: len(children(node)) > 0, 10, f"{node.name} has a worker")  # type: ignore[misc]  # bound in the loop
    workers = {node.name: children(node) for node in cluster}

    drained.send(signal.SIGTERM)
    assert drained.wait(5) == 0
    assert not any(map(is_there, workers[drained.name]))
    killed.kill()
    wait_until(lambda: not any(map(is_there, workers[killed.name])), 10, "the worker of a killed node ends")
    os.kill(workers[other.name][0], signal.SIGKILL)
    cluster.start()

    assert [len(pids) for pids in workers.values()] == [1, 1, 1]
    for _ in range(ROUNDS):
        for key in KEYS:
            assert drained.request("PUT", f"/v1/kv/{key}", VALUE)[0] == 204
    assert other.is_running
    wait_until(lambda: len(children(other)) == 1 and children(other) != workers[other.name], 10, "it has another")
