"""Replicas move in an arena, whatever else happens there."""

import itertools
import json
import random
from collections.abc import Sequence

from tests.chaos.arena import Arena
from tests.cluster.nodes import wait_until

DECIDED_SECONDS = 20.0
MOVED_SECONDS = 40.0
ASK_SECONDS = 2.0
# Not now: nobody leads, another change is on its way, or nobody knows. To repeat it does no harm.
REPEATED = (0, 409, 503, 504)


def elsewhere(rng: random.Random, names: Sequence[str], holders: Sequence[str], leader: str) -> list[str]:
    """As many other nodes as there are, and of the holders one or more that do not lead."""
    spare = [name for name in names if name not in holders]
    stay = rng.sample([name for name in holders if name != leader], max(0, len(holders) - len(spare)))
    after = [*spare[: len(holders)], *stay]
    rng.shuffle(after)
    return after


def place(arena: Arena, key: str, nodes: Sequence[str]) -> None:
    """Have these nodes hold the key's partition, asking one node after the other until that is decided."""
    partition = arena.partition[key]
    askers = itertools.cycle(arena.running())
    body = json.dumps({"nodes": list(nodes)})

    def is_decided() -> bool:
        target = f"/v1/partitions/{partition}/replicas"
        reply = arena.agents[next(askers)].ask("PUT", target, body, ASK_SECONDS)
        assert reply.status == 200 or reply.status in REPEATED, reply.body
        return reply.status == 200

    wait_until(is_decided, DECIDED_SECONDS, f"partition {partition} shall be on {' '.join(nodes)}")
    for other, where in arena.partition.items():
        if where == partition:
            arena.replicas[other] = frozenset(nodes)


def wait_moved(arena: Arena, key: str, nodes: Sequence[str]) -> None:
    """Until every node knows that these hold the partition, and that nothing is left to do."""
    partition = arena.partition[key]
    done = {"partition": partition, "voters": list(nodes), "learners": [], "target": list(nodes)}

    def is_moved() -> bool:
        replies = [
            arena.agents[name].ask("GET", f"/v1/partitions/{partition}/replicas", timeout=ASK_SECONDS)
            for name in arena.names
        ]
        return all(reply.status == 200 and reply.json == done for reply in replies)

    wait_until(is_moved, MOVED_SECONDS, f"partition {partition} is on {' '.join(nodes)}")
