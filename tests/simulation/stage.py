"""Stage: a small cluster in which nothing happens but what is planned, or what a test does to it."""

from app.simulation.network import Weather
from app.simulation.node import SimulatedNode
from app.simulation.plan import PlannedFault
from app.simulation.setting import Setting
from app.simulation.simulation import Simulation, SimulationOptions
from raftgroups import PartitionId, Put, RaftGroup

P0 = PartitionId(0)
CALM = Weather()


class Stage:
    """Of one partition. Run it as far as you like; close it in the end."""

    def __init__(self, *plan: PlannedFault, nodes: int = 3) -> None:
        self.lines: list[str] = []
        self.simulation = Simulation(
            SimulationOptions(nodes=nodes, partitions=1, plan=plan, setting=Setting()), self.lines.append
        )
        for node in self.simulation.nodes.values():
            node.start()

    def __getitem__(self, name: str) -> SimulatedNode:
        return self.simulation.nodes[name]

    @property
    def cut(self) -> set[str]:
        """The paths that carry nothing now, as "source target"."""
        return {f"{path.source} {path.target}" for path in self.simulation.network.paths.values() if path.cuts}

    @property
    def weathers(self) -> dict[str, Weather]:
        """Of the paths on which it is not calm."""
        paths = self.simulation.network.paths.values()
        return {f"{path.source} {path.target}": path.weather for path in paths if path.weather != CALM}

    @property
    def leader(self) -> str:
        """Of whom the others know; whoever is down leads nobody."""
        hosts = {name: node.host for name, node in self.simulation.nodes.items() if node.host is not None}
        groups = [(name, host.groups[P0]) for name, host in hosts.items() if P0 in host.groups]
        return max((group.consensus.term, name) for name, group in groups if group.is_leader)[1]

    def group(self, name: str) -> RaftGroup:
        host = self[name].host
        assert host is not None, f"{name} is not up"
        return host.groups[P0]

    def run(self, until: float) -> None:
        self.simulation._scheduler.run(until, steps_max=1_000_000)

    def write(self, count: int) -> None:
        """So many entries, through whoever leads, within a second."""
        node = self[self.leader]
        coordinator = node.coordinator
        assert coordinator is not None, "who leads is up"
        for number in range(count):
            command = Put(b"k%d" % number, b"." * 200)
            deadline = node.loop.time() + 9.0
            node.loop.call_later(number / count, coordinator.write, command.key, command, deadline, lambda _: None)
        self.run(self.simulation.now + 1.0)

    def close(self) -> None:
        for node in self.simulation.nodes.values():
            node.lose_power()
