"""Loops of simulated nodes, and what may be done with them, without a cluster around them."""

import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from app.simulation.clock import NodeClock
from app.simulation.loop import NodeLoop
from app.simulation.network import Network
from app.simulation.scheduler import Scheduler

T = TypeVar("T")


class Machines:
    """Nodes n1, n2 … at 10.0.0.1, 10.0.0.2 … that run nothing but what a test gives them.

    off      the names of those whose machines are off
    turns    the name of whoever had one, each time
    failed   what nothing caught, on any loop
    """

    def __init__(self, count: int = 1, seed: int = 1) -> None:
        names = [f"n{number}" for number in range(1, count + 1)]
        self.scheduler = Scheduler()
        self.off: set[str] = set()
        self.turns: list[str] = []
        self.failed: list[dict[str, Any]] = []
        self.network = Network(
            self.scheduler,
            random.Random(seed),
            {f"10.0.0.{number}": name for number, name in enumerate(names, 1)},
            lambda name: name not in self.off,
            lambda loop: not loop.is_dead,
        )
        self.clocks = {name: NodeClock(offset=1000.0 * at) for at, name in enumerate(names, 1)}
        self.loops = {name: self.new_loop(name) for name in names}

    @property
    def loop(self) -> NodeLoop:
        """The only one."""
        (loop,) = self.loops.values()
        return loop

    def new_loop(self, name: str) -> NodeLoop:
        return NodeLoop(  # type: ignore[abstract]  # what it leaves out raises NotImplementedError
            name,
            self.scheduler,
            self.clocks[name],
            self.network,
            random.Random(name),
            lambda: self.turns.append(name),
            self.failed.append,
        )

    def run(self, seconds: float) -> None:
        self.scheduler.run(self.scheduler.now + seconds, steps_max=1_000_000)

    def do(self, name: str, work: Coroutine[Any, Any, T], seconds: float = 1.0) -> T:
        """What `work` gives on that node, within so many seconds."""
        task = self.loops[name].create_task(work)
        self.run(seconds)
        return task.result()
