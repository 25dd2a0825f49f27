"""Whereabouts: what this node knows of who holds and who leads each partition, and whom to ask."""

from app.requests import Request
from app.views import ClusterView, Location, NodeView, PartitionView, Replicas
from raftgroups import Host, PartitionId, RaftGroup


class Whereabouts:
    """Replicas move and leaderships change at run time: nothing of it is kept but hints.

    Who leads what is not held here its leader tells again and again. A hint, of somebody who was asked and does not
    lead, may be newer: it is where to ask next.

    Invariant: a hint counts only as long as the placement under which it came.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._name = host.name
        self._topology = host.topology
        self._groups = host.groups
        self._transport = host.transport
        self._hints: dict[PartitionId, tuple[str, int]] = {}
        self._silent: set[str] = set()
        self.partition_of = self._topology.ring.partition_of

    def replica(self, partition: PartitionId) -> RaftGroup | None:
        """The replica here, if it may answer: one that has stopped or is still learning may not."""
        group = self._groups.get(partition)
        if group is None or group.failure is not None or not (group.is_voter or group.is_leader):
            return None
        return None if group.leader is None and self._is_gone(group) else group

    def leader_of(self, partition: PartitionId) -> str | None:
        """The leader, as far as this node knows."""
        group = self.replica(partition)
        if group is not None:
            return group.leader
        names = (self._told(partition), self._hint(partition))
        return next((name for name in names if name is not None and self._transport.is_up(name)), None)

    def learn(self, partition: PartitionId, leader: str) -> None:
        """Somebody said, or showed, who leads."""
        self._hints[partition] = (leader, self._host.placement_of(partition).index)

    def target(self, request: Request) -> str | None:
        """The peer to ask: the leader as far as known; without a replica here, any that may know or answer."""
        partition, refused_by, is_up = request.partition, request.refused_by, self._transport.is_up
        group = self.replica(partition)
        leaders = (group.leader,) if group is not None else (self._told(partition), self._hint(partition))
        for leader in leaders:
            is_doubtful = group is None and leader in self._silent
            if leader is not None and leader not in refused_by and is_up(leader) and not is_doubtful:
                return leader
        if group is not None and not self._is_gone(group) and (request.may_apply or self._name not in refused_by):
            return None  # the replica here will know the next leader as soon as any
        names = (*leaders, *self._host.placement_of(partition).voters)
        able = [name for name in names if name and name != self._name and name not in refused_by and is_up(name)]
        return min(able, key=self._silent.__contains__, default=None)

    def doubt(self, peer: str) -> None:
        """A request expired at this peer, which may be stopped: it is asked last until it says something."""
        self._silent.add(peer)

    def trust(self, peer: str) -> None:
        self._silent.discard(peer)

    def away(self, partition: PartitionId) -> list[str]:
        """The voters to which there is no link from here, or that said nothing to what they were asked last."""
        voters = [name for name in self._host.placement_of(partition).voters if name != self._name]
        return [name for name in voters if not self._transport.is_up(name) or name in self._silent]

    def _is_gone(self, group: RaftGroup) -> bool:
        """Whether the group goes on without this node, and its replica here has yet to be told."""
        placement = self._host.placement_of(group.partition)
        if self._name in placement.voters or self._name in placement.learners:
            return False
        return placement.index > group.consensus.committed_configuration[0]

    # What the doors show.

    def leaderless(self) -> int:
        """Of how many partitions, held here or not, this node knows no leader."""
        return sum(self.leader_of(PartitionId(number)) is None for number in range(self._topology.partitions))

    def locate(self, key: bytes) -> Location:
        partition = self.partition_of(key)
        known = self._view_partition(partition)
        return Location(partition, known.replicas, known.leader, known.term, known.age_ms)

    def replicas(self, partition: PartitionId) -> Replicas:
        placement = self._host.placement_of(partition)
        return Replicas(partition, placement.voters, placement.learners, placement.target or placement.voters)

    def unready(self) -> list[str]:
        """Why this node should get no traffic; empty when it should. A replica that still learns gets none anyway."""
        reasons = ["this node is draining"] if self._host.is_draining else []
        reasons += [f"node {name} refuses this node: {why}" for name, why in self._transport.refusals.items()]
        leaderless = [
            f"partition {partition} has no known leader"
            for partition, group in self._groups.items()
            if group.failure is None and group.leader is None and group.is_voter
        ]
        if leaderless:
            reasons += self._transport.complaints()
        for partition, group in self._groups.items():
            if group.failure is not None:
                reasons.append(f"the replica of partition {partition} stopped: {group.failure}")
        return reasons + leaderless

    def warnings(self) -> list[str]:
        """Which peers this node has no link with, and why, where that is no reason to send it nothing."""
        return [] if self.unready() else self._transport.complaints()

    def cluster(self) -> ClusterView:
        topology = self._topology
        return ClusterView(
            topology.cluster_id,
            topology.epoch,
            topology.replication_factor,
            tuple(self._view_node(member.name, member.peer, member.zone) for member in topology.members),
            tuple(self._view_partition(PartitionId(number)) for number in range(topology.partitions)),
        )

    def _view_node(self, name: str, peer: str, zone: str) -> NodeView:
        if name == self._name:
            options = self._host.options
            return NodeView(name, options.http, peer, options.zone or zone, "up", options.pid)
        link = self._transport.peers[name]
        status = "up" if link.link is not None else "down"
        if link.info is None:
            return NodeView(name, "", link.address, zone, status, None)
        return NodeView(name, link.info.http, link.address, link.info.zone or zone, status, link.info.pid)

    def _view_partition(self, partition: PartitionId) -> PartitionView:
        replicas = self.replicas(partition)
        makeup = (replicas.voters, replicas.learners, replicas.target)
        known = self._host.leadership_of(partition)
        if known is None:
            return PartitionView(partition, self.leader_of(partition), *makeup, 0, 0, 0, None)
        leader = known.leader or self.leader_of(partition)
        numbers = (known.term, known.commit_index, known.applied_index)
        return PartitionView(partition, leader, *makeup, *numbers, known.age_ms(self._host.now()))

    def _told(self, partition: PartitionId) -> str | None:
        """Who leads what is not held here, as its leader has told."""
        known = self._host.leadership_of(partition)
        return known.leader if known is not None else None

    def _hint(self, partition: PartitionId) -> str | None:
        found = self._hints.get(partition)
        if found is None:
            return None
        leader, index = found
        if index != self._host.placement_of(partition).index:
            del self._hints[partition]
            return None
        return leader
