"""Chance breaks PySyncObj as shipped too: no schedule of test_stock_defects.py has to be looked for.

Links break, and snapshots are taken; nothing is duplicated, reordered, crashed or slow. Ours lives
through all of that and more in test_consensus_fuzz.py.
"""

import random
from itertools import combinations

import pytest

from tests.raftgroups.stock import StockMaker, StockWire

NAMES = "abc"
STEPS = 800
CALM_STEPS_MAX = 1500
SMALL_BATCH = 1500
"""Bytes in an Append, so that a few commands are more than one takes."""


class World:
    """One run of a stock cluster, whose chances are those of a seed."""

    def __init__(self, stock: StockWire, seed: int, snapshots: float) -> None:
        self.stock = stock
        self.rng = random.Random(seed)
        self.snapshots = snapshots
        self.written = 0
        random.seed(seed)
        for node in stock.nodes.values():
            node.postpone_election(stock.now + self.rng.uniform(0.4, 1.4))

    def step(self) -> None:
        rng, stock = self.rng, self.stock
        stock.now += rng.choice((0.005, 0.02, 0.05))
        for a in NAMES:
            for b in NAMES:
                if rng.random() < 0.6:
                    stock.deliver(a, b, rng.choice((1, 1, 2, 5, None)))
        for name, node in stock.nodes.items():
            if rng.random() < 0.8:
                node.doTick()
            if node.is_leader and rng.random() < 0.5:
                for _ in range(rng.choice((1, 3, 8))):
                    self.written += 1
                    stock.put(name, f"k{self.written}", "x" * rng.choice((10, 300, 900)))
        chance, (a, b) = rng.random(), rng.sample(NAMES, 2)
        if chance < 0.01:
            stock.cut(a, b)
        elif chance < 0.04:
            stock.link(a, b)
        elif chance > 1 - self.snapshots:
            stock[a].forceLogCompaction()

    def calm_down(self) -> None:
        """Every link is up, every message arrives; until all have the same log, or for half a minute."""
        stock = self.stock
        for a, b in combinations(NAMES, 2):
            stock.link(a, b)
        for _ in range(CALM_STEPS_MAX):
            stock.now += 0.025
            for a in NAMES:
                for b in NAMES:
                    stock.deliver(a, b)
            for node in stock.nodes.values():
                node.doTick()
            if self.have_converged():
                return

    def have_converged(self) -> bool:
        nodes = list(self.stock.nodes.values())
        ends = {(node.log[-1], node.raftLastApplied) for node in nodes}
        return len(ends) == 1 and any(node.is_leader and node.log[-1][0] == node.raftLastApplied for node in nodes)

    def differ(self) -> bool:
        """Whether two nodes have applied as much, and not the same."""
        pairs = combinations(self.stock.nodes.values(), 2)
        return any(a.raftLastApplied == b.raftLastApplied and a.data != b.data for a, b in pairs)


def broken_promise(world: World) -> str:
    """The first that a run breaks, "" for none."""
    for _ in range(STEPS):
        world.step()
        if world.differ():
            return "state machines differ"
    world.calm_down()
    if not world.have_converged():
        return "a node is never repaired"
    if any(world.stock.acknowledged - set(node.data) for node in world.stock.nodes.values()):
        return "acknowledged writes are lost"
    return ""


@pytest.mark.parametrize(
    ("seed", "snapshots", "broken"),
    [
        (74, 0, "state machines differ"),
        (54, 0, "acknowledged writes are lost"),
        (7, 0, "a node is never repaired"),
        (58, 0.01, "acknowledged writes are lost"),
    ],
)
def test_stock_breaks_its_promises_by_chance(make_stock: StockMaker, seed: int, snapshots: float, broken: str) -> None:
    stock = make_stock(
        NAMES,
        appendEntriesBatchSizeBytes=SMALL_BATCH,
        logCompactionBatchSize=700,
        logCompactionMinEntries=10**9,
        logCompactionMinTime=10**9,
        leaderFallbackTimeout=5.0,
    )

    assert broken_promise(World(stock, seed, snapshots)) == broken
