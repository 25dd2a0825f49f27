"""Starts a node that differs from the product on purpose: `python -m tests.chaos.altered WHAT node …`.

The wrong ones exist to prove that the judges notice. None of this can be switched on in the product.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from app import cli
from raftgroups import HostOptions
from raftgroups.group import RaftGroup
from raftgroups.level import Level
from raftgroups.nodelog import NodeLog
from raftgroups.reign import Reign


def small_tables() -> None:
    """Right, but with so little memory that tables are written and read, and old entries forgotten, all the time."""
    small: Any = functools.partial(
        HostOptions,
        memtable_bytes=64 << 10,
        cache_bytes=64 << 10,
        log_bytes=2 << 20,
        log_segment_bytes=256 << 10,
        log_retained_bytes=1 << 20,
    )
    patch("app.settings.HostOptions", small).start()
    patch("raftgroups.group.TAIL_BYTES", 32 << 10).start()


def local_reads() -> None:
    """Every replica answers linearizable reads from what it has applied, and a leader leads on whoever follows.

    Otherwise the old leader would step down at about the time at which, on a busy machine, another is elected.
    """

    patch.object(RaftGroup, "confirm", lambda _, serve, *rest: serve(Level.LINEARIZABLE, 0)).start()
    patch.object(Reign, "followed_at", lambda reign, now: now).start()


def amnesia() -> None:
    """A restarted node has forgotten its term, its vote and all entries."""
    opened = NodeLog.__init__

    def open_and_forget(self: NodeLog, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        self.remains.clear()

    patch.object(NodeLog, "__init__", open_and_forget).start()


def hasty() -> None:
    """A leader takes for committed what it has itself, and leads on whoever follows."""
    patch("raftgroups.reign.quorum_match", max).start()
    patch.object(Reign, "followed_at", lambda reign, now: now).start()


ALTERATIONS: dict[str, Callable[[], None]] = {
    "small-tables": small_tables,
    "local-reads": local_reads,
    "amnesia": amnesia,
    "hasty": hasty,
}


def main() -> None:
    ALTERATIONS[sys.argv.pop(1)]()
    cli.main()


if __name__ == "__main__":
    main()
