"""Clock watch: asks the peers for their time of day, answers when they ask, and says whose clock is off."""

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from raftgroups.messages import AnyMessage, ClockAsk, ClockMessage, ClockTell
from raftgroups.wallclocks import ASK_SECONDS, WallClocks

log = logging.getLogger("ringkv.clocks")


# So often it is asked again before clocks of which nobody knows which is right are said to differ.
DOUBTS = 5


class Wire(Protocol):
    """What carries questions and answers."""

    def send(self, name: str, message: AnyMessage) -> None:
        """Send to a peer; dropped when its link is down."""


class ClockWatch:
    """Keeps the clocks of one node up to date; `nodes` are all there are."""

    def __init__(self, clocks: WallClocks, nodes: Iterable[str], wire: Wire) -> None:
        self._clocks = clocks
        self._nodes = sorted({clocks.name, *nodes})
        self._wire = wire
        self._doubts = 0
        self._peers: dict[str, None] = {}
        self._due = clocks.monotonic()
        self._named: dict[str, float] = {}

    def peer_up(self, peer: str) -> None:
        """Its clock must be known before it votes: links keep the order of what they carry."""
        self._peers[peer] = None
        self._clocks.forget(peer)
        self._ask(peer)

    def peer_lost(self, peer: str) -> None:
        self._peers.pop(peer, None)

    def tick(self) -> None:
        """Ask everybody, when it is time to."""
        now = self._clocks.monotonic()
        if self._clocks.has_leapt() or now >= self._due:
            self._due = now + ASK_SECONDS
            for peer in self._peers:
                self._ask(peer)
            self._doubts = 0 if self._clocks.agree(self._nodes) else self._doubts + 1
            self._name()

    def received(self, peer: str, message: ClockMessage) -> None:
        if isinstance(message, ClockAsk):
            self._wire.send(peer, ClockTell(message.at, self._clocks.wall_ms()))
        else:
            self._clocks.told(peer, message.at, message.wall_ms)

    def warnings(self) -> list[str]:
        """Whose clock is off, a sentence each."""
        return [self._sentence(name, seconds) for name, seconds in self._off().items()]

    def _off(self) -> Mapping[str, float]:
        is_said = self._doubts >= DOUBTS or self._clocks.agree(self._nodes)
        return self._clocks.off(self._nodes) if is_said else {}

    def _ask(self, peer: str) -> None:
        self._wire.send(peer, ClockAsk(self._clocks.monotonic()))

    def _name(self) -> None:
        """Have the log hear of each clock that is off, once."""
        off = self._off()
        for name, seconds in off.items():
            if name not in self._named:
                log.warning("%s", self._sentence(name, seconds))
        known = {**self._clocks.offsets(), self._clocks.name: 0.0}
        for name in [name for name in self._named if name not in off and name in known]:
            log.info("the clock of node %s is right again", name)
            del self._named[name]
        self._named.update(off)

    def _sentence(self, name: str, seconds: float) -> str:
        who = f"this node, {name}," if name == self._clocks.name else f"node {name}"
        way = "ahead of" if seconds > 0 else "behind"
        others = "most others" if self._clocks.agree(self._nodes) else f"that of this node, {self._clocks.name}"
        return (
            f"the clock of {who} is {abs(seconds):.1f} s {way} {others}; "
            "keys expire by the clocks of most nodes: set it right, and keep it so with NTP"
        )
