"""Vigil: which groups sleep, and what lets their replicas go on believing each other.

A group in which nothing happens would cost its heartbeats all the same. So it sleeps: its leader sends none, its
followers do not wait for any, and no tick visits it. What heartbeats would have shown the Beats show that each
node sends to each other, once for all groups.

    leader    every follower that it has a link with has all of the log, all of it is committed, and nobody has
              asked for anything for a while: it sends Sleep to each
    follower  if it agrees in term, leader and log it sleeps, and else it sends Awake
    either    whatever happens to it, it wakes, and sends Awake before anything else

A Beat of the leader's node is as good as a heartbeat of each group that sleeps between the two, and a Beat of the
follower's as good as an answer to one. That must be true of the very group and term, so:

- Sleep and Awake are counted on both sides of a link, and a Beat says how many had left before it and how many had
  come. A Beat that does not fit what has come closes the link: something was lost.
- A leader counts a follower's Beats for a group once they say that its Sleep had come. Had the follower refused, its
  Awake would have come before.
- A link that is lost takes everything along: its groups wake on both sides, and a node that starts knows of none.
- Where no Beat comes for a part of the shortest election timeout, all groups that sleep with that peer wake. Their
  last contact was its last Beat, so elections and CheckQuorum come when they would have come.

Source: what TiKV calls hibernating regions and CockroachDB quiescent ranges; the counting is our own.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from raftgroups.ids import LogIndex, PartitionId, Term
from raftgroups.lease import NEVER
from raftgroups.messages import AnyMessage, Awake, Beat, DiskReport, Sleep, VigilMessage
from raftgroups.pulse import Contact, Pulse
from raftgroups.timing import Timing

# Of the shortest election timeout, after which a peer is silent: before any of its groups would have stood.
SILENCE_SHARE = 0.8
# Between two ticks, beyond which this node itself stood still, and what has come meanwhile is not read yet.
STANDSTILL_SECONDS = 0.3
# What a peer told of its disk is believed for so long.
REPORT_SECONDS_MAX = 5.0
_NO_REPORT = DiskReport()


class Sleepers(Protocol):
    """Whose groups sleep, and who carries the messages."""

    def tell(self, peer: str, message: AnyMessage) -> None:
        """Send at the end of this turn, in the order of the calls."""

    def lie_down(self, leader: str, message: Sleep, now: float) -> bool:
        """Have the replica here sleep; says whether it does."""

    def wake(self, group: PartitionId, now: float) -> None:
        """Wake the replica here, which withdraws it, unless it is awake."""

    def distrust(self, peer: str, reason: str) -> None:
        """Close the link."""


class _Pair:
    """This node and a peer, for as long as a link is up.

    led         the groups that this node leads: their term, and the number of their Sleep among all that was told
    followed    the groups that the peer leads, and their term
    """

    def __init__(self, now: float) -> None:
        self.pulse = Pulse()
        self.since = now
        self.told = 0
        self.heard = 0
        self.acknowledged = 0
        self.led: dict[PartitionId, tuple[Term, int]] = {}
        self.followed: dict[PartitionId, Term] = {}

    def sleepers(self) -> list[PartitionId]:
        return [*self.led, *self.followed]

    def heard_at(self) -> float:
        return self.pulse.contact.heard_at if self.pulse.contact is not None else self.since


class Vigil:
    """The groups of a node that sleep, by the peers that they sleep with.

    Invariant: what one side of a link believes asleep the other has slept through, or has told already that it woke.
    """

    def __init__(self, timing: Timing, sleepers: Sleepers) -> None:
        self._timing = timing
        self._sleepers = sleepers
        self._pairs: dict[str, _Pair] = {}
        self._beat_due = 0.0
        self._ticked_at: float | None = None

    # Links and time.

    def link_up(self, peer: str, now: float) -> None:
        self._pairs[peer] = _Pair(now)

    def link_lost(self, peer: str) -> None:
        """After its groups have been told; what they have heard of the peer is gone then."""
        self._pairs.pop(peer, None)

    def tick(self, now: float, disk: DiskReport = _NO_REPORT) -> None:
        """Send Beats when they are due, and see who is silent; `disk` is what is to be told of the one here."""
        stood_still = self._ticked_at is not None and now - self._ticked_at > STANDSTILL_SECONDS
        self._ticked_at = now
        if now >= self._beat_due:
            self._beat_due = now + self._timing.heartbeat_seconds
            promises = self._timing.lease_seconds > 0
            for peer, pair in self._pairs.items():
                beat = pair.pulse.next_beat(now, told=pair.told, heard=pair.heard, promises=promises, disk=disk)
                self._sleepers.tell(peer, beat)
        if not stood_still:
            horizon = now - SILENCE_SHARE * self._timing.election_seconds_min
            for pair in list(self._pairs.values()):
                if (pair.led or pair.followed) and pair.heard_at() < horizon:
                    for group in pair.sleepers():
                        self._sleepers.wake(group, now)

    # What the groups here do.

    def offer(self, group: PartitionId, term: Term, index: LogIndex, followers: Iterable[str]) -> None:
        """A leader here sleeps, and has its followers do so."""
        for peer in followers:
            self._tell(peer, Sleep(group, term, index))
            pair = self._pairs[peer]
            pair.led[group] = (term, pair.told)

    def withdraw(self, group: PartitionId) -> None:
        """A replica here has woken."""
        for peer, pair in self._pairs.items():
            term, _ = pair.led.pop(group, (None, 0))
            term = pair.followed.pop(group, term)
            if term is not None:
                self._tell(peer, Awake(group, term))

    def contact(self, group: PartitionId, peer: str) -> Contact | None:
        """What the newest Beat of `peer` shows of its replica of a group that sleeps here; None: nothing."""
        pair = self._pairs.get(peer)
        if pair is None:
            return None
        is_followed = group in pair.followed
        has_agreed = group in pair.led and pair.led[group][1] <= pair.acknowledged
        return pair.pulse.contact if is_followed or has_agreed else None

    def met_at(self, peer: str) -> float:
        """When the newest message left for `peer` that it had met when what came from it last left there.

        So it is not what was heard of it: that may have been on its way for long, or have waited to be read.
        """
        pair = self._pairs.get(peer)
        if pair is None:
            return NEVER
        contact = pair.pulse.contact
        return pair.since if contact is None else max(pair.since, contact.met_at)

    def disks(self, now: float) -> Mapping[str, DiskReport]:
        """What peers have told of their disks lately."""
        contacts = ((peer, pair.pulse.contact) for peer, pair in self._pairs.items())
        horizon = now - REPORT_SECONDS_MAX
        return {peer: contact.disk for peer, contact in contacts if contact is not None and contact.heard_at > horizon}

    # What peers tell.

    def received(self, peer: str, message: VigilMessage, now: float) -> None:
        pair = self._pairs[peer]
        if isinstance(message, Beat):
            self._on_beat(peer, pair, message, now)
            return
        pair.heard += 1
        group, term = PartitionId(message.group), Term(message.term)
        if isinstance(message, Awake):
            told, _ = pair.led.get(group, (None, 0))
            if term in (told, pair.followed.get(group)):
                self._sleepers.wake(group, now)
        elif self._sleepers.lie_down(peer, message, now):
            pair.followed[group] = term
        else:
            self._tell(peer, Awake(group, term))

    def _on_beat(self, peer: str, pair: _Pair, beat: Beat, now: float) -> None:
        if beat.told != pair.heard or not pair.acknowledged <= beat.heard <= pair.told:
            self._sleepers.distrust(peer, f"{beat.told} messages about sleep were sent, and {pair.heard} have come")
            return
        pair.acknowledged = beat.heard
        pair.pulse.met(beat, now)

    def _tell(self, peer: str, message: Sleep | Awake) -> None:
        self._pairs[peer].told += 1
        self._sleepers.tell(peer, message)
