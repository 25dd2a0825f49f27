"""Runs flush and compaction beside the writer, at most one of each at a time.

What fails here is not lost with its thread: a full disk is remembered, and the job tried again with
the next request; anything else closes the engine to writes.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

from engine.backpressure import Backpressure
from engine.compaction import Compaction, pick, pick_any
from engine.delegate import Delegate, worker_for
from engine.errors import ClosedError, EngineError, StorageError, StorageFullError, refusal
from engine.ingest import place, write_sorted
from engine.jobs import JobStoppedError, Workshop, discard
from engine.options import Options
from engine.overlay import overlay
from engine.pace import Pace
from engine.sstable import SSTableReader
from engine.store import Store
from engine.tree import Tree
from engine.version import Version, VersionEdit
from engine.view import Levels


class Job(Enum):
    """What runs in the background."""

    FLUSH = "flush"
    COMPACT = "compaction"
    INGEST = "ingest"
    SYNC = "sync of the log"


_IN_BACKGROUND = (Job.FLUSH, Job.COMPACT)


@dataclass(slots=True)
class Tally:
    """How often a job has run, and how many bytes of tables it has written."""

    count: int = 0
    byte_size: int = 0


class Background:
    """The jobs of one engine.

    failure        why the engine is closed to writes, None if it is not
    tallies        what has been done since it was opened
    backpressure   how far behind they are
    """

    def __init__(
        self,
        store: Store,
        tree: Tree,
        options: Options,
        executor: Executor,
        sync_log: Callable[[], None],
        drop_logs_before: Callable[[int], None],
        clock_ms: int,
    ) -> None:
        self.failure: EngineError | None = None
        self.tallies = {job: Tally() for job in Job}
        self._store = store
        self._tree = tree
        self._options = options
        self._executor = executor
        self._sync_log = sync_log
        self._drop_logs_before = drop_logs_before
        self._closing = threading.Event()
        pace = Pace(options.compaction_bytes_per_second, time.monotonic, self._closing.wait)
        # Only writes to an own log are held back. Without one nothing follows from the time: it may be simulated.
        clock = time.monotonic if options.own_log else lambda: 0.0
        self.backpressure = Backpressure(options, clock, time.sleep)
        self.backpressure.changed(store.version, by_writes=False)
        self._workshop: Workshop = store.workshop(options, self._check, pace.done)
        # Guards what follows, and is notified of every change to it.
        self._changed = threading.Condition()
        self._running: dict[Job, Future[None] | None] = {}
        self._full: dict[Job, StorageFullError] = {}
        self._wants_one_level = False
        self._clock_ms = clock_ms
        # What may change tables of every level now, so that no compaction may: an ingest, or a flush with ranges.
        self._holder: Job | None = None
        self._ingesting = threading.Lock()
        self._delegate = Delegate(self._workshop, worker_for(self._workshop.file_system, executor, options))

    @property
    def stall_reason(self) -> str:
        """Why a memtable that is full now could not be sealed, "" if it could."""
        view = self._tree.view
        return self.backpressure.stall_reason(len(view.sealed), len(view.levels.level0))

    @property
    def is_full(self) -> bool:
        """Whether a job met a full disk when it last ran; `full` is what it met."""
        return bool(self._full)

    @property
    def full(self) -> StorageFullError | None:
        """What a job met when it last ran, if that was a full disk."""
        return next(iter(self._full.values()), None)

    def request(self) -> None:
        """Start the jobs that are due."""
        with self._changed:
            if self._closing.is_set() or self.failure is not None:
                return
            idle = [job for job in _IN_BACKGROUND if job not in self._running]
            due = [job for job in idle if self._is_due(job)]
            for job in idle:
                # It is tried again now, or there is nothing left to try.
                self._full.pop(job, None)
            for job in due:
                self._running[job] = None
                if self._needs_whole_tree(job):
                    self._holder = job
        for job in due:
            self._submit(job)

    def request_sync(self) -> None:
        """Have the log synced while writes go on."""
        with self._changed:
            if self._closing.is_set() or self.failure is not None or Job.SYNC in self._running:
                return
            self._running[Job.SYNC] = None
        self._submit(Job.SYNC)

    def _submit(self, job: Job) -> None:
        try:
            future = self._executor.submit(self._run, job)
        except RuntimeError as error:
            self._ended(job, EngineError(f"{job.value} cannot run: {error}"))
            return
        with self._changed:
            if job in self._running:
                self._running[job] = future

    def _is_due(self, job: Job) -> bool:
        if job is Job.FLUSH:
            is_free = self._holder is None and Job.COMPACT not in self._running
            return self._tree.oldest_sealed() is not None and (is_free or not self._needs_whole_tree(job))
        return (
            self._holder is None
            and not self._needs_whole_tree(Job.FLUSH)
            and self._pick(self._store.version) is not None
        )

    def _needs_whole_tree(self, job: Job) -> bool:
        memtable = self._tree.oldest_sealed()
        return job is Job.FLUSH and memtable is not None and bool(memtable.ranges)

    def _pick(self, version: Version) -> Compaction | None:
        compaction = pick(version, self._options, self._clock_ms)
        if compaction is None and self._wants_one_level:
            compaction = pick_any(version, self._clock_ms)
            self._wants_one_level = compaction is not None
        return compaction

    def wait_for_flush(self, has_flushed: Callable[[], bool]) -> None:
        """Raises: what keeps the flush from happening."""
        with self._changed:
            self._changed.wait_for(lambda: has_flushed() or self._is_stuck(Job.FLUSH))
            if not has_flushed():
                self._raise_stuck(Job.FLUSH)

    def compact_to_one_level(self) -> None:
        """Raises: what keeps the compaction from happening."""
        with self._changed:
            self._wants_one_level = True
        self.request()
        with self._changed:
            self._changed.wait_for(lambda: not self._wants_one_level or self._is_stuck(Job.COMPACT))
            if self._wants_one_level:
                self._wants_one_level = False
                self._raise_stuck(Job.COMPACT)

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Whether a memtable may be sealed now, or within the timeout."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self.stall_reason or self.failure is not None or bool(self._full), timeout_seconds
            )

    def _is_stuck(self, job: Job) -> bool:
        return self.failure is not None or self._closing.is_set() or job in self._full

    def _raise_stuck(self, job: Job) -> None:
        if self.failure is not None:
            raise refusal(self.failure) from self.failure
        if job in self._full:
            raise self._full[job]
        raise ClosedError("the engine is closed")

    def _run(self, job: Job) -> None:
        try:
            if job is Job.FLUSH:
                self._flush()
            elif job is Job.COMPACT:
                self._compact()
            else:
                self._sync_log()
        except JobStoppedError:
            self._ended(job, None)
        except EngineError as error:
            self._ended(job, error)
        except Exception as error:  # noqa: BLE001  # whatever it is, a writer must hear of it
            self.fail(error)
            self._ended(job, None)
        else:
            self._ended(job, None)
            if job in _IN_BACKGROUND:
                self.request()

    def fail(self, error: BaseException) -> None:
        """Close the engine to writes."""
        if not isinstance(error, EngineError):
            failure = EngineError(f"it was cut short: {error!r}")
            failure.__cause__ = error
            error = failure
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()

    def _ended(self, job: Job, error: EngineError | None) -> None:
        with self._changed:
            self._running.pop(job, None)
            if self._holder is job:
                self._holder = None
            if isinstance(error, StorageFullError):
                self._full[job] = error
            elif error is not None:
                self.failure = self.failure or error
            self._changed.notify_all()
            is_awaited = self._needs_whole_tree(Job.FLUSH)
        if job is Job.COMPACT and is_awaited:
            # It kept that flush from being begun.
            self.request()

    def advance_clock(self, now_ms: int) -> None:
        self._clock_ms = now_ms
        if now_ms >= self._store.version.next_expiry_ms:
            self.request()

    def ingest(self, pairs: Iterable[tuple[bytes, bytes]], flush_older: Callable[[], None]) -> None:
        """Lay sorted pairs over what was written before. Raises: what keeps it from happening."""
        with self._ingesting:
            try:
                tables = write_sorted(self._workshop, pairs)
                if tables:
                    self._lay_over(tables, flush_older)
            except JobStoppedError:
                raise ClosedError("the engine is closed") from None

    def _lay_over(self, tables: list[SSTableReader], flush_older: Callable[[], None]) -> None:
        try:
            flush_older()
            with self._whole_tree():
                store = self._store
                edit, tables = place(self._workshop, tables, *store.tables, self._clock_ms)
                self._install(Job.INGEST, edit, tables, self._tree.publisher())
        except BaseException as error:
            if isinstance(error, StorageError) and not isinstance(error, StorageFullError):
                # The manifest may speak of them.
                self.fail(error)
            else:
                for reader in tables:
                    discard(self._workshop.file_system, reader.path)
            raise

    @contextmanager
    def _whole_tree(self) -> Iterator[None]:
        """No other job changes tables that are there already. Raises: what keeps one of them from ending."""
        with self._changed:
            self._changed.wait_for(lambda: self._holder is None or self._is_stuck(Job.FLUSH))
            if self._holder is not None:
                self._raise_stuck(Job.FLUSH)
            self._holder = Job.INGEST
            self._changed.wait_for(lambda: Job.COMPACT not in self._running)
        try:
            self._check_open()
            yield
        finally:
            with self._changed:
                self._holder = None
                self._changed.notify_all()
            self.request()

    def _flush(self) -> None:
        memtable = self._tree.oldest_sealed()
        assert memtable is not None, "a flush runs only when it is due"
        if memtable.ranges:
            runs, keys = memtable.runs(), memtable.records
            borders = (min(keys), max(keys)) if keys else None
            edit, tables = overlay(
                self._workshop, runs, borders, memtable.ranges, *self._store.tables, self._clock_ms, memtable.sequence
            )
        else:
            tables = self._delegate.flush(memtable)
            edit = VersionEdit(tuple((0, reader.table) for reader in tables))
        edit = replace(edit, flushed_sequence=memtable.sequence, oldest_log=memtable.next_log)
        if not tables:
            # The name of that log must be on disk before a manifest speaks of it; with tables it is.
            self._workshop.file_system.sync_directory(self._workshop.directory)
        self._install(Job.FLUSH, edit, tables, self._tree.publisher(memtable))
        # Last: until the tables are in the manifest the log is all there is.
        self._drop_logs_before(memtable.next_log)

    def _compact(self) -> None:
        # Together: a flush may install its table at any moment.
        version, readers = self._store.tables
        compaction = self._pick(version)
        if compaction is None:
            return
        if compaction.is_move:
            self._install(Job.COMPACT, compaction.edit(compaction.upper), [], self._tree.publisher(is_same=True))
            return
        tables = self._delegate.compact(compaction, version, readers)
        edit = compaction.edit(tuple(reader.table for reader in tables))
        self._install(Job.COMPACT, edit, tables, self._tree.publisher(is_same=True))

    def _install(
        self, job: Job, edit: VersionEdit, tables: list[SSTableReader], publish: Callable[[Levels], None]
    ) -> None:
        try:
            self._store.install(edit, tables, publish)
        except StorageFullError:
            # The manifest is as before, and the space is needed.
            for reader in tables:
                discard(self._workshop.file_system, reader.path)
            raise
        with self._changed:
            self.backpressure.changed(self._store.version, by_writes=job is not Job.INGEST)
        tally = self.tallies[job]
        tally.count += 1
        tally.byte_size += sum(reader.table.byte_size for reader in tables)

    def _check(self) -> None:
        if self._closing.is_set():
            raise JobStoppedError

    def _check_open(self) -> None:
        """Raises: ClosedError, or why the engine is closed to writes."""
        if self.failure is not None or self._closing.is_set():
            self._raise_stuck(Job.INGEST)

    def close(self) -> None:
        """Return once nothing runs any more."""
        with self._changed:
            self._closing.set()
            for job, future in list(self._running.items()):
                # What has not begun need not wait for its turn to end.
                if future is not None and future.cancel():
                    del self._running[job]
            self._changed.notify_all()
        self._delegate.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
        # An ingest finds out by itself, and removes what it made.
        with self._ingesting:
            pass
        self._delegate.close()
