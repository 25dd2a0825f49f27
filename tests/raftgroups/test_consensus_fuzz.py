"""Chance drives a group: broken links, partitions, torn disks, slow nodes, compaction, snapshots, transfers.

Always: one leader a term, one entry at an index, no read behind an acknowledged write, matching
logs, no replica that stops. After healing: all replicas equal, and every acknowledged write is there.
"""

import random

import pytest

from raftgroups.consensus import Timing
from tests.raftgroups.wire import NO_OP, Node, ReadAttempt, Wire

STEPS = 600


class World:
    """One run. `harm` scales how often something breaks."""

    def __init__(self, seed: int, names: str) -> None:
        self.rng = random.Random(seed)
        timing = Timing(heartbeat_seconds=self.rng.choice([0.05, 0.15]))
        self.wire = Wire(names, seed, timing, segment_bytes=self.rng.choice([200, 2000]))
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
            if rng.random() < 0.1:
                self.reads.append(node.read())
            self.send_snapshots(node, 0.3)

    def propose(self, node: Node) -> None:
        self.proposed += 1
        node.propose(b"%d " % self.proposed + b"x" * self.rng.choice((0, 50, 300)))

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
        wire = self.wire
        for node in wire.nodes.values():
            if not node.is_up:
                node.start()
            node.end_sync()
        wire.heal()
        for _ in range(40):
            wire.run(0.2)
            for node in wire.nodes.values():
                self.send_snapshots(node, 1.0)
        wire.run(0.4)

    def check(self) -> None:
        wire = self.wire
        leaders = [node for node in wire.nodes.values() if node.is_leader]
        assert len(leaders) == 1, "a healed group has a leader"
        reads = [node.read() for node in wire.nodes.values()]
        self.propose(leaders[0])
        wire.run(0.4)
        states = [node.state for node in wire.nodes.values()]
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
