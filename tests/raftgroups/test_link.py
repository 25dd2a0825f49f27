import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from raftgroups import link as link_module
from raftgroups.link import (
    FRAME_BYTES_MAX,
    FRAME_HEADER,
    HANDSHAKE_BYTES_MAX,
    Challenge,
    Link,
    PeerInfo,
    Proof,
    Refusal,
    encode_frame,
)
from raftgroups.messages import PROTOCOL_VERSION, AnyMessage, Heartbeat, SnapshotChunk, TimeoutNow, encode_messages
from tests.raftgroups.peers import CLUSTER, SECRET, LinkOwner, RawPeer, handshake_mac, listening, node

HEARTBEAT = Heartbeat(3, 7, 40, 2)
FRAME = encode_frame(encode_messages([HEARTBEAT]), 0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def dial(owner: LinkOwner, port: int, secret: bytes = SECRET, cluster: str = CLUSTER) -> Link:
    """n2 dials n1."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(
        lambda: Link(owner, node("n2", cluster), secret, "n1", random.Random(0)), "127.0.0.1", port
    )
    return link


# Handshake.


def test_two_nodes_of_a_cluster_open_a_link() -> None:
    async def scenario() -> None:
        acceptor, dialer = LinkOwner(), LinkOwner()
        async with listening(acceptor) as port:
            link = await dial(dialer, port)
            await acceptor.changes.until(lambda: bool(acceptor.opened))
            await dialer.changes.until(lambda: bool(dialer.opened))
            assert acceptor.opened == [PeerInfo("n2", "127.0.0.1:802", "", 1000)]
            assert dialer.opened == [PeerInfo("n1", "127.0.0.1:801", "", 1000)]

            link.send([HEARTBEAT, TimeoutNow(1, 2)])
            acceptor.links[0].send([TimeoutNow(5, 6)])
            await acceptor.changes.until(lambda: len(acceptor.received) == 2)
            await dialer.changes.until(lambda: len(dialer.received) == 1)

            assert acceptor.received == [HEARTBEAT, TimeoutNow(1, 2)]
            assert dialer.received == [TimeoutNow(5, 6)]
            link.close()

    run(scenario())


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        ({"cluster": "other"}, "node 'n2' is of cluster other, this is c1"),
        ({"name": "n9"}, "node 'n9' looks for 'n1'; this is 'n1'"),
        ({"name": "n1"}, "node 'n1' looks for 'n1'"),
        ({"to": "n3"}, "node 'n2' looks for 'n3'; this is 'n1'"),
        ({"version": PROTOCOL_VERSION + 1}, f"version {PROTOCOL_VERSION + 1}"),
        ({"magic": "http"}, "protocol 'http'"),
    ],
)
def test_who_is_not_one_of_us_is_refused_and_told_why(
    hello: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        owner = LinkOwner(known=("n2", "n3"))
        async with listening(owner) as port:
            stranger = await RawPeer.dial(port)
            stranger.say_hello(**hello)
            assert reason in (await stranger.is_refused()).reason
            await stranger.close()
        assert not owner.opened
        assert not owner.admitted

    run(scenario())

    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) == 1
    assert reason in lines[0]
    assert "127.0.0.1" in lines[0]


@pytest.mark.parametrize("secret", [b"guess", b""])
def test_who_has_another_secret_is_refused(secret: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            stranger = await RawPeer.dial(port)
            await stranger.prove(stranger.say_hello(), secret)
            assert "does not have this cluster's secret" in (await stranger.is_refused()).reason
            await stranger.close()
        assert not owner.opened
        assert not owner.admitted

    run(scenario())

    assert "node 'n2' does not have this cluster's secret, or the secret of this node is wrong; give all" in caplog.text


@pytest.mark.parametrize(
    ("secret", "cluster", "reason"),
    [(b"guess", CLUSTER, "does not have this cluster's secret"), (SECRET, "other", "of cluster")],
)
def test_a_dialer_refuses_a_foreign_acceptor(
    secret: bytes, cluster: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        acceptor, dialer = LinkOwner(), LinkOwner()
        async with listening(acceptor) as port:
            await dial(dialer, port, secret, cluster)
            await dialer.changes.until(lambda: bool(dialer.closed))
        assert dialer.opened == acceptor.opened == []

    run(scenario())

    assert reason in caplog.text


def test_a_dialer_refuses_who_answers_in_anothers_place(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        has_answered = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            raw = RawPeer(reader, writer)
            hello = await raw.read_frame()
            challenge = Challenge(CLUSTER, "n3", "h", "", 1, b"n" * 16, "")
            mac = handshake_mac(SECRET, b"acceptor", hello, msgspec.msgpack.encode(challenge))
            raw.write(raw.frame(msgspec.msgpack.encode(msgspec.structs.replace(challenge, mac=mac))))
            await raw.is_refused()
            await raw.close()
            has_answered.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            await dial(owner, server.sockets[0].getsockname()[1])
            await owner.changes.until(lambda: bool(owner.closed))
            await has_answered.wait()
        assert owner.opened == []

    run(scenario())

    assert "node 'n3' of cluster c1 answers where 'n1' is looked for; correct the address" in caplog.text


def test_a_proof_cannot_be_had_by_sending_the_challenge_back() -> None:
    """The two sides' proofs name their roles: a mirror knows no secret."""

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            mirror = await RawPeer.dial(port)
            mirror.say_hello()
            challenge = msgspec.msgpack.decode(await mirror.read_frame(), type=Challenge)
            mirror.write(mirror.frame(msgspec.msgpack.encode(Proof(challenge.mac))))
            await mirror.is_refused()
            await mirror.close()
        assert owner.opened == []

    run(scenario())


def test_a_handshake_overheard_is_of_no_use_again() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            nonces = set()
            for _ in range(3):
                peer = await RawPeer.dial(port)
                nonces.add((await peer.shake_hands()).nonce)
                await peer.close()
            assert len(nonces) == 3

    run(scenario())


@pytest.mark.parametrize("said", [b"", FRAME[:5], encode_frame(b"x" * 100, 0)[:50]])
def test_a_handshake_has_a_deadline(
    said: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "HANDSHAKE_SECONDS", 0.05)

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            silent = await RawPeer.dial(port)
            silent.write(said)
            assert await silent.is_hung_up_on()
            await silent.close()

    run(scenario())

    assert "a stranger" in caplog.text
    assert "the handshake took too long" in caplog.text


def test_an_open_link_outlives_the_deadline_of_its_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HANDSHAKE_SECONDS", 0.05)

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer, silent = await RawPeer.dial(port), await RawPeer.dial(port)
            await peer.shake_hands()
            assert await silent.is_hung_up_on()
            peer.send(HEARTBEAT)
            await owner.changes.until(lambda: owner.received == [HEARTBEAT])
            for raw in (peer, silent):
                await raw.close()

    run(scenario())


# Bad input.


def of(message: object) -> Callable[[int], bytes]:
    return lambda sequence: encode_frame(msgspec.msgpack.encode(message), sequence)


def bad_checksum(sequence: int) -> bytes:
    body = encode_messages([HEARTBEAT])
    return FRAME_HEADER.pack(len(body), 12345, sequence) + body


BAD_BYTES: dict[str, Callable[[int], bytes]] = {
    "garbage": lambda sequence: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
    "a huge length": lambda sequence: FRAME_HEADER.pack(0xFFFFFFFF, 0, sequence) + b"x" * 100,
    "a length just over the bound": lambda sequence: FRAME_HEADER.pack(FRAME_BYTES_MAX + 1, 0, sequence),
    "a bad checksum": bad_checksum,
    "another sequence": lambda sequence: encode_frame(encode_messages([HEARTBEAT]), sequence + 1),
    "an empty body": lambda sequence: encode_frame(b"", sequence),
    "no message": of({"a": 1}),
    "an unknown tag": of([[99, 1, 2]]),
    "a wrong type": of([[3, 1, "7", 40, 2]]),
    "no text": lambda sequence: encode_frame(b"\x91\x94\x19\x01\x01\xa1\xff", sequence),
}


@pytest.mark.parametrize("bad", BAD_BYTES.values(), ids=BAD_BYTES)
@pytest.mark.parametrize("has_shaken_hands", [False, True])
def test_bad_bytes_close_their_connection_and_nothing_else(
    bad: Callable[[int], bytes], has_shaken_hands: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            good, evil = await RawPeer.dial(port), await RawPeer.dial(port)
            await good.shake_hands("n3")
            if has_shaken_hands:
                await evil.shake_hands("n2")
            evil.write(bad(evil.sequence))
            assert await evil.is_hung_up_on()

            good.send(HEARTBEAT)
            await owner.changes.until(lambda: owner.received == [HEARTBEAT])
            assert len(owner.closed) == 1
            for raw in (good, evil):
                await raw.close()

    run(scenario())

    assert len([record for record in caplog.records if "refused" in record.getMessage()]) == 1


def test_a_stranger_may_not_send_as_much_as_a_peer() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            stranger = await RawPeer.dial(port)
            stranger.write(FRAME_HEADER.pack(HANDSHAKE_BYTES_MAX + 1, 0, 0))
            assert await stranger.is_hung_up_on()
            await stranger.close()

    run(scenario())


def test_what_follows_a_bad_frame_is_not_delivered() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            good = peer.frame_of(HEARTBEAT)
            peer.write(good + bad_checksum(peer.sequence) + peer.frame_of(HEARTBEAT))
            assert await peer.is_hung_up_on()
            assert owner.received == [HEARTBEAT]
            await peer.close()

    run(scenario())


def test_what_its_owner_cannot_take_closes_the_link() -> None:
    def refuse(link: Link, messages: list[AnyMessage]) -> None:
        raise ValueError("'soon' is no level")

    async def scenario() -> None:
        owner = LinkOwner()
        owner.link_received = refuse  # type: ignore[method-assign]  # an owner that looks closer
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            peer.send(HEARTBEAT)
            assert await peer.is_hung_up_on()
            assert len(owner.closed) == 1
            await peer.close()

    run(scenario())


def test_half_a_frame_is_never_delivered() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            peer.write(peer.frame_of(HEARTBEAT)[:-1])
            await peer.close()
            await owner.changes.until(lambda: bool(owner.closed))
        assert owner.received == []

    run(scenario())


# Frames.


class Pieces:
    """Feeds an open link by hand, as the event loop would, in pieces of any size."""

    def __init__(self, owner: LinkOwner) -> None:
        self.owner = owner

    async def feed(self, cut: Callable[[RawPeer], list[bytes]]) -> None:
        async with listening(self.owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            await self.owner.changes.until(lambda: bool(self.owner.links))
            for piece in cut(peer):
                self.owner.links[0].data_received(piece)
            await peer.close()


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 12, 13, 50, 10_000])
def test_frames_arrive_in_any_pieces(size: int) -> None:
    owner = LinkOwner()
    sent: list[AnyMessage] = [HEARTBEAT, SnapshotChunk(1, 2, 3, b"x" * 1000), HEARTBEAT, TimeoutNow(1, 1)] * 3

    def cut(peer: RawPeer) -> list[bytes]:
        stream = b"".join(peer.frame_of(message) for message in sent)
        return [stream[at : at + size] for at in range(0, len(stream), size)]

    run(Pieces(owner).feed(cut))

    assert owner.received == sent


def test_a_frame_is_delivered_as_soon_as_it_is_whole() -> None:
    """Whatever the frames before it needed: a short one that comes in two pieces waits for no third."""
    owner = LinkOwner()

    def cut(peer: RawPeer) -> list[bytes]:
        large, small = peer.frame_of(SnapshotChunk(1, 2, 3, b"x" * 5000)), peer.frame_of(HEARTBEAT)
        return [large[:100], large[100:] + small[:3], small[3:]]

    run(Pieces(owner).feed(cut))

    assert len(owner.received) == 2


# What a network may do to frames: each has its place, and nothing else fits there.

ORDERS: dict[str, tuple[list[int], int]] = {
    "lost": ([0, 2, 3], 1),
    "doubled": ([0, 0, 1], 1),
    "replayed": ([0, 1, 2, 0], 3),
    "overtaken": ([1, 0, 2], 0),
}


@pytest.mark.parametrize(("order", "delivered"), ORDERS.values(), ids=ORDERS)
def test_a_frame_out_of_its_place_closes_the_link(
    order: list[int], delivered: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What was delivered until then is what was sent, in its order; nothing is after it."""

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            frames = [peer.frame_of(TimeoutNow(1, number)) for number in range(4)]
            peer.write(b"".join(frames[at] for at in order))
            assert await peer.is_hung_up_on()
            assert owner.received == [TimeoutNow(1, number) for number in range(delivered)]
            assert len(owner.closed) == 1
            await peer.close()

    run(scenario())

    assert "lost or overtaken" in caplog.text or "doubled or overtaken" in caplog.text


def test_a_frame_of_another_connection_of_the_same_peer_does_not_fit() -> None:
    """Its place is counted from this handshake's proof, which no other handshake has."""

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            first, second = await RawPeer.dial(port), await RawPeer.dial(port)
            await first.shake_hands()
            await second.shake_hands()
            recorded = first.frame_of(HEARTBEAT)
            second.write(recorded)
            assert await second.is_hung_up_on()
            first.write(recorded)
            await owner.changes.until(lambda: owner.received == [HEARTBEAT])
            for raw in (first, second):
                await raw.close()

    run(scenario())


def test_a_hello_that_comes_twice_closes_the_link() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            peer.write(encode_frame(peer.say_hello(), 0))
            await peer.read_frame()
            assert await peer.is_hung_up_on()
            assert owner.opened == []
            await peer.close()

    run(scenario())


def test_places_go_on_from_the_start_when_the_numbers_end() -> None:
    async def scenario() -> None:
        acceptor, dialer = LinkOwner(), LinkOwner()
        async with listening(acceptor) as port:
            link = await dial(dialer, port)
            await acceptor.changes.until(lambda: bool(acceptor.opened))
            await dialer.changes.until(lambda: bool(dialer.opened))
            for end, attribute in ((link, "_sent"), (acceptor.links[0], "_expected")):
                setattr(end, attribute, 2**32 - 1)
            for number in range(3):
                link.send([TimeoutNow(1, number)])
            await acceptor.changes.until(lambda: len(acceptor.received) == 3)
            link.close()

    run(scenario())


# Refusals after the proof.


async def refused_link(acceptor: LinkOwner, dialer: LinkOwner) -> None:
    """n2 dials n1, and one of them will have no link."""
    async with listening(acceptor) as port:
        link = await dial(dialer, port)
        await dialer.changes.until(lambda: bool(dialer.closed))
        await acceptor.changes.until(lambda: bool(acceptor.closed))
        assert link.was_refused
    assert acceptor.opened == dialer.opened == []


def test_a_dialer_that_is_not_admitted_is_told_so_under_proof() -> None:
    acceptor, dialer = LinkOwner(strangers=("n2",)), LinkOwner()

    run(refused_link(acceptor, dialer))

    assert dialer.refusals == [("n1", "node n2 is another")]


def test_an_acceptor_that_is_not_admitted_is_told_so_under_proof() -> None:
    acceptor, dialer = LinkOwner(), LinkOwner(strangers=("n1",))

    run(refused_link(acceptor, dialer))

    assert acceptor.refusals == [("n2", "node n1 is another")]


def test_a_refusal_without_proof_is_hearsay(caplog: pytest.LogCaptureFixture) -> None:
    """Who does not have the secret cannot make a node believe that its cluster has turned it away."""

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            stranger = await RawPeer.dial(port)
            stranger.say_hello()
            await stranger.read_frame()
            stranger.write(stranger.frame(msgspec.msgpack.encode(Refusal("you are nobody"))))
            assert await stranger.is_hung_up_on()
            await stranger.close()
        assert owner.refusals == []

    run(scenario())

    assert "node 'n2' refuses this node: 'you are nobody'" in caplog.text


def test_each_side_learns_the_others_incarnation() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            challenge = await peer.shake_hands(incarnation="second life")
            await owner.changes.until(lambda: bool(owner.opened))
            assert owner.admitted == [("n2", "second life")]
            assert challenge.incarnation == "first life"
            await peer.close()

    run(scenario())


def test_a_large_batch_is_sent_in_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "FRAME_BYTES_MAX", 4096)
    chunks = [SnapshotChunk(1, 1, number, b"x" * 500) for number in range(40)]

    async def scenario() -> None:
        acceptor, dialer = LinkOwner(), LinkOwner()
        async with listening(acceptor) as port:
            link = await dial(dialer, port)
            await dialer.changes.until(lambda: bool(dialer.opened))
            link.send([*chunks])
            await acceptor.changes.until(lambda: len(acceptor.received) == 40)
            assert acceptor.received == chunks
            link.close()

    run(scenario())


def test_a_peer_that_does_not_read_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "UNSENT_BYTES_MAX", 1 << 20)

    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            await owner.changes.until(lambda: bool(owner.links))
            link = owner.links[0]
            for _ in range(200):
                link.send([SnapshotChunk(1, 1, 0, b"x" * (256 << 10))])
            assert link.is_closed
            assert link.unsent_bytes == 0
            await peer.close()

    run(scenario())

    assert "does not read" in caplog.text


def test_sending_on_a_closed_link_does_nothing() -> None:
    async def scenario() -> None:
        owner = LinkOwner()
        async with listening(owner) as port:
            peer = await RawPeer.dial(port)
            await peer.shake_hands()
            await owner.changes.until(lambda: bool(owner.links))
            owner.links[0].close()
            owner.links[0].send([HEARTBEAT])
            assert await peer.is_hung_up_on()
            assert len(owner.closed) == 1
            await peer.close()

    run(scenario())
