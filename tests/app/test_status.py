import asyncio
from typing import Any

from app.status import format_status, probe
from tests.app.fake_gateway import FakeGateway, Fate


def node(name: str, http: str) -> dict[str, Any]:
    return {"name": name, "http": http, "peer": "127.0.0.1:9", "zone": "", "status": "up", "pid": 1}


def test_every_node_speaks_for_itself() -> None:
    with FakeGateway() as gone:
        dead = gone.url
    with FakeGateway() as ready, FakeGateway(lambda _, __, ___: Fate.REFUSED) as unready:
        ready.data[b"/readyz"] = (b"{}", "application/json")
        urls = {"n1": ready.url, "n2": unready.url, "n3": dead, "n4": ""}
        cluster = {"nodes": [node(name, url.removeprefix("http://")) for name, url in urls.items()], "partitions": []}
        readiness = asyncio.run(probe(cluster, 2))

    assert readiness["n1"] == "ready"
    assert readiness["n2"].startswith("not ready: ")
    assert "partition 7 has no leader that reaches a majority" in readiness["n2"]
    assert readiness["n3"] == f"unreachable: cannot reach {dead}: connection refused"
    assert readiness["n4"] == "unreachable: it has not been seen since this gateway started"
    assert len(format_status(cluster, readiness).splitlines()) == 2 + 1 + 4 + 1 + 1
