"""What a node tells about the cluster: the answers of /v1/cluster, /v1/locate and /v1/partitions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node. `http`, `zone` and `pid` are what it last told; `status` is "up" or "down" as seen from here."""

    name: str
    http: str
    peer: str
    zone: str
    status: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition: as its replica here sees it, or as its leader told this node, which holds none.

    replicas  the voters: the nodes whose majority decides
    learners  nodes that are being filled before they vote
    target    what the voters shall be; equal to `replicas`, in any order, when nothing is to be done
    term, commit_index, applied_index   of the replica here, or of the leader; 0 where nobody has told yet
    age_ms    how long ago that was so, 0 for a leader here; None where nobody has told yet
    """

    id: int
    leader: str | None
    replicas: tuple[str, ...]
    learners: tuple[str, ...]
    target: tuple[str, ...]
    term: int
    commit_index: int
    applied_index: int
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class Replicas:
    """Who holds a partition, and who shall, as in PartitionView."""

    partition: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The whole cluster, as seen from one node.

    replication_factor   how many nodes are to hold each partition
    """

    cluster_id: str
    epoch: int
    replication_factor: int
    nodes: tuple[NodeView, ...]
    partitions: tuple[PartitionView, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """Where a key lives; term and age as in PartitionView."""

    partition: int
    replicas: tuple[str, ...]
    leader: str | None
    term: int
    age_ms: int | None
