"""The verdict on a cluster, reckoned by hand."""

import pytest

from app.verdict import judge

THREE = ["n1", "n2", "n3"]


def partition(*replicas: str, leader: str | None = "n1", target: list[str] | None = None) -> dict[str, object]:
    return {"leader": leader, "replicas": list(replicas), "target": target or list(replicas)}


def verdict(partitions: list[dict[str, object]], reached: list[str], nodes: int = 3) -> str:
    return str(judge(partitions, reached, len(reached), nodes))


def test_all_is_well() -> None:
    found = judge([partition(*THREE)] * 16, THREE, 3, 3)

    assert found.is_well
    assert str(found) == "3 of 3 nodes ready, 16 of 16 partitions led, none short of replicas; can lose 1 node"


def test_a_node_that_is_lost_counts() -> None:
    two = "2 of 3 nodes ready, 1 of 1 partitions led, 1 short of replicas; can lose no node"
    one = "1 of 3 nodes ready, 0 of 1 partitions led, 1 short of replicas; 1 without a majority, which take no writes"

    assert verdict([partition(*THREE)], ["n1", "n2"]) == two
    assert verdict([partition(*THREE)], ["n1"]) == one


@pytest.mark.parametrize(
    ("weakest", "said"),
    [
        (("n1", "n2", "n3", "n4", "n5"), "can lose 2 nodes"),
        (("n1", "n4", "n5"), "can lose 1 node"),
        (("n1", "n4"), "can lose no node"),
        (("n1",), "can lose no node"),
    ],
)
def test_the_weakest_partition_decides_what_can_be_lost(weakest: tuple[str, ...], said: str) -> None:
    five = ["n1", "n2", "n3", "n4", "n5"]

    assert verdict([partition(*five), partition(*weakest)], five, 5).endswith(f"none short of replicas; {said}")


def test_a_leader_counts_only_where_it_is_reached() -> None:
    partitions = [partition(*THREE), partition(*THREE, leader=None), partition(*THREE, leader="n3")]

    assert "1 of 3 partitions led" in verdict(partitions, ["n1", "n2"])


def test_a_move_that_is_not_done_is_short() -> None:
    assert "1 short of replicas" in verdict([partition(*THREE, target=["n1", "n2", "n4"])], THREE)


def test_a_node_that_is_not_ready_is_reached_all_the_same() -> None:
    found = judge([partition(*THREE)], THREE, 2, 3)

    assert not found.is_well and str(found).startswith("2 of 3 nodes ready, 1 of 1 partitions led, none short")
