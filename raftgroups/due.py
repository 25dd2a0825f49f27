"""Due: what expires next, of one kind, in the order of time.

The index is in the engine (schema.py), where it may be long. Its first part is at hand here, so that an entry which
lets something expire need not look for it behind the tombstones of all that has expired before.
"""

from heapq import heappop, heappush

from raftgroups.schema import Records, due_key, parse_due_key

NEVER = 1 << 62
_AT_HAND = 1024


class Due:
    """The records of one kind in the index, as (expires_ms, name).

    Invariant: at hand are exactly those up to a horizon, so that what is taken follows from the records alone, on a
    replica that has just been opened as on any other.
    """

    def __init__(self, records: Records, kind: bytes) -> None:
        self._records = records
        self._kind = kind
        self._heap: list[tuple[int, bytes]] = []
        self._members: set[tuple[int, bytes]] = set()
        self._horizon: tuple[int, bytes] = (-1, b"")
        self._is_whole = False
        # Added by the entry that is being applied, so that the records do not have them yet.
        self._unwritten: set[tuple[int, bytes]] = set()
        self._refill()

    @property
    def next_ms(self) -> int:
        """When the next one expires; NEVER, if none does."""
        return self._heap[0][0] if self._heap else NEVER

    def add(self, expires_ms: int, name: bytes) -> None:
        """Another record is written, with the entry that is being applied."""
        entry = (expires_ms, name)
        self._unwritten.add(entry)
        self._take_in(entry)

    def _take_in(self, entry: tuple[int, bytes]) -> None:
        if (self._is_whole or entry <= self._horizon) and entry not in self._members:
            self._members.add(entry)
            heappush(self._heap, entry)

    def take(self, clock_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Remove up to `limit` that have expired, the first first; their records are to be deleted."""
        taken: list[tuple[int, bytes]] = []
        while len(taken) < limit and self._heap and self._heap[0][0] <= clock_ms:
            entry = heappop(self._heap)
            self._members.remove(entry)
            self._unwritten.discard(entry)
            taken.append(entry)
            if not self._heap:
                self._refill()
        return taken

    def written(self) -> None:
        """The entry has been applied."""
        self._unwritten.clear()

    def _refill(self) -> None:
        """Bring more at hand, from the horizon on."""
        if self._is_whole:
            return
        expires_ms, name = self._horizon
        start = due_key(self._kind, expires_ms, name) + b"\0" if expires_ms >= 0 else self._kind
        end = bytes((self._kind[0] + 1,))
        found = [parse_due_key(key) for key, _ in self._records.scan(start, end, limit=_AT_HAND)]
        self._is_whole = len(found) < _AT_HAND
        if found:
            self._horizon = found[-1]
        for entry in [*found, *sorted(self._unwritten)]:
            self._take_in(entry)
