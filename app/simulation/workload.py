"""Workload: clients on random nodes, who remember what they did and saw.

A client does one thing at a time: it puts, gets or deletes through whichever node it likes, and
waits for the answer, or for long enough to know that none will come. Then nobody knows what became
of a write, and the client goes on under a new name. Every value is written once.

Few keys are hot, so that their histories are full of races; many are cold and their values long,
so that engines flush and compact.
"""

from collections import Counter
from dataclasses import dataclass

from app.simulation.judges import Bench
from app.simulation.node import SimulatedNode
from app.simulation.requests import Request, Requests
from app.simulation.simulation import Simulation
from app.simulation.sweep import Sweep
from app.simulation.violation import Violation
from raftgroups import Level

CHECK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Habits:
    """What the clients do.

    clients             how many there are
    hot_keys            that all of them want
    cold_keys           that are wanted now and then
    hot_share           of operations
    put_share, delete_share   of operations; the others are gets
    stale_share         of gets
    lease_share         of the other gets, where there are leases
    cold_bytes_max      of a value under a cold key
    think_seconds       between an answer and the next request, on average
    deadlines_seconds   of requests
    patience_seconds    after its deadline until a client gives a request up
    calm_seconds        how long clients go on when the faults have ended
    """

    clients: int = 10
    hot_keys: int = 6
    cold_keys: int = 40
    hot_share: float = 0.6
    put_share: float = 0.45
    delete_share: float = 0.1
    stale_share: float = 0.25
    lease_share: float = 0.4
    cold_bytes_max: int = 600
    think_seconds: float = 0.1
    deadlines_seconds: tuple[float, ...] = (0.3, 1.0, 3.0, 3.0)
    patience_seconds: float = 1.0
    calm_seconds: float = 2.0


USUAL = Habits()


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
        self._sweep: Sweep | None = None
        self._keys: dict[bytes, None] = {}
        self._values = 0
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
            self._go_on(self._bench.history.new_client())

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
            self._sweep.start(self._keys, lambda: self._new_value(0))
        if self._sweep is not None and self._sweep.is_done and self._bench.recovery.trouble() is None:
            simulation.is_settled = True
        else:
            simulation.call_at(simulation.now + CHECK_SECONDS, self._watch)

    # As clients.

    def _go_on(self, client: int) -> None:
        simulation = self._simulation
        delay = self._rng.expovariate(1 / self._habits.think_seconds)
        simulation.call_at(simulation.now + delay, lambda: self._act(client))

    def _act(self, client: int) -> None:
        if self._is_calm:
            self._busy -= 1
            return
        up = [node for node in self._simulation.nodes.values() if node.is_up]
        if not up:
            self._go_on(client)
            return

        def ended(ok: bool | None) -> None:
            self._go_on(self._bench.history.new_client() if ok is None else client)

        self._requests.ask(client, self._rng.choice(up), self._choose(), ended)

    def _choose(self) -> Request:
        """What the next request is."""
        rng, habits = self._rng, self._habits
        is_hot = rng.random() < habits.hot_share
        key = b"hot%d" % rng.randrange(habits.hot_keys) if is_hot else b"cold%d" % rng.randrange(habits.cold_keys)
        deadline = rng.choice(habits.deadlines_seconds)
        dice = rng.random()
        if dice < habits.put_share + habits.delete_share:
            self._keys[key] = None
        if dice < habits.put_share:
            filler = 0 if is_hot else rng.randrange(habits.cold_bytes_max)
            return Request("put", key, self._new_value(filler), deadline_seconds=deadline)
        if dice < habits.put_share + habits.delete_share:
            return Request("delete", key, deadline_seconds=deadline)
        return Request("get", key, level=self._choose_level(), deadline_seconds=deadline)

    def _choose_level(self) -> Level:
        rng, habits = self._rng, self._habits
        if rng.random() < habits.stale_share:
            return Level.STALE
        has_leases = self._simulation.setting.lease_seconds > 0
        return Level.LEASE if has_leases and rng.random() < habits.lease_share else Level.LINEARIZABLE

    def _new_value(self, filler: int) -> bytes:
        self._values += 1
        return b"%d." % self._values + b"." * filler
