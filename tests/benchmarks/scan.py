"""How quickly one node gives out everything: pages of a thousand, an export, and an import to fill it.

The client is a thread of this process that counts bytes and decodes nothing but cursors; the machine is shared by all.
"""

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.nodes import Cluster, Node

VALUE = "v" * 100
CURSOR = b'"cursor":"'


def lines(count: int) -> Iterator[bytes]:
    part: list[bytes] = []
    for number in range(count):
        part.append(b'{"key":"user/%08d","value":"%b"}\n' % (number * 2_654_435_761 % 10**8, VALUE.encode()))
        if len(part) == 1_000:
            yield b"".join(part)
            part.clear()
    yield b"".join(part)


def fill(node: Node, count: int) -> float:
    link = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=600)
    begun = time.perf_counter()
    link.request("POST", "/v1/import", lines(count), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    answer = json.loads(link.getresponse().read())
    assert (answer["imported"], answer["failed"]) == (count, 0), answer
    return count / (time.perf_counter() - begun)


def scan(node: Node, query: str, seconds: float) -> float:
    """Pairs a second, paging through it again and again."""
    link = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=60)
    begun = time.perf_counter()
    pairs = 0
    cursor = b""
    while time.perf_counter() - begun < seconds:
        link.request("GET", f"/v1/kv?limit=1000{query}&cursor={cursor.decode()}")
        response = link.getresponse()
        body = response.read()
        assert response.status == 200, body
        pairs += body.count(b'"revision":')
        _, found, rest = body.rpartition(CURSOR)
        cursor = rest.rstrip(b'"}') if found else b""
    return pairs / (time.perf_counter() - begun)


def export(node: Node, count: int) -> float:
    link = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=60)
    begun = time.perf_counter()
    link.request("GET", "/v1/export")
    response = link.getresponse()
    last = b""
    while data := response.read1(1 << 20):
        last = data
    assert json.loads(last.splitlines()[-1]) == {"complete": True, "count": count}
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Cluster(Path(directory), options.nodes) as cluster:
        cluster.start()
        node = cluster["n1"]
        print(f"{options.nodes} node(s), {options.keys} pairs of {len(VALUE)} bytes")
        print(f"import           {fill(node, options.keys):10,.0f} pairs/s")
        for name, query in (("linearizable", ""), ("stale", "&consistency=stale"), ("keys only", "&keys_only=true")):
            print(f"scan, {name:12}{scan(node, query, options.seconds):9,.0f} pairs/s")
        print(f"export           {export(node, options.keys):10,.0f} pairs/s")


if __name__ == "__main__":
    main()
