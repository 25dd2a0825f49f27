"""Clients that write each key once, and remember what they were told became of it."""

import asyncio
import itertools
import random
from collections import Counter

from tests.cluster.client import Link, LinkError
from tests.cluster.nodes import Cluster, Node
from tests.cluster.traffic import RETRY_SECONDS, Traffic

APPLIED, NOT_APPLIED, UNKNOWN = "applied", "not_applied", "unknown"


class Outcomes(Traffic):
    """Writes ever new keys in the ways there are, through all nodes or some.

    told     by key, the outcome; a request whose answer never came is unknown
    codes    how often which problem was named with which outcome, and "" where no answer came
    """

    def __init__(
        self, cluster: Cluster, nodes: list[Node] | None = None, deadline_ms: int = 500, seed: int = 1
    ) -> None:
        super().__init__(cluster, clients=8, seed=seed)
        self.told: dict[str, str] = {}
        self.codes: Counter[tuple[str, str]] = Counter()
        self._nodes = nodes or list(cluster)
        self._deadline_ms = deadline_ms
        self._numbers = itertools.count()

    async def client(self, rng: random.Random) -> None:
        links = [Link(node.http_port, timeout=self._deadline_ms / 1_000 + 3) for node in self._nodes]
        while not self.stopping:
            await self._write(rng, rng.choice(links), f"{self.seed}/{next(self._numbers)}")
        for link in links:
            await link.close()

    async def _write(self, rng: random.Random, link: Link, key: str) -> None:
        headers = {"KV-Timeout-Ms": str(self._deadline_ms)}
        target, method = f"/v1/kv/{key}", "PUT"
        way = rng.randrange(5)
        if way == 1:
            headers["If-None-Match"] = "*"
        elif way == 2:
            headers["Idempotency-Key"] = key
        elif way == 3:
            target, method = f"{target}?op=incr", "POST"
        elif way == 4:
            # It fails, wherever it comes to be decided.
            headers["If-Match"] = '"1"'
        code = ""
        try:
            answer = await link.request(method, target, b"v" if method == "PUT" else b"", headers)
        except LinkError as error:
            outcome = UNKNOWN if error.sent else NOT_APPLIED
        else:
            outcome = APPLIED if answer.status in (200, 204) else str(answer.problem["outcome"])
            code = str(answer.problem.get("code", ""))
        assert (way, outcome) != (4, APPLIED), f"{key} has no revision to match"
        self.told[key] = outcome
        self.codes[code, outcome] += 1
        if outcome == APPLIED:
            self.succeeded += 1
        else:
            await asyncio.sleep(RETRY_SECONDS)

    def wrong(self, node: Node) -> list[str]:
        """What is there although it was said not to be, or is not although it was said to be."""
        found = {key: node.request("GET", f"/v1/kv/{key}")[0] == 200 for key in self.told}
        allowed = {APPLIED: {True}, NOT_APPLIED: {False}, UNKNOWN: {True, False}}
        return [
            f"{key}: {told}, and there: {found[key]}"
            for key, told in self.told.items()
            if found[key] not in allowed[told]
        ]
