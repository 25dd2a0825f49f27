"""What each fault of a plan does when it strikes, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from app.simulation.network import Weather
from app.simulation.plan import PlannedFault
from engine import EngineError
from raftgroups import AGE_SECONDS_MAX, Host, PartitionId, RaftGroup, RaftGroupError

if TYPE_CHECKING:
    from app.simulation.node import SimulatedNode
    from app.simulation.simulation import Simulation

Mend = Callable[[], object]

# What a fault has broken is not whole at once when it is mended: links are made, logs caught up with.
CALM_SECONDS = 3.0


def _nothing() -> None:
    """What does not break anything needs no mending."""


class Faults:
    """Strikes a simulation with the faults of its plan.

    Invariant: at most a minority of the voters of a partition is on damaged disks, and will be at each
    step of every move that was asked for, so that there always is a majority that must go on once
    the other faults have ended.
    """

    def __init__(self, simulation: Simulation, plan: Sequence[tuple[int, PlannedFault]]) -> None:
        self._simulation = simulation
        self._network = simulation.network
        self._nodes = simulation.nodes
        self._mends: dict[int, Mend] = {}
        self._targets: dict[int, dict[tuple[str, ...], None]] = {}
        self._is_over = False
        self._disturbing: set[int] = set()
        self._calm_since = 0.0
        for number, fault in plan:
            simulation.call_at(fault.at, lambda number=number, fault=fault: self._strike(number, fault))  # type: ignore[misc]  # defaults bind the variables

    def heal(self) -> None:
        """End every fault, and let none strike any more."""
        self._is_over = True
        for number in list(self._mends):
            self._mend(number)
        for path in self._network.paths.values():
            path.weather = Weather()
        for node in self._nodes.values():
            node.disk.heal()
            node.drift(1.0)

    @property
    def calm_since(self) -> float:
        """Since when nothing is broken any more; infinity while something is. Moving replicas breaks nothing."""
        return math.inf if self._disturbing else self._calm_since

    def _strike(self, number: int, fault: PlannedFault) -> None:
        if self._is_over:
            return
        self._simulation.trace(f"fault {number} {fault}")
        mend = _STRIKES[fault.name](self, *fault.arguments)
        if fault.kind != "membership":
            self._disturbing.add(number)
        if mend is not _nothing:
            self._mends[number] = mend
            self._simulation.call_at(fault.at + fault.seconds, lambda: self._mend(number))
        else:
            self._calm(number)

    def _mend(self, number: int) -> None:
        mend = self._mends.pop(number, None)
        if mend is not None:
            self._simulation.trace(f"mended {number}")
            mend()
            self._calm(number)

    def _calm(self, number: int) -> None:
        if number in self._disturbing:
            self._disturbing.remove(number)
            self._calm_since = self._simulation.now + CALM_SECONDS

    # The network.

    def _cut_all(self, pairs: Sequence[tuple[str, str]]) -> Mend:
        for source, target in pairs:
            self._network.cut(source, target)

        def mend() -> None:
            for source, target in pairs:
                self._network.mend(source, target)

        return mend

    def _between(self, some: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
        return [pair for one in some for other in others if one != other for pair in ((one, other), (other, one))]

    def cut(self, one: str, other: str) -> Mend:
        return self._cut_all([(one, other), (other, one)])

    def cut_one_way(self, source: str, target: str) -> Mend:
        return self._cut_all([(source, target)])

    def isolate(self, name: str) -> Mend:
        return self._cut_all(self._between([name], list(self._nodes)))

    def deafen(self, name: str) -> Mend:
        return self._cut_all([(other, name) for other in self._nodes if other != name])

    def mute(self, name: str) -> Mend:
        return self._cut_all([(name, other) for other in self._nodes if other != name])

    def split(self, *some: str) -> Mend:
        return self._cut_all(self._between(some, [name for name in self._nodes if name not in some]))

    def bridge(self, bridge: str, *some: str) -> Mend:
        """Two halves that see each other only through one node."""
        half = [name for name in some if name != bridge]
        return self._cut_all(self._between(half, [name for name in self._nodes if name != bridge and name not in half]))

    def break_(self, one: str, other: str, late_seconds: float) -> Mend:
        self._network.break_connections(one, other, late_seconds or None)
        return _nothing

    def break_all(self, name: str, late_seconds: float) -> Mend:
        for other in self._nodes:
            if other != name:
                self._network.break_connections(name, other, late_seconds or None)
        return _nothing

    def _bad_weather(self, pairs: Sequence[tuple[str, str]], weather: Weather) -> Mend:
        paths = [self._network.paths[pair] for pair in pairs]
        for path in paths:
            path.weather = weather

        def mend() -> None:
            for path in paths:
                path.weather = Weather()

        return mend

    def delay(self, latency: float, jitter: float) -> Mend:
        return self._bad_weather(list(self._network.paths), Weather(latency, jitter))

    def delay_node(self, name: str, latency: float) -> Mend:
        return self._bad_weather(self._between([name], list(self._nodes)), Weather(latency, latency))

    def lose(self, lost: float, doubled: float, overtaken: float) -> Mend:
        weather = Weather(lost=lost, doubled=doubled, overtaken=overtaken)
        return self._bad_weather(list(self._network.paths), weather)

    # Disks.

    def slow_syncs(self, name: str, seconds: float) -> Mend:
        return self._slow([self._nodes[name]], seconds)

    def slow_syncs_everywhere(self, seconds: float) -> Mend:
        return self._slow(list(self._nodes.values()), seconds)

    def _slow(self, nodes: Sequence[SimulatedNode], seconds: float) -> Mend:
        for node in nodes:
            node.disk.slow_seconds = seconds

        def mend() -> None:
            for node in nodes:
                node.disk.slow_seconds = 0.0

        return mend

    def fail_sync(self, name: str) -> Mend:
        """The node stops itself; what the failed sync was for is lost when its machine is started anew."""
        node = self._nodes[name]
        forget = node.disk.fail_sync()

        def mend() -> None:
            forget()
            if not node.is_running:
                node.lose_power()
            node.start()

        return mend

    def fill(self, name: str) -> Mend:
        disk = self._nodes[name].disk
        disk.fill()
        return disk.make_room

    def cold(self, name: str) -> Mend:
        disk = self._nodes[name].disk
        disk.set_cold(is_cold=True)
        return lambda: disk.set_cold(is_cold=False)

    def flip_table_bit(self, name: str) -> Mend:
        return self._flip_bit(self._nodes[name], lambda path: path.endswith(".sst"))

    def flip_log_bit(self, name: str) -> Mend:
        """In a part of the node log that is not written any more."""
        node = self._nodes[name]
        logs = [path for path in node.disk.files.paths if path.endswith(".log")]
        return self._flip_bit(node, lambda path: path in logs[:-1])

    def _flip_bit(self, node: SimulatedNode, is_cold: Callable[[str], bool]) -> Mend:
        if self._may_damage(node.name):
            path = node.disk.flip_bit([path for path in node.disk.files.paths if is_cold(path)])
            self._simulation.trace(f"{node.name} has a flipped bit in {path}")
        return _nothing

    def _may_damage(self, name: str) -> bool:
        damaged = self._damaged() | {name}
        return all(self._survives(partition, damaged) for partition in range(self._simulation.options.partitions))

    def _damaged(self) -> set[str]:
        return {node.name for node in self._nodes.values() if node.disk.is_damaged}

    def _survives(self, partition: int, damaged: set[str], *more_targets: tuple[str, ...]) -> bool:
        """Whether the sound voters are a majority, now and on the way to each target there may be."""
        known = self._simulation.voter_sets(partition)
        targets = (*self._targets.get(partition, ()), *more_targets)
        return bool(known) and all(
            2 * len(step & damaged) < len(step)
            for voters in known
            for wished in (voters, *targets)
            for step in _way(voters, wished, damaged)
        )

    # Crashes.

    def kill(self, *names: str) -> Mend:
        for name in names:
            self._nodes[name].kill()
        return self._starting(names)

    def lose_power(self, *names: str) -> Mend:
        for name in names:
            self._nodes[name].lose_power()
        return self._starting(names)

    def lose_power_midway(self, name: str, changes: int) -> Mend:
        """In the middle of a change to the disk, when it comes."""
        node = self._nodes[name]
        if node.is_running:
            node.disk.lose_power_after(changes)

        def mend() -> None:
            node.disk.keep_power()
            node.start()

        return mend

    def kill_all(self) -> Mend:
        return self.kill(*self._nodes)

    def lose_power_everywhere(self) -> Mend:
        return self.lose_power(*self._nodes)

    def stop(self, name: str) -> Mend:
        self._nodes[name].stop()
        return self._starting([name])

    def pause(self, *names: str) -> Mend:
        for name in names:
            self._nodes[name].pause()

        def mend() -> None:
            for name in names:
                self._nodes[name].resume()

        return mend

    def _starting(self, names: Sequence[str]) -> Mend:
        def mend() -> None:
            for name in names:
                self._nodes[name].start()

        return mend

    # Clocks.

    def drift(self, name: str, rate: float) -> Mend:
        node = self._nodes[name]
        node.drift(rate)

        def mend() -> None:
            node.drift(1.0)
            if not self._is_wrong(name):
                node.clock.set_right(self._simulation.now)

        return mend

    def jump(self, name: str, seconds: float) -> Mend:
        """One clock at a time, unless they are wild, so that most voters of a partition have the right time of day."""
        wrong = [other for other in self._nodes if self._is_wrong(other)]
        if wrong and not self._simulation.setting.has_wild_clocks:
            return _nothing
        clock = self._nodes[name].clock
        clock.set_wrong(self._simulation.now, seconds)
        return lambda: clock.set_right(self._simulation.now)

    def _is_wrong(self, name: str) -> bool:
        """Whether its clock is set wrong, or was so shortly before, and others may still believe it."""
        horizon = self._simulation.now - AGE_SECONDS_MAX
        return any(until > horizon for _, until in self._nodes[name].clock.wrongs)

    # Membership, and what makes snapshots necessary.

    def transfer(self, partition: int, name: str) -> Mend:
        return self._at_leader(partition, lambda host: host.transfer(PartitionId(partition), name))

    def target(self, partition: int, *names: str) -> Mend:
        if self._survives(partition, self._damaged(), names):
            self._targets.setdefault(partition, {})[names] = None
            return self._at_leader(partition, lambda host: host.set_target(PartitionId(partition), names))
        return _nothing

    def _at_leader(self, partition: int, ask: Callable[[Host], Awaitable[Any]]) -> Mend:
        for node in self._nodes.values():
            host = node.host
            group = host.groups.get(PartitionId(partition)) if host is not None else None
            if host is not None and group is not None and group.is_leader:
                node.spawn(lambda host=host: _ask(ask, host))  # type: ignore[misc]  # a default binds the variable
        return _nothing

    def flush(self, name: str) -> Mend:
        for group in self._groups(name):
            _request_flush(group)
        return _nothing

    def compact(self, name: str) -> Mend:
        node = self._nodes[name]
        for group in self._groups(name):
            node.loop.run_in_executor(None, group.machine.engine.compact)
        return _nothing

    def forget(self, partition: int) -> Mend:
        """No replica keeps entries for others that its engine has flushed: who lacks them needs a snapshot."""
        for node in self._nodes.values():
            if node.host is not None:
                group = node.host.groups.get(PartitionId(partition))
                if group is not None and group.failure is None:
                    _request_flush(group)
                    group.forget_flushed(tail_bytes=0)
        return _nothing

    def _groups(self, name: str) -> list[RaftGroup]:
        host = self._nodes[name].host
        return [group for group in host.groups.values() if group.failure is None] if host is not None else []


def _way(voters: Sequence[str], target: Sequence[str], damaged: set[str]) -> Iterator[set[str]]:
    """Each set of voters from one to the other: additions go first; of removals, those that hurt most."""
    now = set(voters)
    yield set(now)
    for node in target:
        now.add(node)
        yield set(now)
    for node in sorted(now - set(target), key=lambda node: (node in damaged, node)):
        now.remove(node)
        yield set(now)


def _request_flush(group: RaftGroup) -> None:
    try:
        group.machine.engine.request_flush()
    except EngineError:
        # It is closed to writes, for what another fault did to it.
        pass


async def _ask(ask: Callable[[Host], Awaitable[Any]], host: Host) -> None:
    try:
        await ask(host)
    except (RaftGroupError, TimeoutError):
        # It was worth a try.
        pass


_STRIKES: dict[str, Callable[..., Mend]] = {
    "cut": Faults.cut,
    "cut-one-way": Faults.cut_one_way,
    "isolate": Faults.isolate,
    "deafen": Faults.deafen,
    "mute": Faults.mute,
    "split": Faults.split,
    "bridge": Faults.bridge,
    "break": Faults.break_,
    "break-all": Faults.break_all,
    "delay": Faults.delay,
    "delay-node": Faults.delay_node,
    "lose": Faults.lose,
    "slow-syncs": Faults.slow_syncs,
    "slow-syncs-everywhere": Faults.slow_syncs_everywhere,
    "fail-sync": Faults.fail_sync,
    "fill": Faults.fill,
    "cold": Faults.cold,
    "flip-table-bit": Faults.flip_table_bit,
    "flip-log-bit": Faults.flip_log_bit,
    "kill": Faults.kill,
    "kill-some": Faults.kill,
    "kill-all": Faults.kill_all,
    "lose-power": Faults.lose_power,
    "lose-power-some": Faults.lose_power,
    "lose-power-midway": Faults.lose_power_midway,
    "lose-power-everywhere": Faults.lose_power_everywhere,
    "stop": Faults.stop,
    "pause": Faults.pause,
    "pause-some": Faults.pause,
    "drift": Faults.drift,
    "jump": Faults.jump,
    "transfer": Faults.transfer,
    "target": Faults.target,
    "flush": Faults.flush,
    "compact": Faults.compact,
    "forget": Faults.forget,
}
