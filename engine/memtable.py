"""The newest records, in memory: a hash table, sorted when it is read in order.

A put is a dict update at C speed, and most gets end here. The price, the order of the keys, is paid
by the first scan, or when it is flushed.
"""

from collections.abc import Iterator, Sequence
from weakref import ref

from engine.record import Range, Run, SequenceNumber, WriteBatch, is_covered
from engine.sortedkeys import SortedKeys

# What a key and its value cost beyond their bytes: two objects, a slot, their share of growth.
RECORD_BYTES = 180
_FIRST_RUN_RECORDS = 16
_RUN_RECORDS = 1024
_PASSED_RECORDS_MAX = 1 << 16


class Memtable:
    """Records of consecutive writes.

    byte_size        memory the writes took; one that replaced another counts, too
    byte_size_begun  what it will be after the write that is going on; the same if none is
    first_sequence   of the last write before these
    sequence         of the last of these, also of an empty one
    next_log         once these records are in a table, logs before this one are not needed
    ranges           whatever is older than this memtable is deleted in them; its own records are not
    """

    __slots__ = (
        "__weakref__", "_copy", "_keys", "byte_size", "byte_size_begun", "first_sequence", "next_log", "ranges",
        "records",
        "sequence",
    )  # fmt: skip

    def __init__(self, sequence: SequenceNumber, records: dict[bytes, bytes | None] | None = None) -> None:
        """`sequence` is that of the last write before."""
        self.records = {} if records is None else records
        self.byte_size = self.byte_size_begun = 0
        self._copy: ref[Memtable] | None = None
        self._keys = SortedKeys(self.records)
        self.sequence = self.first_sequence = sequence
        self.next_log = 0
        self.ranges: tuple[Range, ...] = ()

    @property
    def is_untouched(self) -> bool:
        return not self.records and self.sequence == self.first_sequence

    @property
    def has_deletes(self) -> bool:
        """Whether it may free what is in tables. Cost: a look at every record, in C."""
        return bool(self.ranges) or None in self.records.values()

    def after(self, batch: WriteBatch, sequence: SequenceNumber) -> "Memtable":
        """A copy in which a batch with ranges is written: readers change over to it in one step."""
        kept = {key: value for key, value in self.records.items() if not is_covered(key, batch.ranges)}
        copy = Memtable(self.first_sequence, kept)
        copy.ranges = _joined(self.ranges + batch.ranges)
        copy.byte_size = copy.byte_size_begun = self.byte_size + RECORD_BYTES * len(batch.ranges)
        copy.write(batch.records, batch.byte_size, sequence)
        return copy

    def write(self, records: dict[bytes, bytes | None], byte_size: int, sequence: SequenceNumber) -> None:
        """Invariant: readers see all of the records or none, as dict.update runs no other thread."""
        # The sizes before and after let `copy` tell whether it came between records and sequence.
        size = self.byte_size_begun = self.byte_size + byte_size + RECORD_BYTES * len(records)
        self.records.update(records)
        self.sequence = sequence
        self.byte_size = size

    def put(self, key: bytes, value: bytes, byte_size: int, sequence: SequenceNumber) -> None:
        """Write a single record."""
        size = self.byte_size_begun = self.byte_size + byte_size + RECORD_BYTES
        self.records[key] = value
        self.sequence = sequence
        self.byte_size = size

    def copy(self) -> "Memtable | None":
        """One with the records of now, that nobody writes to; None while a write is halfway in.

        Cost: 10 ns a record; none if the last copy is still in use and nothing was written since.
        """
        size = self.byte_size
        if self.byte_size_begun != size:
            return None
        copied = self._copy() if self._copy else None
        if copied is None or copied.byte_size != size or copied.sequence != self.sequence:
            copied = self._copied()
            copied.sequence = self.sequence
            copied.byte_size = copied.byte_size_begun = size
        if self.byte_size_begun != size:
            return None
        self._copy = ref(copied)
        return copied

    def settle(self) -> None:
        """End a write that was cut short; only its writer, or whoever keeps writers out, can know that."""
        self.byte_size = self.byte_size_begun

    def _copied(self) -> "Memtable":
        copied = Memtable(self.first_sequence, self.records.copy())
        copied.ranges = self.ranges
        # These may come to have more keys than the copy has.
        copied._keys = self._keys
        # It will do for a copy of itself.
        copied._copy = ref(copied)
        return copied

    def runs(self, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False) -> Iterator[Run]:
        """The records with start <= key < end, if nobody writes any more; with `reverse` the last run first.

        Runs begin short and grow, for those who need only a few.
        """
        self._keys.update()
        limit = _FIRST_RUN_RECORDS
        while keys := self._some(start, end, limit, reverse):
            if reverse:
                end = keys[0]
            else:
                start = keys[-1] + b"\0"
            yield self._with_values(keys)
            limit = min(4 * limit, _RUN_RECORDS)

    def runs_now(
        self, start: bytes, end: bytes | None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Run]:
        """The same as of this call while others write, up to at least `limit` values.

        Cost: a copy of the hash table, unless there are few records or the limit is small.
        """
        # This may take long, and is of use whatever is written meanwhile.
        self._keys.update()
        few = self._few(start, end, reverse, _RUN_RECORDS if limit is None else limit)
        if few is not None:
            return iter(few)
        # A copy that falls into a write has all of its records or none: here that is enough.
        return (self.copy() or self._copied()).runs(start, end, reverse=reverse)

    def has_only_deletes(self, start: bytes, end: bytes) -> bool:
        """Whether there is no record but tombstones with start <= key < end. Cost: 30 ns for each of them."""
        self._keys.update()
        while keys := self._some(start, end, _RUN_RECORDS, False):
            values = self._with_values(keys)[1]
            if values.count(None) < len(values):
                return False
            start = keys[-1] + b"\0"
        return True

    def _few(self, start: bytes, end: bytes | None, reverse: bool, limit: int) -> list[Run] | None:
        """What is asked for, None if it is much, or something was written while it was put together."""
        size = self.byte_size
        self._keys.update()
        runs: list[Run] = []
        taken = 0
        # Whoever wants a few values only passes tombstones quickly, without a copy of them all.
        taken_max = _RUN_RECORDS if limit >= _RUN_RECORDS else _PASSED_RECORDS_MAX
        step = min(max(limit, _FIRST_RUN_RECORDS), _RUN_RECORDS)
        while limit > 0 and (keys := self._some(start, end, step, reverse)):
            if reverse:
                end = keys[0]
            else:
                start = keys[-1] + b"\0"
            taken += len(keys)
            if taken >= taken_max:
                return None
            step = min(4 * step, _RUN_RECORDS)
            run = self._with_values(keys)
            runs.append(run)
            # Those without an end are certain to be seen, whatever the clock says.
            limit -= list(map(type, run[1])).count(bytes)
        return runs if self.byte_size_begun == size else None

    def _some(self, start: bytes, end: bytes | None, limit: int, reverse: bool) -> list[bytes]:
        return self._keys.last(start, end, limit) if reverse else self._keys.first(start, end, limit)

    def _with_values(self, keys: list[bytes]) -> Run:
        if self._keys.count > len(self.records):
            keys = list(filter(self.records.__contains__, keys))
        return keys, list(map(self.records.__getitem__, keys))


def joined(memtables: Sequence[Memtable]) -> Memtable:
    """What sealed memtables come to, the newest of which is first."""
    newest, oldest = memtables[0], memtables[-1]
    records: dict[bytes, bytes | None] = {}
    ranges: tuple[Range, ...] = ()
    for memtable in reversed(memtables):
        if memtable.ranges:
            records = {key: value for key, value in records.items() if not is_covered(key, memtable.ranges)}
            ranges = _joined(ranges + memtable.ranges)
        records.update(memtable.records)
    made = Memtable(oldest.first_sequence, records)
    made.ranges = ranges
    made.byte_size = made.byte_size_begun = sum(memtable.byte_size for memtable in memtables)
    made.sequence, made.next_log = newest.sequence, newest.next_log
    return made


def _joined(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The same ranges, in order, and those that touch as one."""
    joined: list[Range] = []
    for start, end in sorted(ranges, key=lambda deleted: deleted[0]):
        if joined and (joined[-1][1] is None or start <= joined[-1][1]):
            before, last = joined[-1]
            joined[-1] = before, None if last is None or end is None else max(last, end)
        else:
            joined.append((start, end))
    return tuple(joined)
