"""Who is in the cluster, and which nodes hold which partition.

    identity  := JSON object, one line, then its CRC32C as 8 hex digits on a line of its own

The identity file in a data directory says which node of which cluster the directory is.
Anything else in it is a DamagedDirectoryError, another node's is a ForeignDirectoryError.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property

import msgspec

from engine import crc32c
from raftgroups.errors import DamagedDirectoryError
from raftgroups.ids import Epoch, PartitionId
from raftgroups.ring import Ring


class Member(msgspec.Struct, frozen=True):
    """One node of the cluster. `peer` is the host:port that its peers dial."""

    name: str
    peer: str
    zone: str = ""


class Topology(msgspec.Struct, frozen=True, dict=True):
    """A version of the cluster's make-up; the placement follows from it alone."""

    cluster_id: str
    epoch: Epoch
    partitions: int
    replication_factor: int
    members: tuple[Member, ...]

    @cached_property
    def ring(self) -> Ring:
        zones = {member.name: member.zone for member in self.members}
        return Ring(self.partitions, zones, self.replication_factor)

    @property
    def makeup(self) -> tuple[tuple[str, ...], int, int]:
        """What a cluster is founded with and never changes: names, partitions, replication factor."""
        return tuple(member.name for member in self.members), self.partitions, self.replication_factor

    @property
    def told_makeup(self) -> dict[str, str]:
        """The same for a person who compares two clusters: by the settings' names, short enough for a handshake."""
        names, partitions, replication_factor = self.makeup
        return {
            "--seeds": ",".join(names)[:TOLD_LENGTH_MAX],
            "--partitions": str(partitions),
            "--replication-factor": str(replication_factor),
        }

    def moved_to(self, addresses: Mapping[str, str]) -> "Topology":
        """The same cluster, with these of its nodes at other addresses."""
        moved = tuple(
            msgspec.structs.replace(member, peer=addresses.get(member.name, member.peer)) for member in self.members
        )
        return msgspec.structs.replace(self, members=moved)

    def replicas_of(self, partition: PartitionId) -> tuple[str, ...]:
        """The nodes that hold it; leadership belongs with the first."""
        return self.ring.placement[partition]

    def held_by(self, name: str) -> tuple[PartitionId, ...]:
        return tuple(PartitionId(arc) for arc, nodes in enumerate(self.ring.placement) if name in nodes)


class Identity(msgspec.Struct, frozen=True):
    """Whose data directory it is.

    incarnation    a random name of the directory itself, empty in format 1: see acquaintances.py
    """

    format: int
    name: str
    topology: Topology
    incarnation: str = ""


IDENTITY_FORMAT = 2
TOLD_LENGTH_MAX = 1000


def found_cluster(seeds: Mapping[str, str], partitions: int, replication_factor: int) -> Topology:
    """The first Topology, equal on every node that is given the same arguments.

    Invariant: the cluster id follows from the names of the founding members, so that nodes that found a
    cluster together agree on it without talking. Addresses take no part in it: a node may move. (Clusters
    founded by earlier versions have an id that hashes these as well, and keep it.)
    Zones take no part in it: only a node itself knows its zone when the cluster is founded.
    """
    founding = repr((sorted(seeds), partitions, replication_factor))
    cluster_id = hashlib.blake2b(founding.encode(), digest_size=8).hexdigest()
    members = tuple(Member(name, peer) for name, peer in sorted(seeds.items()))
    return Topology(cluster_id, Epoch(1), partitions, replication_factor, members)


def encode_identity(identity: Identity) -> bytes:
    """The content of an identity file."""
    line = msgspec.json.encode(identity)
    return line + b"\n%08x\n" % crc32c(line)


def decode_identity(path: str, data: bytes) -> Identity:
    """Raises: DamagedDirectoryError."""
    line, _, rest = data.partition(b"\n")
    if rest != b"%08x\n" % crc32c(line):
        raise DamagedDirectoryError(
            f"{path}: the checksum does not match; restore it from a backup or start on an empty directory"
        )
    try:
        identity = msgspec.json.decode(line, type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedDirectoryError(f"{path}: {error}") from error
    if not 1 <= identity.format <= IDENTITY_FORMAT:
        raise DamagedDirectoryError(f"{path}: format {identity.format} is not known to this version")
    return identity
