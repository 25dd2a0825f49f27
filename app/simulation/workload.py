"""Workload: clients on random nodes, who remember what they did and saw.

A client does one thing at a time (wishes.py) through whichever node it likes, and waits for the answer, or for long
enough to know that none will come. Then nobody knows what became of a write. If it carries a token, the client repeats
it through another node until it knows; else it goes on under a new name.

Few keys are hot, so that their histories are full of races; many are cold and their values long,
so that engines flush and compact. Now and then all but one leave the cluster alone, so that groups sleep.
"""

from collections import Counter

from app.simulation.judges import Bench
from app.simulation.lulls import Lulls
from app.simulation.node import SimulatedNode
from app.simulation.requests import Requests
from app.simulation.session import Session
from app.simulation.simulation import Simulation
from app.simulation.sweep import Sweep
from app.simulation.violation import Violation
from app.simulation.wishes import USUAL, Habits, Wishes
from raftgroups import Once

CHECK_SECONDS = 0.1
# Of the usual number of requests, in a lull, by the one client that goes on.
SELDOM = 4


class Workload:
    """Every client of a simulation. It is a judge, too: of whether requests are answered.

    outcomes   how many requests ended how, as "kind outcome"
    checked    how many were judged
    """

    name = "requests are answered once, and all of them when all is well"

    def __init__(self, simulation: Simulation, bench: Bench, habits: Habits = USUAL) -> None:
        self._simulation = simulation
        self._bench = bench
        self._habits = habits
        self._rng = simulation.rng("workload")
        self._requests = Requests(simulation, bench, habits.patience_seconds)
        self._wishes = Wishes(habits, self._rng, has_leases=simulation.setting.lease_seconds > 0)
        self._sweep: Sweep | None = None
        self._lulls = Lulls(simulation.rng("lulls"))
        self._busy = 0
        self._is_calm = False

    @property
    def outcomes(self) -> Counter[str]:
        return self._requests.outcomes

    @property
    def checked(self) -> int:
        return sum(self.outcomes.values())

    def start(self) -> None:
        """Let every client begin, one after the other."""
        self._busy = self._habits.clients
        for _ in range(self._habits.clients):
            self._go_on(self._bench.history.new_client(), Session())

    # As a judge.

    def observe(self, node: SimulatedNode) -> None:  # noqa: ARG002  # as every judge
        if self._requests.failure is not None:
            raise self._requests.failure

    def healed(self) -> None:
        def calm() -> None:
            self._is_calm = True
            self._watch()

        self._simulation.call_at(self._simulation.now + self._habits.calm_seconds, calm)

    def finish(self) -> None:
        if self._requests.failure is not None:
            raise self._requests.failure
        if not self._simulation.is_settled:
            left = self._busy if self._sweep is None else self._sweep.left
            trouble = self._bench.recovery.trouble() or f"{left} requests are not answered"
            raise Violation(self.name, f"{self._simulation.now:.0f} s, and {trouble}")

    def _watch(self) -> None:
        """When every client has ended, sweep; when that is done and all replicas are equal, end the run."""
        simulation = self._simulation
        if self._sweep is None and not self._busy:
            self._sweep = Sweep(simulation, self._bench, self._requests)
            self._sweep.start(self._wishes.written, self._wishes.value)
        if self._sweep is not None and self._sweep.is_done and self._bench.recovery.trouble() is None:
            simulation.is_settled = True
        else:
            simulation.call_at(simulation.now + CHECK_SECONDS, self._watch)

    # As clients.

    def _go_on(self, client: int, session: Session) -> None:
        simulation = self._simulation
        delay = self._rng.expovariate(1 / self._habits.think_seconds)
        begin = simulation.now if simulation.has_healed else self._lulls.after(simulation.now)
        if begin > simulation.now and client % self._habits.clients == 0:
            # One goes on, seldom: what it asks for wakes those who sleep.
            begin, delay = simulation.now, delay * SELDOM
        simulation.call_at(begin + delay, lambda: self._act(client, session))

    def _act(self, client: int, session: Session) -> None:
        if self._is_calm:
            self._busy -= 1
            return
        node = self._node()
        if node is None:
            self._go_on(client, session)
            return

        def ended(ok: bool | None) -> None:
            self._go_on(self._bench.history.new_client() if ok is None else client, session)

        request = self._wishes.draw(session)
        again = self._node if isinstance(request.command, Once) else None
        self._requests.ask(client, node, request, ended, again)

    def _node(self) -> SimulatedNode | None:
        up = [node for node in self._simulation.nodes.values() if node.is_up]
        return self._rng.choice(up) if up else None
