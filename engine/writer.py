"""Writer: logs what is written, makes it visible, and seals the memtable when it is full.

Between log and memtable nothing may fail unnoticed: a sequence that may be in the log is never given
twice, so any failure but that of a disk known to hold nothing of it closes the engine to writes.
"""

import threading
from errno import EFBIG
from functools import partial

from engine.background import Background
from engine.commitlog import CommitLogWriter
from engine.errors import ClosedError, EngineError, InvalidBatchError, StorageFullError
from engine.options import Options
from engine.ownlog import OwnLog
from engine.record import SequenceNumber, WriteBatch, encode_put
from engine.room import Room, are_frugal
from engine.store import Store
from engine.tree import Tree

# How full a memtable is when its log is synced ahead, so that the sync when it is sealed has little left
# to do, and for how much it is worth it.
_SYNC_AHEAD_SHARE = 0.75
_SYNC_AHEAD_BYTES = 256 << 10
# A memtable that cannot be sealed may become so many times as large, by deletes, and is looked at so often meanwhile.
_GROWTH_MAX = 8
_GROWTH_STEPS = 8


class Writer:
    """The only one who changes the active memtable of an engine.

    lock            held by whoever calls it
    active          the memtable that takes the next write
    written_bytes   of keys and values, since the engine was opened
    is_closed       whether writes are refused, as the engine is closed
    """

    def __init__(
        self,
        options: Options,
        store: Store,
        tree: Tree,
        log: OwnLog | None,
        replayed_bytes: int,
        background: Background,
        room: Room,
    ) -> None:
        """`replayed_bytes` count as written."""
        self.lock = threading.Lock()
        self.active = tree.view.active
        self.written_bytes = replayed_bytes
        self.is_closed = False
        self._store = store
        self._tree = tree
        self._log = log
        self._background = background
        self._room = room
        self._backpressure = room.backpressure
        self._sealed_memtables_max = options.sealed_memtables_max
        self._memtable_bytes_max = options.memtable_bytes_max
        # The size of the active memtable at which something is to be done.
        self._first_milestone_bytes = int(options.memtable_bytes_max * _SYNC_AHEAD_SHARE)
        self._milestone_bytes = self._first_milestone_bytes

    def check(self) -> None:
        """Raises: why no write is taken any more."""
        if self.is_closed:
            raise ClosedError("the engine is closed")
        self._background.check()

    def put(self, key: bytes, value: bytes, sync: bool) -> SequenceNumber | None:
        """`commit` of one value, without batch and lists: 3.4 us where that takes 5.2.

        None, with nothing done, if more is called for: then it is left to `commit`.
        """
        log, active = self._log, self.active
        # All that `commit` looks at.
        if (
            log is None
            or self.is_closed
            or self._background.failure is not None
            or not self._room.is_open
            or self._backpressure.is_slowing
            or active.byte_size >= self._milestone_bytes
        ):
            return None
        # A call of SequenceNumber takes 50 ns, as it is one of Python's.
        sequence: SequenceNumber = active.sequence + 1  # type: ignore[assignment]
        byte_size = len(key) + len(value)
        log_file = log.current
        start = log_file.written
        try:
            # Not by way of `log`: that takes 40 ns more.
            log_file.write_frame(encode_put(sequence, key, value))
            if sync:
                log.sync()
            self.written_bytes += byte_size
            active.put(key, value, byte_size, sequence)
        except StorageFullError as refused:
            # As in `commit`; a put makes no room.
            if refused.number == EFBIG:
                return None
            raise
        except BaseException as error:
            self._cut_short(error, log, (log_file, start), [WriteBatch([(key, value)])], sequence)
            raise
        return sequence

    def _cut_short(
        self,
        error: BaseException,
        log: OwnLog,
        place: tuple[CommitLogWriter, int],
        batches: list[WriteBatch],
        first: SequenceNumber,
    ) -> None:
        """Leave a write that neither disk nor log has refused, as by Ctrl-C, done or undone; else take no more.

        A sequence that may be in the log must not be given twice.
        """
        if isinstance(error, EngineError):
            self._background.fail(error)
            return
        active = self.active = self._tree.view.active
        try:
            if active.sequence >= first or active.byte_size_begun != active.byte_size:
                # It is in the log, and some of it may have been seen.
                for number, batch in enumerate(batches, first):
                    if number > self.active.sequence:
                        self.active = self._tree.apply(batch, SequenceNumber(number))
            elif not log.cut_back(place):
                self._background.fail(error)
        except BaseException as failure:  # noqa: BLE001  # what it was cut short by is raised, and this told
            self._background.fail(failure)

    def commit(self, batches: list[WriteBatch], sync: bool) -> tuple[SequenceNumber, bool]:
        """Log the batches and make them visible: the sequence of the first, and whether a memtable was sealed."""
        if self.is_closed or self._background.failure is not None:
            self.check()
        if not self._room.is_open or self._backpressure.is_slowing:
            try:
                self._room.admit(batches)
            except StorageFullError:
                self.reclaim()
                raise
        is_full = self.active.byte_size >= self._milestone_bytes and self._pass_milestone(batches)
        log = self._log
        assert log is not None, "only an engine with a log commits to it"
        first = SequenceNumber(self.active.sequence + 1)
        log_file, start = log.current, log.current.written
        try:
            try:
                log.write(first, batches)
            except StorageFullError as refused:
                if refused.number == EFBIG and not self.active.is_untouched:
                    # The log alone is as large as a file may be: there may be room in another.
                    self.seal()
                    is_full = True
                    log.write(first, batches)
                else:
                    self._room.once_more(batches, refused, partial(log.write, first, batches))
            if sync:
                log.sync()
            for number, batch in enumerate(batches, first):
                self.written_bytes += batch.byte_size
                self.active = self._tree.apply(batch, SequenceNumber(number))
        except StorageFullError:
            # Nothing of it is in the log, which is as good as before.
            raise
        except BaseException as error:
            self._cut_short(error, log, (log_file, start), batches, first)
            raise
        return first, is_full

    def write_given(self, batch: WriteBatch, sequence: SequenceNumber) -> bool:
        """The same without a log, under a sequence of the caller's; whether a memtable was sealed."""
        if self.is_closed or self._background.failure is not None:
            self.check()
        last = self.active.sequence
        if sequence < last:
            raise InvalidBatchError(f"sequence {sequence} comes after {last}")
        # Between two sequences, never within one: what is flushed is complete.
        is_full = self.active.byte_size >= self._memtable_bytes_max and sequence > last
        if is_full:
            self.seal()
        self.written_bytes += batch.byte_size
        if batch.ranges:
            self.active = self._tree.apply(batch, sequence)
        else:
            # The same, without asking the tree for what is known here: 40 ns of 600.
            self.active.write(batch.records, batch.byte_size, sequence)
        return is_full

    def _pass_milestone(self, batches: list[WriteBatch]) -> bool:
        """Seal the active memtable if it is full, and say so; before that, have most of its log synced."""
        if self.active.byte_size >= self._memtable_bytes_max:
            try:
                self._seal_if_there_is_room()
            except StorageFullError as refused:
                self._seal_for_deletes(batches, refused)
            return True
        self._milestone_bytes = self._memtable_bytes_max
        if self._log is not None and self._log.unsynced_bytes >= _SYNC_AHEAD_BYTES:
            self._background.request_sync()
        return False

    def _seal_if_there_is_room(self) -> None:
        self._room.wait()
        self.seal()

    def _seal_for_deletes(self, batches: list[WriteBatch], refused: StorageFullError) -> None:
        """Let deletes go on though flush and compaction are stuck, as they are what may free them.

        Level 0 may get longer then, and so may the memtable, whose log has to find space for each of them.
        Raises: `refused`, if they are none.
        """
        self._room.is_open = False
        if not are_frugal(batches) or self.active.byte_size >= _GROWTH_MAX * self._memtable_bytes_max:
            raise refused
        if self._may_seal_deletes:
            try:
                try:
                    self.seal()
                except StorageFullError as again:
                    self._room.once_more(batches, again, self.seal)
                return
            except StorageFullError:
                # Not even an empty log: the one there is has to do.
                pass
        self._milestone_bytes = self.active.byte_size + self._memtable_bytes_max // _GROWTH_STEPS

    @property
    def _is_piled_up(self) -> bool:
        return len(self._tree.view.sealed) >= self._sealed_memtables_max

    @property
    def _may_seal_deletes(self) -> bool:
        """Whether another memtable may wait, as with its deletes there is less of the others to be written."""
        return len(self._tree.view.sealed) < self._sealed_memtables_max + _GROWTH_MAX

    def reclaim(self) -> None:
        """Have flush and compaction give back what was deleted, now that space is short; not too often."""
        if self.is_closed or self._background.failure is not None or not self._room.may_reclaim():
            return
        if self._may_seal_deletes and self.active.has_deletes:
            try:
                self.seal()
            except StorageFullError:
                # Compaction may find room for it.
                pass
        self._background.reclaim()

    def seal_for_flush(self) -> None:
        """Let a flush have what is active, unless so much waits for one that it comes later."""
        self.check()
        if not (self.active.is_untouched or self._is_piled_up):
            self.seal()

    def seal(self) -> None:
        """Go on in an empty memtable, and in a log of its own. Raises: StorageError."""
        number = 0
        if self._log is not None:
            number = self._store.next_number()
            try:
                self._log.begin(number)
            except StorageFullError:
                raise
            except EngineError as error:
                # Another interruption leaves one log or the other to go on in.
                self._background.fail(error)
                raise
        try:
            self._tree.seal(number)
        finally:
            # Whatever cuts this short: what is sealed takes no more.
            self.active = self._tree.view.active
        self._milestone_bytes = self._first_milestone_bytes
        if self._log is not None:
            self._room.look()
