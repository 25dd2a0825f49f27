"""How the nodes of a run are set up: drawn from the seed, so that many seeds try many ways."""

import random
from dataclasses import dataclass

from raftgroups import LEASE_SHARE_MAX, Timing

LONGEST_LEASE_SECONDS = LEASE_SHARE_MAX * Timing().election_seconds_min


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same on all nodes, and not for the command line to say.

    replicas        of each partition, as founded
    lease_seconds   0: no leases; with leases clocks are not wild
    memtable_bytes  of a replica's engine, beyond which it flushes
    quiet_seconds   after which a group sleeps that nobody asks for anything; 0: never
    grace_seconds   that the beginning of a reign gives at most
    has_wild_clocks they are wrong on any node at any time, and drift by up to a quarter; else one at a time is wrong,
                    and they drift but a little
    """

    replicas: int = 3
    lease_seconds: float = 0.0
    memtable_bytes: int = 4 << 10
    quiet_seconds: float = 0.0
    grace_seconds: float = 0.0
    has_wild_clocks: bool = False

    def __str__(self) -> str:
        sizes = f"replicas {self.replicas}, memtable {self.memtable_bytes} bytes"
        clocks = f"grace {self.grace_seconds:g} s, {'wild' if self.has_wild_clocks else 'steady'} clocks"
        return f"{sizes}, lease {self.lease_seconds:g} s, quiet {self.quiet_seconds:g} s, {clocks}"


def draw_setting(rng: random.Random, nodes: int) -> Setting:
    """One of the ways to set up so many nodes."""
    replicas = min(rng.choice((3, 3, 3, 5)), nodes)
    lease_seconds = rng.choice((0.0, 0.0, 0.0, LONGEST_LEASE_SECONDS))
    return Setting(
        replicas,
        lease_seconds,
        memtable_bytes=rng.choice((4 << 10, 4 << 10, 8 << 10, 16 << 10)),
        quiet_seconds=rng.choice((0.05, 0.05, 0.2, 0.5, 2.0)),
        grace_seconds=rng.choice((0.0, 0.0, 2.0, 10.0)),
        has_wild_clocks=not lease_seconds and rng.random() < 0.25,
    )
