"""The newest records, in memory: a hash table, sorted when it is read in order.

A put is a dict update at C speed, and most gets end here. The price is paid once per memtable,
when it is flushed, and by each scan.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from weakref import ref

from engine.record import Range, Run, SequenceNumber, WriteBatch, is_covered

# What a key and its value cost beyond their bytes: two objects, a slot, their share of growth.
_RECORD_BYTES = 180
_RUN_RECORDS = 1024
_SAMPLES_PER_RUN = 16


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
        "__weakref__", "_copy", "byte_size", "byte_size_begun", "first_sequence", "next_log", "ranges", "records",
        "sequence",
    )  # fmt: skip

    def __init__(self, sequence: SequenceNumber) -> None:
        """`sequence` is that of the last write before."""
        self.records: dict[bytes, bytes | None] = {}
        self.byte_size = self.byte_size_begun = 0
        self._copy: ref[Memtable] | None = None
        self.sequence = self.first_sequence = sequence
        self.next_log = 0
        self.ranges: tuple[Range, ...] = ()

    @property
    def is_untouched(self) -> bool:
        return not self.records and self.sequence == self.first_sequence

    def after(self, batch: WriteBatch, sequence: SequenceNumber) -> "Memtable":
        """A copy in which a batch with ranges is written: readers change over to it in one step."""
        copy = Memtable(self.first_sequence)
        copy.ranges = _joined(self.ranges + batch.ranges)
        copy.records = {key: value for key, value in self.records.items() if not is_covered(key, batch.ranges)}
        copy.byte_size = copy.byte_size_begun = self.byte_size + _RECORD_BYTES * len(batch.ranges)
        copy.write(batch.records, batch.byte_size, sequence)
        return copy

    def write(self, records: dict[bytes, bytes | None], byte_size: int, sequence: SequenceNumber) -> None:
        """Invariant: readers see all of the records or none, as dict.update runs no other thread."""
        # The sizes before and after let `copy` tell whether it came between records and sequence.
        size = self.byte_size_begun = self.byte_size + byte_size + _RECORD_BYTES * len(records)
        self.records.update(records)
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
            copied = Memtable(self.first_sequence)
            copied.records = self.records.copy()
            copied.ranges = self.ranges
            copied.sequence = self.sequence
            copied.byte_size = copied.byte_size_begun = size
        if self.byte_size_begun != size:
            return None
        self._copy = ref(copied)
        return copied

    def settle(self) -> None:
        """End a write that was cut short; only its writer, or whoever keeps writers out, can know that."""
        self.byte_size = self.byte_size_begun


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


def sorted_runs(records: Mapping[bytes, bytes | None], *, reverse: bool = False) -> Iterator[Run]:
    """All records in the order of their keys, in runs of bounded length; with `reverse` the last run first.

    Cost: no step runs for long without giving other threads a turn, as one large sort would:
    keys are first dealt out to runs whose borders are a sorted sample of them.
    """
    keys = list(records)
    if len(keys) <= 2 * _RUN_RECORDS:
        runs = [keys]
    else:
        sample = sorted(keys[:: _RUN_RECORDS // _SAMPLES_PER_RUN])
        borders = sample[_SAMPLES_PER_RUN::_SAMPLES_PER_RUN]
        runs = [[] for _ in range(len(borders) + 1)]
        for key in keys:
            runs[bisect_right(borders, key)].append(key)
    value_of = records.__getitem__
    for run in reversed(runs) if reverse else runs:
        if run:
            run.sort()
            yield run, list(map(value_of, run))


def records_between(
    records: Mapping[bytes, bytes | None], start: bytes, end: bytes | None
) -> Mapping[bytes, bytes | None]:
    """Those with start <= key < end."""
    if end is None:
        return records if not start else {key: records[key] for key in records if key >= start}
    return {key: records[key] for key in records if start <= key < end}
