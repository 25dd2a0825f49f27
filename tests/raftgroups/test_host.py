import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from engine import CorruptionError, Fault, MemoryFileSystem, StorageError, StorageFullError
from raftgroups import balance
from raftgroups import group as group_module
from raftgroups import host as host_module
from raftgroups.command import Delete, encode_command
from raftgroups.errors import (
    DamagedDirectoryError,
    DirectoryInUseError,
    ForeignDirectoryError,
    HostError,
    ListenError,
    NotLeaderError,
)
from raftgroups.host import Host, HostOptions
from raftgroups.ids import PartitionId, Term
from raftgroups.item import Item
from raftgroups.machine import Machine
from raftgroups.messages import AnyMessage, BulkWriteCall, CallMessage, FailureReturn, ReturnMessage, WriteCall
from raftgroups.timing import Timing
from tests.raftgroups.nodes import QUICK, Cluster, cluster, run

KEYS = [b"key%d" % number for number in range(12)]
P0 = PartitionId(0)


class RecordingGateway:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[CallMessage] = []

    def called(self, peer: str, message: CallMessage) -> None:
        self.calls.append(message)

    def returned(self, peer: str, message: ReturnMessage) -> None: ...
    def peer_lost(self, peer: str) -> None: ...
    def leader_changed(self, partition: PartitionId) -> None: ...
    def tick(self, now: float) -> None: ...


def values(nodes: Cluster, name: str) -> list[bytes | None]:
    """What one host has applied, without asking anybody."""
    host = nodes.hosts[name]
    return [host.groups[host.topology.ring.partition_of(key)].machine.get(key, wait=True) for key in KEYS]


def test_a_node_alone_stores_and_finds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            for key in KEYS:
                await nodes.put(key, b"v" + key)
            found = [await nodes.read(key, "n1") for key in KEYS]
            assert [item and item.value for item in found] == [b"v" + key for key in KEYS]
            assert await nodes.read(b"absent", "n1") is None

    run(scenario())


def test_three_nodes_read_what_any_of_them_acknowledged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            for key in KEYS:
                written = await nodes.put(key, b"v" + key)
                for name in nodes.hosts:
                    item = await nodes.read(key, name)
                    assert item is not None
                    assert (item.value, item.revision) == (b"v" + key, written.revision)
            await nodes.write(Delete(KEYS[0]))
            assert [await nodes.read(KEYS[0], name) for name in nodes.hosts] == [None] * 3

    run(scenario())


def test_writes_of_a_turn_share_one_sync(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            before = nodes.hosts["n1"].statistics()["node_log_syncs_total"]
            await asyncio.gather(*[nodes.put(b"%d" % number, b"v") for number in range(100)])
            after = nodes.hosts["n1"].statistics()
            assert after["node_log_syncs_total"] - before <= 3
            assert after["engine_written_bytes_total"] > 0 < after["engine_memtable_bytes"]
            assert after["cache_bytes_max"] == nodes.hosts["n1"].options.cache_bytes

    run(scenario())


def test_a_node_that_was_away_catches_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            await nodes.stop("n3")
            await nodes.ready()
            for key in KEYS:
                await nodes.put(key, b"v")
            await nodes.start("n3")
            await nodes.until(lambda: values(nodes, "n3") == values(nodes, "n1"))
            assert None not in values(nodes, "n3")

    run(scenario())


def test_writes_go_on_when_a_leader_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            for key in KEYS[:6]:
                await nodes.put(key, b"before")
            lost = nodes.leader(P0).name
            await nodes.stop(lost)
            await nodes.ready()
            for key in KEYS[6:]:
                await nodes.put(key, b"after")
            for name in nodes.hosts:
                assert [item and item.value for item in [await nodes.read(key, name) for key in KEYS]] == [
                    *[b"before"] * 6,
                    *[b"after"] * 6,
                ]

    run(scenario())


def test_everything_is_there_after_all_have_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            for key in KEYS:
                await nodes.put(key, b"v" + key)
            for _ in range(2):
                for name in list(nodes.hosts):
                    await nodes.stop(name)
                for name in nodes.seeds:
                    await nodes.start(name)
                await nodes.ready()
                for name in nodes.hosts:
                    found = [await nodes.read(key, name) for key in KEYS]
                    assert [item and item.value for item in found] == [b"v" + key for key in KEYS]

    run(scenario())


def test_a_node_that_was_away_too_long_gets_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(group_module, "TAIL_BYTES", 1000)
    monkeypatch.setattr(host_module, "MAINTENANCE_SECONDS", 0.05)
    caplog.set_level("INFO", "ringkv.snapshot")
    small = {"partitions": 1, "log_segment_bytes": 4096, "log_retained_bytes": 4096, "memtable_bytes": 64 << 10}

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", **small) as nodes:
            await nodes.put(b"first", b"1")
            await nodes.until(lambda: nodes.hosts["n3"].groups[P0].consensus.applied_index >= 2)
            applied = nodes.hosts["n3"].groups[P0].consensus.applied_index
            await nodes.stop("n3")
            await nodes.ready()
            for number in range(60):
                await nodes.put(b"bulk%d" % number, b"x" * 2000)
            for host in nodes.hosts.values():
                host.groups[P0].machine.engine.flush()
            await nodes.until(lambda: all(host.groups[P0].log.first_index > applied for host in nodes.hosts.values()))
            for key in KEYS:
                await nodes.put(key, b"v")
            await nodes.start("n3")
            await nodes.until(lambda: values(nodes, "n3") == values(nodes, "n1"))
            replica = nodes.hosts["n3"].groups[P0]
            assert replica.machine.get(b"bulk7", wait=True) is not None
            assert "p0000-0002" in [path.name for path in (tmp_path / "n3").iterdir()]
            # It goes on from there, also after another restart.
            await nodes.put(b"after", b"1")
            await nodes.until(lambda: replica.machine.get(b"after", wait=True) is not None)
            await nodes.stop("n3")
            await nodes.start("n3")
            await nodes.ready()
            assert await nodes.read(b"after", "n3") is not None
            assert await nodes.read(b"bulk7", "n3") is not None

    run(scenario())

    assert "snapshot at" in caplog.text


def test_the_node_log_shrinks_once_its_entries_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "MAINTENANCE_SECONDS", 0.05)
    small = {"partitions": 2, "log_segment_bytes": 8192, "log_retained_bytes": 16_384, "log_bytes": 65_536}

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", **small) as nodes:
            host = nodes.hosts["n1"]
            for number in range(200):
                # So many small flushes may be more than a busy machine keeps up with.
                await nodes.until(lambda: not any(group.machine.engine.is_stalled for group in host.groups.values()))
                await nodes.put(b"%d" % number, b"x" * 2000)
            await nodes.until(lambda: host.statistics()["node_log_bytes"] <= 65_536)

    run(scenario())


# Handing over.


def test_a_drained_node_leads_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            host = nodes.leader(P0)
            began = asyncio.get_running_loop().time()

            await host.drain()

            assert asyncio.get_running_loop().time() - began < host_module.DRAIN_SECONDS
            assert not [group for group in host.groups.values() if group.is_leader]
            await nodes.ready()
            for key in KEYS:
                await nodes.put(key, b"v")

    run(scenario())


def test_a_node_alone_drains_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            await asyncio.wait_for(nodes.hosts["n1"].drain(), 1.0)

    run(scenario())


def test_leadership_goes_where_it_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            for target in ("n2", "n3", "n1"):
                leader = nodes.leader(P0)
                if leader.name != target:
                    await leader.transfer(P0, target)
                await nodes.ready()
                assert nodes.leader(P0).name == target
            with pytest.raises(NotLeaderError) as raised:
                await nodes.hosts["n2"].transfer(P0, "n3")
            assert raised.value.leader == "n1"

    run(scenario())


def test_leadership_returns_to_the_first_replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "SETTLED_SECONDS", 0.2)
    monkeypatch.setattr(host_module, "MAINTENANCE_SECONDS", 0.05)

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3") as nodes:
            placement = nodes.hosts["n1"].topology.ring.placement
            await nodes.until(
                lambda: all(
                    nodes.hosts[replicas[0]].groups[PartitionId(partition)].is_leader
                    for partition, replicas in enumerate(placement)
                )
            )

    run(scenario())


# Faults.


def memory_options(**changes: Any) -> HostOptions:
    return HostOptions("n1", "/n1", "127.0.0.1:0", "127.0.0.1:1", partitions=2, timing=QUICK, **changes)


async def alone(disk: MemoryFileSystem, **changes: Any) -> tuple[Host, Cluster]:
    """A node without peers, on a disk in memory."""
    host = await Host.open(memory_options(**changes), Machine.real(disk))
    nodes = Cluster(Path("/"), ())
    nodes.hosts["n1"] = host
    await nodes.ready()
    return host, nodes


def test_a_failed_sync_is_the_end_of_the_node(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        disk = MemoryFileSystem()
        host, nodes = await alone(disk)
        disk.faults.append(Fault("sync", StorageError("000001.log", 5, "input/output error"), suffix=".log"))
        write = asyncio.create_task(nodes.put(b"key", b"value"))

        reason = await asyncio.wait_for(host.failure, 5.0)

        assert "input/output error" in reason
        assert not write.done(), "nobody is told that it was written"
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await host.close()

    run(scenario())


def test_a_full_disk_refuses_writes_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        disk = MemoryFileSystem()
        host, nodes = await alone(disk)
        await nodes.put(b"before", b"1")
        full = Fault("write", StorageFullError("000001.log", 28, "no space left on device"), ".log", times=None)
        disk.faults.append(full)
        waiting = asyncio.create_task(nodes.put(b"waits", b"1"))
        await nodes.until(lambda: host.is_full)
        from raftgroups.errors import StorageFullError as Refusal

        with pytest.raises(Refusal):
            await nodes.put(b"refused", b"1")
        assert (await nodes.read(b"before", "n1")) is not None, "reads go on"

        disk.faults.remove(full)
        await asyncio.wait_for(waiting, 5.0)
        await nodes.until(lambda: not host.is_full)
        await nodes.put(b"after", b"1")

        assert await nodes.read(b"refused", "n1") is None
        await host.close()

    run(scenario())


def test_a_full_disk_takes_deletes_in_the_space_of_its_reserve() -> None:
    async def scenario() -> None:
        disk = MemoryFileSystem()
        host, nodes = await alone(disk)
        await nodes.put(b"before", b"1")
        assert disk.room is None
        disk.capacity = 0
        waiting = asyncio.create_task(nodes.put(b"waits", b"1"))
        await nodes.until(lambda: host.is_exhausted)
        disk.capacity = sum(disk.size(path) for path in disk.paths) + 20_000
        # The write that was on its way was promised nothing, and there is room for it now.
        await waiting
        assert host.is_full
        from raftgroups.errors import StorageFullError as Refusal

        for _ in range(3):
            with pytest.raises(Refusal):
                await nodes.put(b"refused", b"1")
            await nodes.write(Delete(b"before"))
        assert await nodes.read(b"before", "n1") is None

        disk.capacity = None
        await nodes.until(lambda: not host.is_full)
        await nodes.put(b"after", b"1")
        assert disk.size(host._directory.reserve_path) == host.options.reserve_bytes
        await host.close()

    run(scenario())


def test_a_disk_without_room_for_tables_refuses_writes_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody writes meanwhile, so nothing but the host's own care has the flush tried again."""

    async def scenario() -> None:
        disk = MemoryFileSystem()
        host, nodes = await alone(disk, memtable_bytes=4096)
        full = Fault("write", StorageFullError("000001.sst", 28, "no space left on device"), ".sst", times=None)
        disk.faults.append(full)
        engine = nodes.group(b"k").machine.engine
        while not engine.is_stalled:
            await nodes.put(b"k", bytes(1000))
        await nodes.until(lambda: engine.is_full)
        from raftgroups.errors import StorageFullError as Refusal

        with pytest.raises(Refusal):
            await nodes.put(b"k", b"refused")

        disk.faults.remove(full)
        await nodes.until(lambda: not engine.is_stalled)
        await nodes.put(b"k", b"after")
        await host.close()

    run(scenario())


@pytest.mark.parametrize("error", [RuntimeError("a poisoned entry"), CorruptionError("000001.sst", 8, "a flipped bit")])
def test_one_replica_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Its error is logged, with a traceback unless it is one that a disk may cause."""

    async def scenario() -> None:
        host, nodes = await alone(MemoryFileSystem())
        broken = host.topology.ring.partition_of(b"broken")
        sound = next(key for key in KEYS if host.topology.ring.partition_of(key) != broken)

        def fails(index: int, term: Term, payload: bytes) -> None:
            raise error

        monkeypatch.setattr(host.groups[broken].machine, "apply", fails)
        write = asyncio.create_task(nodes.put(b"broken", b"1"))
        await nodes.until(lambda: host.groups[broken].failure is not None)
        await nodes.put(sound, b"1")

        assert await nodes.read(sound, "n1") is not None
        assert host.statistics()["partitions_stopped"] == 1
        assert not host.failure.done()
        (told,) = (record for record in caplog.records if f"partition {broken} stops: {error}" == record.getMessage())
        assert bool(told.exc_info) == isinstance(error, RuntimeError)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await host.close()

    run(scenario())


def test_who_finds_its_tables_damaged_leads_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot read others can; nor is it given back what is its own to lead."""
    monkeypatch.setattr(balance, "SETTLED_SECONDS", 0.1)
    monkeypatch.setattr(balance, "REFUSED_SECONDS", 0.1)
    monkeypatch.setattr(host_module, "MAINTENANCE_SECONDS", 0.02)
    keys = [b"bulk%d" % number for number in range(60)]

    async def scenario() -> None:
        async with cluster(tmp_path, "n1", "n2", "n3", partitions=1, memtable_bytes=64 << 10) as nodes:
            first = nodes.hosts["n1"].topology.ring.placement[0][0]
            damaged = nodes.hosts[first]
            await nodes.until(lambda: damaged.groups[P0].is_leader)
            for key in keys:
                await nodes.put(key, key * 200)
            damaged.groups[P0].machine.engine.compact()
            (table,) = (tmp_path / first).glob("p0000-*/*.sst")
            with table.open("r+b") as file:
                file.seek(table.stat().st_size // 2)
                byte = file.read(1)[0]
                file.seek(-1, 1)
                file.write(bytes([byte ^ 1]))

            reads = await asyncio.gather(*[nodes.read(key, first) for key in keys], return_exceptions=True)

            assert {type(read) for read in reads} == {Item, NotLeaderError}
            assert damaged.statistics()["partitions_damaged"] == 1
            await nodes.until(lambda: damaged.groups[P0].leader not in (None, first))
            await nodes.ready()
            leader = nodes.leader(P0)
            items = [await nodes.read(key, leader.name) for key in keys]
            assert [item and item.value for item in items] == [key * 200 for key in keys]
            for _ in range(2):
                await nodes.until(lambda: leader.groups[P0].consensus.is_transferring)
                await nodes.until(lambda: not leader.groups[P0].consensus.is_transferring)
            assert leader.groups[P0].is_leader
            # It is a voter still: with it, two of three go on.
            await nodes.stop(next(name for name in nodes.hosts if name not in (first, leader.name)))
            await nodes.put(b"more", b"1")

    run(scenario())


def test_a_peer_s_command_that_could_not_be_applied_goes_no_further(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log it would stop every replica of its partition. The peer is told that it was not applied."""

    async def scenario() -> None:
        host, _ = await alone(MemoryFileSystem())
        host.gateway = gateway = RecordingGateway()
        told: list[tuple[str, AnyMessage]] = []
        monkeypatch.setattr(host.transport, "send", lambda peer, message: told.append((peer, message)))
        good = WriteCall(1, 0, 1, 100, encode_command(Delete(b"k")))

        several = BulkWriteCall(3, 0, 1, 100, [good.command, good.command])

        host.received("n2", [good, WriteCall(2, 0, 1, 100, b"no command"), good, several])
        host.received("n2", [BulkWriteCall(4, 0, 1, 100, [good.command, b"no command"])])

        assert gateway.calls == [good, good, several]
        for (peer, answer), call in zip(told, (2, 4), strict=True):
            assert peer == "n2"
            assert isinstance(answer, FailureReturn)
            assert (answer.call, answer.error) == (call, "RaftGroupError")
            assert "not a command that can be applied" in answer.text
        monkeypatch.undo()
        await host.close()

    run(scenario())


# Starting.


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        nodes = Cluster(tmp_path, ("n1",))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", int(nodes.seeds["n1"].partition(":")[2])))
            taken.listen()
            with pytest.raises(ListenError, match=f"cannot listen for peers on {nodes.seeds['n1']}"):
                await nodes.start("n1")
        await nodes.start("n1")
        await nodes.stop("n1")

    run(scenario())


def test_a_directory_in_use_is_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            with pytest.raises(DirectoryInUseError, match="in use by another process"):
                await Host.open(nodes.options("n1"))

    run(scenario())


def test_the_directory_of_another_cluster_is_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            await nodes.stop("n1")
            with pytest.raises(ForeignDirectoryError, match="belongs to cluster"):
                await nodes.start("n1", partitions=8)
            await nodes.start("n1")

    run(scenario())


@pytest.mark.parametrize("damaged", ["identity", "log/*.log", "p0002-*/CURRENT"])
def test_a_damaged_directory_is_one_line(tmp_path: Path, damaged: str) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            for key in KEYS:
                await nodes.put(key, b"v" * 100)
            await nodes.stop("n1")
            path = min((tmp_path / "n1").glob(damaged))
            whole = path.read_bytes()
            at = len(whole) // 2
            path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
            for _ in range(2):
                with pytest.raises(DamagedDirectoryError) as raised:
                    await nodes.start("n1")
                assert "\n" not in str(raised.value)
                assert path.name in str(raised.value)
            path.write_bytes(whole)

            await nodes.start("n1")
            await nodes.ready()
            assert await nodes.read(KEYS[0], "n1") is not None

    run(scenario())


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path, "n1") as nodes:
            await nodes.hosts["n1"].close()

    run(scenario())


def test_every_error_at_the_start_is_a_host_error() -> None:
    for error in (DamagedDirectoryError, DirectoryInUseError, ForeignDirectoryError, ListenError):
        assert issubclass(error, HostError)


def test_an_ordinary_timing_is_the_default() -> None:
    assert HostOptions("n1", "/n1", "127.0.0.1:1", "127.0.0.1:2").timing == Timing()
