"""Promptness: nobody waits long while there is a leader that everybody reaches."""

from collections.abc import Callable
from dataclasses import dataclass

from app.simulation.node import SimulatedNode
from app.simulation.violation import Violation
from raftgroups import PartitionId

WAIT_SECONDS_MAX = 0.5


@dataclass(eq=False, slots=True)
class Waiting:
    """A request that a node has, and that is not answered. `troubles` of the node when it came: see SimulatedNode."""

    node: str
    troubles: int
    partition: PartitionId
    text: str
    arrived: float


@dataclass(frozen=True, slots=True)
class _Wiring:
    """Whether a node, in this stretch of its life, has a link to each other one, and since when."""

    troubles: int
    is_whole: bool
    since: float


class Promptness:
    """Judges how long requests wait, in the world's time.

    The clock of a request stands still while something disturbs the machines or the network, or a link is down,
    or nobody leads the partition: it counts from the end of that.

    calm_since   since when all machines and the whole network have been well; infinity while they are not
    """

    name = "no request waits over 0.5 s while its partition has a leader that all reach"

    def __init__(
        self, nodes: dict[str, SimulatedNode], now: Callable[[], float], calm_since: Callable[[], float]
    ) -> None:
        self.checked = 0
        self._nodes = nodes
        self._now = now
        self._calm_since = calm_since
        self._waiting: dict[Waiting, None] = {}
        self._led: dict[PartitionId, tuple[str, float]] = {}
        self._wired: dict[str, _Wiring] = {}

    def arrived(self, waiting: Waiting) -> None:
        self._waiting[waiting] = None

    def answered(self, waiting: Waiting) -> None:
        self.checked += 1
        self._waiting.pop(waiting, None)

    def observe(self, node: SimulatedNode) -> None:
        """A step ran on `node`."""
        host, now = node.host, self._now()
        if host is None:
            return
        links = tuple(peer.link is not None for peer in host.transport.peers.values())
        is_whole = all(links) and not host.is_draining
        known = self._wired.get(node.name)
        if known is None or (known.troubles, known.is_whole) != (node.troubles, is_whole):
            self._wired[node.name] = _Wiring(node.troubles, is_whole, now)
        for partition, group in host.groups.items():
            leader = self._led.get(partition, ("",))[0]
            is_able = group.is_leader and not group.is_impaired and not group.consensus.is_transferring
            if is_able and leader != node.name:
                self._led[partition] = node.name, now
            elif not is_able and leader == node.name:
                del self._led[partition]

    def settle(self) -> None:
        """Raises: Violation."""
        now = self._now()
        for waiting in self._waiting:
            if now - waiting.arrived > WAIT_SECONDS_MAX and now - self._counts_from(waiting) > WAIT_SECONDS_MAX:
                leader = self._led[waiting.partition][0]
                text = f"{waiting.node} has had {waiting.text} for {now - waiting.arrived:.3f} s, and {leader} leads"
                raise Violation(self.name, text)

    def _counts_from(self, waiting: Waiting) -> float:
        led = self._led.get(waiting.partition)
        wired = self._wired.values()
        if (
            led is None
            or self._nodes[waiting.node].troubles != waiting.troubles  # it went with the node's life
            or len(wired) < len(self._nodes)
            or not all(wiring.is_whole for wiring in wired)
            or any(not node.is_up or node.is_paused for node in self._nodes.values())
        ):
            return self._now()
        return max(waiting.arrived, led[1], self._calm_since(), *(wiring.since for wiring in wired))
