"""A whole cluster on simulated time, from one seed: first with faults, then without, watched by judges."""

import gc
import logging
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from app.simulation.faults import Faults
from app.simulation.network import Network
from app.simulation.node import SimulatedNode
from app.simulation.plan import KINDS, PlannedFault, draw_plan
from app.simulation.scheduler import Scheduler
from app.simulation.setting import Setting, draw_setting
from app.simulation.trace import Trace
from app.simulation.violation import Violation
from raftgroups import HostOptions, PartitionId, Timing

PEER_PORT = 7000
HEALED_SECONDS_MAX = 60.0
STEPS_AFTER_HEALING_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What a run depends on, and nothing else.

    steps    events of the first phase, the one with faults
    faults   the kinds of faults that may strike
    plan     the faults themselves; None: drawn from the seed
    only     the numbers of those faults of the plan that strike; None: all of them
    setting  how the nodes are set up; None: drawn from the seed
    """

    seed: int = 1
    nodes: int = 5
    partitions: int = 4
    steps: int = 50_000
    faults: tuple[str, ...] = KINDS
    plan: tuple[PlannedFault, ...] | None = None
    only: tuple[int, ...] | None = None
    setting: Setting | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    violation      the promise that was broken, None if none was
    trace_digest   equal for equal options, whatever ran them
    steps          events of both phases
    seconds        simulated, of both phases
    struck         the faults that did, and their numbers in the plan
    """

    violation: Violation | None
    trace_digest: str
    steps: int
    seconds: float
    struck: tuple[tuple[int, PlannedFault], ...]


class Judge(Protocol):
    """Watches a run. Each method raises Violation when a promise is broken."""

    def observe(self, node: SimulatedNode) -> None:
        """Called after each turn of a node that serves."""

    def healed(self) -> None:
        """No faults any more, from now on."""

    def finish(self) -> None:
        """The run is over."""


@dataclass(slots=True)
class _Seen:
    """What the trace last said of a replica."""

    replicas: dict[PartitionId, tuple[object, ...]] = field(default_factory=dict)


class Simulation:
    """One run.

    nodes      by name
    setting    how they are set up
    judges     add yours before the run
    has_healed whether the second phase has begun
    is_settled set it, in the second phase, to end the run before its time
    """

    def __init__(self, options: SimulationOptions, keep_trace: Callable[[str], object] | None = None) -> None:
        self.options = options
        self.setting = options.setting or draw_setting(self.rng("setting"), options.nodes)
        self.judges: list[Judge] = []
        self.has_healed = False
        self.is_settled = False
        self._healed_at = float("inf")
        self._scheduler = Scheduler()
        self._trace = Trace(keep_trace)
        names = [f"n{number}" for number in range(1, options.nodes + 1)]
        hosts = {f"10.0.0.{number}": name for number, name in enumerate(names, 1)}
        self.network = Network(
            self._scheduler,
            self.rng("network"),
            hosts,
            lambda name: self.nodes[name].is_on,
            lambda loop: not (loop.is_dead or self.nodes[loop.name].disk.is_off),
        )
        seeds = {name: f"{host}:{PEER_PORT}" for host, name in hosts.items()}
        self.nodes = {name: self._make_node(name, seeds) for name in names}
        self._seen = {name: _Seen() for name in names}
        plan = options.plan
        if plan is None:
            is_steady = not self.setting.has_wild_clocks
            plan = tuple(
                draw_plan(self.rng("plan"), names, options.partitions, options.faults, steady_clocks=is_steady)
            )
        only = None if options.only is None else frozenset(options.only)
        self._plan = [(number, fault) for number, fault in enumerate(plan) if only is None or number in only]
        self._faults = Faults(self, self._plan)

    def _make_node(self, name: str, seeds: dict[str, str]) -> SimulatedNode:
        options = HostOptions(
            name,
            f"/{name}",
            seeds[name],
            f"{name}:8000",
            seeds=seeds,
            partitions=self.options.partitions,
            secret=b"simulated",
            memtable_bytes=self.setting.memtable_bytes,
            cache_bytes=64 << 10,
            log_bytes=48 << 10,
            log_segment_bytes=8 << 10,
            log_retained_bytes=16 << 10,
            replication_factor=self.setting.replicas,
            timing=Timing(lease_seconds=self.setting.lease_seconds, quiet_seconds=self.setting.quiet_seconds),
            ttl_grace_seconds=self.setting.grace_seconds,
        )
        return SimulatedNode(options, self._scheduler, self.network, self.rng(f"node {name}"), self._turned, self.trace)

    # What workload, faults and judges use.

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self._scheduler.now

    @property
    def calm_since(self) -> float:
        """Since when no fault is in force that hurts a machine or the network; infinity while one is."""
        return self._faults.calm_since

    @property
    def steps(self) -> int:
        return self._scheduler.steps

    def rng(self, label: str) -> random.Random:
        """Chance that depends on the seed and a label alone."""
        return random.Random(f"{self.options.seed}/{label}")

    def voter_sets(self, partition: int) -> list[tuple[str, ...]]:
        """Who votes in a partition, as anybody knows or believes: there may be several answers."""
        found = []
        for host in [node.host for node in self.nodes.values() if node.host is not None]:
            found.append(host.placement_of(PartitionId(partition)).voters)
            group = host.groups.get(PartitionId(partition))
            if group is not None and group.replicas:
                found.append(group.replicas)
        return found

    def call_at(self, time: float, event: Callable[[], object]) -> None:
        """Have `event` run at a simulated time, as nobody: use SimulatedNode.loop to do something as a node."""
        self._scheduler.call_at(time, event)

    def trace(self, text: str) -> None:
        self._trace.add(self._scheduler.now, text)

    # The run.

    def run(self) -> Outcome:
        """Run both phases, or up to the first violation."""
        violation: Violation | None = None
        log = logging.getLogger("ringkv")
        level = log.level
        log.setLevel(logging.CRITICAL + 1)
        gc.disable()
        try:
            self._run()
        except Violation as found:
            violation = found
        except Exception as error:  # noqa: BLE001  # whatever it is, the seed must be known that shows it again
            violation = _unforeseen(error)
        finally:
            gc.enable()
            log.setLevel(level)
            if violation is not None:
                self.trace(f"violation: {violation}")
            for node in self.nodes.values():
                node.lose_power()
        end = min(self.now, self._healed_at)
        struck = tuple((number, fault) for number, fault in self._plan if fault.at <= end)
        return Outcome(violation, self._trace.digest, self.steps, self.now, struck)

    def _run(self) -> None:
        self.trace(str(self.setting))
        for node in self.nodes.values():
            node.start()
        self._scheduler.run(float("inf"), self.options.steps)
        self._heal()
        steps_max = self.steps + STEPS_AFTER_HEALING_MAX
        end = self.now + HEALED_SECONDS_MAX
        while not self.is_settled and self.now < end and self.steps < steps_max:
            self._scheduler.run(min(self.now + 0.1, end), steps_max)
        for judge in self.judges:
            judge.finish()

    def _heal(self) -> None:
        self.has_healed = True
        self.trace("healed")
        self._healed_at = self.now
        self._faults.heal()
        for node in self.nodes.values():
            node.resume()
            node.start()
        for judge in self.judges:
            judge.healed()

    def _turned(self, node: SimulatedNode) -> None:
        if node.error is not None:
            if isinstance(node.error, Violation):
                raise node.error
            raise Violation("no exception is left to the event loop", f"{node.name}: {node.error!r}") from node.error
        host = node.host
        if host is None:
            return
        seen = self._seen[node.name].replicas
        for partition, group in host.groups.items():
            consensus = group.consensus
            sight = (consensus.term, consensus.leader, consensus.commit_index, consensus.applied_index)
            if seen.get(partition) != sight:
                seen[partition] = sight
                self.trace(f"{node.name} p{partition} t{sight[0]} {sight[1] or '-'} c{sight[2]} a{sight[3]}")
        for judge in self.judges:
            judge.observe(node)


def _unforeseen(error: Exception) -> Violation:
    at = traceback.extract_tb(error.__traceback__)[-1]
    return Violation("nothing unforeseen is raised", f"{error!r}, in {at.name}, line {at.lineno} of its file")
