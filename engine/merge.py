"""Many sorted runs to one; the newest record of a key wins.

A stream is an iterator of runs that follow each other: forward by ascending keys, backward by
descending ones. A run itself is ascending in both.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from engine.record import Range, Run


class _Head:
    """The run a forward stream is in; from `low` up to `high` it is still to be merged."""

    __slots__ = ("high", "keys", "low", "stream", "values")

    def __init__(self, stream: Iterator[Run]) -> None:
        self.stream = stream
        self.low = self.high = 0
        self.keys: list[bytes] = []
        self.values: list[bytes | None] = []

    def advance(self) -> bool:
        """Make sure there is a record; False at the end of the stream."""
        while self.low == self.high:
            following = next(self.stream, None)
            if following is None:
                return False
            self.keys, self.values = following
            self.low, self.high = 0, len(self.keys)
        return True

    def border(self) -> bytes:
        """The last key up to which all of the stream is in memory."""
        return self.keys[-1]

    def take(self, border: bytes) -> Run:
        """What is left up to a key, that one included."""
        low, self.low = self.low, bisect_right(self.keys, border, self.low)
        return self.keys[low : self.low], self.values[low : self.low]

    def rest(self) -> Run:
        return self.keys[self.low : self.high], self.values[self.low : self.high]


class _BackwardHead(_Head):
    """The same of a backward stream, whose runs are merged from their end."""

    __slots__ = ()

    def border(self) -> bytes:
        return self.keys[0]

    def take(self, border: bytes) -> Run:
        high, self.high = self.high, bisect_left(self.keys, border, 0, self.high)
        return self.keys[self.high : high], self.values[self.high : high]


def merge(streams: Sequence[Iterator[Run]], *, reverse: bool = False) -> Iterator[Run]:
    """Merge streams, all forward or all backward, the stream with the newest records first.

    Cost: per step, work for about the records of the shortest head; sorting and replacing are
    done by dict and sort at C speed, 0.2 us a record.
    """
    heads = [head for head in map(_BackwardHead if reverse else _Head, streams) if head.advance()]
    while len(heads) > 1:
        # Up to here every stream is in memory: no key before it can follow in any of them.
        borders = [head.border() for head in heads]
        border = max(borders) if reverse else min(borders)
        parts = [part for part in [head.take(border) for head in heads] if part[0]]
        if len(parts) == 1:
            yield parts[0]
        else:
            merged: dict[bytes, bytes | None] = {}
            for keys, values in reversed(parts):
                merged.update(zip(keys, values, strict=True))
            keys = sorted(merged)
            yield keys, list(map(merged.__getitem__, keys))
        heads = [head for head in heads if head.advance()]
    for head in heads:
        yield head.rest()
        yield from head.stream


def clip(stream: Iterator[Run], start: bytes, end: bytes | None, *, reverse: bool = False) -> Iterator[Run]:
    """The records with start <= key < end of a stream, which is not read further than that."""
    for keys, values in stream:
        low = bisect_left(keys, start)
        high = len(keys) if end is None else bisect_left(keys, end)
        if low < high:
            yield keys[low:high], values[low:high]
        if low > 0 if reverse else high < len(keys):
            return


def without_ranges(runs: Iterator[Run], ranges: Sequence[Range]) -> Iterator[Run]:
    """The records that no range covers; the ranges are in order, and do not touch."""
    starts = [start for start, _ in ranges]
    for keys, values in runs:
        if not keys:
            continue
        # The one that begins at the first key or before it, and those up to the last key.
        near = ranges[max(bisect_right(starts, keys[0]) - 1, 0) : bisect_right(starts, keys[-1])]
        kept: Run = [], []
        at = 0
        for start, end in near:
            low = bisect_left(keys, start, at)
            kept[0].extend(keys[at:low])
            kept[1].extend(values[at:low])
            at = len(keys) if end is None else bisect_left(keys, end, low)
        if at == 0:
            yield keys, values
        elif kept[0] or at < len(keys):
            yield kept[0] + keys[at:], kept[1] + values[at:]
