"""Ledger of watches: what the short ids of their events stand for, on every node.

A position in each of many partitions makes a long id. So a stream has a segment: a base, which is such a position,
and the places of the events that were told since. A short id names a segment and how many of its places have been
told. The partitions of which nothing was told since are where they were, or where that makes no difference.

Who tells an event notes its place first, here and with all peers, in the same turn: a client may go on at any node
that has heard of it, when the one that it came from is gone. A peer that comes back is told all there is.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.watchid import decode_body, decode_places, encode_place
from raftgroups import Position, WatchNote

NAME_BYTES = 6
# What is kept: some hundred thousand events.
KEPT_BYTES_MAX = 8 << 20
_SEGMENT_BYTES = 400


@dataclass(slots=True)
class Segment:
    """One segment.

    base     the positions of all partitions, as the body of an id
    places   partition and position after each event that was told
    """

    base: bytes
    places: bytearray = field(default_factory=bytearray)
    count: int = 0


class Ledger:
    """The segments that this node knows: of its own watches, and of its peers'.

    peers  the nodes that can be told now
    """

    def __init__(self, peers: Callable[[], Iterable[str]], send: Callable[[str, WatchNote], None]) -> None:
        self._peers = peers
        self._send = send
        self._informed: set[str] = set()
        self._segments: OrderedDict[bytes, Segment] = OrderedDict()
        self._size = 0
        self._unsent: dict[bytes, int] = {}

    def begin(self, base: bytes) -> bytes:
        """A new segment, by its name."""
        name = secrets.token_bytes(NAME_BYTES)
        self._keep(name, Segment(base))
        self._unsent[name] = 0
        self._send_soon()
        return name

    def add(self, name: bytes, partition: int, position: Position) -> int:
        """Note the place of an event that is about to be told; gives how many the segment has now."""
        segment = self._segments.get(name)
        if segment is None:  # others have pushed it out: what it stands for is not known any more
            return 0
        if name not in self._unsent:
            self._unsent[name] = len(segment.places)
            self._send_soon()
        place = encode_place(partition, position)
        segment.places += place
        segment.count += 1
        self._size += len(place)
        return segment.count

    def find(self, name: bytes, count: int) -> dict[int, Position] | None:
        """The position in each partition after so many events of a segment; None, if that is not known here."""
        segment = self._segments.get(name)
        places = decode_places(bytes(segment.places)) if segment is not None else []
        positions = decode_body(segment.base) if segment is not None else None
        if positions is None or count > len(places):
            return None
        for partition, position in places[:count]:
            positions[partition] = position
        return positions

    def noted(self, note: WatchNote) -> None:
        """A peer tells of a segment, or more of it."""
        segment = self._segments.get(note.segment)
        if segment is None:
            if note.base:
                self._keep(note.segment, Segment(note.base, bytearray(note.places)))
        elif note.offset <= len(segment.places):
            more = note.places[len(segment.places) - note.offset :]
            segment.places += more
            self._size += len(more)

    def tick(self) -> None:
        """Tell peers that have just come up of all there is."""
        up = set(self._peers())
        for peer in sorted(up - self._informed):
            for name, segment in self._segments.items():
                self._send(peer, WatchNote(0, 0, name, segment.base, 0, bytes(segment.places)))
        self._informed = up

    def peer_lost(self, peer: str) -> None:
        """It may have missed something."""
        self._informed.discard(peer)

    def _keep(self, name: bytes, segment: Segment) -> None:
        self._segments[name] = segment
        self._size += _SEGMENT_BYTES + len(segment.base) + len(segment.places)
        while self._size > KEPT_BYTES_MAX and len(self._segments) > 1:
            _, oldest = self._segments.popitem(last=False)
            self._size -= _SEGMENT_BYTES + len(oldest.base) + len(oldest.places)

    def _send_soon(self) -> None:
        if len(self._unsent) == 1:
            asyncio.get_running_loop().call_soon(self._send_unsent)

    def _send_unsent(self) -> None:
        unsent, self._unsent = self._unsent, {}
        for name, offset in unsent.items():
            segment = self._segments.get(name)
            if segment is None:
                continue
            base = b"" if offset else segment.base
            note = WatchNote(0, 0, name, base, offset, bytes(segment.places[offset:]))
            for peer in sorted(self._informed.intersection(self._peers())):
                self._send(peer, note)
