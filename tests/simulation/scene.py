"""Scene: the nodes of a simulation that were never started, whose coordinators answer as a test says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from app.coordinator import Coordinator
from app.simulation.judges import Bench
from app.simulation.node import SimulatedNode
from app.simulation.setting import Setting
from app.simulation.simulation import Simulation, SimulationOptions
from raftgroups import Delete, Freshness, Item, Level, PartitionId, Put, RaftGroupError, Reading, Receipt, Written

Done = Callable[[Any], None]


@dataclass
class FakeCoordinator:
    """Answers at once, unless it is `silent`.

    asked    every command, and the key and level of every read
    open     the requests that have no answer yet
    """

    name: str
    silent: bool = False
    error: RaftGroupError | None = None
    asked: list[object] = field(default_factory=list)
    open: list[Done] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)

    def partition_of(self, key: bytes) -> PartitionId:
        return PartitionId(0)

    def write(self, key: bytes, command: Put | Delete, deadline: float, done: Done) -> None:
        self._asked(command, deadline, done, Written(len(self.asked) + 1))

    def read(self, key: bytes, fresh: Freshness, deadline: float, done: Done) -> None:
        self._asked((key, fresh.level), deadline, done, self.reading(None))

    def reading(self, item: Item | None) -> Reading:
        return Reading(item, Receipt(Level.LINEARIZABLE, 0, self.name, "leader"))

    def _asked(self, what: object, deadline: float, done: Done, answer: object) -> None:
        self.asked.append(what)
        self.deadlines.append(deadline)
        if self.silent:
            self.open.append(done)
        else:
            done(self.error or answer)


class Scene:
    """Nodes that are up, and do nothing but ask their coordinators."""

    def __init__(self, nodes: int = 1) -> None:
        self.simulation = Simulation(SimulationOptions(nodes=nodes, partitions=1, plan=(), setting=Setting()))
        self.bench = Bench(self.simulation.nodes)
        self.coordinators = {name: FakeCoordinator(name) for name in self.simulation.nodes}
        for name, node in self.simulation.nodes.items():
            node.is_running, node.starts = True, 1
            node.coordinator = cast("Coordinator", self.coordinators[name])

    @property
    def node(self) -> SimulatedNode:
        return self.simulation.nodes["n1"]

    @property
    def coordinator(self) -> FakeCoordinator:
        return self.coordinators["n1"]

    def run(self, seconds: float) -> None:
        self.simulation._scheduler.run(self.simulation.now + seconds, steps_max=1_000_000)
