"""Chance drives a group: broken links, partitions, torn disks, slow nodes, compaction, snapshots, transfers, lulls.

Always: one leader a term, one entry at an index, no read behind an acknowledged write, matching
logs, no replica that stops. After healing: all replicas equal, and every acknowledged write is there.
"""

import random

import msgspec
import pytest

from raftgroups.membership import Configuration
from raftgroups.timing import Timing
from tests.raftgroups.wire import NO_OP, Node, ReadAttempt, Wire

STEPS = 600


class World:
    """One run. `harm` scales how often something breaks; with joiners the membership changes all the time."""

    def __init__(self, seed: int, names: str, joiners: str = "") -> None:
        self.rng = random.Random(seed)
        timing = Timing(
            heartbeat_seconds=self.rng.choice([0.05, 0.15]), quiet_seconds=self.rng.choice([0.0, 0.05, 0.2])
        )
        self.lull = 0
        self.wire = Wire(names, seed, timing, segment_bytes=self.rng.choice([200, 2000]), joiners=joiners)
        names += joiners
        self.harm = self.rng.choice([0.3, 1.0, 3.0])
        self.haste = {name: self.rng.choice([0.3, 0.7, 1.0]) for name in names}
        self.proposed = 0
        self.reads: list[ReadAttempt] = []

    def step(self) -> None:
        rng, wire = self.rng, self.wire
        for node in wire.nodes.values():
            node.now += rng.choice((0.005, 0.02, 0.05)) * rng.choice((0.8, 1.0, 1.2))
            if rng.random() < self.haste[node.name]:
                node.tick()
        for a, b in wire.links:
            if rng.random() < 0.7 * self.haste[b]:
                wire.deliver(a, b, rng.choice((1, 2, 5, None)))
        for node in wire.nodes.values():
            if node.is_running and rng.random() < 0.6 * self.haste[node.name]:
                if node.is_syncing:
                    node.end_sync()
                else:
                    node.begin_sync()
        if self.lull:
            self.lull -= 1
        elif rng.random() < 0.01:
            self.lull = rng.randrange(20, 150)
        else:
            self.use()
        self.harm_something()
        wire.check_logs_match()
        assert not [node.failure for node in wire.nodes.values() if node.failure]

    def use(self) -> None:
        rng = self.rng
        for node in self.wire.nodes.values():
            if not node.is_running:
                continue
            if node.is_leader and not node.consensus.is_transferring and rng.random() < 0.4:
                for _ in range(rng.choice((1, 1, 3))):
                    self.propose(node)
            if self.wire.joiners and rng.random() < 0.05:
                self.change(node)
            if node.is_removed:
                node.retire()
            if rng.random() < 0.1:
                self.reads.append(node.read())
            self.send_snapshots(node, 0.3)

    def propose(self, node: Node) -> None:
        self.proposed += 1
        node.propose(b"%d " % self.proposed + b"x" * self.rng.choice((0, 50, 300)))

    def change(self, node: Node) -> None:
        """A step toward the target, or a new target of one to four nodes."""
        consensus = node.consensus
        if not consensus.may_change:
            return
        step = consensus.next_configuration()
        if step is None and consensus.configuration.is_settled:
            nodes = self.rng.sample(self.wire.names, self.rng.randrange(1, 5))
            step = msgspec.structs.replace(consensus.configuration, target=tuple(nodes))
        if step is not None:
            node.configure(step)

    def reach(self, target: tuple[str, ...]) -> None:
        """In a healed group every target is reached, whoever leads on the way."""
        wire = self.wire
        wished = Configuration(target, (), target)
        for _ in range(100):
            leader = wire.leader
            assert leader is not None, "a healed group has a leader"
            now = leader.consensus.configuration
            if now == wished:
                return
            if leader.consensus.may_change:
                step = leader.consensus.next_configuration()
                leader.configure(step or msgspec.structs.replace(now, target=target))
            self.mend()
        raise AssertionError(f"{wished} is never reached")

    def mend(self) -> None:
        wire = self.wire
        wire.run(0.2)
        for node in wire.nodes.values():
            self.send_snapshots(node, 1.0)
            if node.is_removed:
                node.retire()
        wire.heal()

    def send_snapshots(self, node: Node, likely: float) -> None:
        if not node.is_leader:
            node.snapshots_needed.clear()
        for peer in list(dict.fromkeys(node.snapshots_needed)):
            if node.state and self.rng.random() < likely:
                node.send_snapshot(peer)

    def harm_something(self) -> None:
        rng, wire = self.rng, self.wire
        a, b = rng.sample(wire.names, 2)
        node = wire[a]
        chance = rng.random() / self.harm
        if chance < 0.01:
            wire.cut(a, b)
        elif chance < 0.012:
            for name in rng.sample(wire.names, rng.randrange(1, len(wire.names))):
                for other in wire.names:
                    if rng.random() < 0.7:
                        wire.cut(name, other)
        elif chance < 0.017:
            if node.is_up:
                node.crash(rng.choice((None, rng)))
        elif chance < 0.025:
            if node.is_running and node.state:
                node.compact(keep=rng.choice((0, 0, 3, 20)))
        elif chance < 0.028:
            if node.is_leader:
                node.consensus.transfer(b, node.now)
                node.turn()
        elif chance < 0.031:
            self.haste[a] = rng.choice([0.05, 0.3, 0.7, 1.0])
        if rng.random() < 0.05:
            wire.link(a, b)
        if not node.is_up and rng.random() < 0.04:
            wire.restart(a)

    def heal(self) -> None:
        """Everything is mended; whoever is removed comes back empty, should it be added again."""
        wire = self.wire
        for node in wire.nodes.values():
            if not node.is_up:
                node.start()
            node.end_sync()
        wire.heal()
        for _ in range(40):
            self.mend()
        wire.run(0.4)

    def check(self) -> None:
        wire = self.wire
        leaders = [node for node in wire.nodes.values() if node.is_leader]
        assert len(leaders) == 1, "a healed group has a leader"
        members = [wire[name] for name in leaders[0].consensus.configuration.members]
        reads = [node.read() for node in members]
        self.propose(leaders[0])
        wire.run(0.4)
        states = [node.state for node in members]
        assert all(state == states[0] for state in states), "the replicas are equal"
        assert all(states[0].get(index, (0, NO_OP))[1] == payload for index, payload in wire.acknowledged.items())
        assert [read.fate for read in reads] == ["served"] * len(reads)
        wire.check_logs_match()


@pytest.mark.parametrize("seed", range(60))
def test_a_group_keeps_its_promises(seed: int) -> None:
    world = World(seed, "abcde" if seed % 5 == 4 else "abc")

    for _ in range(STEPS):
        world.step()
    world.heal()

    world.check()


@pytest.mark.parametrize("seed", range(60))
def test_a_group_keeps_its_promises_while_its_members_change(seed: int) -> None:
    world = World(seed, "abc", joiners="de")

    for _ in range(STEPS):
        world.step()
    world.heal()

    world.check()
    world.reach(("e", "a"))
    world.check()
