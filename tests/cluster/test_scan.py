"""Scans, exports and imports of real nodes, one of which is killed meanwhile."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import NewCluster
from tests.cluster.nodes import Cluster, Node

pytestmark = pytest.mark.cluster

KEYS = 3_000


def fill(node: Node, count: int = KEYS) -> dict[str, str]:
    """Writes keys of all partitions; a few of them have a TTL, a type, or bytes that are no text."""
    wanted = {f"k/{number:05d}": f"value {number}" for number in range(count)}
    lines = [json.dumps({"key": key, "value": value}) for key, value in wanted.items()]
    lines.append('{"key":"k/bytes","value":"/v8=","encoding":"base64","content_type":"image/png","expires_in":3600}')
    status, _, body = node.request("POST", "/v1/import", "\n".join(lines).encode(), timeout=60)
    assert (status, json.loads(body)) == (200, {"imported": count + 1, "failed": 0, "errors": []})
    return wanted


def page(node: Node, query: str) -> dict[str, Any]:
    status, _, body = node.request("GET", f"/v1/kv?{query}", timeout=20, kv_timeout_ms="15000")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def ringkv(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


def test_a_scan_goes_on_at_every_node_while_a_leader_is_killed(cluster: Cluster) -> None:
    """Nothing is lost and nothing comes twice, whichever node gives the next page."""
    wanted = fill(cluster["n1"])
    victim = cluster.leader_of_most()
    found: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        if pages == 5:
            victim.kill()
        running = [node for node in cluster if node.is_running]
        answer = page(running[pages % len(running)], f"prefix=k/0&limit=101&cursor={cursor}")
        found += [item["key"] for item in answer["items"]]
        assert all(item["value"] == wanted[item["key"]] for item in answer["items"])
        cursor = answer["cursor"]
        pages += 1

    assert found == sorted(wanted)
    assert pages > 20 and not victim.is_running


def test_an_export_survives_a_leader_and_is_the_same_in_another_cluster(
    cluster: Cluster, new_cluster: NewCluster, tmp_path: Path
) -> None:
    fill(cluster["n1"])
    victim = cluster.leader_of_most()
    survivor = next(node for node in cluster if node is not victim)
    victim.kill()
    dump, again = tmp_path / "dump", tmp_path / "again"

    exported = ringkv("export", "--url", survivor.url, str(dump))
    assert exported.returncode == 0, exported.stderr
    assert json.loads(lines(dump)[-1]) == {"complete": True, "count": KEYS + 1}
    for node in cluster:
        node.kill()
    other = new_cluster(1)
    other.start()
    imported = ringkv("import", "--url", other["n1"].url, str(dump))
    assert (imported.returncode, imported.stdout) == (0, b"imported %d, failed 0\n" % (KEYS + 1)), imported.stderr
    assert ringkv("export", "--url", other["n1"].url, str(again)).returncode == 0

    assert [entry_of(line) for line in lines(again)] == [entry_of(line) for line in lines(dump)]
    assert json.loads(lines(again)[-2])["expires_in"] <= 3_600


def test_an_export_outlives_its_only_gateway_and_the_rests_of_its_reader(cluster: Cluster) -> None:
    """It is given one URL, learns the others, and every key comes once."""
    wanted = fill(cluster["n1"])
    command = [sys.executable, "-m", "app.cli", "export", "--prefix", "k/0", "--url", cluster["n1"].url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        found = [process.stdout.readline()]
        cluster["n1"].kill()
        found += process.stdout.readlines()
        said = process.stderr.read()

    *entries, end = [json.loads(line) for line in found]
    assert (process.returncode, end) == (0, {"complete": True, "count": KEYS}), said
    assert {entry["key"]: entry["value"] for entry in entries} == wanted
    assert [entry["key"] for entry in entries] == sorted(wanted)


def test_an_import_whose_producer_rests_goes_on(cluster: Cluster) -> None:
    """For longer than any other body may take, which is 8 s."""
    command = ["curl", "-sS", "-T", "-", "-X", "POST", f"{cluster['n2'].url}/v1/import"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b'{"key":"before","value":"1"}\n')
        process.stdin.flush()
        rested_until = time.monotonic() + 10.0
        while time.monotonic() < rested_until:
            assert process.poll() is None, "it was ended"
            time.sleep(0.1)
        process.stdin.write(b'{"key":"after","value":"2"}\n')
        process.stdin.close()
        answer = json.loads(process.stdout.read())

    assert answer == {"imported": 2, "failed": 0, "errors": []}


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines()


def entry_of(line: bytes) -> dict[str, Any]:
    """A line, without what belongs to a cluster and a moment."""
    entry: dict[str, Any] = json.loads(line)
    entry.pop("revision", None)
    entry.pop("expires_in", None)
    return entry


def test_a_cut_off_node_scans_stale_alone(cluster: Cluster) -> None:
    """The minority shows what it has, and says what that is worth; nothing newer does it claim."""
    fill(cluster["n1"], 200)
    lonely = cluster["n3"]
    assert len(page(lonely, "limit=1000")["items"]) == 201
    for node in cluster:
        if node is not lonely:
            node.kill()

    status, headers, body = lonely.request("GET", "/v1/kv?limit=1000&consistency=stale")
    assert status == 200 and headers["kv-consistency"] == "stale"
    assert headers["kv-served-by"].startswith("n3;role=")
    assert len(json.loads(body)["items"]) == 201
    refused, _, problem = lonely.request("GET", "/v1/kv?limit=1000", kv_timeout_ms="3000")
    assert refused in {503, 504} and json.loads(problem)["outcome"] == "not_applied"
