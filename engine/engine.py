"""The engine: a directory as an ordered map from keys to values.

    write   own log, if any -> active memtable -> at its bound: sealed -> flush -> level 0 -> compaction
    get     active memtable -> sealed ones -> level 0, newest first -> one table per deeper level

With a log of its own a write is durable before it is visible, and `open` replays what no table holds.
Without one the caller keeps the log: it gives each write its sequence, and after a crash repeats all
writes after `applied_sequence`.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

from engine.background import Background
from engine.bounds import check_limit, intersect
from engine.cache import BlockCache
from engine.errors import ForeignDirectoryError, InvalidBatchError, ReadOnlyError
from engine.files import RESERVE, FileSystem, OsFileSystem, StrOrBytesPath, join, text_path
from engine.forks import FORKED, register
from engine.inline import InlineExecutor
from engine.memtable import Memtable
from engine.options import Options
from engine.ownlog import OwnLog, check_batch
from engine.record import (
    ABSENT,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Expiring,
    SequenceNumber,
    WriteBatch,
    check_key,
    check_value,
    unless_expired,
)
from engine.recovery import recover, recover_to_read
from engine.refusal import Refusal
from engine.reserve import Reserve
from engine.room import Room
from engine.shutdown import Shutdown
from engine.snapshot import Snapshot
from engine.stats import CacheStats, LevelStats, Stats
from engine.store import Store
from engine.tree import Tree
from engine.upkeep import Job, Upkeep
from engine.view import Levels
from engine.writequeue import GROUP_BYTES_MAX, WriteQueue
from engine.writer import Writer

_HALFWAY_SECONDS = 0.001


class Engine:
    """An open store. Reads may come from any thread; so may writes, if it keeps its own log.

    Raises, from every write after a failed one: the error of the failure again, as then nobody
    knows what the disk holds. Reads go on.
    """

    def __init__(
        self,
        file_system: FileSystem,
        directory: str,
        options: Options,
        cache: BlockCache | None,
        executor: Executor,
        owned_executor: Executor | None,
        *,
        read_only: bool,
    ) -> None:
        """Use `open`."""
        self._options = options
        self._owned_cache: BlockCache | None = None
        if cache is None:
            cache = self._owned_cache = BlockCache(options.cache_bytes_max, holds_indexes=options.cache_indexes)
        self._file_system = file_system
        self._snapshots: set[int] = set()
        self._log: OwnLog | None = None
        self._store = Store(file_system, directory, cache, options.manifest_bytes_max, read_only=read_only)
        try:
            version, readers = self._store.tables
            self._clock_ms = version.clock_ms
            path = join(directory, RESERVE)
            own_log = options.own_log and not read_only
            reserve = Reserve(file_system, path, options.reserve_bytes if own_log else 0)
            reserve.hold()
            active = Memtable(version.flushed_sequence)
            self._tree = Tree(active, Levels(version, readers), options.row_cache_bytes_max)
            replayed_bytes = 0
            if read_only:
                if version.oldest_log:
                    recover_to_read(file_system, directory, self._store, self._tree, options.memtable_bytes_max)
            elif own_log:
                self._log, replayed_bytes = recover(
                    file_system, directory, self._store, self._tree, options.memtable_bytes_max
                )
            elif version.oldest_log:
                raise ForeignDirectoryError(directory, "it keeps its own log, and was opened as if it did not")
            self._upkeep = Upkeep(self._store, self._tree, options, executor, self._log, self._clock_ms, reserve)
        except BaseException:
            if self._log is not None:
                self._log.release()
            self._store.close()
            raise
        self._background = Background(self._upkeep, executor)
        if read_only:
            self._background.fail(ReadOnlyError(f"{directory} was opened to be read only; open it to be written"))
        self._shutdown = Shutdown(file_system, self._store, self._tree, self._log, self._background, owned_executor)
        self._backpressure = self._upkeep.backpressure
        room = Room(directory, reserve, self._upkeep, self._background, options.stall_seconds_max, monotonic)
        self._writer = Writer(options, self._store, self._tree, self._log, replayed_bytes, self._background, room)
        if self._log is not None:
            room.look()
        self._write_lock = self._writer.lock
        self._queue = WriteQueue(self._write_lock, self._writer.commit, self._background.request)
        self._waiting = self._queue.waiting
        register(self)
        self._background.request()

    @classmethod
    def open(
        cls,
        path: StrOrBytesPath,
        options: Options | None = None,
        *,
        read_only: bool = False,
        file_system: FileSystem | None = None,
        cache: BlockCache | None = None,
        executor: Executor | None = None,
    ) -> "Engine":
        """Open the store in a directory, which is created if need be.

        The directory is the one that has this path now, whatever becomes of its name or of the working directory.
        A cache and an executor may be shared by many engines; without them it makes its own. In a process that is
        forked off every use but `close` is a ClosedError: it may open stores of its own, with an executor of its own.
        One that is never closed gives the directory back when it is collected.

        read_only   write nothing at all, so that it may be where nobody can write: what is not flushed is replayed in
                    memory, every write is a ReadOnlyError, and `own_log` does not matter. Any number of readers
                    may have it open, but none together with a writer: whoever comes second gets a LockedError.
                    Where there is no LOCK, as in a copy, nothing keeps a writer from coming later

        Raises: LockedError, ForeignDirectoryError, CorruptionError, StorageError.
        """
        options = options or Options()
        held, directory = (file_system or OsFileSystem()).hold(
            text_path(path), create=not read_only, open_files_max=options.open_files_max
        )
        owned: Executor | None = None
        if read_only:
            executor = InlineExecutor()
        elif not executor:
            owned = ThreadPoolExecutor(max_workers=2, thread_name_prefix="engine")
        used = executor or owned
        assert used is not None, "there is one or the other"
        try:
            return cls(held, directory, options, cache, used, owned, read_only=read_only)
        except BaseException:
            if owned:
                owned.shutdown()
            held.release()
            raise

    # Reading

    def get(self, key: bytes, *, wait: bool = True) -> bytes | None:
        """The newest value of a key, None if there is none.

        Raises: WouldBlockError, if not `wait` and the answer is not in memory; CorruptionError.
        """
        view = self._tree.view
        value = view.records.get(key, ABSENT)
        if value.__class__ is bytes:
            return value
        if value is ABSENT:
            rows = view.rows
            value = rows.young.get(key, ABSENT)
            if value is ABSENT:
                value = view.find(key, wait)
            else:
                rows.hits += 1
        return unless_expired(value, self._clock_ms) if value.__class__ is Expiring else value

    def multi_get(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of many keys, all as of one moment unless a write comes between."""
        return self._tree.view.multi_get(keys, self._clock_ms)

    def scan(
        self,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        prefix: bytes = b"",
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys from `start` up to, not including, `end` in order, with their values as of this call.

        prefix    only keys that begin with it
        reverse   the last key first; `start` and `end` mean the same
        limit     no more than so many

        Cost: of a short scan in memory 30 us, and 1 us for every key that came since the last one. Where
        the active memtable has more than a thousand records within the bounds, and the limit is no
        smaller, its hash table is copied. Tables are read as the iterator advances, each in spans of 128 KiB.
        Raises: InvalidKeyError, InvalidLimitError, ClosedError; CorruptionError, as the iterator advances.
        """
        start, end = intersect(start, end, prefix)
        check_limit(limit)
        return self._tree.view.scan(start, end, reverse=reverse, limit=limit, clock_ms=self._clock_ms)

    def snapshot(self) -> Snapshot:
        """The store as it is now, to be read while writes go on; close it, or use it in a `with`.

        It comes between two calls of `write`. Cost: see Snapshot. Raises: ClosedError.
        """
        while True:
            view = self._tree.view
            frozen = view.frozen()
            if frozen is not None:
                return Snapshot(frozen, self._snapshots, self._clock_ms)
            # A write is halfway in, and soon done; or it was cut short, which shows once nobody writes.
            if self._write_lock.locked():
                sleep(_HALFWAY_SECONDS)
                continue
            with self._write_lock:
                view.active.settle()

    # Writing

    def write(self, batch: WriteBatch, *, sequence: SequenceNumber | None = None, sync: bool = True) -> SequenceNumber:
        """Apply a batch, all or nothing, and return its sequence.

        sequence    given exactly if the engine keeps no log; never falling. A batch that repeats the
                    one before belongs to the same write: a flush must not be asked for in between.
        sync        with an own log: be on disk before returning. Without sync a batch survives the
                    process, but not always the machine, and then no later one either.

        With an own log it waits for flush and compaction if they are behind, and raises StallError
        after Options.stall_seconds_max; without one it never waits: see `is_stalled`.
        """
        if self._log is not None:
            if sequence is not None:
                raise InvalidBatchError("an engine with its own log gives the sequence itself")
            if batch.byte_size > GROUP_BYTES_MAX:
                check_batch(batch)
            if self._waiting or self._write_lock.locked():
                return self._queue.write(batch, sync)
            # Nobody else is writing, so there is no group to join: that saves a third of the time. By `with`, as an
            # interrupt may come between any two calls.
            with self._write_lock:
                given, is_full = self._writer.commit([batch], sync)
            if is_full:
                self._background.request()
            return given
        if sequence is None:
            self._writer.check()
            raise InvalidBatchError("an engine without a log needs to be given the sequence")
        with self._write_lock:
            is_full = self._writer.write_given(batch, sequence)
        if is_full:
            self._background.request()
        return sequence

    def put(self, key: bytes, value: bytes, *, sync: bool = True) -> SequenceNumber:
        """Store one value, and return its sequence: `write` with a batch of one, in two thirds of the time.

        Only for an engine with its own log. Raises: InvalidKeyError, InvalidValueError; what `write` does.
        """
        if key.__class__ is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            check_key(key)
        if value.__class__ is not bytes or len(value) > VALUE_BYTES_MAX:
            check_value(value)
        if not self._waiting and not self._write_lock.locked():
            with self._write_lock:
                sequence = self._writer.put(key, value, sync)
            if sequence is not None:
                return sequence
        batch = WriteBatch()
        batch.put(key, value)
        return self.write(batch, sync=sync)

    def ingest(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Store many pairs in the ascending order of their keys, all or nothing, past log and memtable.

        They replace what was written before this call; on disk, and visible, once it returns.
        Cost: of memory, one table's index and filter. The pairs are asked for in the caller's thread.
        Raises: InvalidBatchError, if a key does not follow the one before; InvalidKeyError,
        InvalidValueError; StorageError, with nothing stored unless it closes the engine to writes: then it may be.
        """
        self._writer.check()
        self._background.ingest(pairs, self.flush)

    # Time

    @property
    def clock_ms(self) -> int:
        """What expires at this time, or did before it, is not there any more."""
        assert self._tree.view is not None, "in a child of a fork this is refused, as all else"
        return self._clock_ms

    def advance_clock(self, now_ms: int) -> None:
        """Let time pass: the engine reads no clock of its own, and this one never goes back.

        A store that is opened again has the time at which it last dropped what had expired, or an earlier one.
        """
        advance = self._background.advance_clock
        if now_ms > self._clock_ms:
            self._clock_ms = now_ms
            advance(now_ms)

    # Upkeep

    @property
    def applied_sequence(self) -> SequenceNumber:
        """Of the last write; right after opening without a log, `flushed_sequence`."""
        return self._writer.active.sequence

    @property
    def flushed_sequence(self) -> SequenceNumber:
        """Every write up to it is in tables and manifest, and needs no log any more."""
        return self._store.version.flushed_sequence

    @property
    def is_stalled(self) -> bool:
        """Whether flush or compaction is so far behind that the caller should write less."""
        return bool(self._upkeep.stall_reason) or self.is_full

    @property
    def stall_reason(self) -> str:
        """Why, "" if it is not."""
        full = self._background.full
        return self._upkeep.stall_reason or (str(full) if full else "")

    @property
    def is_full(self) -> bool:
        """Whether a flush or compaction found no room on the disk; `retry` it once in a while."""
        return self._background.is_full

    def retry(self) -> None:
        """Start again, in the background, what a full disk has stopped, and look for what deletes have freed."""
        with self._write_lock:
            self._writer.reclaim()
        self._background.request()

    @property
    def unflushed_bytes(self) -> int:
        """About what tables of all that is in memtables would take."""
        return self._upkeep.unflushed_bytes

    @property
    def headroom_bytes(self) -> int:
        """Of free disk space: with less of it, what is deleted might find no room to be removed."""
        return self._upkeep.headroom_bytes

    def request_flush(self) -> None:
        """Let everything written so far go to tables in the background.

        Where only empty batches were written it costs one edit of the manifest.
        """
        with self._write_lock:
            self._writer.seal_for_flush()
        self._background.request()

    def flush(self) -> None:
        """Return once everything written before is in tables and manifest."""
        target = self.applied_sequence
        self.request_flush()
        self._background.wait_for_flush(self._is_sealed_flushed)
        while self.flushed_sequence < target:
            # There were too many sealed memtables to seal this one as well.
            self.request_flush()
            self._background.wait_for_flush(self._is_sealed_flushed)

    def _is_sealed_flushed(self) -> bool:
        return self.flushed_sequence >= self._tree.sealed_sequence

    def compact(self) -> None:
        """Flush, and merge all tables into one level: what was deleted or replaced takes no space any more."""
        self.flush()
        self._background.compact_to_one_level()

    def checkpoint(self, directory: StrOrBytesPath) -> SequenceNumber:
        """Make a copy of the store in a new or empty directory, which opens as an engine.

        Returns the sequence up to which it has every write, at least the last one before this call.
        The directory must be on the same file system. Cost: a flush of what is in memtables, on two busy cores
        1.3 s for 64 MiB; after that a hard link per table and a few syncs, 40 ms with 3 tables and with 25.
        """
        self._writer.check()
        # Now, not after the flush: the working directory may be another by then.
        held, path = self._file_system.hold(text_path(directory))
        held.release()
        self.flush()
        return self._store.checkpoint(path)

    def stats(self) -> Stats:
        """What there is, and has been done. Cost: a look at every cached block, 1 ms for 64 MiB of them."""
        view = self._tree.view
        version = self._store.version
        background, upkeep, rows = self._background, self._upkeep, self._tree.rows
        backpressure = self._backpressure
        flushes, compactions = upkeep.tallies[Job.FLUSH], upkeep.tallies[Job.COMPACT]
        return Stats(
            applied_sequence=self.applied_sequence,
            flushed_sequence=version.flushed_sequence,
            memtable_bytes=sum(memtable.byte_size for memtable in (view.active, *view.sealed)),
            memtable_records=sum(len(memtable.records) for memtable in (view.active, *view.sealed)),
            sealed_memtables=len(view.sealed),
            levels=tuple(
                LevelStats(
                    len(tables),
                    sum(table.byte_size for table in tables),
                    sum(table.records for table in tables),
                    sum(table.tombstones for table in tables),
                )
                for tables in version.levels
            ),
            written_bytes=self._writer.written_bytes,
            logged_bytes=self._log.byte_size if self._log is not None else 0,
            flushes=flushes.count,
            flushed_bytes=flushes.byte_size,
            compactions=compactions.count,
            compacted_bytes=compactions.byte_size,
            ingested_bytes=upkeep.tallies[Job.INGEST].byte_size,
            row_cache=CacheStats(rows.byte_size, self._options.row_cache_bytes_max, rows.hits, rows.misses),
            block_cache=self._owned_cache.stats() if self._owned_cache is not None else None,
            lookups=self._tree.lookups,
            snapshots=len(self._snapshots),
            stalls=backpressure.stalls,
            stalled_seconds=backpressure.stalled_seconds,
            slowdowns=backpressure.slowdowns,
            slowed_seconds=backpressure.slowed_seconds,
            debt_bytes=backpressure.debt_bytes,
            pressure=backpressure.pressure,
            is_stalled=self.is_stalled,
            stall_reason=self.stall_reason,
            failure=str(background.failure or ""),
        )

    def close(self) -> None:
        """End every job, make the log durable, close every file, and let others open the directory.

        Nothing is flushed: the log has it. Snapshots, and scans that were begun before, may be read to their end:
        they keep what they need, memtables and descriptors of tables; see Snapshot. Closing it twice is no mistake.
        Raises: NestedCallError, from what an ingest takes its pairs from.
        """
        if self._shutdown.is_done:
            return
        self._background.refuse_nested("close")
        with self._write_lock:
            self._writer.is_closed = True
        self._shutdown.finish()

    def forget(self) -> None:
        """In the child of a fork, as forks.Owner has it: nothing of the parent's is touched any more."""
        self._shutdown.is_done = True
        part: Any = Refusal(f"the engine: {FORKED}")
        self._background = self._backpressure = self._file_system = self._queue = part
        if self._log is not None:
            self._log = part
        self._store = self._tree = part
        self._upkeep = self._waiting = self._write_lock = self._writer = part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        shutdown = getattr(self, "_shutdown", None)
        if shutdown is not None:
            shutdown.abandon()
