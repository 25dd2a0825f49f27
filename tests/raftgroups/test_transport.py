import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from engine import Fault, MemoryFileSystem, StorageFullError
from raftgroups import transport as transport_module
from raftgroups.acquaintances import Acquaintances, read_acquaintances
from raftgroups.errors import ListenError
from raftgroups.link import BrokenError
from raftgroups.messages import AnyMessage, Heartbeat, TimeoutNow
from raftgroups.transport import REDIAL_SECONDS_MIN, Backoff, Transport, split_address
from tests.cluster.nodes import free_port
from tests.raftgroups.peers import PATIENCE_SECONDS, SECRET, Changes, RawPeer, node


def nobody_met() -> Acquaintances:
    disk = MemoryFileSystem()
    disk.create_directory("/data")
    return Acquaintances(disk, "/data")


class Heard:
    """What a Transport reports to its node."""

    def __init__(self) -> None:
        self.up: list[str] = []
        self.lost: list[str] = []
        self.messages: list[tuple[str, AnyMessage]] = []
        self.turns = 0
        self.changes = Changes()

    def peer_up(self, name: str) -> None:
        self.up.append(name)
        self.changes.note()

    def peer_lost(self, name: str) -> None:
        self.lost.append(name)
        self.changes.note()

    def received(self, name: str, messages: list[AnyMessage]) -> None:
        self.messages += [(name, message) for message in messages]
        self.changes.note()

    def has_outgoing(self) -> None:
        self.turns += 1


class Peers:
    """Nodes on loopback ports of their own."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
        self.heard = {name: Heard() for name in names}
        self.disks = {name: MemoryFileSystem() for name in names}
        self.transports: dict[str, Transport] = {}

    def port(self, name: str) -> int:
        return split_address(self.addresses[name])[1]

    async def start(self, name: str, incarnation: str = "first life") -> Transport:
        """Start a node, or start it again on the disk it had."""
        self.disks[name].create_directory("/data")
        transport = Transport(
            replace(node(name), incarnation=incarnation),
            self.addresses,
            SECRET,
            self.heard[name],
            random.Random(0),
            Acquaintances(self.disks[name], "/data"),
        )
        await transport.bind(self.addresses[name])
        await transport.serve()
        self.transports[name] = transport
        return transport

    async def stop(self, name: str) -> None:
        await self.transports.pop(name).close()

    async def linked(self, a: str, b: str) -> None:
        await self.heard[a].changes.until(lambda: self.transports[a].is_up(b))
        await self.heard[b].changes.until(lambda: self.transports[b].is_up(a))


@asynccontextmanager
async def peers(*names: str, start: str = "") -> AsyncIterator[Peers]:
    together = Peers(names)
    try:
        for name in start.split() or names:
            await together.start(name)
        yield together
    finally:
        for name in list(together.transports):
            await together.stop(name)
        # The sockets are closed in the loop's next turn.
        await asyncio.sleep(0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def numbered(count: int) -> list[AnyMessage]:
    return [TimeoutNow(0, number) for number in range(count)]


def test_every_pair_of_nodes_has_one_link() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2", "n3") as nodes:
            for a, b in (("n1", "n2"), ("n1", "n3"), ("n2", "n3")):
                await nodes.linked(a, b)
            assert {name: sorted(heard.up) for name, heard in nodes.heard.items()} == {
                "n1": ["n2", "n3"],
                "n2": ["n1", "n3"],
                "n3": ["n1", "n2"],
            }
            info = nodes.transports["n1"].peers["n3"].info
            assert info is not None
            assert info.http == "127.0.0.1:803"

    run(scenario())


def test_messages_arrive_in_the_order_they_were_sent() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            for message in numbered(5):
                nodes.transports["n1"].send("n2", message)
            assert nodes.heard["n1"].turns == 5
            nodes.transports["n1"].flush()
            await nodes.heard["n2"].changes.until(lambda: len(nodes.heard["n2"].messages) == 5)
            assert nodes.heard["n2"].messages == [("n1", message) for message in numbered(5)]

    run(scenario())


def test_nothing_leaves_before_its_generation_is_synced() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            sender, heard = nodes.transports["n1"], nodes.heard["n2"]
            now, second, third, later = numbered(4)
            sender.send("n2", third, generation=3)
            sender.send("n2", second, generation=2)
            sender.send("n2", later, generation=9)
            sender.send("n2", now)
            sender.flush()
            await heard.changes.until(lambda: len(heard.messages) == 1)
            assert heard.messages == [("n1", now)]

            sender.synced(3)
            sender.flush()
            await heard.changes.until(lambda: len(heard.messages) == 3)
            assert heard.messages[1:] == [("n1", second), ("n1", third)]

            sender.send("n2", now, generation=3)
            sender.flush()
            await heard.changes.until(lambda: len(heard.messages) == 4)

    run(scenario())


def test_what_waits_for_a_lost_link_is_forgotten() -> None:
    """It would come out of order: whoever hears of the loss starts anew."""

    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            sender, heard = nodes.transports["n1"], nodes.heard["n2"]
            old, new = numbered(2)
            sender.send("n2", old, generation=1)
            sender.send("n2", old)
            link = sender.peers["n2"].link
            assert link is not None
            link.close()
            assert nodes.heard["n1"].lost == ["n2"]
            sender.send("n2", old)
            await heard.changes.until(lambda: len(heard.up) == 2)
            await nodes.linked("n1", "n2")
            sender.synced(1)
            sender.send("n2", new)
            sender.flush()
            await heard.changes.until(lambda: bool(heard.messages))
            assert heard.messages == [("n1", new)]

    run(scenario())


def test_an_answer_goes_over_the_link_that_brought_the_question() -> None:
    """Or over none: who comes back may number its questions anew."""

    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            sender, heard = nodes.transports["n1"], nodes.heard["n2"]
            first, late, second = numbered(3)
            reply = sender.reply_to("n2")
            reply(first)
            sender.flush()
            await heard.changes.until(lambda: len(heard.messages) == 1)
            link = sender.peers["n2"].link
            assert link is not None
            link.close()
            await heard.changes.until(lambda: len(heard.up) == 2)
            await nodes.linked("n1", "n2")

            reply(late)
            sender.reply_to("n2")(second)
            sender.flush()
            await heard.changes.until(lambda: len(heard.messages) == 2)

            assert heard.messages == [("n1", first), ("n1", second)]

    run(scenario())


@pytest.mark.parametrize("restarted", ["n1", "n2"])
def test_a_link_comes_back(restarted: str) -> None:
    """Whichever side dials: n2 does, because its name sorts higher."""

    async def scenario() -> None:
        other = {"n1": "n2", "n2": "n1"}[restarted]
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            await nodes.stop(restarted)
            await nodes.heard[other].changes.until(lambda: nodes.heard[other].lost == [restarted])
            await nodes.start(restarted)
            await nodes.linked("n1", "n2")

    run(scenario())


def test_a_link_is_made_when_the_peer_comes_up_late() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2", start="n2") as nodes:
            await nodes.start("n1")
            await nodes.linked("n1", "n2")

    run(scenario())


def test_a_second_connection_takes_the_place_of_the_first() -> None:
    """Frames of the old one are dropped, even those that have arrived (defect S18)."""

    async def scenario() -> None:
        async with peers("n1", "n2", start="n1") as nodes:
            transport, heard = nodes.transports["n1"], nodes.heard["n1"]
            first, second = await RawPeer.dial(nodes.port("n1")), await RawPeer.dial(nodes.port("n1"))
            await first.shake_hands()
            await heard.changes.until(lambda: heard.up == ["n2"])
            replaced = transport.peers["n2"].link
            assert replaced is not None
            first.send(TimeoutNow(0, 1))
            await heard.changes.until(lambda: len(heard.messages) == 1)
            await second.shake_hands()
            await heard.changes.until(lambda: heard.up == ["n2", "n2"])

            assert heard.lost == ["n2"], "who relies on the old one hears of its end"
            assert await first.is_hung_up_on()
            transport.link_received(replaced, [TimeoutNow(0, 2)])
            second.send(TimeoutNow(0, 3))
            await heard.changes.until(lambda: len(heard.messages) == 2)
            assert heard.messages[-1] == ("n2", TimeoutNow(0, 3))
            transport.link_closed(replaced)
            assert transport.is_up("n2")
            for raw in (first, second):
                await raw.close()

    run(scenario())


def test_strangers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "STRANGERS_MAX", 3)

    async def scenario() -> None:
        async with peers("n1", "n2", start="n1") as nodes:
            strangers = [await RawPeer.dial(nodes.port("n1")) for _ in range(8)]
            waiting = {asyncio.create_task(stranger.is_hung_up_on()) for stranger in strangers}
            while len(waiting) > 3:
                _, waiting = await asyncio.wait(waiting, timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
            peer = await RawPeer.dial(nodes.port("n1"))
            await peer.shake_hands()
            await nodes.heard["n1"].changes.until(lambda: nodes.heard["n1"].up == ["n2"])
            for raw in (*strangers, peer):
                await raw.close()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(scenario())


def test_an_address_in_use_is_one_clear_line() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2", start="n1") as nodes:
            second = Transport(node("n1"), nodes.addresses, SECRET, Heard(), random.Random(0), nobody_met())
            with pytest.raises(ListenError, match=f"cannot listen for peers on {nodes.addresses['n1']}"):
                await second.bind(nodes.addresses["n1"])

    run(scenario())


def test_nobody_is_accepted_before_the_node_serves() -> None:
    async def scenario() -> None:
        nodes = Peers(("n1", "n2"))
        transport = Transport(node("n1"), nodes.addresses, SECRET, nodes.heard["n1"], random.Random(0), nobody_met())
        await transport.bind(nodes.addresses["n1"])
        with pytest.raises(ConnectionRefusedError):
            await RawPeer.dial(nodes.port("n1"))
        await transport.close()

    run(scenario())


def test_a_flush_without_messages_sends_nothing() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2", start="n1") as nodes:
            raw = await RawPeer.dial(nodes.port("n1"))
            await raw.shake_hands()
            await nodes.heard["n1"].changes.until(lambda: nodes.heard["n1"].up == ["n2"])
            nodes.transports["n1"].flush()
            nodes.transports["n1"].send("n2", Heartbeat(0, 1, 2, 3))
            nodes.transports["n1"].send("n2", Heartbeat(1, 1, 2, 3))
            nodes.transports["n1"].flush()
            frame = await raw.read_frame()
            assert frame[:1] == b"\x92", "one frame holds both"
            await raw.close()

    run(scenario())


# Bounds.


@pytest.mark.parametrize("generation", [0, 9], ids=["ready", "held"])
def test_an_outbox_has_a_bound(
    generation: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond it the link is closed, at the end of the turn: nothing in the middle is left out."""
    monkeypatch.setattr(transport_module, "OUTBOX_MESSAGES_MAX", 3)

    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            sender, heard = nodes.transports["n1"], nodes.heard["n1"]
            for message in numbered(3):
                sender.send("n2", message, generation)
            sender.synced(9)
            sender.flush()
            await nodes.heard["n2"].changes.until(lambda: len(nodes.heard["n2"].messages) == 3)
            assert heard.lost == []

            turns = heard.turns
            for message in numbered(4):
                sender.send("n2", message, generation + 1)
            assert heard.lost == [], "not while who sends is at work"
            assert heard.turns > turns
            sender.flush()
            assert heard.lost == ["n2"]
            assert len(nodes.heard["n2"].messages) == 3

    run(scenario())

    assert "more than 3 messages wait for it" in caplog.text


def test_a_new_link_has_an_empty_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "OUTBOX_MESSAGES_MAX", 3)

    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            sender = nodes.transports["n1"]
            for message in numbered(9):
                sender.send("n2", message, generation=1)
            sender.flush()
            await nodes.heard["n2"].changes.until(lambda: len(nodes.heard["n2"].up) == 2)
            await nodes.linked("n1", "n2")
            for message in numbered(3):
                sender.send("n2", message)
            sender.flush()
            await nodes.heard["n2"].changes.until(lambda: len(nodes.heard["n2"].messages) == 3)
            assert sender.is_up("n2")

    run(scenario())


# Refusals.


def test_a_dial_that_fails_is_tried_again_within_a_second_and_a_refused_one_ever_later() -> None:
    unreachable, refused = Backoff(), Backoff()
    for _ in range(20):
        unreachable.failed(was_refused=False)
        refused.failed(was_refused=True)

    assert (unreachable.seconds, refused.seconds) == (1.0, 30.0)
    refused.failed(was_refused=False)
    assert refused.seconds == 1.0
    refused.succeeded()
    assert refused.seconds == REDIAL_SECONDS_MIN


def test_a_refused_node_dials_less_and_less_and_is_in_the_log_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport_module, "REDIAL_SECONDS_MIN", 0.001)
    monkeypatch.setattr(transport_module, "REDIAL_SECONDS_MAX", 0.001)

    async def scenario() -> None:
        nodes = Peers(("n1", "n2"))
        await nodes.start("n1")
        hellos = Counter[str]()
        known = nodes.transports["n1"].knows

        def knows(name: str) -> bool:
            hellos[name] += 1
            nodes.heard["n1"].changes.note()
            return known(name)

        monkeypatch.setattr(nodes.transports["n1"], "knows", knows)
        foreign = Transport(
            node("n2"), nodes.addresses, b"another secret", nodes.heard["n2"], random.Random(0), nobody_met()
        )
        begun = asyncio.get_running_loop().time()
        await foreign.bind(nodes.addresses["n2"])
        await foreign.serve()
        await nodes.heard["n1"].changes.until(lambda: hellos["n2"] == 8)
        # The seven waits between them are at least half of 1, 2, 4 … 64 ms.
        assert asyncio.get_running_loop().time() - begun >= 0.06
        await foreign.close()
        await nodes.stop("n1")
        # The sockets are closed in the loop's next turn.
        await asyncio.sleep(0)

    run(scenario())

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(set(lines)) == 2, "one on each side"


def test_the_log_hears_of_a_reason_again_after_a_link() -> None:
    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            transport = nodes.transports["n1"]
            assert [transport.is_news("n2", reason) for reason in ("x", "x", "y", "x")] == [True, False, True, False]
            assert transport.is_news("n3", "x")
            link = transport.peers["n2"].link
            assert link is not None
            link.close()
            await nodes.heard["n1"].changes.until(lambda: nodes.heard["n1"].up == ["n2", "n2"])
            assert transport.is_news("n2", "x")
            assert not transport.is_news("n3", "x")

    run(scenario())


def test_what_the_log_has_heard_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "COMPLAINTS_MAX", 2)
    transport = Transport(node("n1"), {}, SECRET, Heard(), random.Random(0), nobody_met())

    assert [transport.is_news("n2", reason) for reason in "abca"] == [True] * 4
    assert not transport.is_news("n2", "c")


def test_a_node_that_its_cluster_refuses_has_no_link_with_anybody(caplog: pytest.LogCaptureFixture) -> None:
    """One that never met its former self might take it for a voter with an empty log."""

    async def scenario() -> None:
        async with peers("n1", "n2", "n3") as nodes:
            await nodes.linked("n1", "n3")
            await nodes.linked("n2", "n3")
            refused = nodes.transports["n3"]
            for _ in range(2):
                refused.refused_by("n1", "another directory")

            assert refused.refusals == {"n1": "another directory"}
            assert sorted(nodes.heard["n3"].lost) == ["n1", "n2"]
            with pytest.raises(BrokenError, match="refused by n1"):
                refused.admit("n2", "")
            refused.admit("n1", "first life")
            await nodes.heard["n3"].changes.until(lambda: len(nodes.heard["n3"].up) == 4)
            assert refused.refusals == {}, "n1 has taken it back"
            assert nodes.heard["n3"].up[2] == "n1"

    run(scenario())

    assert caplog.text.count("node n1 refuses this node: another directory") == 1


def test_a_peer_that_was_met_is_remembered_before_its_link_is_open() -> None:
    """Else a crash could forget it, and take its next incarnation for the first."""

    async def scenario() -> None:
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            for name, other in (("n1", "n2"), ("n2", "n1")):
                nodes.disks[name].restart()
                assert read_acquaintances(nodes.disks[name], "/data") == {other: "first life"}

    run(scenario())


@pytest.mark.parametrize("lost", ["n1", "n2"])
def test_a_peer_on_another_directory_is_refused_and_both_logs_say_what_to_do(
    lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever side dials."""

    async def scenario() -> None:
        other = {"n1": "n2", "n2": "n1"}[lost]
        async with peers("n1", "n2") as nodes:
            await nodes.linked("n1", "n2")
            await nodes.stop(lost)
            await nodes.start(lost, incarnation="second life")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while other not in nodes.transports[lost].refusals:  # noqa: ASYNC110  # there is no event to wait for
                    await asyncio.sleep(0.005)
            assert not nodes.transports[other].is_up(lost)
            assert not nodes.transports[lost].is_up(other)
            assert "another data directory" in nodes.transports[lost].refusals[other]

            await nodes.stop(lost)
            await nodes.start(lost)
            await nodes.linked("n1", "n2")
            assert nodes.transports[lost].refusals == {}

    run(scenario())

    lines = [record.getMessage() for record in caplog.records if "another data directory" in record.getMessage()]
    assert len(lines) == 2
    assert all(f"node '{lost}' runs on another data directory" in line and "start it on" in line for line in lines)


def test_a_peer_that_cannot_be_remembered_has_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with peers("n1", "n2", start="n1") as nodes:
            disk = nodes.disks["n1"]
            full = StorageFullError("/data/acquaintances.tmp", 28, "the disk is full")
            disk.faults.append(Fault("sync", full, suffix="acquaintances.tmp", times=2))
            await nodes.start("n2")
            await nodes.linked("n1", "n2")
            assert read_acquaintances(disk, "/data") == {"n2": "first life"}

    run(scenario())

    assert caplog.text.count("node 'n2' cannot be remembered") == 1


@pytest.mark.parametrize(
    ("address", "split"),
    [("127.0.0.1:9001", ("127.0.0.1", 9001)), ("[::1]:9001", ("::1", 9001)), ("host.example:1", ("host.example", 1))],
)
def test_an_address_is_host_and_port(address: str, split: tuple[str, int]) -> None:
    assert split_address(address) == split


@pytest.mark.parametrize("address", ["", "host", ":9001", "host:", "host:x", "host:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_address(address)
