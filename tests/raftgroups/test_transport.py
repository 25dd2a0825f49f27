import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from raftgroups import transport as transport_module
from raftgroups.errors import ListenError
from raftgroups.messages import AnyMessage, Heartbeat, TimeoutNow
from raftgroups.transport import Transport, split_address
from tests.cluster.nodes import free_port
from tests.raftgroups.peers import SECRET, Changes, RawPeer, node


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
        self.transports: dict[str, Transport] = {}

    def port(self, name: str) -> int:
        return split_address(self.addresses[name])[1]

    async def start(self, name: str) -> Transport:
        transport = Transport(node(name), self.addresses, SECRET, self.heard[name], random.Random(0))
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
    """Frames of the old one are dropped, even those that have arrived (audit S18)."""

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
            second = Transport(node("n1"), nodes.addresses, SECRET, Heard(), random.Random(0))
            with pytest.raises(ListenError, match=f"cannot listen for peers on {nodes.addresses['n1']}"):
                await second.bind(nodes.addresses["n1"])

    run(scenario())


def test_nobody_is_accepted_before_the_node_serves() -> None:
    async def scenario() -> None:
        nodes = Peers(("n1", "n2"))
        transport = Transport(node("n1"), nodes.addresses, SECRET, nodes.heard["n1"], random.Random(0))
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
