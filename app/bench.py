"""`ringkv bench`: clients that put and get, what they measure, and whether what they saw was linearizable.

Each client asks one gateway, and goes on with the next when that one fails. Every answer is recorded. A put whose
outcome nobody knows counts as perhaps done; the client goes on under another name, as it may take effect at any time.
"""

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.clienterrors import Response
from app.connection import Connection, ConnectionLostError
from app.httpwire import encode_request
from app.simulation.history import History
from app.simulation.linearizability import Violation, check
from app.urls import place_of

CLUSTER_SECONDS = 0.5
PAUSE_SECONDS = 0.02
# An answer is late by so much before the connection is given up.
GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    urls          of gateways
    keys          how many are written and read, all of them new
    reads         share of the operations that are gets, 0 to 1
    seconds       how long; None: until it is stopped
    timeout_ms    what each request is given
    """

    urls: Sequence[str]
    clients: int = 16
    keys: int = 32
    value_bytes: int = 100
    reads: float = 0.5
    seconds: float | None = 10.0
    timeout_ms: int = 2_000


@dataclass(slots=True)
class Interval:
    """What ended within some time.

    latencies   of answers that say it happened, in seconds
    failures    the others, by what went wrong
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float | None:
        """Of the latencies, in milliseconds; None if there is none."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def add(self, other: "Interval") -> None:
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.failures += other.failures


class Bench:
    """Runs a plan.

    total        all so far
    history      what the clients did and saw
    leaders      how many partitions each node leads, as a gateway has said lately
    acknowledged when the last put was acknowledged, by `time.monotonic`
    gap_seconds  the longest time without an acknowledged put
    """

    def __init__(self, plan: Plan, seed: int = 0) -> None:
        self.plan = plan
        self.total = Interval()
        self.history = History()
        self.leaders: Counter[str] = Counter()
        self.written = 0
        self.gap_seconds = 0.0
        self.acknowledged: float | None = None
        self._places = [place_of(url) for url in plan.urls]
        self._interval = Interval()
        self._began = 0.0
        self._is_over = asyncio.Event()
        self._random = random.Random(seed)
        self._run = secrets.token_hex(4)

    def stop(self) -> None:
        """End soon: what is on its way is still waited for."""
        self._is_over.set()

    async def run(self) -> None:
        """Return when all clients have ended."""
        self._began = time.monotonic()
        loop = asyncio.get_running_loop()
        if self.plan.seconds is not None:
            loop.call_later(self.plan.seconds, self.stop)
        watching = asyncio.create_task(self._watch_leaders())
        try:
            await asyncio.gather(*[self._client(number) for number in range(self.plan.clients)])
        finally:
            self.stop()
            await watching
        self.take()

    def take(self) -> Interval:
        """What has ended since the last call; it is part of the total now."""
        interval, self._interval = self._interval, Interval()
        now = time.monotonic()
        interval.seconds, self._began = now - self._began, now
        self.total.add(interval)
        return interval

    def judge(self) -> Violation | None:
        """Whether all that was seen is linearizable; None if so. It takes some 0.1 ms an operation."""
        return check(self.history.operations())

    @property
    def operations(self) -> int:
        return len(self.total.latencies) + self.total.failures.total()

    async def _client(self, number: int) -> None:
        rng = random.Random(self._random.random())
        value = 0
        name = self.history.new_client()
        place = number % len(self._places)
        connection: Connection | None = None
        while not self._is_over.is_set():
            host, port = self._places[place]
            if connection is None or not connection.is_open:
                try:
                    async with asyncio.timeout(self.plan.timeout_ms / 1_000):
                        connection = await Connection.open(host, port)
                except (OSError, TimeoutError):
                    self._interval.failures["unreachable"] += 1
                    place = (place + 1) % len(self._places)
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
            key = f"bench/{self._run}/{rng.randrange(self.plan.keys)}"
            reads = rng.random() < self.plan.reads
            value += 1
            text = None if reads else f"{number}.{value}"
            call = self.history.call(name, "get" if reads else "put", key, text)
            is_known = await self._ask(connection, call, key, text)
            if not is_known:
                connection.close()
                name = self.history.new_client()
                place = (place + 1) % len(self._places)
        if connection is not None:
            connection.close()

    async def _ask(self, connection: Connection, call: int, key: str, text: str | None) -> bool:
        """One request; says whether the connection is still of use."""
        host = "ringkv"
        headers = {"KV-Timeout-Ms": str(self.plan.timeout_ms)}
        body = b"" if text is None else text.encode().ljust(self.plan.value_bytes, b".")
        request = encode_request("GET" if text is None else "PUT", host, f"/v1/kv/{key}", headers, body)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.plan.timeout_ms / 1_000 + GRACE_SECONDS):
                answer = await connection.send(request)
        except (ConnectionLostError, TimeoutError) as error:
            self.history.end(call, None)
            self._interval.failures["no answer" if isinstance(error, TimeoutError) else "connection lost"] += 1
            return False
        self._answered(call, text, answer, began)
        if answer.status >= 500:
            await asyncio.sleep(PAUSE_SECONDS)
        return True

    def _answered(self, call: int, text: str | None, answer: Response, began: float) -> None:
        now = time.monotonic()
        if answer.status in {200, 204, 404}:
            output = None
            if text is None and answer.status == 200:
                output = answer.body.decode().rstrip(".")
            self.history.end(call, True, output)
            self._interval.latencies.append(now - began)
            if text is not None:
                self.written += 1
                if self.acknowledged is not None:
                    self.gap_seconds = max(self.gap_seconds, now - self.acknowledged)
                self.acknowledged = now
            return
        problem = _problem(answer)
        self.history.end(call, None if problem.get("outcome") == "unknown" else False)
        self._interval.failures[str(problem.get("code", answer.status))] += 1

    async def _watch_leaders(self) -> None:
        turn = 0
        while not self._is_over.is_set():
            host, port = self._places[turn % len(self._places)]
            turn += 1
            try:
                async with asyncio.timeout(CLUSTER_SECONDS):
                    connection = await Connection.open(host, port)
                    answer = await connection.send(encode_request("GET", "ringkv", "/v1/cluster", {}))
                    connection.close()
                    partitions = json.loads(answer.body)["partitions"]
                    self.leaders = Counter(partition["leader"] or "nobody" for partition in partitions)
            except (OSError, TimeoutError, ConnectionLostError, ValueError, KeyError):
                # Another will say.
                continue
            try:
                async with asyncio.timeout(CLUSTER_SECONDS):
                    await self._is_over.wait()
            except TimeoutError:
                pass


def _problem(answer: Response) -> dict[str, object]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


Show = Callable[[Bench, Interval], object]


async def run_shown(bench: Bench, show: Show, every_seconds: float) -> None:
    """Run a bench, and show what has happened every so often."""
    running = asyncio.create_task(bench.run())
    while not running.done():
        await asyncio.wait([running], timeout=every_seconds)
        if not running.done():
            show(bench, bench.take())
    await running
