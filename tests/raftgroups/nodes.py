"""Whole nodes in one process: Hosts on loopback, each on a directory of its own."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from raftgroups.command import Delete, Put, encode_command
from raftgroups.errors import RaftGroupError
from raftgroups.group import RaftGroup
from raftgroups.host import Host, HostOptions
from raftgroups.ids import PartitionId
from raftgroups.item import Item, decode_item
from raftgroups.level import NEWEST, Level
from raftgroups.result import Result, Written
from raftgroups.timing import Timing
from tests.cluster.nodes import free_port

PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.005
QUICK = Timing(
    election_seconds_min=0.3,
    election_seconds_max=0.6,
    failover_seconds_min=0.02,
    failover_seconds_max=0.1,
    heartbeat_seconds=0.05,
)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """On the event loop that a node has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario)


class Cluster:
    """Hosts by name, and what a gateway would do with them."""

    def __init__(self, directory: Path, names: tuple[str, ...], **options: Any) -> None:
        self._directory = directory
        self._options = {"partitions": 4, "secret": b"secret", "timing": QUICK, **options}
        self.seeds = {name: f"127.0.0.1:{free_port()}" for name in names}
        self.hosts: dict[str, Host] = {}

    def options(self, name: str, **changes: Any) -> HostOptions:
        settings = {
            "name": name,
            "directory": str(self._directory / name),
            "peer": self.seeds[name],
            "http": "127.0.0.1:1",
            "seeds": self.seeds,
        }
        return HostOptions(**{**settings, **self._options, **changes})

    async def start(self, name: str, **changes: Any) -> Host:
        self.hosts[name] = await Host.open(self.options(name, **changes))
        return self.hosts[name]

    async def stop(self, name: str) -> None:
        await self.hosts.pop(name).close()

    async def until(self, condition: Callable[[], bool]) -> None:
        """A Host tells nobody of all that a test may wait for."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(POLL_SECONDS)

    async def ready(self) -> None:
        """Every partition has a leader that has applied its no-op, and that every host knows."""
        partitions = range(next(iter(self.hosts.values())).topology.partitions)
        await self.until(lambda: all(self._is_ready(PartitionId(partition)) for partition in partitions))

    def _is_ready(self, partition: PartitionId) -> bool:
        groups = [host.groups[partition] for host in self.hosts.values() if partition in host.groups]
        return len({group.leader for group in groups}) == 1 and any(
            group.is_leader and group.consensus.applied_index == group.log.last_index for group in groups
        )

    def leader(self, partition: PartitionId) -> Host:
        holders = [host for host in self.hosts.values() if partition in host.groups]
        return next(host for host in holders if host.groups[partition].is_leader)

    def group(self, key: bytes) -> RaftGroup:
        """Where `key` is written."""
        partition = next(iter(self.hosts.values())).topology.ring.partition_of(key)
        return self.leader(partition).groups[partition]

    async def write(self, command: Put | Delete) -> Written:
        """Raises: RaftGroupError."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[Result | RaftGroupError] = loop.create_future()
        self.group(command.key).propose(encode_command(command), loop.time() + PATIENCE_SECONDS, written.set_result)
        async with asyncio.timeout(PATIENCE_SECONDS):
            outcome = await written
        if isinstance(outcome, RaftGroupError):
            raise outcome
        assert isinstance(outcome, Written), outcome
        return outcome

    async def put(self, key: bytes, value: bytes) -> Written:
        return await self.write(Put(key, value))

    async def read(self, key: bytes, on: str) -> Item | None:
        """A linearizable read at one host's replica. Raises: RaftGroupError."""
        host = self.hosts[on]
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | RaftGroupError | None] = loop.create_future()
        group = host.groups[host.topology.ring.partition_of(key)]

        def serve(_level: Level, _staleness_ms: int) -> None:
            group.read_applied(key, answer.set_result)

        group.admit(NEWEST, loop.time(), math.inf, serve, answer.set_result)
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await answer
        if isinstance(found, RaftGroupError):
            raise found
        return decode_item(found) if found is not None else None


@asynccontextmanager
async def cluster(directory: Path, *names: str, **options: Any) -> AsyncIterator[Cluster]:
    together = Cluster(directory, names, **options)
    try:
        for name in names:
            await together.start(name)
        await together.ready()
        yield together
    finally:
        for name in list(together.hosts):
            await together.stop(name)
