"""Feeds over a list: everything is told at once, and kept until the test says otherwise."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.feeds import Seat, Watcher
from app.matching import Pattern
from raftgroups import Change, PartitionId, Position, Told


@dataclass
class FakeFeeds:
    """What has changed, by partition.

    horizon       entries of which nothing is known any more
    is_confirming whether anybody finds out that the history reaches back so far
    """

    history: dict[int, list[Told]] = field(default_factory=dict)
    seats: dict[Seat, None] = field(default_factory=dict)
    horizon: int = 0
    is_confirming: bool = True

    def open(self, watcher: Watcher, partition: int, pattern: Pattern, start: Position) -> Seat:
        seat = Seat(watcher, PartitionId(partition), pattern, start)
        self.seats[seat] = None
        if self.is_confirming:
            asyncio.get_running_loop().call_soon(self._begin, seat)
        return seat

    def close(self, seat: Seat) -> None:
        self.seats.pop(seat, None)

    def resume(self, seats: Iterable[Seat]) -> None:
        for seat in seats:
            asyncio.get_running_loop().call_soon(self._tell, seat)

    def change(self, partition: int, entry: int, changes: list[Change]) -> None:
        """An entry has been applied."""
        last = len(changes) - 1
        places = [(entry, place + 1) if place < last else (entry + 1, 0) for place in range(len(changes))]
        told = [Told(*place, change) for place, change in zip(places, changes, strict=True)]
        self.history.setdefault(partition, []).extend(told)
        for seat in list(self.seats):
            self._tell(seat)

    def forget(self) -> None:
        """Whoever reads on from anywhere is too late."""
        self.horizon = 1 << 40
        for seat in list(self.seats):
            self._begin(seat)

    def _begin(self, seat: Seat) -> None:
        if seat.start.entry <= self.horizon:
            self.close(seat)
            seat.watcher.gone(seat, Position(self.horizon + 1))
            return
        seat.watcher.confirmed(seat)
        self._tell(seat)

    def _tell(self, seat: Seat) -> None:
        for told in self.history.get(seat.partition, ()):
            if told.position > seat.start and not seat.watcher.is_full:
                if seat.pattern.matches(told.change.key):
                    seat.watcher.told(seat, told)
                seat.start = told.position
