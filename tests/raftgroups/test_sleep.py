"""Whole nodes whose groups sleep: what they cost, and what wakes them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from raftgroups.command import ConditionalPut, encode_command
from raftgroups.errors import RaftGroupError
from raftgroups.host import Host
from raftgroups.ids import PartitionId
from raftgroups.messages import AnyMessage, ClockMessage, DiskReport
from raftgroups.result import Result, Written
from tests.raftgroups.nodes import QUICK, Cluster, cluster, run

PARTITIONS = 32
TIMING = replace(QUICK, quiet_seconds=0.3)
P0 = PartitionId(0)


class Onlooker:
    """Sees every tick of a host, and the kinds of what it sends."""

    def __init__(self) -> None:
        self.ticks = 0
        self.sent: set[str] = set()

    def at(self, host: Host) -> None:
        send, tick = host.transport.send, host._vigil.tick

        def sees(name: str, message: AnyMessage, generation: int = 0) -> None:
            if not isinstance(message, ClockMessage):
                self.sent.add(type(message).__name__)
            send(name, message, generation)

        def counts(now: float, disk: DiskReport) -> None:
            self.ticks += 1
            tick(now, disk)

        host.transport.send = sees  # type: ignore[method-assign]  # it looks on
        host._vigil.tick = counts  # type: ignore[method-assign, assignment]  # it looks on


def asleep(nodes: Cluster) -> int:
    return round(sum(host.statistics()["partitions_asleep"] for host in nodes.hosts.values()))


async def all_asleep(nodes: Cluster) -> None:
    await nodes.until(lambda: asleep(nodes) == sum(len(host.groups) for host in nodes.hosts.values()))


def test_groups_that_sleep_cost_no_visits_and_no_messages(tmp_path: Path) -> None:
    """Counted, not timed: the ticks of a second visit nobody, and a heartbeat is one Beat for each peer."""

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", partitions=PARTITIONS, timing=TIMING) as nodes:
            await all_asleep(nodes)
            before = {name: host.statistics()["partition_visits_total"] for name, host in nodes.hosts.items()}
            looking_on = Onlooker()
            for host in nodes.hosts.values():
                looking_on.at(host)
            await nodes.until(lambda: looking_on.ticks >= 3 * 20)

            visits = {name: host.statistics()["partition_visits_total"] for name, host in nodes.hosts.items()}
            assert visits == before
            assert looking_on.sent == {"Beat"}

    run(scenario())


def test_a_request_wakes_its_partition_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", partitions=PARTITIONS, timing=TIMING) as nodes:
            await all_asleep(nodes)

            await nodes.put(b"key", b"value")

            assert asleep(nodes) >= 3 * (PARTITIONS - 1)
            item = await nodes.read(b"key", "n2")
            assert item is not None and item.value == b"value"
            await all_asleep(nodes)

    run(scenario())


@pytest.mark.parametrize("restarted", [False, True])
def test_all_that_a_lost_node_led_is_led_by_others_soon(tmp_path: Path, restarted: bool) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", partitions=PARTITIONS, timing=TIMING) as nodes:
            await all_asleep(nodes)
            await nodes.stop("n1")
            if restarted:
                await nodes.start("n1")
            await nodes.ready()
            await nodes.put(b"key", b"value")
            await all_asleep(nodes)

    run(scenario())


def test_what_expires_in_a_partition_that_sleeps_goes_on_time(tmp_path: Path) -> None:
    """Nobody asks for it; the leader is woken by its alarm."""

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", timing=TIMING) as nodes:
            loop = asyncio.get_running_loop()
            group = nodes.group(b"key")
            written: asyncio.Future[Result | RaftGroupError] = loop.create_future()
            command = ConditionalPut(b"key", b"value", ttl_ms=1_500)
            group.propose(encode_command(command), loop.time() + 20, written.set_result)
            assert isinstance(await written, Written)
            began = loop.time()
            replicas = [host.groups[group.partition] for host in nodes.hosts.values()]
            await all_asleep(nodes)
            assert all(replica.machine.get(b"key", wait=True) is not None for replica in replicas)
            assert loop.time() - began < 1.5

            await nodes.until(lambda: all(replica.machine.get(b"key", wait=True) is None for replica in replicas))

            assert 1.4 < loop.time() - began < 3.0
            await all_asleep(nodes)

    run(scenario())


def test_a_replica_that_stops_in_its_sleep_is_not_believed_any_more(tmp_path: Path) -> None:
    """Its node lives and sends its Beats, so the others must be told."""

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", timing=TIMING) as nodes:
            await all_asleep(nodes)
            host = nodes.leader(P0)

            host.groups[P0].fail(RuntimeError("of ours"))

            others = [other.groups[P0] for other in nodes.hosts.values() if other is not host]
            await nodes.until(lambda: any(group.is_leader for group in others))

    run(scenario())


def test_every_node_knows_who_leads_what_it_does_not_hold(tmp_path: Path) -> None:
    """Also while all sleep; and soon after a leader was lost it is the new one."""

    async def scenario() -> None:
        names = ("n1", "n2", "n3", "n4", "n5")
        async with cluster(tmp_path, *names, partitions=8, timing=TIMING) as nodes:
            loop = asyncio.get_running_loop()

            def are_known() -> bool:
                for number in range(8):
                    leader = nodes.leader(PartitionId(number))
                    for host in nodes.hosts.values():
                        known = host.leadership_of(PartitionId(number))
                        if known is None or known.leader != leader.name or known.at is None:
                            return False
                        if known.commit_index != leader.groups[PartitionId(number)].consensus.commit_index:
                            return False
                        if loop.time() - known.at > 1.0:
                            return False
                return True

            await all_asleep(nodes)
            await nodes.until(are_known)
            before = loop.time()
            await nodes.until(lambda: loop.time() > before + 3.0)
            await nodes.until(are_known)

            lost = nodes.leader(P0).name
            await nodes.stop(lost)
            await nodes.until(
                lambda: all(
                    known is None or known.leader != lost
                    for known in (host.leadership_of(P0) for host in nodes.hosts.values())
                )
            )
            await nodes.ready()
            await nodes.until(are_known)

    run(scenario())
