"""Nodes that may open few files: they serve as many clients as they say, compact, and survive kills."""

import json
import os
import random
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Node, wait_until

pytestmark = pytest.mark.cluster

FILES_MAX = 256
LACK = "Too many open files"
KEYS = 20_000
PART_KEYS = 2_000
# So often all is written that every replica compacts.
TURNS = 4


def value(key: int, turn: int) -> str:
    """9 KB that hardly become smaller when they are packed."""
    return random.Random(f"{key} {turn}").randbytes(4500).hex()


def load(node: Node, turn: int) -> None:
    for begin in range(0, KEYS, PART_KEYS):
        lines = [
            json.dumps({"key": f"{key:06}", "value": value(key, turn)}) + "\n"
            for key in range(begin, begin + PART_KEYS)
        ]
        status, _, body = node.request("POST", "/v1/import", "".join(lines).encode(), timeout=60)
        assert status == 200 and json.loads(body)["imported"] == PART_KEYS, body


def open_files(node: Node) -> int:
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def tables(node: Node) -> dict[str, int]:
    """How many tables each replica of a node has."""
    found = {path.name: len(list(path.rglob("*.sst"))) for path in Path(node.directory).glob("p*") if path.is_dir()}
    assert len(found) == 16
    return found


def fill_with_clients(node: Node) -> list[socket.socket]:
    """Connections, each of which has been answered once, until the node refuses another."""
    clients: list[socket.socket] = []
    while True:
        client = socket.create_connection(("127.0.0.1", node.http_port), timeout=10)
        clients.append(client)
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        status = client.recv(4096).split(b" ")[1]
        if status == b"503":
            return clients
        assert status == b"200"


def has_compacted(node: Node) -> bool:
    lines = node.request("GET", "/metrics")[2].decode().splitlines()
    return any(line.startswith("ringkv_engine_compactions_total") and float(line.split()[-1]) > 0 for line in lines)


def test_nodes_with_few_files_serve_compact_and_survive(new_cluster: NewCluster) -> None:
    cluster = new_cluster(files_max=FILES_MAX)
    cluster.start()
    clients: list[socket.socket] = []
    try:
        load(cluster["n1"], 0)
        for node in cluster:
            clients += fill_with_clients(node)
        # Some room for those who do the rest.
        for client in clients[::12]:
            client.close()
        for turn in range(1, TURNS):
            load(cluster["n2"], turn)
        for node in cluster:
            for key in range(0, KEYS, 97):
                status, _, body = node.request("GET", f"/v1/kv/{key:06}?consistency=stale", timeout=30)
                assert status == 200, body
            wait_until(partial(has_compacted, node), 20, f"{node.name} compacts")
            assert min(tables(node).values()) > 1
            assert open_files(node) < FILES_MAX
    finally:
        for client in clients:
            client.close()
    cluster["n1"].kill()
    cluster["n1"].start()
    cluster["n1"].wait_ready()
    for key in range(0, KEYS, 997):
        status, _, body = cluster["n1"].request("GET", f"/v1/kv/{key:06}", timeout=30)
        assert (status, body) == (200, value(key, TURNS - 1).encode())
    for node in cluster:
        assert LACK not in node.log_text()
