import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import crc32c
from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import Epoch, PartitionId
from raftgroups.topology import (
    IDENTITY_FORMAT,
    Identity,
    Member,
    Topology,
    decode_identity,
    encode_identity,
    found_cluster,
)

SEEDS = {"n1": "127.0.0.1:9001", "n2": "127.0.0.1:9002", "n3": "127.0.0.1:9003"}
IDENTITY = Identity(IDENTITY_FORMAT, "n2", found_cluster(SEEDS, 16, 3), "5f" * 16)


def test_an_identity_survives_its_encoding() -> None:
    assert decode_identity("identity", encode_identity(IDENTITY)) == IDENTITY


def test_names_and_zones_of_any_script_survive() -> None:
    members = (Member("nœud", "[::1]:9001", "zone é"), Member("节点", "host:1", "\n"))
    identity = Identity(IDENTITY_FORMAT, "nœud", Topology("c", Epoch(7), 4, 3, members))

    assert decode_identity("identity", encode_identity(identity)) == identity


@given(st.data())
def test_a_damaged_identity_is_never_read_as_another(data: st.DataObject) -> None:
    whole = encode_identity(IDENTITY)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))

    with pytest.raises(DamagedDirectoryError, match="DIR/identity"):
        decode_identity("DIR/identity", whole[:at] + bytes((changed,)) + whole[at + 1 :])


@given(st.integers(0, len(encode_identity(IDENTITY)) - 1))
def test_a_cut_identity_is_damaged(length: int) -> None:
    with pytest.raises(DamagedDirectoryError):
        decode_identity("identity", encode_identity(IDENTITY)[:length])


@given(st.binary(max_size=200))
def test_garbage_is_a_damaged_identity(data: bytes) -> None:
    with pytest.raises(DamagedDirectoryError):
        decode_identity("identity", data)


def test_more_than_an_identity_is_damage() -> None:
    with pytest.raises(DamagedDirectoryError):
        decode_identity("identity", encode_identity(IDENTITY) + b"more")


@pytest.mark.parametrize("line", [b"{}", b"[1, 2]", b'{"format": "one"}', b'{"format": 1, "name": "\xff"}'])
def test_whole_lines_that_are_no_identity_are_damaged(line: bytes) -> None:
    with pytest.raises(DamagedDirectoryError):
        decode_identity("identity", line + b"\n%08x\n" % crc32c(line))


def test_an_identity_of_the_first_format_is_read() -> None:
    """It has no incarnation, and keeps the empty one: peers that met it so know it by that."""
    line = b'{"format":1,"name":"n1","topology":{"cluster_id":"c","epoch":1,"partitions":4,"replication_factor":3,'
    line += b'"members":[{"name":"n1","peer":"host:1"},{"name":"n2","peer":"host:2","zone":"z"}]}}'

    identity = decode_identity("identity", line + b"\n%08x\n" % crc32c(line))

    members = (Member("n1", "host:1"), Member("n2", "host:2", "z"))
    assert identity == Identity(1, "n1", Topology("c", Epoch(1), 4, 3, members), "")


@pytest.mark.parametrize("number", [0, -1])
def test_a_format_that_never_was_is_refused(number: int) -> None:
    with pytest.raises(DamagedDirectoryError, match="not known to this version"):
        decode_identity("identity", encode_identity(msgspec.structs.replace(IDENTITY, format=number)))


def test_the_format_of_a_later_version_is_refused() -> None:
    later = msgspec.structs.replace(IDENTITY, format=IDENTITY_FORMAT + 1)

    with pytest.raises(DamagedDirectoryError, match="not known to this version"):
        decode_identity("identity", encode_identity(later))


def test_nodes_that_found_a_cluster_together_agree_on_it() -> None:
    assert found_cluster(SEEDS, 16, 3) == found_cluster(dict(reversed(SEEDS.items())), 16, 3)


@pytest.mark.parametrize(
    "other",
    [
        found_cluster({"n1": "127.0.0.1:9001", "n2": "127.0.0.1:9002", "n4": "127.0.0.1:9003"}, 16, 3),
        found_cluster({**SEEDS, "n4": "127.0.0.1:9004"}, 16, 3),
        found_cluster(SEEDS, 32, 3),
        found_cluster(SEEDS, 16, 1),
    ],
)
def test_clusters_founded_otherwise_are_others(other: Topology) -> None:
    assert other.cluster_id != found_cluster(SEEDS, 16, 3).cluster_id


def test_a_cluster_is_the_same_at_other_addresses() -> None:
    moved = {name: f"10.0.0.1:{number}" for number, name in enumerate(SEEDS, 1)}

    before, after = found_cluster(SEEDS, 16, 3), found_cluster(moved, 16, 3)

    assert after.cluster_id == before.cluster_id
    assert before.moved_to(moved) == after
    assert before.moved_to({}) == before


def test_a_node_holds_what_it_is_a_replica_of() -> None:
    topology = found_cluster({f"n{number}": f"127.0.0.1:{9000 + number}" for number in range(1, 6)}, 32, 3)

    for member in topology.members:
        held = [arc for arc in range(32) if member.name in topology.replicas_of(PartitionId(arc))]
        assert list(topology.held_by(member.name)) == held
    assert topology.held_by("stranger") == ()
