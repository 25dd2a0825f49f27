"""How fresh a read must be, and what it turned out to be."""

from enum import StrEnum

import msgspec

from raftgroups.command import Item


class Level(StrEnum):
    """What a reader asks for.

    LINEARIZABLE  the newest acknowledged write; a majority is asked who leads
    LEASE         the same, from a leader that asks nobody because of what the clocks say (lease.py)
    STALE         some committed past, without a quorum
    """

    LINEARIZABLE = "linearizable"
    LEASE = "lease"
    STALE = "stale"


class Reading(msgspec.Struct, frozen=True):
    """What a read found, and its receipt.

    item          None when the key is absent
    level         the level really served, never weaker than asked
    staleness_ms  a bound on its age
    served_by     the node whose replica answered, in its `role` of "leader" or "follower"
    """

    item: Item | None
    level: Level
    staleness_ms: int
    served_by: str
    role: str
