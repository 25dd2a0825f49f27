"""Every link of a node, and the outboxes in front of them.

Nothing leaves before it is durable: a message is sent with the node log's generation that
holds what it reflects, and waits in its peer's outbox until that generation is synced.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Protocol

from raftgroups.errors import ListenError
from raftgroups.link import Link, PeerInfo, Self
from raftgroups.messages import AnyMessage

log = logging.getLogger("ringkv.link")

REDIAL_SECONDS_MIN = 0.05
REDIAL_SECONDS_MAX = 1.0
DIAL_SECONDS = 3.0
STRANGERS_MAX = 64
PORT_MAX = 65_535


class Receiver(Protocol):
    """Who hears what the links bring."""

    def peer_up(self, name: str) -> None: ...

    def peer_lost(self, name: str) -> None: ...

    def received(self, name: str, messages: list[AnyMessage]) -> None: ...

    def has_outgoing(self) -> None:
        """A message may leave at the end of this turn."""


class Peer:
    """One other node: its link, when there is one, and what waits for it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.link: Link | None = None
        self.info: PeerInfo | None = None
        self.ready: list[AnyMessage] = []
        self.held: dict[int, list[AnyMessage]] = {}

    def forget_outgoing(self) -> None:
        self.ready = []
        self.held = {}


class Transport:
    """Keeps one link to each peer: dials those whose name sorts lower, accepts the others."""

    def __init__(
        self, me: Self, peers: Mapping[str, str], secret: bytes, receiver: Receiver, rng: random.Random
    ) -> None:
        self._me = me
        self._secret = secret
        self._receiver = receiver
        self._rng = rng
        self.peers = {name: Peer(name, address) for name, address in peers.items() if name != me.name}
        self._synced = 0
        self._server: asyncio.Server | None = None
        self._dialers: list[asyncio.Task[None]] = []
        self._strangers: set[Link] = set()
        self._is_closing = False

    async def bind(self, address: str) -> None:
        """Take the address, without accepting anybody yet. Raises: ListenError."""
        host, port = split_address(address)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accepted, host, port, reuse_address=True, start_serving=False)
        except OSError as error:
            raise ListenError(f"cannot listen for peers on {address}: {error.strerror or error}") from error

    async def serve(self) -> None:
        """Accept links, and keep dialing for those that are ours to make."""
        assert self._server is not None, "bind comes first"
        await self._server.start_serving()
        for peer in self.peers.values():
            if self._me.name > peer.name:
                self._dialers.append(asyncio.create_task(self._keep_dialing(peer)))

    async def close(self) -> None:
        self._is_closing = True
        for task in self._dialers:
            task.cancel()
        await asyncio.gather(*self._dialers, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for link in [peer.link for peer in self.peers.values() if peer.link] + list(self._strangers):
            link.close()

    def is_up(self, name: str) -> bool:
        peer = self.peers.get(name)
        return peer is not None and peer.link is not None

    def send(self, name: str, message: AnyMessage, generation: int = 0) -> None:
        """Send once `generation` is synced; dropped when the link is down, as a network would."""
        peer = self.peers[name]
        if peer.link is None:
            return
        if generation <= self._synced:
            peer.ready.append(message)
            self._receiver.has_outgoing()
        else:
            peer.held.setdefault(generation, []).append(message)

    def synced(self, generation: int) -> None:
        """Release what waited for `generation`."""
        self._synced = generation
        for peer in self.peers.values():
            for held in sorted(number for number in peer.held if number <= generation):
                peer.ready += peer.held.pop(held)

    def flush(self) -> None:
        """One frame a peer with all that is ready."""
        for peer in self.peers.values():
            if peer.ready:
                messages, peer.ready = peer.ready, []
                if peer.link is not None:
                    peer.link.send(messages)

    # What links report.

    def knows(self, name: str) -> bool:
        return name in self.peers

    def link_opened(self, link: Link, info: PeerInfo) -> None:
        self._strangers.discard(link)
        peer = self.peers[info.name]
        if peer.link is not None:
            peer.link.close()
        peer.link, peer.info = link, info
        log.info("link up: %s", info.name)
        self._receiver.peer_up(info.name)

    def link_received(self, link: Link, messages: list[AnyMessage]) -> None:
        assert link.peer is not None, "only an open link receives"
        if self.peers[link.peer.name].link is link:
            self._receiver.received(link.peer.name, messages)

    def link_closed(self, link: Link) -> None:
        self._strangers.discard(link)
        if link.peer is None:
            return
        peer = self.peers[link.peer.name]
        if peer.link is link:
            peer.link = None
            peer.forget_outgoing()
            if not self._is_closing:
                log.warning("link lost: %s", peer.name)
            self._receiver.peer_lost(peer.name)

    def _accepted(self) -> Link:
        link = Link(self, self._me, self._secret, None)
        while len(self._strangers) >= STRANGERS_MAX:
            self._strangers.pop().close()
        self._strangers.add(link)
        return link

    async def _keep_dialing(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        wait = REDIAL_SECONDS_MIN
        dialed: Link | None = None
        while True:
            if peer.link is not None:
                wait = REDIAL_SECONDS_MIN
            elif dialed is None or dialed.is_closed:
                wait = min(2 * wait, REDIAL_SECONDS_MAX)
                try:
                    host, port = split_address(peer.address)
                    async with asyncio.timeout(DIAL_SECONDS):
                        _, dialed = await loop.create_connection(
                            lambda: Link(self, self._me, self._secret, peer.name), host, port
                        )
                except (OSError, TimeoutError):
                    dialed = None
            await asyncio.sleep(wait * self._rng.uniform(0.5, 1.0))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises: ValueError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address needs brackets, as in [::1]:8001, not {address!r}")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > PORT_MAX:
        raise ValueError(f"expected HOST:PORT, not {address!r}")
    return host, int(port)
