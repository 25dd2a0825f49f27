"""Forgetting: what nodes still have of their logs, as the files in their directories tell."""

from collections.abc import Iterable, Mapping

from raftgroups.directory import LOG
from raftgroups.nodelog import SEGMENT_SUFFIX
from tests.chaos.arena import Arena
from tests.cluster.nodes import wait_until

FORGOTTEN_SECONDS = 60.0


def newest_segments(arena: Arena, names: Iterable[str]) -> dict[str, str]:
    """The segment that each of these nodes writes to."""
    return {name: _segments(arena, name)[-1] for name in names}


def wait_forgotten(arena: Arena, segments: Mapping[str, str]) -> None:
    """Until none of the nodes has its segment any more, so that who lacks what was in it can only get a snapshot."""

    def is_forgotten() -> bool:
        return all(_segments(arena, name)[0] > segment for name, segment in segments.items())

    wait_until(is_forgotten, FORGOTTEN_SECONDS, "an old part of every log is gone")


def _segments(arena: Arena, name: str) -> list[str]:
    return sorted(path.name for path in (arena.nodes[name].data / LOG).glob(f"*{SEGMENT_SUFFIX}"))
