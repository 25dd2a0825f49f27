"""Background: when the jobs of upkeep.py run, beside the writer and each other, at most one of a kind at a time.

What fails here is not lost with its thread: a full disk is remembered, and the job tried again with
the next request; anything else closes the engine to writes.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager

from engine.errors import ClosedError, EngineError, NestedCallError, StorageError, StorageFullError, refusal
from engine.jobs import JobStoppedError
from engine.sstable import SSTableReader
from engine.upkeep import Job, Upkeep

_IN_BACKGROUND = (Job.FLUSH, Job.COMPACT)
_ABANDON_SECONDS_MAX = 10.0


class Background:
    """When the jobs of one engine run.

    failure   why the engine is closed to writes, None if it is not
    """

    def __init__(self, upkeep: Upkeep, executor: Executor) -> None:
        self.failure: EngineError | None = None
        self._upkeep = upkeep
        self._executor = executor
        # Guards what follows, and is notified of every change to it.
        self._changed = threading.Condition()
        self._is_closing = False
        self._running: dict[Job, Future[None] | None] = {}
        self._full: dict[Job, StorageFullError] = {}
        # What may change tables of every level now, so that no compaction may: an ingest, or a flush with ranges.
        self._holder: Job | None = None
        self._ingesting = threading.Lock()
        # The thread that does.
        self._ingester: int | None = None
        # Those that run jobs, and what is to happen after the last of these.
        self._threads: set[int] = set()
        self._then: Callable[[], None] | None = None

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
            if self._is_closing or self.failure is not None:
                return
            idle = [job for job in _IN_BACKGROUND if job not in self._running]
            due = [job for job in idle if self._is_due(job)]
            for job in idle:
                # It is tried again now, or there is nothing left to try.
                self._full.pop(job, None)
            self._begin(due)
            # To look for a compaction may show that none is wanted any more.
            self._changed.notify_all()
        for job in due:
            self._submit(job)

    def _begin(self, due: Iterable[Job]) -> None:
        for job in due:
            self._running[job] = None
            if job is Job.FLUSH and self._upkeep.flush_changes_every_level:
                self._holder = job

    def reclaim(self) -> None:
        """Have compaction go on until what was deleted has given its space back."""
        with self._changed:
            self._upkeep.wants_space = True
        self.request()

    def request_sync(self) -> None:
        """Have the log synced while writes go on."""
        with self._changed:
            if self._is_closing or self.failure is not None or Job.SYNC in self._running:
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
        upkeep = self._upkeep
        if job is Job.FLUSH:
            is_free = self._holder is None and Job.COMPACT not in self._running
            return upkeep.has_flush and (is_free or not upkeep.flush_changes_every_level)
        return self._holder is None and not upkeep.flush_changes_every_level and upkeep.has_compaction

    def wait_for_flush(self, has_flushed: Callable[[], bool]) -> None:
        """Raises: what keeps the flush from happening."""
        with self._changed:
            self._changed.wait_for(lambda: has_flushed() or self._is_stuck(Job.FLUSH))
            if not has_flushed():
                self._raise_stuck(Job.FLUSH)

    def compact_to_one_level(self) -> None:
        """Raises: what keeps the compaction from happening."""
        with self._changed:
            self._upkeep.wants_one_level = True
        self.request()
        with self._changed:
            self._changed.wait_for(lambda: not self._upkeep.wants_one_level or self._is_stuck(Job.COMPACT))
            if self._upkeep.wants_one_level:
                self._upkeep.wants_one_level = False
                self._raise_stuck(Job.COMPACT)

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Whether a memtable may be sealed now, or within the timeout."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._upkeep.stall_reason or self.failure is not None or bool(self._full), timeout_seconds
            )

    def _is_stuck(self, job: Job) -> bool:
        return self.failure is not None or self._is_closing or job in self._full

    def check(self) -> None:
        """Raises: why the engine is closed to writes, if it is."""
        if self.failure is not None:
            raise refusal(self.failure) from self.failure

    def _raise_stuck(self, job: Job) -> None:
        self.check()
        if job in self._full:
            raise self._full[job]
        raise ClosedError("the engine is closed")

    def _run(self, job: Job) -> None:
        self._threads.add(threading.get_ident())
        try:
            self._do(job)
        finally:
            self._threads.discard(threading.get_ident())
        self._end_if_abandoned()

    def _do(self, job: Job) -> None:
        try:
            self._upkeep.run(job)
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
            is_awaited = self._upkeep.flush_changes_every_level
            # A flush that changes every level, and had no room for it, waits for compaction to make some.
            makes_room = (
                is_awaited
                and job is Job.FLUSH
                and job in self._full
                and not self._is_closing
                and Job.COMPACT not in self._running
                and self._upkeep.has_compaction
            )
            if makes_room:
                self._full.pop(Job.COMPACT, None)
                self._begin([Job.COMPACT])
        if makes_room:
            self._submit(Job.COMPACT)
        elif job is Job.COMPACT and is_awaited and (error is None or Job.FLUSH not in self._full):
            # It kept that flush from being begun.
            self.request()

    def advance_clock(self, now_ms: int) -> None:
        if self._upkeep.advance_clock(now_ms):
            self.request()

    def ingest(self, pairs: Iterable[tuple[bytes, bytes]], flush_older: Callable[[], None]) -> None:
        """Lay sorted pairs over what was written before. Raises: what keeps it from happening."""
        self.refuse_nested("ingest")
        with self._ingesting:
            self._ingester = threading.get_ident()
            try:
                tables = self._upkeep.write_sorted(pairs)
                if tables:
                    self._lay_over(tables, flush_older)
            except JobStoppedError:
                raise ClosedError("the engine is closed") from None
            finally:
                self._ingester = None

    def refuse_nested(self, call: str) -> None:
        """Raises: NestedCallError, where it would wait for an ingest of its own thread."""
        if self._ingester == threading.get_ident():
            raise NestedCallError(f"{call} is called by the pairs that an ingest takes; call it before or after")

    def _lay_over(self, tables: list[SSTableReader], flush_older: Callable[[], None]) -> None:
        try:
            flush_older()
            with self._whole_tree():
                edit, tables = self._upkeep.place(tables)
                self._upkeep.install_ingested(edit, tables)
        except BaseException as error:
            if isinstance(error, StorageError) and not isinstance(error, StorageFullError):
                # The manifest may speak of them.
                self.fail(error)
            else:
                self._upkeep.discard(tables)
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

    def _check_open(self) -> None:
        """Raises: ClosedError, or why the engine is closed to writes."""
        if self.failure is not None or self._is_closing:
            self._raise_stuck(Job.INGEST)

    def abandon(self, then: Callable[[], None]) -> None:
        """Have what runs end early, and after that do `then`; which is soon, but perhaps not before this returns.

        Nobody has the engine any more: a garbage collection calls this, in any thread and whatever that one holds.
        """
        self._cancel()
        if threading.get_ident() in self._threads:
            self._upkeep.stop_soon()
        else:
            self._upkeep.stop()
        with self._changed:
            seconds = 0 if threading.get_ident() in self._threads else _ABANDON_SECONDS_MAX
            if not self._changed.wait_for(lambda: not self._running, seconds):
                # Left to the last of the jobs.
                self._then = then
                return
        self._upkeep.close()
        then()

    def _end_if_abandoned(self) -> None:
        with self._changed:
            if self._running or self._then is None:
                return
            then, self._then = self._then, None
        self._upkeep.close()
        then()

    def _cancel(self) -> None:
        with self._changed:
            self._is_closing = True
            for job, future in list(self._running.items()):
                # What has not begun need not wait for its turn to end.
                if future is not None and future.cancel():
                    del self._running[job]
            self._changed.notify_all()

    def close(self) -> None:
        """Return once nothing runs any more."""
        self.refuse_nested("close")
        self._cancel()
        self._upkeep.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
        # An ingest finds out by itself, and removes what it made.
        with self._ingesting:
            pass
        self._upkeep.close()
