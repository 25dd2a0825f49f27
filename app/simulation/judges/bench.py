"""Bench: all judges of one simulation."""

from collections.abc import Callable
from itertools import count
from typing import Protocol

from app.simulation.history import History
from app.simulation.judges.acknowledgements import Acknowledgements
from app.simulation.judges.commits import Commits
from app.simulation.judges.contents import Contents
from app.simulation.judges.counters import Counters
from app.simulation.judges.elections import Elections
from app.simulation.judges.facts import Facts
from app.simulation.judges.health import Health
from app.simulation.judges.histories import Histories
from app.simulation.judges.leaders import Leaders
from app.simulation.judges.lifetimes import Lifetimes
from app.simulation.judges.logs import Logs
from app.simulation.judges.memberships import Memberships
from app.simulation.judges.promptness import Promptness
from app.simulation.judges.quorums import Quorums
from app.simulation.judges.readings import Readings
from app.simulation.judges.recovery import Recovery
from app.simulation.judges.rule import Rule
from app.simulation.judges.stops import Stops
from app.simulation.judges.terms import Terms
from app.simulation.node import SimulatedNode
from app.simulation.setting import Setting
from raftgroups import Host, PartitionId, Term

_NONE: frozenset[PartitionId] = frozenset()


class Tallied(Protocol):
    """What counts how often it was checked."""

    @property
    def name(self) -> str: ...

    @property
    def checked(self) -> int: ...


class Bench:
    """Looks at each node after each of its steps, shows the rules what changed, and judges what clients saw.

    moment    gives numbers that grow: what happens at one time still happens in an order
    history, acknowledgements, readings, lifetimes, counters, promptness   are told by the clients
    recovery                              knows what has not recovered yet
    """

    def __init__(
        self,
        nodes: dict[str, SimulatedNode],
        now: Callable[[], float] = lambda: 0.0,
        setting: Setting = Setting(),  # noqa: B008  # frozen
        calm_since: Callable[[], float] = lambda: 0.0,
    ) -> None:
        def may_be_damaged(name: str) -> bool:
            return nodes[name].disk.is_damaged

        facts = self.facts = Facts(now)
        self.moment = count(1).__next__
        self.history = History(clock=self.moment)
        self.acknowledgements = Acknowledgements(facts)
        self.readings = Readings(facts)
        self.counters = Counters(facts)
        self.lifetimes = Lifetimes(nodes, facts, grace_seconds=setting.grace_seconds, is_wild=setting.has_wild_clocks)
        self.promptness = Promptness(nodes, now, calm_since)
        self._histories = Histories(self.history)
        self._stops = Stops(nodes)
        self._memberships = Memberships(facts)
        contents = Contents(facts, may_be_damaged)
        self.recovery = Recovery(nodes, facts, contents)
        # In this order each may rely on what those before it have found right.
        self._rules: list[Rule] = [
            Health(facts, may_be_damaged),
            Terms(facts),
            Elections(facts),
            Logs(facts),
            Commits(facts),
            Quorums(facts),
            Leaders(facts),
            self._memberships,
            contents,
        ]
        self._held: dict[str, frozenset[PartitionId]] = {}
        self._synced: dict[str, tuple[Host, int]] = {}

    def observe(self, node: SimulatedNode) -> None:
        """A step ran on `node`. Raises: Violation."""
        host = node.host
        if host is None:
            return
        name, starts, synced = node.name, node.starts, host.synced_generation
        votes = self._new_votes(name, host)
        for partition, group in host.groups.items():
            if group.is_leader:
                self.lifetimes.led(partition)
            change = self.facts.replica(partition, name).look(group, starts, synced, votes.get(partition, ()))
            if change is not None:
                for rule in self._rules:
                    rule.changed(change)
        if host.groups.keys() != self._held.get(name, _NONE):
            self._count_replicas(name, host)
        self.promptness.observe(node)
        self.promptness.settle()
        self.acknowledgements.settle()
        self.readings.settle()
        self.lifetimes.settle()
        self._stops.settle()

    def healed(self) -> None:
        """The faults have ended; what this means is for the recovery to say, at the end."""

    def finish(self) -> None:
        """The simulation is over. Raises: Violation."""
        self.acknowledgements.settle()
        self.acknowledgements.finish()
        self.readings.settle()
        self.lifetimes.settle()
        self.counters.finish()
        self._stops.settle()
        self.recovery.settle()
        self._histories.settle()

    def tallies(self) -> list[tuple[str, int]]:
        """Every rule, and how often it was checked."""
        told: list[Tallied] = [
            *(self.acknowledgements, self.readings, self.lifetimes, self.counters),
            *(self.promptness, self._histories),
        ]
        judges: list[Tallied] = [*self._rules, self._stops, *told, self.recovery]
        return [(judge.name, judge.checked) for judge in judges]

    def _new_votes(self, name: str, host: Host) -> dict[PartitionId, tuple[tuple[Term, str], ...]]:
        """(term, candidate) of the votes that have reached the disk since the node was seen last.

        A step syncs at most one generation: the commit that follows it is a step of its own.
        """
        seen = host, host.synced_generation
        votes: dict[PartitionId, tuple[tuple[Term, str], ...]] = {}
        if seen != self._synced.get(name):
            self._synced[name] = seen
            for partition, term, candidate in host.synced_votes:
                votes[partition] = (*votes.get(partition, ()), (term, candidate))
        return votes

    def _count_replicas(self, name: str, host: Host) -> None:
        """A node took a replica in, or let one go."""
        for partition in sorted(self._held.get(name, _NONE) - host.groups.keys()):
            replica = self.facts.replica(partition, name)
            self._memberships.gone(replica)
            replica.retire()
        self._held[name] = frozenset(host.groups)
