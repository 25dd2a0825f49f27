"""Forgetting: what nodes still have of their logs, as the files in their directories tell."""

from raftgroups.directory import LOG
from raftgroups.nodelog import SEGMENT_SUFFIX
from tests.chaos.arena import Arena
from tests.cluster.nodes import wait_until

FORGOTTEN_SECONDS = 60.0


def wait_forgotten(arena: Arena, victim: str) -> None:
    """Until the other replicas of the first key have nothing left of the segments that they write to now.

    Then the victim, which lacks what comes to them from now on, can only get a snapshot.
    """
    newest = {name: _segments(arena, name)[-1] for name in arena.replicas[arena.keys[0]] - {victim}}

    def is_forgotten() -> bool:
        return all(_segments(arena, name)[0] > segment for name, segment in newest.items())

    wait_until(is_forgotten, FORGOTTEN_SECONDS, "an old part of every log is gone")


def _segments(arena: Arena, name: str) -> list[str]:
    return sorted(path.name for path in (arena.nodes[name].data / LOG).glob(f"*{SEGMENT_SUFFIX}"))
