"""One connection between two nodes: handshake, frames, bounds.

    connection := hello challenge proof welcome frame*     dialer sends hello and proof, acceptor the others
    frame      := length:u32 crc32c:u32 sequence:u32 body:u8[length]          little-endian
    hello      := msgpack [magic, version, cluster, name, to, http, zone, pid, nonce, incarnation, peer, makeup]
    challenge  := msgpack ["challenge", cluster, name, http, zone, pid, nonce, incarnation, mac, peer]
    proof      := msgpack ["proof", mac]
    welcome    := msgpack ["welcome"]
    refusal    := msgpack ["refusal", reason, mac]     in the place of challenge, proof or welcome
    mac        := HMAC-SHA256(secret, role || hello || challenge without its mac)

The handshake travels as frames too, of at most 4 KiB, and the whole of it has a deadline. Both
sides prove that they know the cluster's secret before a message is decoded. Whatever does not fit
(length, checksum, sequence, type, cluster, secret) closes this connection and nothing else. The
dialer is the node whose name sorts higher, so a pair has one connection; the other dials where that fails,
for it may have moved to an address that only it knows.

The checksum covers the body. Each direction counts its frames: the handshake from 0, what follows
it from the first four bytes of the sender's mac on, modulo 2**32. So a frame that was lost,
doubled, overtaken, or recorded on another connection does not fit: what a link delivers is what
was sent, in its order, up to the point where it closes.

Nothing is encrypted: who can read the network reads the data, so it must be one that is trusted.
Nothing is compressed, so no frame is larger in memory than it was on the wire.

A refusal says why a node is turned away. One with a mac (role "refusal" || reason) comes from a
node of this cluster, and ends the hopes of its receiver; without, it is hearsay for the log.
"""

import asyncio
import hmac
import logging
import random
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec

from engine import crc32c
from raftgroups.messages import PROTOCOL_VERSION, AnyMessage, decode_messages, encode_messages

log = logging.getLogger("ringkv.link")

MAGIC = "ringkv"
FRAME_HEADER = struct.Struct("<III")
SEQUENCE_MASK = 0xFFFF_FFFF
FRAME_BYTES_MAX = 64 << 20
HANDSHAKE_BYTES_MAX = 4096
HANDSHAKE_SECONDS = 3.0
UNSENT_BYTES_MAX = 128 << 20
SILENT_PEER_MILLISECONDS = 5000
REASON_LENGTH_MAX = 500
SETTING_LENGTH_MAX = 100
NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Self:
    """What a node tells its peers about itself.

    incarnation    its data directory's
    makeup         what its cluster was founded with, so that one of another cluster can be told what differs
    """

    cluster_id: str
    name: str
    http: str
    zone: str
    pid: int
    incarnation: str = ""
    peer: str = ""
    makeup: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a peer told about itself, under proof of the secret. `peer` is where it is dialed, if it said so."""

    name: str
    http: str
    zone: str
    pid: int
    peer: str = ""


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
    incarnation: str = ""
    peer: str = ""
    makeup: Mapping[str, str] = {}


class Challenge(msgspec.Struct, frozen=True, array_like=True, tag="challenge"):
    """The acceptor: who I am, and proof that I know the secret."""

    cluster_id: str
    name: str
    http: str
    zone: str
    pid: int
    nonce: bytes
    incarnation: str
    mac: bytes = b""
    peer: str = ""


class Proof(msgspec.Struct, frozen=True, array_like=True, tag="proof"):
    """The dialer: proof that I know it too."""

    mac: bytes


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """The acceptor: this link is open."""


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="refusal"):
    """Either: I will have no link with you, and why."""

    reason: str
    mac: bytes = b""


class RefusedError(Exception):
    """The other side is not one of ours; the text says why, and it is told."""


class BrokenError(Exception):
    """What came is not what a peer sends; the text says why, and nobody is told."""


class Owner(Protocol):
    """What a Link reports to."""

    def link_opened(self, link: "Link", peer: PeerInfo) -> None: ...

    def link_received(self, link: "Link", messages: list[AnyMessage]) -> None: ...

    def link_closed(self, link: "Link") -> None: ...

    def knows(self, name: str) -> bool: ...

    def admit(self, name: str, incarnation: str) -> None:
        """`name` has proved the secret. Raises: RefusedError, BrokenError."""

    def refused_by(self, name: str, reason: str) -> None:
        """`name` has proved the secret, and turns this node away."""

    def is_news(self, name: str, complaint: str) -> bool:
        """Whether the log has yet to hear this about whoever calls itself `name`."""


def encode_frame(body: bytes, sequence: int) -> bytes:
    """A body behind its length, checksum and place."""
    return FRAME_HEADER.pack(len(body), crc32c(body), sequence) + body


class Link(asyncio.Protocol):
    """The connection, from either side. `dials` names the peer when this side dialed.

    rng            makes a nonce that no other handshake has had
    was_refused    one side turned the other away, and would do so again
    """

    def __init__(self, owner: Owner, me: Self, secret: bytes, dials: str | None, rng: random.Random) -> None:
        self._owner = owner
        self._me = me
        self._secret = secret
        self._dials = dials
        self._rng = rng
        self._transport: asyncio.Transport | None = None
        self._was_made = False
        self._buffer = bytearray()
        self._needed = 0
        self._step: Callable[[bytes], None] = self._on_challenge if dials else self._on_hello
        self._hello = b""
        self._challenge = b""
        self._caller = dials or ""
        self._answered: PeerInfo | None = None
        self._sent = 0
        self._expected = 0
        self._deadline: asyncio.TimerHandle | None = None
        self.peer: PeerInfo | None = None
        self.was_refused = False

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes, but behave like them.
        self._transport, self._was_made = cast(asyncio.Transport, transport), True
        self._give_up_silent_peer(self._transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, self._give_up_handshake)
        if self._dials is not None:
            me, nonce = self._me, self._rng.randbytes(NONCE_BYTES)
            self._hello = msgspec.msgpack.encode(
                Hello(
                    *(MAGIC, PROTOCOL_VERSION, me.cluster_id, me.name, self._dials),
                    *(me.http, me.zone, me.pid, nonce, me.incarnation),
                    peer=me.peer,
                    makeup=me.makeup,
                )
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
                length, crc, sequence = FRAME_HEADER.unpack_from(view, at)
                if length > limit:
                    raise BrokenError(f"a frame of {length} bytes")
                if sequence != self._expected:
                    raise BrokenError(_misplaced(sequence, self._expected))
                start = at + FRAME_HEADER.size
                if end - start < length:
                    self._needed = FRAME_HEADER.size + length
                    break
                at = start + length
                body = bytes(view[start:at])
                if crc32c(body) != crc:
                    raise BrokenError("a frame's checksum does not match")
                self._expected = (sequence + 1) & SEQUENCE_MASK
                self._step(body)
                if self._transport is None:
                    return
                limit = FRAME_BYTES_MAX if self.peer else HANDSHAKE_BYTES_MAX
        except RefusedError as error:
            self._turn_away(str(error))
            return
        except (BrokenError, msgspec.DecodeError, ValueError) as error:
            self.refuse(str(error) if self._is_answered else _no_node(str(error)))
            return
        self._buffer += view[at:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        if self._transport is not None and self._hello and self.peer is None and self._dials is None:
            self.refuse(f"node {self._caller!r} left before it had proved this cluster's secret")
        elif self._transport is not None and not self._is_answered:
            self.refuse(_no_node("it closes the connection without an answer"))
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
        self._write(body)
        if self.unsent_bytes > UNSENT_BYTES_MAX:
            self.refuse("the peer does not read what it is sent")

    @property
    def is_closed(self) -> bool:
        return self._was_made and self._transport is None

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport else 0

    def refuse(self, reason: str) -> None:
        """Close the connection, and tell the log why."""
        if self._transport is not None and self._owner.is_news(self._caller, reason):
            address: Any = self._transport.get_extra_info("peername")
            who = self.peer.name if self.peer else self._dials or "a stranger"
            log.warning("peer connection refused: %s at %s: %s", who, address, reason)
        self.close()

    def close(self) -> None:
        transport = self._transport
        self._forget()
        if transport is None:
            return
        if self.was_refused:
            # Not before the refusal has left; a peer that does not read it is given up by its silence.
            transport.close()
        else:
            transport.abort()

    # Handshake.

    def _on_hello(self, body: bytes) -> None:
        hello = msgspec.msgpack.decode(body, type=Hello)
        me, self._caller = self._me, hello.name
        if hello.magic != MAGIC or hello.version != PROTOCOL_VERSION:
            raise RefusedError(f"protocol {hello.magic[:16]!r} version {hello.version}")
        if hello.cluster_id != me.cluster_id:
            raise RefusedError(
                f"node {hello.name!r} is of cluster {hello.cluster_id}, this is {me.cluster_id}; "
                f"{difference(hello.name, hello.makeup, me.name, me.makeup)}"
            )
        if hello.to != me.name or not self._owner.knows(hello.name):
            raise RefusedError(
                f"node {hello.name!r} looks for {hello.to!r}; this is {me.name!r}: "
                f"compare the names and addresses in --seeds of both"
            )
        self._hello, nonce = body, self._rng.randbytes(NONCE_BYTES)
        challenge = Challenge(me.cluster_id, me.name, me.http, me.zone, me.pid, nonce, me.incarnation, peer=me.peer)
        self._challenge = msgspec.msgpack.encode(challenge)
        self._write(msgspec.msgpack.encode(msgspec.structs.replace(challenge, mac=self._mac(b"acceptor"))))
        self._step = self._on_proof

    def _on_challenge(self, body: bytes) -> None:
        challenge = msgspec.msgpack.decode(body, type=Challenge | Refusal)
        if isinstance(challenge, Refusal):
            self._on_refusal(challenge)
            return
        if challenge.cluster_id != self._me.cluster_id or challenge.name != self._dials:
            raise RefusedError(
                f"node {challenge.name!r} of cluster {challenge.cluster_id} answers where {self._dials!r} is looked "
                f"for; correct the address of {self._dials!r} in --seeds"
            )
        self._challenge = msgspec.msgpack.encode(msgspec.structs.replace(challenge, mac=b""))
        if not hmac.compare_digest(challenge.mac, self._mac(b"acceptor")):
            raise RefusedError(other_secret(challenge.name))
        self._owner.admit(challenge.name, challenge.incarnation)
        self._write(msgspec.msgpack.encode(Proof(self._mac(b"dialer"))))
        self._answered = PeerInfo(challenge.name, challenge.http, challenge.zone, challenge.pid, challenge.peer)
        self._step = self._on_welcome

    def _on_proof(self, body: bytes) -> None:
        proof = msgspec.msgpack.decode(body, type=Proof | Refusal)
        if isinstance(proof, Refusal):
            self._on_refusal(proof)
            return
        hello = msgspec.msgpack.decode(self._hello, type=Hello)
        if not hmac.compare_digest(proof.mac, self._mac(b"dialer")):
            raise RefusedError(other_secret(hello.name))
        self._owner.admit(hello.name, hello.incarnation)
        self._write(msgspec.msgpack.encode(Welcome()))
        self._open(PeerInfo(hello.name, hello.http, hello.zone, hello.pid, hello.peer))

    def _on_welcome(self, body: bytes) -> None:
        welcome = msgspec.msgpack.decode(body, type=Welcome | Refusal)
        if isinstance(welcome, Refusal):
            self._on_refusal(welcome)
            return
        assert self._answered is not None, "a welcome follows a challenge"
        self._open(self._answered)

    def _on_refusal(self, refusal: Refusal) -> None:
        """The other side turns this node away; only with a mac is that more than hearsay."""
        self.was_refused = True
        reason = refusal.reason[:REASON_LENGTH_MAX]
        if self._challenge and hmac.compare_digest(refusal.mac, self._refusal_mac(refusal.reason)):
            self.close()
            self._owner.refused_by(self._caller, reason)
        elif self._challenge and refusal.mac:
            self.refuse(other_secret(self._caller))  # that is why its mac does not match
        else:
            self.refuse(f"node {self._caller!r} refuses this node: {reason!r}")

    @property
    def _is_answered(self) -> bool:
        """Whether what was dialed has said something that a node says; true of who was not dialed."""
        return self._dials is None or bool(self._challenge) or self.was_refused

    def _give_up_handshake(self) -> None:
        self.refuse("the handshake took too long" if self._is_answered else _no_node("it says nothing"))

    def _on_messages(self, body: bytes) -> None:
        self._owner.link_received(self, decode_messages(body))

    def _open(self, peer: PeerInfo) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        mine, theirs = (b"acceptor", b"dialer") if self._dials is None else (b"dialer", b"acceptor")
        self._sent = int.from_bytes(self._mac(mine)[:4], "little")
        self._expected = int.from_bytes(self._mac(theirs)[:4], "little")
        self.peer = peer
        self._step = self._on_messages
        self._owner.link_opened(self, peer)

    def _mac(self, role: bytes) -> bytes:
        parts = (role, self._hello, self._challenge)
        message = b"".join(struct.pack("<I", len(part)) + part for part in parts)
        return hmac.digest(self._secret, message, "sha256")

    def _refusal_mac(self, reason: str) -> bytes:
        return self._mac(b"refusal" + reason.encode())

    @staticmethod
    def _give_up_silent_peer(transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_MILLISECONDS)

    def _write(self, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(encode_frame(body, self._sent))
            self._sent = (self._sent + 1) & SEQUENCE_MASK

    def _turn_away(self, reason: str) -> None:
        """Say why there will be no link, here and there."""
        self.was_refused = True
        self._write(msgspec.msgpack.encode(Refusal(reason, self._refusal_mac(reason) if self._challenge else b"")))
        self.refuse(reason)

    def _forget(self) -> None:
        """The connection is over, whoever ended it; nothing of it is delivered any more."""
        if self._deadline is not None:
            self._deadline.cancel()
        was_open, self._transport = self._transport is not None, None
        self._buffer.clear()
        if was_open:
            self._owner.link_closed(self)


def difference(theirs: str, their_makeup: Mapping[str, str], ours: str, our_makeup: Mapping[str, str]) -> str:
    """Which settings two clusters were founded with are unlike, and what to type."""
    unlike = [name for name in our_makeup if name in their_makeup and their_makeup[name] != our_makeup[name]]
    if not unlike:
        return "give both the same --seeds, --partitions and --replication-factor"
    told = "; ".join(
        f"{name} is {their_makeup[name][:SETTING_LENGTH_MAX]} on {theirs} and {our_makeup[name][:SETTING_LENGTH_MAX]} "
        f"on {ours}"
        for name in unlike
    )
    return f"{told}; give the wrong one the right {' and '.join(unlike)} and an empty data directory"


def _no_node(symptom: str) -> str:
    return f"what answers there is no node of ringkv ({symptom}); correct its address in --seeds, or end what listens"


def other_secret(name: str) -> str:
    """Neither side can tell which of the two is wrong."""
    return (
        f"node {name!r} does not have this cluster's secret, or the secret of this node is wrong; "
        f"give all nodes the same --secret-file or RINGKV_SECRET"
    )


def _misplaced(sequence: int, expected: int) -> str:
    missing = (sequence - expected) & SEQUENCE_MASK
    if missing <= SEQUENCE_MASK // 2:
        return f"a frame came {missing} too early: one before it was lost or overtaken"
    return "a frame came late: it was doubled or overtaken, or belongs to another connection"
