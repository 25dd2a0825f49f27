"""The client, its examples and the README's tour, against real nodes."""

import asyncio
import doctest
import re
import subprocess
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import app.client
from app.client import AsyncClient, Change, Client
from tests.cluster.nodes import Cluster

pytestmark = pytest.mark.cluster

LAST = b"live/last"
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
VOLATILE = {"REVISION": r"\d+", "TOKEN": r"\S+", "SECONDS": r"\d+", "NUMBER": r"\d+", "NODE": r"n\d;role=\w+"}
VOLATILE["LEVEL"] = r"\w+"


def tour() -> list[tuple[str, list[str]]]:
    """Each command of the README's tour, and the lines it answers."""
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def pattern(line: str) -> str:
    return re.sub("|".join(VOLATILE), lambda found: VOLATILE[found[0]], re.escape(line))


def test_the_tour_of_the_readme_is_true(cluster: Cluster) -> None:
    steps = tour()
    assert len(steps) == 10
    for written, lines in steps:
        command = written
        for number in (1, 2, 3):
            command = command.replace(f"localhost:800{number}", f"127.0.0.1:{cluster[f'n{number}'].http_port}")
        # No shell setting of whoever runs this changes what curl does.
        said = subprocess.check_output(command.replace("curl", "curl -q -s", 1), shell=True, text=True, timeout=10)
        for line in lines:
            assert re.search(f"^{pattern(line)}", said.replace("\r", ""), re.MULTILINE), f"{command}: {said}"


def test_the_examples_of_the_client_are_true(cluster: Cluster) -> None:
    source = app.client.__doc__ or ""
    for number in (1, 2, 3):
        source = source.replace(f"http://127.0.0.1:800{number}", cluster[f"n{number}"].url)
    examples = doctest.DocTestParser().get_doctest(source, {}, "app.client", "app/client.py", 0)

    result = doctest.DocTestRunner().run(examples)

    assert result.failed == 0
    assert result.attempted > 8


def test_counters_are_exact_through_kills(cluster: Cluster) -> None:
    """Every node is killed once, while eight clients count; their defaults repeat what is lost."""

    async def count(number: int, done: asyncio.Event) -> int:
        counted = 0
        async with AsyncClient([node.url for node in cluster], timeout_seconds=30.0) as client:
            while not done.is_set() or counted < 20:
                await client.incr(f"counter {number % 2}")
                counted += 1
        return counted

    async def run() -> int:
        done = asyncio.Event()
        counting = [asyncio.create_task(count(number, done)) for number in range(8)]
        for node in cluster:
            await asyncio.to_thread(node.kill)
            node.start()
            await asyncio.to_thread(node.wait_ready)
        done.set()
        return sum(await asyncio.gather(*counting))

    counted = asyncio.run(run())

    with Client(cluster["n1"].url) as client:
        found = [client.get(f"counter {number}", consistency="linearizable") for number in range(2)]
    assert sum(int(value.value) for value in found if value is not None) == counted


def test_a_session_sees_its_writes_on_every_node(cluster: Cluster) -> None:
    with Client(cluster["n1"].url) as writer:
        for number in range(20):
            writer.put("profile", str(number))
            for node in cluster:
                with Client(node.url, session=writer.session) as reader:
                    found = reader.get("profile", consistency="session")
                    assert found is not None
                    assert int(found.value) >= number


def test_scans_and_watches_go_on_when_their_node_is_killed(cluster: Cluster) -> None:
    """Nothing is missing and nothing comes twice, in either client; the changes of each key come in their order."""
    fill = "".join(f'{{"key":"k/{number:05d}","value":"{number}"}}\n' for number in range(3_000))
    assert cluster["n1"].request("POST", "/v1/import", fill.encode(), timeout=60)[0] == 200
    victim = cluster.leader_of_most()
    survivors = [node.url for node in cluster if node is not victim]
    urls = [survivors[0], victim.url]  # a client begins with the second
    begun = threading.Event()

    async def watch() -> list[Change]:
        async with AsyncClient(urls) as client, client.watch(prefix="live/") as changes:
            begun.set()
            return [await anext(changes) for _ in range(101)]

    with (
        ThreadPoolExecutor() as pool,
        Client(urls, timeout_seconds=30) as client,
        Client(survivors, timeout_seconds=30) as writer,
        client.watch(prefix="live/") as changes,
    ):
        watching = pool.submit(asyncio.run, watch())
        assert begun.wait(20)
        scan = client.scan("k/", page_keys=101)
        found = [next(scan).key for _ in range(1_000)]
        for number in range(50):
            writer.put(f"live/{number % 7}", str(number))
        told = [next(changes) for _ in range(20)]
        victim.kill()
        found += [item.key for item in scan]
        for number in range(50, 100):
            writer.put(f"live/{number % 7}", str(number))
        told += [next(changes) for _ in range(80)]
        writer.put(LAST, "")
        told.append(next(changes))
        told_async = watching.result(30)

    assert found == [b"k/%05d" % number for number in range(3_000)]
    wanted = {b"live/%d" % key: [b"%d" % number for number in range(key, 100, 7)] for key in range(7)}
    for seen in (told, told_async):
        values: dict[bytes, list[bytes | None]] = defaultdict(list)
        for change in seen:
            values[change.key].append(change.value)
        assert values.pop(LAST) == [b""]
        assert values == wanted
