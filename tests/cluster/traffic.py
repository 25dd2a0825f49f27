"""Clients that keep a cluster busy in the background while a test does harm to it."""

import asyncio
import itertools
import random
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from app.simulation.history import History
from app.simulation.linearizability import check
from tests.cluster.client import Link, LinkError, RecordingClient
from tests.cluster.nodes import Cluster, Node, wait_until

PACE_SECONDS = 0.01
RETRY_SECONDS = 0.02
MOVING_CHANCE = 0.05


class Traffic(ABC):
    """A number of clients, each a coroutine, on a loop in a thread of their own. A context manager."""

    def __init__(self, cluster: Cluster, clients: int, seed: int) -> None:
        self.cluster = cluster
        self.clients = clients
        self.seed = seed
        self.succeeded = 0
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        print(f"traffic of {self.clients} clients, seed {self.seed}")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Lets every client finish what it has begun."""
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "a client hangs"
        if self._failure is not None:
            raise self._failure

    def advance(self, by: int, seconds: float = 20) -> float:
        """Waits until so many more operations have succeeded; returns how long that took."""
        goal = self.succeeded + by
        return wait_until(lambda: self.succeeded >= goal, seconds, f"{by} more operations succeed")

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error

    async def _main(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self.client(random.Random(self.seed * 1_000 + number)))

    @abstractmethod
    async def client(self, rng: random.Random) -> None:
        """What each client does until it is stopped."""


class Ledger(Traffic):
    """Writes ever new keys through all nodes and remembers which writes were acknowledged."""

    def __init__(self, cluster: Cluster, clients: int = 8, seed: int = 1) -> None:
        super().__init__(cluster, clients, seed)
        self.acknowledged: dict[str, str] = {}
        self._numbers = itertools.count()

    async def client(self, rng: random.Random) -> None:
        nodes = list(self.cluster)
        links = {node.name: Link(node.http_port) for node in nodes}
        while not self.stopping:
            number = next(self._numbers)
            key, value = f"ledger/{self.seed}/{number}", f"{number}:{rng.randbytes(rng.randint(0, 60)).hex()}"
            link = links[rng.choice(nodes).name]
            try:
                answer = await link.request("PUT", f"/v1/kv/{key}", value.encode(), {"KV-Timeout-Ms": "2000"})
            except LinkError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status == 204:
                self.acknowledged[key] = value
                self.succeeded += 1
        for link in links.values():
            await link.close()

    def lost(self, nodes: Iterable[Node]) -> list[str]:
        """What is missing or wrong of all that was acknowledged, read through each of the nodes."""
        return asyncio.run(self._lost(list(nodes)))

    async def _lost(self, nodes: list[Node]) -> list[str]:
        bad: list[str] = []
        parts = [(node, offset) for node in nodes for offset in range(8)]
        pairs = list(self.acknowledged.items())

        async def read(node: Node, offset: int) -> None:
            async with Link(node.http_port) as link:
                for key, value in pairs[offset::8]:
                    answer = await link.request("GET", f"/v1/kv/{key}")
                    if answer.status != 200 or answer.body.decode() != value:
                        bad.append(f"{key} through {node.name}: {answer.status} {answer.body[:100]!r}, not {value}")

        await asyncio.gather(*(read(node, offset) for node, offset in parts))
        return bad


class Recorded(Traffic):
    """Puts, gets and deletes of a few keys through all nodes, recorded to be judged.

    query   of the gets
    levels  how many of them were answered at each level, once it has stopped
    """

    def __init__(self, cluster: Cluster, clients: int = 10, keys: int = 6, seed: int = 1, query: str = "") -> None:
        super().__init__(cluster, clients, seed)
        self.query = query
        self.levels: Counter[str] = Counter()
        self.history = History()
        self.keys = [f"recorded/{seed}/{number}" for number in range(keys)]
        self._numbers = itertools.count()

    async def client(self, rng: random.Random) -> None:
        """Stays with a node that answers, mostly; goes to another after a failure."""
        clients = [RecordingClient(self.history, node.http_port) for node in self.cluster]
        client = rng.choice(clients)
        while not self.stopping:
            ok = await self._operate(client, rng)
            self.succeeded += bool(ok)
            if not ok or rng.random() < MOVING_CHANCE:
                client = rng.choice(clients)
            await asyncio.sleep(rng.uniform(0, PACE_SECONDS) if ok else RETRY_SECONDS)
        for client in clients:
            self.levels += client.levels
            await client.close()

    async def _operate(self, client: RecordingClient, rng: random.Random) -> bool | None:
        key = rng.choice(self.keys)
        kind = rng.choices(("get", "put", "delete"), (10, 9, 1))[0]
        if kind == "get":
            return await client.get(key, self.query)
        if kind == "put":
            return await client.put(key, f"v{next(self._numbers)}")
        return await client.delete(key)

    def judge(self, directory: Path) -> None:
        """Reads every key through every node, then checks that all of it is linearizable."""
        asyncio.run(self._read_all())
        operations = self.history.operations()
        kinds = {ok: sum(o.ok is ok for o in operations) for ok in (True, False, None)}
        print(f"{len(operations)} operations: {kinds[True]} ok, {kinds[False]} refused, {kinds[None]} unknown")
        violation = check(operations)
        if violation is not None:
            (directory / "history.jsonl").write_text(self.history.dump())
            raise AssertionError(f"not linearizable (see {directory}/history.jsonl): {violation}")

    async def _read_all(self) -> None:
        for node in self.cluster:
            client = RecordingClient(self.history, node.http_port, deadline_ms=5_000)
            for key in self.keys:
                assert await client.get(key), f"{key} cannot be read through {node.name}"
            await client.close()
