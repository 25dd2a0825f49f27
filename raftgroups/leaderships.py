"""Leaderships: who leads which group, and how far it has got, told to those who hold no replica of it.

    to each peer   what this node leads, where the peer is no member: at once when that changes, and again and again
                   how far it has got
    from a peer    the same; of two that lead a group the one of the newer term does

A node that holds a replica knows better by itself. What is told is no part of the protocol: requests are sent by it,
and whoever is asked without being the leader says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.messages import Lead, Leads

# How often all is told that has changed, though the leader has not.
TELL_SECONDS = 0.5
# What a leader told so long ago, and has not confirmed since, says nothing of who leads any more.
BELIEVED_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Leadership:
    """What is known of a group.

    leader    None where that is not known any more
    at        when that was so, in loop time; None, where a replica here has never known of a leader
    """

    leader: str | None
    term: Term
    commit_index: LogIndex
    applied_index: LogIndex
    at: float | None

    def age_ms(self, now: float) -> int | None:
        return int(max(0.0, now - self.at) * 1000) if self.at is not None else None


class Leaderships:
    """What this node has been told by its peers, and has told them.

    lead_for    what a peer is told of a group: nothing, if this node does not lead it, or the peer is a member
    send        takes a message to a peer
    """

    def __init__(
        self,
        partitions: int,
        lead_for: Callable[[PartitionId, str], Lead | None],
        send: Callable[[str, Leads], None],
    ) -> None:
        self._partitions = partitions
        self._lead_for = lead_for
        self._send = send
        self._changed: dict[PartitionId, None] = {}
        self._told: dict[str, dict[PartitionId, Lead]] = {}
        self._known: dict[PartitionId, Leadership] = {}
        self._confirmed_at: dict[str, float] = {}
        self._all_due = 0.0

    # What this node tells.

    def changed(self, partitions: Iterable[PartitionId]) -> None:
        """Something has happened in these groups here."""
        for partition in partitions:
            self._changed[partition] = None

    def link_up(self, peer: str, led: Iterable[PartitionId]) -> None:
        """A peer that knows nothing; these groups are led here."""
        self._told[peer] = {}
        self.changed(led)

    def link_lost(self, peer: str) -> list[PartitionId]:
        """Gives the groups that the peer led."""
        self._told.pop(peer, None)
        self._confirmed_at.pop(peer, None)
        lost = [partition for partition, known in self._known.items() if known.leader == peer]
        for partition in lost:
            self._known[partition] = replace(self._known[partition], leader=None)
        return lost

    def tick(self, now: float) -> None:
        is_all = now >= self._all_due
        for peer, told in self._told.items():
            leads = []
            for partition in self._changed:
                before, lead = told.get(partition), self._lead_for(partition, peer)
                if lead is None:
                    if before is not None:
                        leads.append(Lead(partition, before.term, before.commit, before.applied, has_ended=True))
                        del told[partition]
                elif before is None or lead.term != before.term or (is_all and lead != before):
                    leads.append(lead)
                    told[partition] = lead
            if leads or is_all:
                self._send(peer, Leads(leads, is_all))
        if is_all:
            self._all_due = now + TELL_SECONDS
            self._changed.clear()

    # What peers tell.

    def heard(self, peer: str, message: Leads, now: float) -> list[PartitionId]:
        """Gives the groups that are led by another than was known."""
        news = []
        for lead in message.leads:
            partition = PartitionId(lead.group)
            known = self._known.get(partition)
            if not 0 <= partition < self._partitions or (known is not None and known.term > lead.term):
                continue
            leader = None if lead.has_ended else peer
            if leader is None and (known is None or known.leader != peer):
                continue
            if known is None or known.leader != leader:
                news.append(partition)
            self._known[partition] = Leadership(
                leader, Term(lead.term), LogIndex(lead.commit), LogIndex(lead.applied), now
            )
        if message.is_all:
            self._confirmed_at[peer] = now
        return news

    def of(self, partition: PartitionId, now: float) -> Leadership | None:
        """What is known of a group; None if nothing was ever told."""
        known = self._known.get(partition)
        if known is None or known.leader is None:
            return known
        at = known.at or 0.0
        at = max(at, self._confirmed_at.get(known.leader, at))
        return replace(known, at=at, leader=known.leader if now - at <= BELIEVED_SECONDS else None)
