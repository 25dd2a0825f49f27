"""Replicas that come and go: whole nodes on loopback, each on a directory of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from raftgroups.errors import ChangeRefusedError, DamagedDirectoryError, NotLeaderError
from raftgroups.ids import PartitionId
from raftgroups.messages import AnyMessage, SnapshotOffer, SnapshotReply
from tests.raftgroups.nodes import Cluster, cluster, run

P0 = PartitionId(0)
NAMES = ("n1", "n2", "n3", "n4")
KEYS = [b"key %d" % number for number in range(40)]


def spare(together: Cluster) -> str:
    """The node that partition 0 was not founded on."""
    return next(name for name in NAMES if P0 not in together.hosts[name].groups)


def is_reached(together: Cluster, target: tuple[str, ...]) -> Callable[[], bool]:
    """Every host knows that the target is reached, and who is not in it holds nothing any more."""

    def check() -> bool:
        return all(
            tuple(host.placement_of(P0).voters) == target
            and not host.placement_of(P0).learners
            and (P0 in host.groups) is (host.name in target)
            for host in together.hosts.values()
        )

    return check


def replica_directories(directory: Path, name: str) -> list[str]:
    return sorted(path.name for path in (directory / name).glob("p0000-*"))


async def fill(together: Cluster) -> list[bytes]:
    """Some keys of partition 0, each holding itself."""
    ring = next(iter(together.hosts.values())).topology.ring
    mine = [key for key in KEYS if ring.partition_of(key) == P0]
    for key in mine:
        await together.put(key, key)
    return mine


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_a_replica_moves_to_another_node(tmp_path: Path, with_snapshot: bool) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            keys = await fill(together)
            leader = together.leader(P0)
            if with_snapshot:
                group = leader.groups[P0]
                group.machine.engine.flush()
                group.log.forget_before(group.log.last_index)
            new, old = spare(together), leader.groups[P0].replicas
            target = (old[0], old[1], new)
            await leader.set_target(P0, target)
            await together.until(is_reached(together, target))
            await together.ready()

            for key in keys:
                item = await together.read(key, new)
                assert item is not None
                assert item.value == key
            await together.until(lambda: replica_directories(tmp_path, old[2]) == [])
            assert (tmp_path / old[2] / "p0000.joined").exists()

    run(scenario())


def test_a_snapshot_for_a_replica_that_is_gone_has_it_made_anew(tmp_path: Path) -> None:
    """The node was added again while it was away, and removed the old replica when it came back.

    Its leader knows that it needs a snapshot, and would offer that for ever.
    """

    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            host = together.hosts[spare(together)]
            sent: list[tuple[str, object]] = []
            send = host.transport.send

            def record(name: str, message: AnyMessage, generation: int = 0) -> None:
                sent.append((name, message))
                send(name, message, generation)

            host.transport.send = record  # type: ignore[method-assign]  # to look on
            leader = together.leader(P0).name

            host.received(leader, [SnapshotOffer(0, 1, 4711, 100, [("CURRENT", 16)])])
            await together.until(lambda: P0 in host.groups)

            assert (leader, SnapshotReply(0, 1, 4711, 0, failed=True)) in sent

    run(scenario())


def test_the_leader_s_own_replica_moves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            await fill(together)
            leader = together.leader(P0)
            target = (spare(together), *(name for name in leader.groups[P0].replicas if name != leader.name))
            await leader.set_target(P0, target)
            await together.until(is_reached(together, target))
            await together.until(lambda: any(together.hosts[name].groups[P0].is_leader for name in target))

    run(scenario())


def test_a_replica_comes_back_to_where_it_was(tmp_path: Path) -> None:
    """What it held then is gone, so it starts from nothing; a restart in between changes nothing."""

    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            keys = await fill(together)
            before = together.leader(P0).groups[P0].replicas
            leaver = next(name for name in before if name != together.leader(P0).name)
            fewer = tuple(name for name in before if name != leaver)
            await together.leader(P0).set_target(P0, fewer)
            await together.until(is_reached(together, fewer))
            await together.until(lambda: replica_directories(tmp_path, leaver) == [])
            await together.stop(leaver)
            await together.start(leaver)
            assert P0 not in together.hosts[leaver].groups

            await together.ready()
            await together.leader(P0).set_target(P0, before)
            await together.until(is_reached(together, before))
            await together.stop(leaver)
            await together.start(leaver)
            await together.ready()
            for key in keys:
                item = await together.read(key, leaver)
                assert item is not None
                assert item.value == key

    run(scenario())


def test_a_node_that_was_away_learns_of_its_removal_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            await fill(together)
            before = together.leader(P0).groups[P0].replicas
            away = next(name for name in before if name != together.leader(P0).name)
            await together.stop(away)
            target = (*(name for name in before if name != away), spare(together))
            await together.leader(P0).set_target(P0, target)
            others = Cluster(tmp_path, NAMES)
            others.hosts = {name: host for name, host in together.hosts.items() if name != away}
            await together.until(is_reached(others, target))

            await together.start(away)
            assert P0 in together.hosts[away].groups
            await together.until(is_reached(together, target))

    run(scenario())


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ((), "name each node once"),
        (("n1", "n1"), "name each node once"),
        (("n1", "n9"), "'n9' is no node of this cluster"),
    ],
)
def test_a_target_that_cannot_be_is_refused(tmp_path: Path, nodes: tuple[str, ...], reason: str) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as together:
            with pytest.raises(ChangeRefusedError, match=reason):
                await together.hosts["n1"].set_target(P0, nodes)

    run(scenario())


def test_only_a_leader_sets_a_target(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            with pytest.raises(NotLeaderError):
                await together.hosts[spare(together)].set_target(P0, NAMES)

    run(scenario())


def test_a_founding_replica_that_is_gone_stops_the_start(tmp_path: Path) -> None:
    """It must not come back as a voter with an empty log."""

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as together:
            await fill(together)
            await together.stop("n3")
            shutil.rmtree(tmp_path / "n3" / "p0000-0001")
            with pytest.raises(DamagedDirectoryError, match="has lost its replica of partition 0"):
                await together.start("n3")

    run(scenario())


def test_a_joined_replica_that_is_gone_stops_the_start_while_the_log_knows_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, *NAMES) as together:
            await fill(together)
            leader = together.leader(P0)
            new = spare(together)
            target = (*leader.groups[P0].replicas, new)
            await leader.set_target(P0, target)
            await together.until(is_reached(together, target))
            await together.stop(new)
            shutil.rmtree(tmp_path / new / "p0000-0001")
            with pytest.raises(DamagedDirectoryError, match="entries of partition 0, but its replica's directory"):
                await together.start(new)

    run(scenario())
