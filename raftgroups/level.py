"""How fresh a read must be, and what it turned out to be."""

from enum import StrEnum

import msgspec

from raftgroups.item import Item


class Level(StrEnum):
    """What a reader asks for.

    LINEARIZABLE  the newest acknowledged write; a majority is asked who leads
    LEASE         the same, from a leader that asks nobody because of what the clocks say (lease.py)
    SESSION       at least what the reader has written and seen before, on any replica
    BOUNDED       what a leader had committed at most so long ago, on any replica
    STALE         some committed past, without a quorum
    """

    LINEARIZABLE = "linearizable"
    LEASE = "lease"
    SESSION = "session"
    BOUNDED = "bounded"
    STALE = "stale"


# Python 3.11 asks the metaclass for each member that is named as Level.X, at three times the price of a global.
LINEARIZABLE, LEASE, SESSION, BOUNDED, STALE = Level


class Freshness(msgspec.Struct, frozen=True, array_like=True):
    """A level, and what it needs to know.

    index         SESSION: the entry that must have been applied
    staleness_ms  BOUNDED: how old it may be
    """

    level: Level = Level.LINEARIZABLE
    index: int = 0
    staleness_ms: int = 0


NEWEST = Freshness()


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """What an answer is worth.

    level         the level really served, never weaker than asked
    staleness_ms  a bound on its age
    served_by     the node whose replica answered, in its `role` of "leader" or "follower"
    index         the newest entry that replica had applied
    clock_ms      state-machine time there, by which is counted when items expire; 0 where none does
    """

    level: Level
    staleness_ms: int
    served_by: str
    role: str
    index: int = 0
    clock_ms: int = 0


class Reading(msgspec.Struct, frozen=True):
    """What a read found, and its receipt.

    item    None when the key is absent
    """

    item: Item | None
    receipt: Receipt
