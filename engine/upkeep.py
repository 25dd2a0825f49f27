"""Upkeep: what each job in the background does, to tables, manifest and log.

A job takes what it finds when it begins, and shows what it has made in one step. When it may run,
and beside which others, is for background.py to say.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from engine.backpressure import Backpressure
from engine.compaction import Compaction, pick, pick_any, pick_freeing, pick_level0
from engine.delegate import Delegate, worker_for
from engine.errors import StorageError, StorageFullError
from engine.files import Space
from engine.headroom import fits, headroom_bytes, is_enough, needed_bytes, smaller
from engine.ingest import Ingestion, place, write_sorted
from engine.jobs import JobStoppedError, Workshop, discard
from engine.memtable import RECORD_BYTES, Memtable, joined
from engine.options import Options
from engine.overlay import is_touched, overlay, trim
from engine.ownlog import OwnLog
from engine.pace import Pace
from engine.reserve import Reserve
from engine.sstable import SSTableReader
from engine.store import Store
from engine.tree import Tree
from engine.version import Version, VersionEdit
from engine.view import Levels

# Of the compactions for which there should be room, so many are tried.
_FITTING_MAX = 2


class Job(Enum):
    """What runs in the background."""

    FLUSH = "flush"
    COMPACT = "compaction"
    INGEST = "ingest"
    SYNC = "sync of the log"


@dataclass(slots=True)
class Tally:
    """How often a job has run, and how many bytes of tables it has written."""

    count: int = 0
    byte_size: int = 0


class Upkeep:
    """The jobs of one engine.

    tallies           what has been done since it was opened
    backpressure      how far behind they are
    wants_one_level   whether compaction goes on until all tables are in one level; it takes the wish back then
    wants_space       whether it goes on until no tombstone hides anything; the same
    clock_ms          what expires at this time, or did before it, is dropped
    """

    def __init__(
        self,
        store: Store,
        tree: Tree,
        options: Options,
        executor: Executor,
        log: OwnLog | None,
        clock_ms: int,
        reserve: Reserve,
    ) -> None:
        """`executor` is where the jobs will run: see `worker_for`."""
        self.tallies = {job: Tally() for job in Job}
        self.wants_one_level = self.wants_space = False
        self.clock_ms = clock_ms
        self._store = store
        self._tree = tree
        self._options = options
        self._log = log
        self._reserve = reserve
        self._stopping = threading.Event()
        # Whether a flush that deletes ranges has found too little room for level 0 to be merged as well.
        self._awaits_level0 = False
        pace = Pace(options.compaction_bytes_per_second, time.monotonic, self._stopping.wait)
        # Only writes to an own log are held back. Without one nothing follows from the time: it may be simulated.
        clock = time.monotonic if options.own_log else lambda: 0.0
        self.backpressure = Backpressure(options, clock, time.sleep)
        self.backpressure.changed(store.version, by_writes=False)
        # Held while it is told of new tables: a flush and a compaction may end together.
        self._telling = threading.Lock()
        self._workshop: Workshop = store.workshop(options, self._check, pace.done)
        self._delegate = Delegate(self._workshop, worker_for(self._workshop.file_system, executor, options))

    @property
    def stall_reason(self) -> str:
        """Why a memtable that is full now could not be sealed, "" if it could."""
        view = self._tree.view
        return self.backpressure.stall_reason(len(view.sealed), len(view.levels.level0))

    @property
    def has_flush(self) -> bool:
        """Whether there is something to flush."""
        return self._tree.oldest_sealed() is not None

    @property
    def flush_changes_every_level(self) -> bool:
        """Whether that deletes ranges, which takes tables apart that are there already."""
        memtable = self._tree.oldest_sealed()
        return memtable is not None and bool(memtable.ranges)

    @property
    def has_compaction(self) -> bool:
        """Whether there is something to compact."""
        return self._pick(self._store.version) is not None

    def advance_clock(self, now_ms: int) -> bool:
        """Let time pass; says whether a table has so much that expires meanwhile that it is compacted for it."""
        self.clock_ms = now_ms
        return now_ms >= self._store.version.next_expiry_ms

    def _pick(self, version: Version) -> Compaction | None:
        compaction = pick(version, self._options, self.clock_ms)
        if compaction is None and self.wants_one_level:
            compaction = pick_any(version, self.clock_ms)
            self.wants_one_level = compaction is not None
        if compaction is None and self._awaits_level0:
            compaction = pick_level0(version, self.clock_ms)
        if compaction is None and self.wants_space:
            compaction = pick_freeing(version, self.clock_ms)
            self.wants_space = compaction is not None
        return compaction

    # Room on the disk.

    @property
    def unflushed_bytes(self) -> int:
        """About what tables of all that is in memtables would take."""
        view = self._tree.view
        return sum(map(_bytes_in, (view.active, *view.sealed)))

    @property
    def headroom_bytes(self) -> int:
        """What should be free for flush, compaction and deletes: see headroom.py."""
        view = self._tree.view
        memtable_bytes = max(map(_bytes_in, (view.active, *view.sealed)))
        return headroom_bytes(self._store.version, self._options, memtable_bytes)

    @property
    def has_headroom(self) -> bool:
        """Whether so much is free."""
        return is_enough(self._space(), self.headroom_bytes)

    def _space(self) -> Space | None:
        return self._workshop.file_system.space(self._workshop.directory)

    def run(self, job: Job) -> None:
        """Do a job of those that need nothing to be given. Raises: JobStoppedError, once it is to `stop`."""
        if job is Job.FLUSH:
            self._flush()
        elif job is Job.COMPACT:
            self._compact()
        else:
            assert job is Job.SYNC and self._log is not None, "an ingest needs its pairs, and a sync a log"
            self._log.sync_ahead()

    def _flush(self) -> None:
        memtable = self._tree.oldest_sealed()
        assert memtable is not None, "a flush runs only when it is due"
        attempts = [lambda: self._flush_into_tables(memtable, [memtable])]
        sealed = self._tree.view.sealed
        if len(sealed) > 1:
            # Deletes that came later may leave less to be written.
            attempts.append(lambda: self._flush_into_tables(joined(sealed), sealed))
        self._first_that_fits(attempts)

    def _first_that_fits(self, attempts: Sequence[Callable[[], None]]) -> None:
        """Make the first of several attempts that the disk has room for, the last of them in the space of the reserve.

        What is held back for the log of deletes is well spent where that gives back more. Raises: StorageFullError.
        """
        refused: StorageFullError | None = None
        try:
            for attempt in attempts:
                try:
                    attempt()
                    return
                except StorageFullError as error:
                    refused = error
            assert refused is not None, "there is something to be tried"
            self._reserve.once_more(refused, attempts[-1])
        finally:
            # An error holds the frames that it came through, this one too, and they the files of replaced tables.
            refused = None

    def _flush_into_tables(self, memtable: Memtable, flushed: Sequence[Memtable]) -> None:
        edit, tables = self._with_ranges(memtable) if memtable.ranges else self._flushed(memtable)
        edit = replace(edit, flushed_sequence=memtable.sequence, oldest_log=memtable.next_log)
        if not tables:
            # The name of that log must be on disk before a manifest speaks of it; with tables it is.
            self._workshop.file_system.sync_directory(self._workshop.directory)
        self._install(Job.FLUSH, edit, tables, self._tree.publisher(flushed))
        if self._log is not None:
            # Last: until the tables are in the manifest the log is all there is.
            self._log.drop_before(memtable.next_log)

    def _flushed(self, memtable: Memtable) -> tuple[VersionEdit, list[SSTableReader]]:
        tables = self._delegate.flush(memtable)
        return VersionEdit(tuple((0, reader.table) for reader in tables)), tables

    def _with_ranges(self, memtable: Memtable) -> tuple[VersionEdit, list[SSTableReader]]:
        self._awaits_level0 = False
        try:
            return self._overlaid(memtable)
        except StorageFullError:
            # In steps, each of which gives space back: first whole tables, then those at the borders.
            for edit, tables in trim(self._workshop, memtable.ranges, lambda: self._store.tables):
                self._install(Job.FLUSH, edit, tables, self._tree.publisher())
            self._awaits_level0 = self._is_level0_touched(memtable)
            if self._awaits_level0:
                raise
        return self._flushed(memtable)

    def _is_level0_touched(self, memtable: Memtable) -> bool:
        return any(is_touched(table, memtable.ranges) for table in self._store.version.levels[0])

    def _overlaid(self, memtable: Memtable) -> tuple[VersionEdit, list[SSTableReader]]:
        runs, keys = memtable.runs(), memtable.records
        borders = (min(keys), max(keys)) if keys else None
        return overlay(
            self._workshop, runs, borders, memtable.ranges, *self._store.tables, self.clock_ms, memtable.sequence
        )

    def _compact(self) -> None:
        # Together: a flush may install its table at any moment.
        version, readers = self._store.tables
        compaction = self._pick(version)
        if compaction is None:
            return
        space = self._space()
        steps = [compaction, *(step for step in smaller(version, compaction) if step != compaction)]
        # There may be less than the file system says: a quota, perhaps. And what seems too large may make less
        # than it reads, where much was deleted.
        fitting = [step for step in steps if fits(step, space)][:_FITTING_MAX]
        chosen = dict.fromkeys((*fitting, compaction, min(steps, key=needed_bytes)))
        self._first_that_fits([partial(self._merge, step, version, readers) for step in chosen])

    def _merge(self, compaction: Compaction, version: Version, readers: Mapping[int, SSTableReader]) -> None:
        if compaction.is_move:
            self._install(Job.COMPACT, compaction.edit(compaction.upper), [], self._tree.publisher(is_same=True))
            return
        tables = self._delegate.compact(compaction, version, readers)
        # Those that are replaced are not held up here.
        del readers
        edit = compaction.edit(tuple(reader.table for reader in tables))
        self._install(Job.COMPACT, edit, tables, self._tree.publisher(is_same=True))

    def write_sorted(self, pairs: Iterable[tuple[bytes, bytes]]) -> list[SSTableReader]:
        """The first half of an ingest: tables that nobody knows of yet. Raises: as ingest.write_sorted."""
        return write_sorted(self._workshop, pairs)

    @property
    def tables(self) -> tuple[Version, Mapping[int, SSTableReader]]:
        """The Version in force and its tables."""
        return self._store.tables

    def lay_over(self, ingestion: Ingestion) -> None:
        """The second half: let everybody see them. Raises: what keeps it from happening."""
        try:
            edit = place(self._workshop, ingestion, self.clock_ms)
            self._install(Job.INGEST, edit, ingestion.tables, self._tree.publisher())
        except BaseException as error:
            ingestion.may_be_known = isinstance(error, StorageError) and not isinstance(error, StorageFullError)
            if not ingestion.may_be_known:
                self.discard(ingestion.tables)
            raise

    def discard(self, tables: Iterable[SSTableReader]) -> None:
        """Remove tables that the manifest does not speak of."""
        for reader in tables:
            discard(self._workshop.file_system, reader.path)

    def _install(
        self, job: Job, edit: VersionEdit, tables: list[SSTableReader], publish: Callable[[Levels], None]
    ) -> None:
        try:
            self._store.install(edit, tables, publish)
        except StorageFullError:
            # The manifest is as before, and the space is needed.
            self.discard(tables)
            raise
        with self._telling:
            self.backpressure.changed(self._store.version, by_writes=job is not Job.INGEST)
        tally = self.tallies[job]
        tally.count += 1
        tally.byte_size += sum(reader.table.byte_size for reader in tables)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise JobStoppedError

    def stop(self) -> None:
        """Have what runs end early."""
        self.stop_soon()
        self._delegate.stop()

    def stop_soon(self) -> None:
        """The same at the next step of what runs in this process."""
        self._stopping.set()

    def close(self) -> None:
        """No job runs any more, nor will."""
        self._delegate.close()


def _bytes_in(memtable: Memtable) -> int:
    """About what its log, or the table that it becomes, takes."""
    return max(memtable.byte_size - RECORD_BYTES * len(memtable.records), 0)
