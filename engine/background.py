"""Background: when the jobs of upkeep.py run, beside the writer and each other, at most one of a kind at a time.

What fails here is not lost with its thread: a full disk is remembered, and the job tried again with
the next request; anything else closes the engine to writes.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future

from engine.errors import ClosedError, EngineError, NestedCallError, StorageFullError, refusal
from engine.ingest import Ingestion
from engine.jobs import JobStoppedError
from engine.upkeep import Job, Upkeep

# An ingest comes first, so that compactions do not keep it waiting for ever.
_IN_BACKGROUND = (Job.INGEST, Job.FLUSH, Job.COMPACT)
_ABANDON_SECONDS_MAX = 10.0


class _Turn:
    """A job that is to run, or does.

    future    None, until the executor has taken it
    is_begun  whether it runs; a turn that was taken back before that does nothing
    """

    __slots__ = ("future", "is_begun", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.future: Future[None] | None = None
        self.is_begun = False


class Background:
    """When the jobs of one engine run.

    An interrupt, as by Ctrl-C, may end any call of its caller's at any place. It never ends a job, and of one
    that has not begun nothing is left.

    failure   why the engine is closed to writes, None if it is not
    """

    def __init__(self, upkeep: Upkeep, executor: Executor) -> None:
        self.failure: EngineError | None = None
        self._upkeep = upkeep
        self._executor = executor
        # Guards what follows. Entered by itself, as an interrupt could come between the two steps in which the
        # condition does that.
        self._guard = threading.RLock()
        # Notified of every change to what follows.
        self._changed = threading.Condition(self._guard)
        self._is_closing = False
        self._running: dict[Job, _Turn] = {}
        self._full: dict[Job, StorageFullError] = {}
        # What may change tables of every level now, so that no compaction may: an ingest, or a flush with ranges.
        self._holder: Job | None = None
        self._ingesting = threading.Lock()
        self._ingestion: Ingestion | None = None
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
        turns: list[_Turn] = []
        try:
            with self._guard:
                if self._is_closing or self.failure is not None:
                    return
                for job in _IN_BACKGROUND:
                    if job not in self._running:
                        # It is tried again now, or there is nothing left to try.
                        self._full.pop(job, None)
                        if self._is_due(job):
                            self._begin(job, turns)
                # To look for a compaction may show that none is wanted any more.
                self._changed.notify_all()
            for turn in turns:
                self._submit(turn)
        except BaseException:
            self._take_back(turns)
            raise

    def _begin(self, job: Job, turns: list[_Turn]) -> None:
        turn = _Turn(job)
        turns.append(turn)
        self._running[job] = turn
        if job is Job.INGEST:
            assert self._ingestion is not None, "an ingest is due only if there is one"
            self._ingestion.older = self._upkeep.tables
        if job is Job.INGEST or (job is Job.FLUSH and self._upkeep.flush_changes_every_level):
            self._holder = job

    def _take_back(self, turns: Iterable[_Turn]) -> None:
        """Forget those that nothing is known to run, or to be going to; the next request gives them again."""
        with self._guard:
            for turn in turns:
                if self._running.get(turn.job) is turn and not turn.is_begun and turn.future is None:
                    self._leave(turn.job)

    def _leave(self, job: Job) -> None:
        self._running.pop(job, None)
        if self._holder is job:
            self._holder = None
        self._changed.notify_all()

    def reclaim(self) -> None:
        """Have compaction go on until what was deleted has given its space back."""
        with self._guard:
            self._upkeep.wants_space = True
        self.request()

    def request_sync(self) -> None:
        """Have the log synced while writes go on."""
        turns: list[_Turn] = []
        try:
            with self._guard:
                if self._is_closing or self.failure is not None or Job.SYNC in self._running:
                    return
                self._begin(Job.SYNC, turns)
            self._submit(turns[0])
        except BaseException:
            self._take_back(turns)
            raise

    def _submit(self, turn: _Turn) -> None:
        try:
            future = self._executor.submit(self._run, turn)
        except RuntimeError as error:
            self._ended(turn.job, EngineError(f"{turn.job.value} cannot run: {error}"))
            return
        turn.future = future

    def _is_due(self, job: Job) -> bool:
        upkeep = self._upkeep
        is_free = self._holder is None and Job.COMPACT not in self._running
        if job is Job.INGEST:
            return self._ingestion is not None and is_free
        if job is Job.FLUSH:
            return upkeep.has_flush and (is_free or not upkeep.flush_changes_every_level)
        is_awaited = self._ingestion is not None or upkeep.flush_changes_every_level
        return self._holder is None and not is_awaited and upkeep.has_compaction

    def wait_for_flush(self, has_flushed: Callable[[], bool]) -> None:
        """Raises: what keeps the flush from happening."""
        with self._guard:
            self._changed.wait_for(lambda: has_flushed() or self._is_stuck(Job.FLUSH))
            if not has_flushed():
                self._raise_stuck(Job.FLUSH)

    def compact_to_one_level(self) -> None:
        """Raises: what keeps the compaction from happening."""
        with self._guard:
            self._upkeep.wants_one_level = True
        self.request()
        with self._guard:
            self._changed.wait_for(lambda: not self._upkeep.wants_one_level or self._is_stuck(Job.COMPACT))
            if self._upkeep.wants_one_level:
                self._upkeep.wants_one_level = False
                self._raise_stuck(Job.COMPACT)

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Whether a memtable may be sealed now, or within the timeout."""
        if self._upkeep.stall_reason:
            # Whoever sealed the last one may have been interrupted before it could.
            self.request()
        with self._guard:
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
            full = self._full[job]
            raise StorageFullError(full.path, full.number, full.reason)
        raise ClosedError("the engine is closed")

    def _run(self, turn: _Turn) -> None:
        with self._guard:
            if self._running.get(turn.job) is not turn:
                return
            turn.is_begun = True
        self._threads.add(threading.get_ident())
        try:
            self._do(turn.job)
        finally:
            self._threads.discard(threading.get_ident())
        self._end_if_abandoned()

    def _do(self, job: Job) -> None:
        if job is Job.INGEST:
            self._lay_over()
            return
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
        with self._guard:
            self.failure = self.failure or error
            self._changed.notify_all()

    def _ended(self, job: Job, error: EngineError | None) -> None:
        with self._guard:
            self._leave(job)
            if isinstance(error, StorageFullError):
                # Without the frames that it came through: they hold tables, whose space is wanted.
                self._full[job] = error.with_traceback(None)
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
            turns: list[_Turn] = []
            if makes_room:
                self._full.pop(Job.COMPACT, None)
                self._begin(Job.COMPACT, turns)
            # An ingest, or that flush, which it has kept from being begun.
            is_next = self._ingestion is not None or (
                job is Job.COMPACT and is_awaited and (error is None or Job.FLUSH not in self._full)
            )
        if makes_room:
            self._submit(turns[0])
        elif is_next:
            self.request()

    def advance_clock(self, now_ms: int) -> None:
        if self._upkeep.advance_clock(now_ms):
            self.request()

    def ingest(self, pairs: Iterable[tuple[bytes, bytes]], flush_older: Callable[[], None]) -> None:
        """Lay sorted pairs over what was written before. Raises: what keeps it from happening."""
        self.refuse_nested("ingest")
        with self._ingesting:
            ingestion = Ingestion()
            try:
                self._ingester = threading.get_ident()
                ingestion.tables = self._upkeep.write_sorted(pairs)
                if ingestion.tables:
                    flush_older()
                    self._wait_for(ingestion)
            except JobStoppedError:
                raise ClosedError("the engine is closed") from None
            finally:
                self._ingester = None
                if self._is_withdrawn(ingestion):
                    self._upkeep.discard(ingestion.tables)

    def _wait_for(self, ingestion: Ingestion) -> None:
        """Have it laid over by a job, which no interrupt ends. Raises: what keeps it from happening."""
        with self._guard:
            # One that its caller was interrupted in may be on its way.
            self._changed.wait_for(lambda: self._ingestion is None or self._is_stuck(Job.INGEST))
            self._check_open()
            self._ingestion = ingestion
        self.request()
        with self._guard:
            self._changed.wait_for(
                lambda: ingestion.is_done or (Job.INGEST not in self._running and self._is_stuck(Job.INGEST))
            )
            if not ingestion.is_done:
                self._check_open()
        if ingestion.error is not None:
            raise ingestion.error

    def _is_withdrawn(self, ingestion: Ingestion) -> bool:
        """Whether no job has it, nor will."""
        with self._guard:
            if ingestion.is_done or (self._ingestion is ingestion and Job.INGEST in self._running):
                return False
            if self._ingestion is ingestion:
                self._ingestion = None
            return True

    def _lay_over(self) -> None:
        ingestion = self._ingestion
        assert ingestion is not None, "nobody withdraws what runs"
        try:
            self._upkeep.lay_over(ingestion)
        except Exception as error:  # noqa: BLE001  # whatever it is, who asked for it must hear of it
            ingestion.error = error
            if ingestion.may_be_known:
                self.fail(error)
        with self._guard:
            ingestion.is_done = True
            self._ingestion = None
        self._ended(Job.INGEST, None)
        self.request()

    def refuse_nested(self, call: str) -> None:
        """Raises: NestedCallError, where it would wait for an ingest of its own thread."""
        if self._ingester == threading.get_ident():
            raise NestedCallError(f"{call} is called by the pairs that an ingest takes; call it before or after")

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
        with self._guard:
            seconds = 0 if threading.get_ident() in self._threads else _ABANDON_SECONDS_MAX
            if not self._changed.wait_for(lambda: not self._running, seconds):
                # Left to the last of the jobs.
                self._then = then
                return
        self._upkeep.close()
        then()

    def _end_if_abandoned(self) -> None:
        with self._guard:
            if self._running or self._then is None:
                return
            then, self._then = self._then, None
        self._upkeep.close()
        then()

    def _cancel(self) -> None:
        with self._guard:
            self._is_closing = True
            for job, turn in list(self._running.items()):
                # What has not begun need not wait for its turn to end.
                if not turn.is_begun:
                    if turn.future is not None:
                        turn.future.cancel()
                    del self._running[job]
            self._changed.notify_all()

    def close(self) -> None:
        """Return once nothing runs any more."""
        self.refuse_nested("close")
        self._cancel()
        self._upkeep.stop()
        with self._guard:
            self._changed.wait_for(lambda: not self._running)
        # An ingest finds out by itself, and removes what it made.
        with self._ingesting:
            pass
        self._upkeep.close()
