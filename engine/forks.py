"""Forks: a process that was forked off lets go, at once, of what belongs to the one it came from.

Both have the same descriptors, and with them the same locks and logs, but only the parent has the threads that work
with them. Whoever owns such a thing registers, and is told in the child, before anything else runs there. The parent
notices nothing.
"""

import os
import threading
from typing import Protocol
from weakref import WeakSet

FORKED = "it belongs to the process that this one was forked from; open it again here"


class Owner(Protocol):
    """Who has something that a child must not use."""

    def forget(self) -> None:
        """In the child, where no other thread runs: let go of it, and leave alone what the parent has."""


# Held while something is opened and registered: no fork comes in between, so no child has what nobody forgets.
guard = threading.RLock()
# How many forks lie between this process and the first of its kind.
generation = 0
_owners: WeakSet[Owner] = WeakSet()


def register(owner: Owner) -> None:
    """Have it told of a fork, in the child, as long as it is there."""
    with guard:
        _owners.add(owner)


def _forget_all() -> None:
    global generation  # noqa: PLW0603  # of the process, as a fork is
    generation += 1
    guard.release()
    owners = list(_owners)
    _owners.clear()
    for owner in owners:
        owner.forget()


os.register_at_fork(before=guard.acquire, after_in_parent=guard.release, after_in_child=_forget_all)
