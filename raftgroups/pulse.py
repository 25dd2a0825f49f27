"""Pulse: the Beats that this node and a peer exchange over one link, and what they show.

Each Beat names the newest one of the other side, and how long ago that came: so both sides learn the round trip,
and when a Beat of theirs left that the other has met for certain, without an answer to each.
"""

from typing import NamedTuple

from raftgroups.lease import NEVER
from raftgroups.messages import Beat, DiskReport

# Beats whose time of leaving is remembered, for an echo.
ECHOES_MAX = 64
_NO_REPORT = DiskReport()


class Contact(NamedTuple):
    """What the newest Beat shows of who sent it.

    heard_at    when it came
    met_at      when the newest of this node's Beats left that it had met; NEVER, before the first
    promises    as in Beat
    disk        as in Beat
    """

    heard_at: float
    met_at: float
    promises: bool
    disk: DiskReport = _NO_REPORT


class Pulse:
    """One side of a link.

    contact       what the newest Beat shows, None before the first
    round_trip    in seconds, as the newest echo shows; None before the first
    """

    def __init__(self) -> None:
        self.contact: Contact | None = None
        self.round_trip: float | None = None
        self._number = 0
        self._left_at: dict[int, float] = {}
        self._newest = 0

    def next_beat(self, now: float, *, told: int, heard: int, promises: bool, disk: DiskReport = _NO_REPORT) -> Beat:
        """What leaves now."""
        self._number += 1
        self._left_at[self._number] = now
        self._left_at.pop(self._number - ECHOES_MAX, None)
        held = now - self.contact.heard_at if self.contact is not None else 0.0
        return Beat(self._number, self._newest, int(held * 1e6), told, heard, promises, disk)

    def met(self, beat: Beat, now: float) -> None:
        """What came now."""
        left_at = self._left_at.get(beat.echo)
        if left_at is not None:
            self.round_trip = max(0.0, now - left_at - beat.held_us / 1e6)
            # The one that is echoed next may be this one again, and older ones never are.
            for number in [number for number in self._left_at if number < beat.echo]:
                del self._left_at[number]
        before = self.contact.met_at if self.contact is not None else NEVER
        self.contact = Contact(now, before if left_at is None else max(before, left_at), beat.promises, beat.disk)
        self._newest = beat.number
