"""Clients that count under Idempotency-Keys and repeat every request, and what the counters must be in the end."""

import asyncio
import random
from collections import Counter

from tests.cluster.client import Answer, Link, LinkError
from tests.cluster.nodes import Cluster, Node
from tests.cluster.traffic import RETRY_SECONDS, Traffic

REPEATS = 3


class Counting(Traffic):
    """Each client adds to one of a few counters, with a key of its own for each addition.

    It asks up to three times through whatever nodes: also when it has been answered, as somebody does who has lost the
    answer. In the end it goes on until it knows of each addition whether it was made.

    added    by counter, what was told to have been added
    repeated how many answers came to a request that had been answered before
    """

    def __init__(self, cluster: Cluster, clients: int = 8, counters: int = 4, seed: int = 1) -> None:
        super().__init__(cluster, clients, seed)
        self.added: Counter[str] = Counter()
        self.repeated = 0
        self._counters = [f"counter/{number}" for number in range(counters)]

    async def client(self, rng: random.Random) -> None:
        links = {node.name: Link(node.http_port, timeout=2.0) for node in self.cluster}
        number = 0
        while not self.stopping:
            number += 1
            token = f"{self.seed}-{rng.getrandbits(64):x}-{number}"
            await self._add(rng, links, token)
        for link in links.values():
            await link.close()

    async def _add(self, rng: random.Random, links: dict[str, Link], token: str) -> None:
        key, by = rng.choice(self._counters), rng.randint(1, 9)
        headers = {"Idempotency-Key": token, "KV-Timeout-Ms": str(rng.choice((20, 200, 1_000)))}
        answers: list[Answer] = []
        asked = 0
        is_doubtful = False
        while asked < REPEATS or (is_doubtful and not answers):
            asked += 1
            link = links[rng.choice(list(links))]
            try:
                answer = await link.request("POST", f"/v1/kv/{key}?op=incr&by={by}", headers=headers)
            except LinkError as error:
                is_doubtful = is_doubtful or error.sent
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status == 200:
                answers.append(answer)
            else:
                is_doubtful = is_doubtful or answer.problem["outcome"] == "unknown"
                await asyncio.sleep(RETRY_SECONDS)
        if answers:
            assert len({(answer.body, answer.headers["etag"]) for answer in answers}) == 1, "one addition, two results"
            self.repeated += len(answers) - 1
            self.added[key] += by
            self.succeeded += 1

    def wrong(self, node: Node) -> list[str]:
        """The counters that are not what they must be, read through `node`."""
        found = {key: int(node.request("GET", f"/v1/kv/{key}")[2] or b"0") for key in self._counters}
        return [
            f"{key} is {found[key]}, not {self.added[key]}" for key in self._counters if found[key] != self.added[key]
        ]
