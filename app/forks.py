"""Forks: a child process has copies of its parent's sockets and locks, and may use neither.

A request that both send on one connection gets the other's answer, and a lock that another thread held is never
released. So whoever has such things is told in the child, before anything else runs there.
"""

import os
import socket
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has something that a child must not use."""

    def forked(self) -> None:
        """This is the child: let go of what is the parent's, and begin anew."""


_told: WeakSet[Forked] = WeakSet()
_parents: list[object] = []


def tell_of_forks(owner: Forked) -> None:
    """Have `owner.forked` called in every child, as long as the owner is used."""
    _told.add(owner)


def let_go(descriptor: int) -> None:
    """Let go of a parent's socket without a word to it or to the other side.

    The number stays taken, by a socket that leads nowhere: an event loop that was copied with the parent still holds
    it, and would close whatever has it next. Nor may that loop be asked to forget it: its epoll is the parent's, too.
    """
    with socket.socket() as nowhere:
        os.dup2(nowhere.fileno(), descriptor, inheritable=False)


def never_collect(parents: object) -> None:
    """Keep what is the parent's as it is: it would tell an event loop of its end, and that runs in the parent alone."""
    _parents.append(parents)


def _forked() -> None:
    for owner in list(_told):
        owner.forked()


os.register_at_fork(after_in_child=_forked)
