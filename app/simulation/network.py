"""The network between simulated nodes: TCP as its users see it on bad days.

A stream delivers in order, or ends. Where a path is cut its bytes wait, and what is not confirmed
within SILENT_SECONDS ends the connection on that side alone, as TCP_USER_TIMEOUT does. On a path
with faults single writes may be lost, doubled or overtaken; a receiver that numbers its frames
takes that for the end of the connection. What an old connection still carries may arrive when a
new one is up.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.simulation.loop import NodeLoop
from app.simulation.scheduler import Scheduler

SILENT_SECONDS = 5.0
RETRANSMIT_SECONDS_MAX = 0.5
SPLIT_SHARE = 0.01

Address = tuple[str, int]


@dataclass(slots=True)
class Weather:
    """How a path treats what is sent on it.

    latency_seconds   the least a write takes; `jitter_seconds` is the mean of what comes on top
    lost, doubled, overtaken   shares of single writes, 0 to 1
    """

    latency_seconds: float = 0.0002
    jitter_seconds: float = 0.0002
    lost: float = 0.0
    doubled: float = 0.0
    overtaken: float = 0.0

    @property
    def is_fair(self) -> bool:
        return not (self.lost or self.doubled or self.overtaken)


class Path:
    """One direction between two nodes.

    cuts      how many faults cut it just now
    ends      the ends of connections that send on it
    parked    connection attempts that wait for it to be whole again
    """

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.weather = Weather()
        self.cuts = 0
        self.ends: dict[End, None] = {}
        self.parked: list[Callable[[], None]] = []


class _Socket:
    """Takes the socket options that a connection is given."""

    def setsockopt(self, *_: Any) -> None:
        """The network behaves as if TCP_USER_TIMEOUT was set to SILENT_SECONDS."""


_SOCKET = _Socket()


class End(asyncio.Transport):
    """One end of a connection: what its owner writes, on the way to the other end."""

    def __init__(self, network: "Network", loop: NodeLoop, path: Path, peer: Address) -> None:
        super().__init__()
        self.loop = loop
        self.path = path
        self.other: End | None = None
        self.is_over = False
        self._network = network
        self._scheduler = network.scheduler
        self._peer = peer
        self._protocol: asyncio.Protocol | None = None
        self._arrives_at = 0.0
        self._waiting: deque[bytes | None] = deque()
        self._waiting_bytes = 0
        self._unconfirmed_since: float | None = None
        self._inbox: list[bytes | None] = []
        self._held_until = 0.0
        self._loses_all = False
        path.ends[self] = None

    # asyncio's side.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": _SOCKET, "peername": self._peer}.get(name, default)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        if not self.is_over and self._network.may_send(self.loop):
            self._send(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self._waiting_bytes

    def is_closing(self) -> bool:
        return self.is_over

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.is_over:
            self._end(None)

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Give the connection its user, and hand over what has come meanwhile."""
        self._protocol = protocol
        protocol.connection_made(self)
        if self._inbox:
            self.loop.call_soon(self._deliver)

    # The way of what is written. None stands for the end of the stream.

    def _send(self, data: bytes | None) -> None:
        path, scheduler = self.path, self._scheduler
        now = scheduler.now
        other = self.other
        assert other is not None, "a connection has two ends"
        if path.cuts or self._waiting or not self._network.is_on(path.target):
            self._waiting.append(data)
            self._waiting_bytes += len(data or b"")
            self._wait_for_confirmation()
            return
        if other.path.cuts:
            self._wait_for_confirmation()
        weather, rng = path.weather, self._network.rng
        takes = weather.latency_seconds + rng.random() * 2 * weather.jitter_seconds
        if data is not None and not weather.is_fair:
            chance = rng.random()
            if chance < weather.lost:
                return
            if chance < weather.lost + weather.doubled:
                scheduler.call_at(max(self._arrives_at, now + takes), self._arrive, data)
            elif chance < weather.lost + weather.doubled + weather.overtaken:
                scheduler.call_at(max(self._arrives_at, now + takes) + rng.random() * 0.05, self._arrive, data)
                return
        self._arrives_at = max(self._arrives_at, now + takes)
        scheduler.call_at(self._arrives_at, self._arrive, data)

    def _arrive(self, data: bytes | None) -> None:
        scheduler, other = self._scheduler, self.other
        assert other is not None, "a connection has two ends"
        if scheduler.now < self._held_until:
            scheduler.call_at(self._held_until, self._arrive, data)
        elif not other.is_over and not (self._loses_all and data is not None):
            if not other._inbox and other._protocol is not None:
                other.loop.call_soon_threadsafe(other._deliver)
            other._inbox.append(data)

    def _deliver(self) -> None:
        """Give what has come to the user of this end, in one piece or two."""
        inbox, self._inbox = self._inbox, []
        is_end = None in inbox
        data = b"".join(piece for piece in inbox if piece is not None)
        assert self._protocol is not None, "an end has a user before it delivers"
        if len(data) > 1 and not self.is_over and self._network.rng.random() < SPLIT_SHARE:
            at = self._network.rng.randrange(1, len(data))
            self._protocol.data_received(data[:at])
            data = data[at:]
        if data and not self.is_over:
            self._protocol.data_received(data)
        if is_end and not self.is_over:
            self.lose(None)

    # How it ends.

    def lose(self, error: Exception | None) -> None:
        """The connection is over at this end, and its user is told."""
        if not self.is_over:
            self._end(error)

    def vanish(self) -> None:
        """Its node is gone without a word."""
        self.is_over = True
        self._waiting.clear()
        self.path.ends.pop(self, None)

    def lose_in_flight(self) -> None:
        """What is on its way never arrives."""
        self._loses_all = True

    def delay_in_flight(self, until: float) -> None:
        """What is on its way arrives late."""
        self._held_until = until

    def path_is_whole(self) -> None:
        """Send again what waited for the path, and know what arrived."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        self._unconfirmed_since = None
        for data in waiting:
            self._send(data)
        if self.is_over and not self._waiting:
            self.path.ends.pop(self, None)

    def confirmed(self) -> None:
        """The way back is whole again: what had arrived is known to have."""
        if not self._waiting:
            self._unconfirmed_since = None

    def _end(self, error: Exception | None) -> None:
        self.is_over = True
        # What did not leave never will, but for the news of the end.
        self._waiting.clear()
        self._waiting_bytes = 0
        self._send(None)
        if not self._waiting:
            self.path.ends.pop(self, None)
        if self._protocol is not None:
            self.loop.call_soon(self._protocol.connection_lost, error)

    def _wait_for_confirmation(self) -> None:
        if self._unconfirmed_since is None and not self.is_over:
            now = self._scheduler.now
            self._unconfirmed_since = now
            self._scheduler.call_at(now + SILENT_SECONDS, self._was_silent, now)

    def _was_silent(self, since: float) -> None:
        if self._unconfirmed_since == since and not self.is_over:
            self.lose(TimeoutError(110, "Connection timed out"))


class Server:
    """A node that listens at an address."""

    def __init__(
        self, network: "Network", loop: NodeLoop, factory: Callable[[], asyncio.Protocol], at: Address
    ) -> None:
        self.loop = loop
        self.factory = factory
        self.is_serving = False
        self._network = network
        self._address = at

    async def start_serving(self) -> None:
        self.is_serving = True

    def close(self) -> None:
        self._network.stop_listening(self._address, self)


class Network:
    """Every path between the nodes, and who listens where.

    hosts     the node behind each host part of an address
    is_on     whether a node's machine is on; what is sent to one that is off vanishes
    may_send  whether a loop's node still acts
    """

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        hosts: dict[str, str],
        is_on: Callable[[str], bool],
        may_send: Callable[[NodeLoop], bool],
    ) -> None:
        self.scheduler = scheduler
        self.rng = rng
        self.is_on = is_on
        self.may_send = may_send
        self._hosts = hosts
        names = list(hosts.values())
        self.paths = {(source, target): Path(source, target) for source in names for target in names}
        self._servers: dict[Address, Server] = {}

    # What a loop asks for.

    async def create_server(
        self, loop: NodeLoop, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> Server:
        if (host, port) in self._servers:
            raise OSError(98, "Address already in use")
        server = self._servers[host, port] = Server(self, loop, factory, (host, port))
        return server

    async def create_connection(
        self, loop: NodeLoop, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[End, asyncio.Protocol]:
        target = self._hosts[host]
        answer: asyncio.Future[End] = loop.create_future()
        self._knock(self.paths[loop.name, target], loop, (host, port), answer)
        end = await answer
        protocol = factory()
        end.attach(protocol)
        return end, protocol

    def stop_listening(self, address: Address, server: Server) -> None:
        if self._servers.get(address) is server:
            del self._servers[address]

    # Connecting: there, and back.

    def _knock(self, path: Path, loop: NodeLoop, address: Address, answer: "asyncio.Future[End]") -> None:
        if answer.done() or loop.is_dead:
            return
        if path.cuts or not self.is_on(path.target):
            path.parked.append(lambda: self._knock(path, loop, address, answer))
            return
        self.scheduler.call_at(self._arrival(path), self._accept, path, loop, address, answer)

    def _accept(self, path: Path, loop: NodeLoop, address: Address, answer: "asyncio.Future[End]") -> None:
        back = self.paths[path.target, path.source]
        if not self.is_on(path.target) or loop.is_dead:
            return
        server = self._servers.get(address)
        far: End | None = None
        if server is not None and server.is_serving:
            far = End(self, server.loop, back, (path.source, 0))
            near = End(self, loop, path, address)
            far.other, near.other = near, far
            server.loop.call_soon_threadsafe(_welcome, server, far)
        self._answer(back, loop, far, answer)

    def _answer(self, back: Path, loop: NodeLoop, far: End | None, answer: "asyncio.Future[End]") -> None:
        if back.cuts:
            back.parked.append(lambda: self._answer(back, loop, far, answer))
        else:
            self.scheduler.call_at(self._arrival(back), loop.call_soon_threadsafe, _connected, far, answer)

    def _arrival(self, path: Path) -> float:
        weather = path.weather
        return self.scheduler.now + weather.latency_seconds + self.rng.random() * 2 * weather.jitter_seconds

    # Faults.

    def cut(self, source: str, target: str) -> None:
        """Nothing gets from one node to the other; the way back is another path."""
        self.paths[source, target].cuts += 1

    def mend(self, source: str, target: str) -> None:
        """Undo one cut."""
        path = self.paths[source, target]
        path.cuts -= 1
        if not path.cuts:
            self._whole(path)

    def _whole(self, path: Path) -> None:
        for end in list(path.ends):
            self._soon(end.path_is_whole)
        for end in list(self.paths[path.target, path.source].ends):
            self._soon(end.confirmed)
        parked, path.parked = path.parked, []
        for attempt in parked:
            self._soon(attempt)

    def _soon(self, event: Callable[[], None]) -> None:
        """When the sender next tries again."""
        self.scheduler.call_at(self.scheduler.now + self.rng.random() * RETRANSMIT_SECONDS_MAX, event)

    def break_connections(self, one: str, other: str, late_seconds: float | None) -> None:
        """End what connects two nodes.

        `one` is told now. The other side is told at once too, and what is in flight is lost; or,
        with `late_seconds`, only after it has got, so much later, what was in flight.
        """
        for end in list(self.paths[one, other].ends):
            if end.is_over or end.other is None:
                continue
            if late_seconds is None:
                end.lose_in_flight()
                end.other.lose_in_flight()
                end.other.lose(ConnectionResetError(104, "Connection reset by peer"))
            else:
                end.delay_in_flight(self.scheduler.now + late_seconds)
            end.lose(ConnectionResetError(104, "Connection reset by peer"))

    def process_gone(self, name: str, *, with_machine: bool) -> None:
        """A node's process is dead. Its peers hear of it from the machine, if that is still on."""
        for address, server in list(self._servers.items()):
            if server.loop.name == name:
                del self._servers[address]
        for path in self.paths.values():
            if path.source != name:
                continue
            for end in list(path.ends):
                if with_machine:
                    end.vanish()
                    if self.rng.random() < 0.5:
                        end.lose_in_flight()
                else:
                    end.close()

    def machine_on(self, name: str) -> None:
        """A machine is on again: it knows nothing of the connections it had, and says so when it is spoken to."""
        for path in self.paths.values():
            if path.target != name:
                continue
            for end in list(path.ends):
                if not end.is_over and end.other is not None and end.other.is_over:
                    self._soon(lambda end=end: self._reset(end))  # type: ignore[misc]  # a default binds the variable
            parked, path.parked = path.parked, []
            for attempt in parked:
                self._soon(attempt)

    def _reset(self, end: End) -> None:
        if end.path.cuts:
            end.path.parked.append(lambda: self._reset(end))
        else:
            end.lose(ConnectionResetError(104, "Connection reset by peer"))


def _welcome(server: Server, end: End) -> None:
    """The listening node's turn to see the connection."""
    if not server.loop.is_dead:
        end.attach(server.factory())


def _connected(far: End | None, answer: "asyncio.Future[End]") -> None:
    """The dialing node's turn to see the connection, if it still waits for it."""
    if far is None:
        if not answer.done():
            answer.set_exception(ConnectionRefusedError(111, "Connection refused"))
        return
    near = far.other
    assert near is not None, "a connection has two ends"
    if answer.done() or near.loop.is_dead:
        near.close()
    else:
        answer.set_result(near)
