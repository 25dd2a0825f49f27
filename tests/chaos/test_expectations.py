"""What a scenario expects is missed when it is missing."""

from types import SimpleNamespace
from typing import cast

from tests.chaos.arena import Arena
from tests.chaos.expectations import somebody_is_served
from tests.chaos.swarm import Reply


class Agent:
    """One whose node serves the keys with one tag, and no others."""

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def ask(self, method: str, target: str, body: str, timeout: float) -> Reply:
        assert (method, body) == ("PUT", "x")
        return Reply(204 if self._tag in target else 503, "")


def failures(**tags: str) -> list[str]:
    arena = SimpleNamespace(
        agents={name: Agent(tag) for name, tag in tags.items()},
        names=list(tags),
        partition={"hot-0": 3, "hot-1": 2, "hot-2": 2},
        failures=[],
    )
    somebody_is_served(cast(Arena, arena), "ring")
    return cast(list[str], arena.failures)


def test_each_partition_may_be_served_by_another_node() -> None:
    assert failures(n1="hot-0", n2="hot-2", n3="none") == []


def test_a_partition_that_nobody_serves_is_named() -> None:
    assert failures(n1="hot-0", n2="none") == ["ring: no node takes writes of partitions [2]"]
