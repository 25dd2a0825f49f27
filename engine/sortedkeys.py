"""The keys of a memtable in order, as far as anybody has asked for them.

Writers know nothing of it: a memtable is a dict that only grows, so the keys that are new since the
last question are those at its end. They are sorted in when the next question comes, into one of many
short lists, so that a question after a few writes costs about as little as they did.

Source: the list of lists is that of sortedcontainers (Jenks).
"""

import threading
from bisect import bisect_left, bisect_right, insort
from itertools import islice

_CHUNK_KEYS = 1024
_SAMPLES_PER_CHUNK = 16


class SortedKeys:
    """Sorts the keys of a dict that others add to meanwhile, in any number of threads.

    Invariant: the chunks together have the first `count` keys of the dict; none is empty, nor longer
    than a sort may keep other threads waiting.
    """

    __slots__ = ("_chunks", "_last_keys", "_lock", "_records", "count")

    def __init__(self, records: dict[bytes, bytes | None]) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._chunks: list[list[bytes]] = []
        self._last_keys: list[bytes] = []
        self.count = 0

    def update(self) -> None:
        """Take in what was added since last time.

        Cost: 1 us for each new key; once there are more of them than of others 0.4 us for every key.
        """
        if len(self._records) == self.count:
            return
        with self._lock:
            try:
                if len(self._records) > 2 * self.count:
                    self._deal()
                else:
                    self._insert(self._added())
            except BaseException:
                # Whoever is interrupted here leaves nothing half done: it begins anew.
                self._chunks, self._last_keys, self.count = [], [], 0
                raise

    def first(self, start: bytes, end: bytes | None, limit: int) -> list[bytes]:
        """The first keys with start <= key < end: some of them, up to `limit`; none only if there is none."""
        with self._lock:
            if not self.count and self._records:
                self._deal()
            number = bisect_left(self._last_keys, start)
            if number == len(self._chunks):
                return []
            chunk = self._chunks[number]
            low = bisect_left(chunk, start)
            high = min(low + limit, len(chunk))
            if end is not None and chunk[high - 1] >= end:
                high = bisect_left(chunk, end, low, high)
            return chunk[low:high]

    def last(self, start: bytes, end: bytes | None, limit: int) -> list[bytes]:
        """The same from the other end; these are in ascending order, too."""
        with self._lock:
            if not self.count and self._records:
                self._deal()
            number = len(self._chunks) - 1
            if end is not None:
                number = min(bisect_left(self._last_keys, end), number)
                if number >= 0 and self._chunks[number][0] >= end:
                    number -= 1
            if number < 0:
                return []
            chunk = self._chunks[number]
            high = len(chunk) if end is None else bisect_left(chunk, end)
            low = max(high - limit, 0)
            if chunk[low] < start:
                low = bisect_left(chunk, start, low, high)
            return chunk[low:high]

    def _added(self) -> list[bytes]:
        while True:
            count = len(self._records)
            try:
                # One step in C, whatever their number.
                added = list(islice(reversed(self._records), count - self.count))
            except RuntimeError:
                # A key came while the dict was about to be read.
                continue
            if len(self._records) == count:
                return added

    def _deal(self) -> None:
        """Sort them all: dealt out to chunks whose borders are a sorted sample of them."""
        keys = list(self._records)
        sample = sorted(keys[:: _CHUNK_KEYS // _SAMPLES_PER_CHUNK])
        borders = sample[_SAMPLES_PER_CHUNK::_SAMPLES_PER_CHUNK]
        dealt: list[list[bytes]] = [[] for _ in range(len(borders) + 1)]
        for key in keys:
            dealt[bisect_right(borders, key)].append(key)
        for chunk in dealt:
            chunk.sort()
        chunks = [chunk for chunk in dealt if chunk]
        self._chunks, self._last_keys, self.count = chunks, [chunk[-1] for chunk in chunks], len(keys)

    def _insert(self, added: list[bytes]) -> None:
        chunks, last_keys = self._chunks, self._last_keys
        for key in added:
            # What is above all of them goes into the last one.
            number = bisect_left(last_keys, key, 0, len(chunks) - 1)
            chunk = chunks[number]
            insort(chunk, key)
            if len(chunk) > 2 * _CHUNK_KEYS:
                chunks[number : number + 1] = chunk[:_CHUNK_KEYS], chunk[_CHUNK_KEYS:]
                last_keys[number : number + 1] = chunk[_CHUNK_KEYS - 1], chunk[-1]
            else:
                last_keys[number] = chunk[-1]
        self.count += len(added)
