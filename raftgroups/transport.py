"""Every link of a node, and the outboxes in front of them.

Nothing leaves before it is durable: a message is sent with the node log's generation that
holds what it reflects, and waits in its peer's outbox until that generation is synced.

Every queue has a bound. An outbox takes OUTBOX_MESSAGES_MAX messages; their bytes are bounded by
who sends them (a leader by its window of Appends, a snapshot by its own, a gateway by its calls).
Written bytes that the peer does not read are bounded by the link. Beyond either bound the link is
closed, because a message left out in the middle would break the order that Raft relies on.

A node is dialed where it says it is, or somebody who has a link with it, and where the settings say it is, in turn:
whoever answers must prove to be that node. So nodes may move; names are their identity.

A node that the other side refuses, or that this side refuses, is dialed less and less often, and
the log hears of each reason once. A node that a peer of its own cluster refuses has no business
with the others either: it closes every link, and says why in `refusals`.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Protocol

from engine import EngineError
from raftgroups.acquaintances import Acquaintances, StrangerError
from raftgroups.errors import ListenError
from raftgroups.link import BrokenError, Link, PeerInfo, RefusedError, Self, other_secret
from raftgroups.messages import Address, AnyMessage

log = logging.getLogger("ringkv.link")

REDIAL_SECONDS_MIN = 0.05
REDIAL_SECONDS_MAX = 1.0
REFUSED_REDIAL_SECONDS_MAX = 30.0
DIAL_SECONDS = 3.0
# How long the node whose name sorts lower waits to be dialed before it dials.
REVERSE_DIAL_SECONDS = 3.0
# Nodes that start together are not all there at once: nobody need hear of that.
UNREACHED_SECONDS = 5.0
ODD_ONE_OUT = (
    "the secret of this node may be wrong: no other node has the same; "
    "compare its --secret-file or RINGKV_SECRET with those of the others"
)
STRANGERS_MAX = 64
COMPLAINTS_MAX = 256
OUTBOX_MESSAGES_MAX = 65_536
PORT_MAX = 65_535


class Receiver(Protocol):
    """Who hears what the links bring."""

    def peer_up(self, name: str) -> None: ...

    def peer_lost(self, name: str) -> None: ...

    def received(self, name: str, messages: list[AnyMessage]) -> None: ...

    def has_outgoing(self) -> None:
        """A message may leave at the end of this turn."""


class Peer:
    """One other node: its link, when there is one, and what waits for it.

    address  where it is, as it said itself, or as somebody said who has a link with it
    seed     where the settings say it is; tried in turn with `address`
    unreached_since    loop time of the first dial that nobody answered, None if one was since
    ready    may leave at the end of this turn
    held     waits for a generation of the node log
    size     of both, in messages; beyond the bound the link is closed at the end of the turn
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.seed = address
        self.link: Link | None = None
        self.info: PeerInfo | None = None
        self.unreached_since: float | None = None
        self.ready: list[AnyMessage] = []
        self.held: dict[int, list[AnyMessage]] = {}
        self.size = 0

    def forget_outgoing(self) -> None:
        self.ready = []
        self.held = {}
        self.size = 0


class Backoff:
    """How long to wait before dialing again: ever longer, and longest after a refusal."""

    def __init__(self) -> None:
        self.seconds = REDIAL_SECONDS_MIN

    def succeeded(self) -> None:
        self.seconds = REDIAL_SECONDS_MIN

    def failed(self, *, was_refused: bool) -> None:
        self.seconds = min(2 * self.seconds, REFUSED_REDIAL_SECONDS_MAX if was_refused else REDIAL_SECONDS_MAX)


class Transport:
    """Keeps one link to each peer: dials those whose name sorts lower, and the others when they do not.

    refusals    why a peer will have no link with this node, by the peer's name
    obstacles   why there is no link with a peer, by its name, as far as this node can tell
    """

    def __init__(
        self,
        me: Self,
        peers: Mapping[str, str],
        secret: bytes,
        receiver: Receiver,
        rng: random.Random,
        acquaintances: Acquaintances,
    ) -> None:
        self._me = me
        self._secret = secret
        self._receiver = receiver
        self._rng = rng
        self._acquaintances = acquaintances
        self.peers = {name: Peer(name, address) for name, address in peers.items() if name != me.name}
        self.refusals: dict[str, str] = {}
        self.obstacles: dict[str, str] = {}
        self._synced = 0
        self._server: asyncio.Server | None = None
        self._dialers: list[asyncio.Task[None]] = []
        # Dictionaries, because a set has no order, and the eldest is the first to go.
        self._strangers: dict[Link, None] = {}
        self._complaints: dict[tuple[str, str], None] = {}
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
        peer.size += 1
        if peer.size > OUTBOX_MESSAGES_MAX:
            # The link is not closed at once, for who sends is in the middle of its own work.
            self._receiver.has_outgoing()
        elif generation <= self._synced:
            peer.ready.append(message)
            self._receiver.has_outgoing()
        else:
            peer.held.setdefault(generation, []).append(message)

    def reply_to(self, name: str) -> Callable[[AnyMessage], None]:
        """What sends an answer to `name` over the link that is up now, and drops it when that is lost.

        Numbers of questions begin anew with each life of a peer: over a later link an answer could
        be taken for that to another question.
        """
        asked_over = self.peers[name].link

        def send(message: AnyMessage) -> None:
            if self.peers[name].link is asked_over:
                self.send(name, message)

        return send

    def drop(self, name: str) -> None:
        """Close the link that is up; it is made anew."""
        link = self.peers[name].link
        if link is not None:
            link.close()

    def synced(self, generation: int) -> None:
        """Release what waited for `generation`."""
        self._synced = generation
        for peer in self.peers.values():
            for held in sorted(number for number in peer.held if number <= generation):
                peer.ready += peer.held.pop(held)

    def flush(self) -> None:
        """One frame a peer with all that is ready."""
        for peer in self.peers.values():
            if peer.size > OUTBOX_MESSAGES_MAX and peer.link is not None:
                peer.link.refuse(f"more than {OUTBOX_MESSAGES_MAX} messages wait for it")
            elif peer.ready:
                messages, peer.ready = peer.ready, []
                peer.size -= len(messages)
                if peer.link is not None:
                    peer.link.send(messages)

    # What links report.

    def knows(self, name: str) -> bool:
        return name in self.peers

    def admit(self, name: str, incarnation: str) -> None:
        """Whether there may be a link with who has proved the secret. Raises: RefusedError, BrokenError."""
        if self.refusals.keys() - {name}:
            raise BrokenError(f"this node has no link with others while it is refused by {', '.join(self.refusals)}")
        try:
            self._acquaintances.meet(name, incarnation)
        except StrangerError as error:
            raise RefusedError(str(error)) from error
        except EngineError as error:
            raise BrokenError(f"node {name!r} cannot be remembered: {error}") from error

    def refused_by(self, name: str, reason: str) -> None:
        if self.refusals.get(name) != reason:
            log.error("node %s refuses this node: %s", name, reason)
        self.refusals[name] = reason
        for peer in self.peers.values():
            if peer.link is not None:
                peer.link.close()

    def is_news(self, name: str, complaint: str) -> bool:
        if name in self.peers and self.peers[name].link is None:
            self.obstacles[name] = complaint
        if (name, complaint) in self._complaints:
            return False
        if len(self._complaints) >= COMPLAINTS_MAX:
            del self._complaints[next(iter(self._complaints))]
        self._complaints[name, complaint] = None
        return True

    def link_opened(self, link: Link, info: PeerInfo) -> None:
        self._strangers.pop(link, None)
        self.refusals.pop(info.name, None)
        self.obstacles.pop(info.name, None)
        self._complaints = {heard: None for heard in self._complaints if heard[0] != info.name}
        peer = self.peers[info.name]
        if peer.link is not None:
            peer.link.close()
        peer.link, peer.info, peer.unreached_since = link, info, None
        if info.peer:
            peer.address = info.peer
        log.info("link up: %s", info.name)
        self._receiver.peer_up(info.name)
        self._introduce(peer)

    def _introduce(self, newcomer: Peer) -> None:
        """Tell all others where the newcomer is, and the newcomer where they are: either may have moved."""
        for other in self.peers.values():
            if other.link is not None and other is not newcomer:
                self.send(other.name, Address(newcomer.name, newcomer.address))
                self.send(newcomer.name, Address(other.name, other.address))

    def told(self, message: Address) -> None:
        """Somebody has a link with a node, and says where that is. Its own word counts more."""
        peer = self.peers.get(message.name)
        if peer is None or peer.link is not None or not _is_address(message.peer):
            return
        peer.address = message.peer

    def link_received(self, link: Link, messages: list[AnyMessage]) -> None:
        assert link.peer is not None, "only an open link receives"
        if self.peers[link.peer.name].link is link:
            self._receiver.received(link.peer.name, messages)

    def link_closed(self, link: Link) -> None:
        self._strangers.pop(link, None)
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
        link = Link(self, self._me, self._secret, None, self._rng)
        while len(self._strangers) >= STRANGERS_MAX:
            next(iter(self._strangers)).close()
        self._strangers[link] = None
        return link

    def _unreached(self, peer: Peer, address: str, error: OSError, now: float) -> None:
        """Nobody listens there, as is usual for a moment while a cluster starts; the log hears of what lasts."""
        why = "connection refused" if isinstance(error, ConnectionRefusedError) else error.strerror or "no answer"
        complaint = f"nobody answers at {address} ({why}); start node {peer.name!r}, or correct its address in --seeds"
        self.obstacles[peer.name] = complaint
        if peer.unreached_since is None:
            peer.unreached_since = now
        elif now > peer.unreached_since + UNREACHED_SECONDS and self.is_news(peer.name, complaint):
            log.warning("no link with node %s: %s", peer.name, complaint)

    def complaints(self) -> list[str]:
        """Why there is no link with some peers, a sentence each, and what to do; the likeliest cause first."""
        told = [f"no link with node {name}: {why}" for name, why in sorted(self.obstacles.items())]
        if self.peers and all(self.obstacles.get(name) == other_secret(name) for name in self.peers):
            told.insert(0, ODD_ONE_OUT)
        return told

    async def _keep_dialing(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        patience = 0.0 if self._me.name > peer.name else REVERSE_DIAL_SECONDS
        backoff, due = Backoff(), loop.time() + patience
        dialed: Link | None = None
        is_seeds_turn = False
        while True:
            now = loop.time()
            if peer.link is not None:
                backoff.succeeded()
                due = now + patience
            elif now >= due and (dialed is None or dialed.is_closed):
                backoff.failed(was_refused=dialed is not None and dialed.was_refused)
                address = peer.seed if is_seeds_turn else peer.address
                is_seeds_turn = not is_seeds_turn
                try:
                    host, port = split_address(address)
                    async with asyncio.timeout(DIAL_SECONDS):
                        _, dialed = await loop.create_connection(
                            lambda: Link(self, self._me, self._secret, peer.name, self._rng), host, port
                        )
                except (OSError, TimeoutError) as error:
                    dialed = None
                    self._unreached(peer, address, error, loop.time())
                due = loop.time() + backoff.seconds * self._rng.uniform(0.5, 1.0)
            # Looks at the link often, however long it is until the next dial.
            pause = max(due - loop.time(), REDIAL_SECONDS_MIN * self._rng.uniform(0.5, 1.0))
            await asyncio.sleep(min(pause, REDIAL_SECONDS_MAX))


def _is_address(text: str) -> bool:
    try:
        split_address(text)
    except ValueError:
        return False
    return True


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
