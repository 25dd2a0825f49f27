"""Sweep: when the faults have ended, every key is read and every partition written, through every node."""

from collections import deque
from collections.abc import Callable, Iterable

from app.simulation.judges import Bench
from app.simulation.node import SimulatedNode
from app.simulation.requests import COUNTER, Request, Requests
from app.simulation.simulation import Simulation
from raftgroups import Put

AT_ONCE = 8
RETRY_SECONDS = 0.1


class Sweep:
    """The last round of requests; each is repeated until it is answered.

    is_done   all of them were
    """

    def __init__(self, simulation: Simulation, bench: Bench, requests: Requests) -> None:
        self.left = 0
        self._simulation = simulation
        self._bench = bench
        self._requests = requests

    @property
    def is_done(self) -> bool:
        return self.left == 0

    def start(self, keys: Iterable[bytes], new_value: Callable[[], bytes]) -> None:
        """Through every node that can be asked, read `keys`, and write one of every partition that was written to."""
        reads = [Request("get", key) for key in keys]
        chains = [chain for _, chain in sorted(self._bench.facts.chains.items())]
        # A counter has clients that know what it must be.
        keys_of = [[key for key in chain.keys if not key.startswith(COUNTER)] for chain in chains]
        written = [keys[0] for keys in keys_of if keys]
        for node in self._simulation.nodes.values():
            if not node.disk.is_damaged:
                queue = deque([*(Request("put", key, Put(key, new_value())) for key in written), *reads])
                self.left += len(queue)
                for _ in range(AT_ONCE):
                    self._next(node, queue)

    def _next(self, node: SimulatedNode, queue: deque[Request]) -> None:
        if queue:
            self._ask(node, queue, queue.popleft())

    def _ask(self, node: SimulatedNode, queue: deque[Request], request: Request) -> None:
        def again() -> None:
            self._ask(node, queue, request)

        def ended(ok: bool | None) -> None:
            if ok:
                self.left -= 1
                self._next(node, queue)
            else:
                simulation.call_at(simulation.now + RETRY_SECONDS, again)

        simulation = self._simulation
        if node.is_up:
            self._requests.ask(self._bench.history.new_client(), node, request, ended)
        else:
            simulation.call_at(simulation.now + RETRY_SECONDS, again)
