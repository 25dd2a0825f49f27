import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftgroups.ring import PARTITIONS_MAX, POSITION_BITS, Ring, hash_tag, position


def names(count: int, zones: int = 0) -> dict[str, str]:
    return {f"n{number}": f"z{number % zones}" if zones else "" for number in range(1, count + 1)}


def replicas_held(ring: Ring) -> dict[str, int]:
    held: dict[str, int] = {}
    for replicas in ring.placement:
        for name in replicas:
            held[name] = held.get(name, 0) + 1
    return held


@given(st.binary(max_size=64))
def test_a_position_is_the_low_64_bits_of_murmur3_x64_128(data: bytes) -> None:
    assert position(data) == mmh3.hash128(data, x64arch=True) & ((1 << 64) - 1)


def test_a_position_never_changes() -> None:
    """Where a key lives is a promise to the data already stored: a value known from other implementations."""
    assert position(b"hello") == 0xCBD8A7B341BD9B02


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"plain", b"plain"),
        (b"{user1}.name", b"user1"),
        (b"a{user1}b{other}", b"user1"),
        (b"{}.name", b"{}.name"),
        (b"{}{user1}", b"{}{user1}"),
        (b"{open", b"{open"),
        (b"}{user1}", b"user1"),
        (b"{{nested}}", b"{nested"),
        (b"closed}only", b"closed}only"),
        (b"{\x00\xff}", b"\x00\xff"),
    ],
)
def test_a_tag_alone_is_hashed(key: bytes, hashed: bytes) -> None:
    assert hash_tag(key) == hashed


def test_keys_of_one_tag_share_a_partition() -> None:
    ring = Ring(1024, names(3), 3)

    assert len({ring.partition_of(b"{cart7}" + str(number).encode()) for number in range(50)}) == 1
    assert len({ring.partition_of(b"cart7" + str(number).encode()) for number in range(50)}) > 1


@given(st.binary(min_size=1, max_size=64), st.integers(0, 10))
def test_a_partition_is_the_arc_that_the_position_lies_in(key: bytes, bits: int) -> None:
    ring = Ring(1 << bits, names(1), 1)

    assert ring.partition_of(key) == position(hash_tag(key)) * (1 << bits) >> POSITION_BITS


def test_keys_spread_over_all_partitions() -> None:
    ring = Ring(16, names(3), 3)
    counts = [0] * 16
    for number in range(16_000):
        counts[ring.partition_of(b"key%d" % number)] += 1

    assert min(counts) > 850
    assert max(counts) < 1150


def test_placement_does_not_depend_on_the_order_of_nodes() -> None:
    zones = names(7, zones=3)

    assert Ring(64, zones, 3).placement == Ring(64, dict(reversed(zones.items())), 3).placement


def test_placement_never_changes() -> None:
    """Every node computes it alone, in whatever version it runs: another placement would lose the data."""
    ring = Ring(8, names(5, zones=3), 3)

    assert ring.placement == (
        ("n1", "n2", "n3"),
        ("n5", "n4", "n3"),
        ("n5", "n4", "n3"),
        ("n2", "n4", "n3"),
        ("n3", "n4", "n5"),
        ("n4", "n5", "n2"),
        ("n2", "n1", "n5"),
        ("n1", "n2", "n3"),
    )


@pytest.mark.parametrize("partitions", [1, 16, 64, 256, 1024])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("replicas", [1, 3, 5])
def test_every_arc_has_its_replicas_on_distinct_nodes(partitions: int, nodes: int, replicas: int) -> None:
    ring = Ring(partitions, names(nodes), replicas)

    assert len(ring.placement) == partitions
    for held in ring.placement:
        assert len(held) == len(set(held)) == min(replicas, nodes)
        assert set(held) <= set(names(nodes))


@pytest.mark.parametrize("partitions", [16, 64, 256, 1024])
@pytest.mark.parametrize("nodes", [3, 4, 5, 7, 10])
def test_nodes_hold_and_lead_about_their_share(partitions: int, nodes: int) -> None:
    """Bounded loads: a node above its fair share is skipped while others have room.

    The last arcs of the round may find none with room, so up to a fifth more is seen, rounded up.
    """
    ring = Ring(partitions, names(nodes), 3)
    share = -(-partitions * 3 // nodes)
    first = [sum(replicas[0] == name for replicas in ring.placement) for name in names(nodes)]

    assert max(replicas_held(ring).values()) <= share + max(1, share // 5)
    assert max(first) <= -(-partitions // nodes) * 1.5


@pytest.mark.parametrize("partitions", [16, 64, 256, 1024])
@pytest.mark.parametrize("nodes", [3, 4, 5, 7, 10])
def test_a_joining_node_moves_little_more_than_it_must(partitions: int, nodes: int) -> None:
    """Ideal is Q·RF/(N+1), what the new node is to hold. Measured: 1.01 to 1.12 times that from 256
    partitions on, up to 1.6 times with 16 (a handful of replicas, where one more weighs 0.15)."""
    before, after = Ring(partitions, names(nodes), 3), Ring(partitions, names(nodes + 1), 3)
    moved = sum(len(set(new) - set(old)) for old, new in zip(before.placement, after.placement, strict=True))
    ideal = partitions * 3 / (nodes + 1)

    assert moved <= ideal * (1.15 if partitions >= 256 else 1.5) + 1


@pytest.mark.parametrize("partitions", [16, 256])
@pytest.mark.parametrize("nodes", [3, 6, 9])
def test_replicas_lie_in_distinct_zones(partitions: int, nodes: int) -> None:
    zones = names(nodes, zones=3)

    for replicas in Ring(partitions, zones, 3).placement:
        assert len({zones[name] for name in replicas}) == 3


@pytest.mark.parametrize("partitions", [0, 3, 12, -1, 2 * PARTITIONS_MAX])
def test_partitions_are_a_power_of_two(partitions: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Ring(partitions, names(3), 3)


def test_a_ring_needs_nodes_and_replicas() -> None:
    with pytest.raises(ValueError, match="needs a node"):
        Ring(16, {}, 3)
    with pytest.raises(ValueError, match="at least 1"):
        Ring(16, names(3), 0)
