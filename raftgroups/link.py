"""One connection between two nodes: handshake, frames, bounds.

    connection := hello challenge proof frame*       dialer sends hello and proof, acceptor challenge
    frame      := length:u32 crc32c:u32 body:u8[length]          little-endian
    hello      := msgpack [magic, version, cluster, name, to, http, zone, pid, nonce]
    challenge  := msgpack [cluster, name, http, zone, pid, nonce, mac]
    proof      := msgpack [mac]
    mac        := HMAC-SHA256(secret, role || hello || challenge without its mac)

Hello, challenge and proof travel as frames too, of at most 4 KiB, and the whole handshake has
a deadline. Both sides prove that they know the cluster's secret before a message is decoded.
Whatever does not fit (length, checksum, type, cluster, secret) closes this connection and
nothing else. The dialer is the node whose name sorts higher, so a pair has one connection.
"""

import asyncio
import hmac
import logging
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from engine import crc32c
from raftgroups.messages import PROTOCOL_VERSION, AnyMessage, decode_messages, encode_messages

log = logging.getLogger("ringkv.link")

MAGIC = "ringkv"
FRAME_HEADER = struct.Struct("<II")
FRAME_BYTES_MAX = 64 << 20
HANDSHAKE_BYTES_MAX = 4096
HANDSHAKE_SECONDS = 3.0
UNSENT_BYTES_MAX = 128 << 20
SILENT_PEER_MILLISECONDS = 5000


@dataclass(frozen=True, slots=True)
class Self:
    """What a node tells its peers about itself."""

    cluster_id: str
    name: str
    http: str
    zone: str
    pid: int


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a peer told about itself, under proof of the secret."""

    name: str
    http: str
    zone: str
    pid: int


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The dialer: who I am, whom I look for."""

    magic: str
    version: int
    cluster_id: str
    name: str
    to: str
    http: str
    zone: str
    pid: int
    nonce: bytes


class Challenge(msgspec.Struct, frozen=True, array_like=True):
    """The acceptor: who I am, and proof that I know the secret."""

    cluster_id: str
    name: str
    http: str
    zone: str
    pid: int
    nonce: bytes
    mac: bytes = b""


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """The dialer: proof that I know it too."""

    mac: bytes


class RefusedError(Exception):
    """The other side is not one of ours; the text says why."""


class Owner(Protocol):
    """What a Link reports to."""

    def link_opened(self, link: "Link", peer: PeerInfo) -> None: ...

    def link_received(self, link: "Link", messages: list[AnyMessage]) -> None: ...

    def link_closed(self, link: "Link") -> None: ...

    def knows(self, name: str) -> bool: ...


def encode_frame(body: bytes) -> bytes:
    """A body behind its length and checksum."""
    return FRAME_HEADER.pack(len(body), crc32c(body)) + body


class Link(asyncio.Protocol):
    """The connection, from either side. `dials` names the peer when this side dialed."""

    def __init__(self, owner: Owner, me: Self, secret: bytes, dials: str | None) -> None:
        self._owner = owner
        self._me = me
        self._secret = secret
        self._dials = dials
        self._transport: asyncio.Transport | None = None
        self._was_made = False
        self._buffer = bytearray()
        self._needed = 0
        self._step: Callable[[bytes], None] = self._on_challenge if dials else self._on_hello
        self._hello = b""
        self._challenge = b""
        self._deadline: asyncio.TimerHandle | None = None
        self.peer: PeerInfo | None = None

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, but behave like them.
        self._transport, self._was_made = cast(asyncio.Transport, transport), True
        self._give_up_silent_peer(self._transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, self._refuse, "the handshake took too long")
        if self._dials is not None:
            me = self._me
            nonce = secrets.token_bytes(16)
            self._hello = msgspec.msgpack.encode(
                Hello(MAGIC, PROTOCOL_VERSION, me.cluster_id, me.name, self._dials, me.http, me.zone, me.pid, nonce)
            )
            self._write(self._hello)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        self._needed = FRAME_HEADER.size
        view = memoryview(data)
        at, end = 0, len(view)
        limit = FRAME_BYTES_MAX if self.peer else HANDSHAKE_BYTES_MAX
        try:
            while end - at >= FRAME_HEADER.size:
                length, crc = FRAME_HEADER.unpack_from(view, at)
                if length > limit:
                    raise RefusedError(f"a frame of {length} bytes")
                start = at + FRAME_HEADER.size
                if end - start < length:
                    self._needed = FRAME_HEADER.size + length
                    break
                at = start + length
                body = bytes(view[start:at])
                if crc32c(body) != crc:
                    raise RefusedError("a frame's checksum does not match")
                self._step(body)
                if self._transport is None:
                    return
                limit = FRAME_BYTES_MAX if self.peer else HANDSHAKE_BYTES_MAX
        except (RefusedError, msgspec.DecodeError, ValueError) as error:
            self._refuse(str(error))
            return
        self._buffer += view[at:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        if self._transport is not None and self._hello and self.peer is None and self._dials is None:
            name = msgspec.msgpack.decode(self._hello, type=Hello).name
            self._refuse(f"node {name!r} left before it had proved this cluster's secret")
        self._forget()

    # The owner's side.

    def send(self, messages: list[AnyMessage]) -> None:
        """Write one frame, or several when it would grow past the bound."""
        if self._transport is None:
            return
        body = encode_messages(messages)
        if len(body) > FRAME_BYTES_MAX // 2 and len(messages) > 1:
            half = len(messages) // 2
            self.send(messages[:half])
            self.send(messages[half:])
            return
        self._transport.write(encode_frame(body))
        if self.unsent_bytes > UNSENT_BYTES_MAX:
            self._refuse("the peer does not read what it is sent")

    @property
    def is_closed(self) -> bool:
        return self._was_made and self._transport is None

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport else 0

    def close(self) -> None:
        transport = self._transport
        self._forget()
        if transport is not None:
            transport.abort()

    # Handshake.

    def _on_hello(self, body: bytes) -> None:
        hello = msgspec.msgpack.decode(body, type=Hello)
        me = self._me
        if hello.magic != MAGIC or hello.version != PROTOCOL_VERSION:
            raise RefusedError(f"protocol {hello.magic[:16]!r} version {hello.version}")
        if hello.cluster_id != me.cluster_id:
            raise RefusedError(f"node {hello.name!r} is of cluster {hello.cluster_id}, this is {me.cluster_id}")
        if hello.to != me.name or not self._owner.knows(hello.name):
            raise RefusedError(f"node {hello.name!r} looks for {hello.to!r}; this is {me.name!r}")
        self._hello = body
        nonce = secrets.token_bytes(16)
        challenge = Challenge(me.cluster_id, me.name, me.http, me.zone, me.pid, nonce)
        self._challenge = msgspec.msgpack.encode(challenge)
        mac = self._mac(b"acceptor")
        self._write(msgspec.msgpack.encode(msgspec.structs.replace(challenge, mac=mac)))
        self._step = self._on_proof

    def _on_challenge(self, body: bytes) -> None:
        challenge = msgspec.msgpack.decode(body, type=Challenge)
        if challenge.cluster_id != self._me.cluster_id or challenge.name != self._dials:
            raise RefusedError(f"node {challenge.name!r} of cluster {challenge.cluster_id} answered")
        self._challenge = msgspec.msgpack.encode(msgspec.structs.replace(challenge, mac=b""))
        if not hmac.compare_digest(challenge.mac, self._mac(b"acceptor")):
            raise RefusedError(f"node {challenge.name!r} does not have this cluster's secret")
        self._write(msgspec.msgpack.encode(Proof(self._mac(b"dialer"))))
        self._open(PeerInfo(challenge.name, challenge.http, challenge.zone, challenge.pid))

    def _on_proof(self, body: bytes) -> None:
        proof = msgspec.msgpack.decode(body, type=Proof)
        hello = msgspec.msgpack.decode(self._hello, type=Hello)
        if not hmac.compare_digest(proof.mac, self._mac(b"dialer")):
            raise RefusedError(f"node {hello.name!r} does not have this cluster's secret")
        self._open(PeerInfo(hello.name, hello.http, hello.zone, hello.pid))

    def _on_messages(self, body: bytes) -> None:
        self._owner.link_received(self, decode_messages(body))

    def _open(self, peer: PeerInfo) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.peer = peer
        self._step = self._on_messages
        self._owner.link_opened(self, peer)

    def _mac(self, role: bytes) -> bytes:
        parts = (role, self._hello, self._challenge)
        message = b"".join(struct.pack("<I", len(part)) + part for part in parts)
        return hmac.digest(self._secret, message, "sha256")

    @staticmethod
    def _give_up_silent_peer(transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_MILLISECONDS)

    def _write(self, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(encode_frame(body))

    def _refuse(self, reason: str) -> None:
        if self._transport is not None:
            address: Any = self._transport.get_extra_info("peername")
            who = self.peer.name if self.peer else self._dials or "a stranger"
            log.warning("peer connection refused: %s at %s: %s", who, address, reason)
        self.close()

    def _forget(self) -> None:
        """The connection is over, whoever ended it; nothing of it is delivered any more."""
        if self._deadline is not None:
            self._deadline.cancel()
        was_open, self._transport = self._transport is not None, None
        self._buffer.clear()
        if was_open:
            self._owner.link_closed(self)
