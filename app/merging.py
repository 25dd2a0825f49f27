"""Merging: the pieces that partitions give, put together to one page in key order.

    wanted      the Spans to ask for next, of several partitions at once; none when the page is complete
    received    the piece that one of them gave

A page ends before the first key that some partition may still come before. Each is asked for a little more than its
even share of what is missing, so that one round is mostly enough; and for all that is missing, if it alone has more.
"""

import math
from collections.abc import Iterable, Sequence

from app.keyrange import KeyRange
from raftgroups import SPAN_BYTES_MAX, SPAN_KEYS_MAX, Pair, PartitionId, Piece, Span

_SPAN_KEYS_MIN = 16
_SPAN_BYTES_MIN = 4_096


class Merge:
    """One page on its way.

    pairs  the page so far

    Invariant: a partition in `_reached` may have more keys, all beyond the one that it has reached.
    Cost: keeps at most some three pages, and a pair of each partition.
    """

    def __init__(
        self,
        partitions: Iterable[PartitionId],
        keys: KeyRange,
        after: bytes | None,
        *,
        limit: int,
        bytes_max: int,
        keys_only: bool = False,
    ) -> None:
        self.pairs: list[Pair] = []
        self._keys = keys
        self._limit = limit
        self._bytes_max = bytes_max
        self._bytes = 0
        self._keys_only = keys_only
        self._is_full = False
        self._pool: list[Pair] = []
        low, high = keys.bounds(after)
        is_empty = high is not None and high <= low
        self._reached: dict[PartitionId, bytes | None] = {} if is_empty else dict.fromkeys(partitions, after)
        self._is_new = True

    def wanted(self) -> dict[PartitionId, Span]:
        """What to ask each partition for. Called again once all of that has been received."""
        if self._is_new:
            self._is_new = False
            asked: Sequence[PartitionId] = list(self._reached)
        else:
            self._take()
            if self._is_full or not self._reached:
                return {}
            asked = self._first_to_run_out()
        if not asked:
            return {}
        keys = _share(self._limit - len(self.pairs), len(asked))
        size = max(_SPAN_BYTES_MIN, 2 * (self._bytes_max - self._bytes) // len(asked))
        return {partition: self._span(partition, keys, size) for partition in asked}

    def received(self, partition: PartitionId, piece: Piece) -> None:
        self._pool += piece.pairs
        if piece.reached is None:
            del self._reached[partition]
        else:
            self._reached[partition] = piece.reached

    @property
    def after(self) -> bytes | None:
        """The key after which the next page begins; None, if there is none."""
        if not self._is_full or not (self._pool or self._reached):
            return None
        return self.pairs[-1][0]

    def _span(self, partition: PartitionId, keys: int, size: int) -> Span:
        low, high = self._keys.bounds(self._reached[partition])
        limit, bytes_max = min(keys, SPAN_KEYS_MAX), min(size, SPAN_BYTES_MAX)
        return Span(low, high, limit, bytes_max, self._keys_only, self._keys.reverse)

    def _take(self) -> None:
        """Move to the page what no partition can come before any more."""
        reverse = self._keys.reverse
        pool, pairs = self._pool, self.pairs
        pool.sort(reverse=reverse)
        reached = [key for key in self._reached.values() if key is not None]
        assert len(reached) == len(self._reached), "a partition that was asked has reached some key"
        bound = (max(reached) if reverse else min(reached)) if reached else None
        taken = 0
        for key, item in pool:
            if bound is not None and (key < bound if reverse else key > bound):
                break
            size = len(key) + len(item)
            if len(pairs) == self._limit or (pairs and self._bytes + size > self._bytes_max):
                self._is_full = True
                break
            self._bytes += size
            pairs.append((key, item))
            taken += 1
        del pool[:taken]
        if len(pairs) == self._limit or self._bytes >= self._bytes_max:
            self._is_full = True

    def _first_to_run_out(self) -> list[PartitionId]:
        """Those that end before the page would, if it went on with what is there already."""
        room = self._bytes_max - self._bytes
        last: bytes | None = None
        for count, (key, item) in enumerate(self._pool, len(self.pairs) + 1):
            room -= len(key) + len(item)
            if count == self._limit or room <= 0:
                last = key
                break
        if last is None:
            return list(self._reached)
        if self._keys.reverse:
            return [partition for partition, key in self._reached.items() if key is not None and key >= last]
        return [partition for partition, key in self._reached.items() if key is not None and key <= last]


def _share(missing: int, count: int) -> int:
    """How many keys to ask each of `count` for: those that a hash spreads are seldom far off the even share."""
    if count == 1:
        return missing
    share = missing / count
    return max(_SPAN_KEYS_MIN, math.ceil(share + 3 * math.sqrt(share)))
