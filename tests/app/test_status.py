"""`ringkv status`: every node is asked itself, and what is wrong is said."""

import asyncio
import json
from typing import Any

import httpx

from app.status import NodeStatus, Status, format_status, look
from tests.app.fake_gateway import FakeGateway
from tests.app.running import Running
from tests.app.test_cli import run


def node(name: str, http: str) -> dict[str, Any]:
    return {"name": name, "http": http, "peer": "127.0.0.1:9", "zone": "", "status": "up", "pid": 1}


def partition(number: int, leader: str | None, commit: int = 9, applied: int = 9) -> dict[str, Any]:
    makeup = {"replicas": ["n1", "n2", "n3"], "learners": [], "target": ["n1", "n2", "n3"]}
    return {"id": number, "leader": leader, **makeup, "term": 2, "commit_index": commit, "applied_index": applied}


def serve(gateway: FakeGateway, name: str, *, view: object, **report: object) -> None:
    said = {"name": name, "version": "1.2.3", "ready": True, "reasons": [], "records": 1_234, "stored_bytes": 5 << 20}
    gateway.data[b"/v1/node"] = (json.dumps({**said, **report}).encode(), "application/json")
    gateway.data[b"/v1/cluster"] = (json.dumps(view).encode(), "application/json")


def test_every_node_speaks_for_itself() -> None:
    reasons = ["partition 7 has no known leader", "the disk has no room"]
    with FakeGateway() as gone:
        dead = gone.url
    with FakeGateway() as ready, FakeGateway() as unready, FakeGateway() as other, FakeGateway() as stranger:
        serve(ready, "n1", view={"partitions": [partition(0, "n1", 20, 20)]})
        serve(
            unready,
            "n2",
            view={"partitions": [partition(0, "n1", 12, 11)]},
            ready=False,
            reasons=reasons[:1],
            warnings=reasons[1:],
        )
        serve(other, "m9", view={})
        stranger.data[b"/v1/node"] = (b"<html>", "text/html")
        urls = {"n1": ready.url, "n2": unready.url, "n3": dead, "n4": "", "n5": other.url, "n6": stranger.url}
        places = {name: url.removeprefix("http://") for name, url in urls.items()}
        cluster = {
            "nodes": [node(name, place) for name, place in places.items()],
            "partitions": [partition(0, "n1"), partition(7, None)],
        }
        status = asyncio.run(look(cluster, 2))

    states = {name: found.state for name, found in status.nodes.items()}
    assert states == {"n1": "ready", "n2": "not ready", **dict.fromkeys(("n3", "n4", "n5", "n6"), "unreachable")}
    shown = format_status(status).splitlines()
    assert shown[0] == "1 of 6 nodes ready, 1 of 2 partitions led, 2 short of replicas; can lose no node"
    assert shown[1:3] == [f"  n2: {reason}" for reason in reasons]
    assert shown[3].startswith("  n3: ") and dead.removeprefix("http://") in shown[3]
    assert shown[4:7] == [
        "  n4: it has not been seen since this gateway started",
        f"  n5: at {places['n5']} answers node m9",
        f"  n6: what answers at {places['n6']} is no node of ringkv",
    ]
    assert (status.lag("n1"), status.lag("n2")) == (0, 9)
    (row,) = (line.split() for line in shown if line.startswith("n2 "))
    assert row[1:3] == ["not", "ready"] and {"9", "1,234", "1.2.3"} <= set(row)
    document = json.loads(json.dumps(status.document()))
    assert document["verdict"]["ready"] == 1 and document["nodes"][1]["troubles"] == reasons


def test_of_many_partitions_only_those_with_something_to_say_are_shown() -> None:
    partitions = [partition(number, "n1") for number in range(64)]
    partitions[5] = partition(5, None)
    partitions[6]["learners"] = ["n4"]
    status = Status({"nodes": [], "partitions": partitions}, {})

    few, every = format_status(status), format_status(status, shows_all=True)

    assert [line.split()[0] for line in few.splitlines()[5:7]] == ["5", "6"]
    assert "and 62 more partitions that are well; --all shows them" in few
    assert "more partitions" not in every and every.count("n1 n2 n3") == 64


def test_a_size_is_told_in_three_digits() -> None:
    status = Status({"nodes": [node("n1", "x")], "partitions": []}, {"n1": NodeStatus("n1")})
    for stored, shown in ((0, "0 B"), (999, "999 B"), (1_000, "0.977 KiB"), (5 << 20, "5 MiB"), (3 << 39, "1.5 TiB")):
        status.nodes["n1"].report = {"stored_bytes": stored}
        assert f" {shown} " in format_status(status)


def test_a_disk_shows_what_is_free_and_that_it_is_full() -> None:
    status = Status({"nodes": [node("n1", "x")], "partitions": []}, {"n1": NodeStatus("n1")})
    disk = {"disk_free_bytes": 3 << 30, "disk_total_bytes": 12 << 30}

    for report, shown in ((disk, "3 GiB (25 %)"), ({**disk, "disk_full": True}, "3 GiB (25 %), full"), ({}, "-")):
        status.nodes["n1"].report = report
        (row,) = (line for line in format_status(status).splitlines() if line.startswith("n1 "))
        assert f"  {shown}  " in row


def test_a_node_says_what_it_is(gateway: Running) -> None:
    answer = httpx.get(f"{gateway.url}/v1/node").json()

    assert answer["name"] == "n1" and answer["version"] and answer["uptime_seconds"] > 0
    assert (answer["partitions_held"], answer["partitions_led"], answer["stored_bytes"]) == (4, 2, 10)
    assert isinstance(answer["reasons"], list) and answer["ready"] is (not answer["reasons"])


def test_the_command_shows_it(gateway: Running) -> None:
    shown = run("status", "--url", gateway.url)
    told = json.loads(run("status", "--url", gateway.url, "--json").stdout)

    assert shown.exit_code == 0 and " of 3 nodes ready, " in shown.stdout.splitlines()[0]
    assert told["verdict"]["text"] == shown.stdout.splitlines()[0]
    assert [each["name"] for each in told["nodes"]] == ["n1", "n2", "n3"]
