"""Port: what a consensus needs done for it, and the reads that it is given."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from raftgroups.ids import LogIndex, Term
from raftgroups.messages import RaftMessage
from raftgroups.pulse import Contact


class LocalRead(msgspec.Struct, frozen=True, eq=False):
    """A read that waits on this node; `serve` is called when it may be answered, else `abandon`.

    deadline    in loop time, for one that waits for an index
    """

    serve: Callable[[], None]
    abandon: Callable[[], None]
    deadline: float = math.inf


class RemoteRead(msgspec.Struct, frozen=True):
    """Reads that wait on follower `node`, which knows them by `read`."""

    node: str
    read: int


Read = LocalRead | RemoteRead


class Port(Protocol):
    """What a Consensus needs to know, and what it needs done for it."""

    @property
    def is_impaired(self) -> bool:
        """This replica takes no leadership over from one who leads; when nobody does, it stands like any other."""

    @property
    def has_room(self) -> bool:
        """The disk takes entries and votes. Without it what was added to the log last may never be sent to anybody."""

    @property
    def is_slow(self) -> bool:
        """The disk here is much slower than the others': another replica should stand first, if one can."""

    @property
    def may_rest(self) -> bool:
        """Nothing waits here, and nothing has to be looked after."""

    def rest(self, term: Term, index: LogIndex, followers: Sequence[str]) -> bool:
        """This leader sleeps from now on, if it is woken when need be: have `followers` do so."""

    def woke(self) -> None:
        """This replica sleeps no more, and wants to be told of time."""

    def contact(self, peer: str) -> Contact | None:
        """What was heard lately of the replica at `peer`, while both sleep."""

    def met_at(self, peer: str) -> float:
        """When something left for `peer` that it has met for certain, at the latest: so it was there then."""

    def send(self, peer: str, message: RaftMessage, generation: int) -> None:
        """Send once the node log has synced `generation`."""

    def apply(self, index: LogIndex, term: Term, payload: bytes) -> None:
        """The entry is committed."""

    def no_op(self, absence: float | None) -> bytes:
        """The payload of a reign's first entry; there was no leader for so many seconds, None if nobody knows."""

    def due_ms(self) -> int:
        """State-machine time, as the leader that this replica is tells it, if something is due; else 0."""

    def has_told(self, until_ms: int) -> bool:
        """Whether all that was due by `until_ms` has been applied."""

    def may_serve(self, reads: Sequence[LocalRead], index: LogIndex) -> None:
        """Answer `reads` once `index` is applied."""

    def leader_changed(self) -> None:
        """Another leader, or none, is known now."""

    def configured(self) -> None:
        """Another configuration is committed."""

    def removed(self) -> None:
        """The leader says that this node is no member any more, and that this is committed."""

    def snapshot_needed(self, peer: str) -> None:
        """`peer` lacks entries that are no longer in the log."""
