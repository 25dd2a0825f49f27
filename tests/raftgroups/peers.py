"""Both ends of a peer connection, in the hands of a test."""

import asyncio
import hmac
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from raftgroups.link import (
    FRAME_HEADER,
    MAGIC,
    Challenge,
    Hello,
    Link,
    PeerInfo,
    Proof,
    Refusal,
    RefusedError,
    Self,
    Welcome,
    encode_frame,
)
from raftgroups.messages import PROTOCOL_VERSION, AnyMessage, encode_messages

CLUSTER = "c1"
SECRET = b"shared secret"
PATIENCE_SECONDS = 5.0


def node(name: str, cluster: str = CLUSTER) -> Self:
    return Self(cluster, name, f"127.0.0.1:80{name[1:]}", "", 1000, "first life")


def handshake_mac(secret: bytes, role: bytes, hello: bytes, challenge: bytes) -> bytes:
    parts = (role, hello, challenge)
    return hmac.digest(secret, b"".join(struct.pack("<I", len(part)) + part for part in parts), "sha256")


class Changes:
    """Lets a test wait until what it waits for has been reported."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class LinkOwner:
    """Remembers what its links report.

    strangers    whom it knows by name, but not in this incarnation
    """

    known: tuple[str, ...] = ("n1", "n2", "n3")
    strangers: tuple[str, ...] = ()
    admitted: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    opened: list[PeerInfo] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    received: list[AnyMessage] = field(default_factory=list)
    closed: list[Link] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    def link_opened(self, link: Link, peer: PeerInfo) -> None:
        self.opened.append(peer)
        self.links.append(link)
        self.changes.note()

    def link_received(self, link: Link, messages: list[AnyMessage]) -> None:
        self.received += messages
        self.changes.note()

    def link_closed(self, link: Link) -> None:
        self.closed.append(link)
        self.changes.note()

    def knows(self, name: str) -> bool:
        return name in self.known

    def admit(self, name: str, incarnation: str) -> None:
        if name in self.strangers:
            raise RefusedError(f"node {name} is another")
        self.admitted.append((name, incarnation))

    def refused_by(self, name: str, reason: str) -> None:
        self.refusals.append((name, reason))
        self.changes.note()

    def is_news(self, name: str, complaint: str) -> bool:  # as Owner's
        return True


class RawPeer:
    """A socket that says whatever the test wants.

    sequence, expected    of the next frame from here, and of the next that comes
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.sequence = 0
        self.expected = 0
        self._after_welcome = (0, 0)

    @classmethod
    async def dial(cls, port: int) -> "RawPeer":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def frame(self, body: bytes) -> bytes:
        """The next frame from here."""
        frame = encode_frame(body, self.sequence)
        self.sequence = (self.sequence + 1) % 2**32
        return frame

    def frame_of(self, *messages: AnyMessage) -> bytes:
        return self.frame(encode_messages(list(messages)))

    async def read_frame(self) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            length, _, sequence = FRAME_HEADER.unpack(await self._reader.readexactly(FRAME_HEADER.size))
            assert sequence == self.expected
            self.expected = (sequence + 1) % 2**32
            return await self._reader.readexactly(length)

    async def is_hung_up_on(self) -> bool:
        """Waits until the other side closes; nothing more may come before."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True

    async def is_refused(self) -> Refusal:
        """What the other side says before it closes."""
        refusal = msgspec.msgpack.decode(await self.read_frame(), type=Refusal)
        assert await self.is_hung_up_on()
        return refusal

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass

    def say_hello(
        self,
        name: str = "n2",
        to: str = "n1",
        *,
        cluster: str = CLUSTER,
        magic: str = MAGIC,
        version: int = PROTOCOL_VERSION,
        incarnation: str = "",
    ) -> bytes:
        hello = msgspec.msgpack.encode(
            Hello(magic, version, cluster, name, to, "127.0.0.1:1", "", 1, b"n" * 16, incarnation)
        )
        self.write(self.frame(hello))
        return hello

    async def prove(self, hello: bytes, secret: bytes = SECRET) -> Challenge:
        """Take the challenge that follows `hello`, and answer it."""
        challenge = msgspec.msgpack.decode(await self.read_frame(), type=Challenge)
        bare = msgspec.msgpack.encode(msgspec.structs.replace(challenge, mac=b""))
        mac = handshake_mac(secret, b"dialer", hello, bare)
        self.write(self.frame(msgspec.msgpack.encode(Proof(mac))))
        self._after_welcome = first_sequence(mac), first_sequence(challenge.mac)
        return challenge

    async def shake_hands(self, name: str = "n2", *, incarnation: str = "") -> Challenge:
        challenge = await self.prove(self.say_hello(name, incarnation=incarnation))
        msgspec.msgpack.decode(await self.read_frame(), type=Welcome)
        self.sequence, self.expected = self._after_welcome
        return challenge

    def send(self, *messages: AnyMessage) -> None:
        self.write(self.frame_of(*messages))


def first_sequence(mac: bytes) -> int:
    """Of the frames that follow the handshake in which its sender gave this proof."""
    return int.from_bytes(mac[:4], "little")


@asynccontextmanager
async def listening(owner: LinkOwner, secret: bytes = SECRET) -> AsyncIterator[int]:
    """n1 accepts links on the port that is given back."""
    loop = asyncio.get_running_loop()
    accepted: list[Link] = []

    def accept() -> Link:
        accepted.append(Link(owner, node("n1"), secret, None, random.Random(len(accepted))))
        return accepted[-1]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for link in accepted:
            link.close()
        # The sockets are closed in the loop's next turn.
        await asyncio.sleep(0)
        await server.wait_closed()
