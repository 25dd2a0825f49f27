"""Which of an engine's jobs go to the worker process, and what becomes of its tables here.

A job in this process takes the interpreter from those who read and write; one in the worker takes
it only for as long as it takes to hand over the records of a memtable, piece by piece, and to open
the new tables.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace

from engine.compaction import Compaction
from engine.files import FileSystem, OsFileSystem, is_unfinished, join, table_name, unfinished_name
from engine.inline import InlineExecutor
from engine.jobs import JobStoppedError, Workshop, compact, discard, flush
from engine.memtable import RECORD_BYTES, Memtable
from engine.options import Options
from engine.orders import (
    COMPACTION,
    FLUSH,
    MADE,
    RECORDS,
    RECORDS_END,
    STOPPED,
    Task,
    decode_failure,
    decode_made,
    encode_compaction,
    encode_flush,
    encode_records,
)
from engine.process import SHARED, Errand, Message, WorkerLostError, WorkerProcess
from engine.sstable import SSTableReader
from engine.version import Table, Version

# Less is done here before the worker would have begun.
WORTH_BYTES = 1 << 20
_ATTEMPTS = 2


def worker_for(file_system: FileSystem, executor: Executor, options: Options) -> WorkerProcess | None:
    """The worker process, where one can do the jobs: it knows no other disk, and always takes its time."""
    can_work = type(file_system) is OsFileSystem and not isinstance(executor, InlineExecutor)
    return SHARED if can_work and options.worker_process else None


class Delegate:
    """Has the jobs of one engine done."""

    def __init__(self, workshop: Workshop, worker: WorkerProcess | None) -> None:
        self._workshop = workshop
        self._worker = worker
        self._errands: set[Errand] = set()
        if worker is not None:
            worker.join()

    def flush(self, memtable: Memtable) -> list[SSTableReader]:
        """As jobs.flush."""
        made = None
        if memtable.byte_size >= WORTH_BYTES:
            made = self._in_worker(lambda task: _flush_messages(task, memtable))
        return flush(self._workshop, memtable) if made is None else made

    def compact(
        self, compaction: Compaction, version: Version, readers: Mapping[int, SSTableReader]
    ) -> list[SSTableReader]:
        """As jobs.compact."""
        made = None
        tables = (*compaction.upper, *compaction.lower)
        if sum(table.byte_size + RECORD_BYTES * table.records for table in tables) >= WORTH_BYTES:
            order = encode_compaction(compaction, version)
            made = self._in_worker(lambda task: [(COMPACTION, task.encode() + order)])
        return compact(self._workshop, compaction, version, readers) if made is None else made

    def stop(self) -> None:
        """Have what runs in the worker end early, and return when it has: no more is begun."""
        for errand in list(self._errands):
            errand.stop()

    def close(self) -> None:
        """No job runs any more, nor will."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.leave()

    def _in_worker(self, messages: Callable[[Task], Iterable[Message]]) -> list[SSTableReader] | None:
        """The tables that the worker makes; None, if the job has to be done here."""
        workshop = self._workshop
        for _ in range(_ATTEMPTS):
            worker = self._worker
            if worker is None or worker.is_given_up:
                break
            task = Task(secrets.token_hex(8), workshop.directory, workshop.options)
            try:
                kind, payload = self._ask(worker, messages(task))
            except WorkerLostError:
                self._discard_unfinished(task)
                continue
            if kind == STOPPED:
                raise JobStoppedError
            if kind != MADE:
                raise decode_failure(payload)
            return self._adopt(task, decode_made(payload))
        return None

    def _ask(self, worker: WorkerProcess, messages: Iterable[Message]) -> Message:
        errand = worker.errand()
        self._errands.add(errand)
        try:
            # Only now: whoever stops the jobs has either been heard of here, or knows this one.
            self._workshop.check()
            file_system = self._workshop.file_system
            # The worker knows the directory by what is open here, as its name may come to mean another.
            held = file_system.held(self._workshop.directory) if isinstance(file_system, OsFileSystem) else None
            errand.send(messages, held)
            return errand.answer()
        except WorkerLostError:
            raise
        except BaseException:
            # Others wait for a flush that was begun.
            errand.stop()
            raise
        finally:
            self._errands.discard(errand)

    def _adopt(self, task: Task, tables: list[Table]) -> list[SSTableReader]:
        """Give the tables that the worker has made their numbers and names, and open them."""
        workshop, file_system, directory = self._workshop, self._workshop.file_system, self._workshop.directory
        made = [join(directory, unfinished_name(task.token, table.number)) for table in tables]
        tables = [replace(table, number=workshop.next_number()) for table in tables]
        paths = [join(directory, table_name(table.number)) for table in tables]
        try:
            readers = []
            for table, unfinished, path in zip(tables, made, paths, strict=True):
                file_system.rename(unfinished, path)
                readers.append(SSTableReader(file_system, path, table, workshop.cache))
                # Or the first get would have to wait for the disk.
                readers[-1].index()
            if readers:
                # The names must be on disk before a manifest speaks of them.
                file_system.sync_directory(directory)
        except BaseException:
            for path in (*made, *paths):
                discard(file_system, path)
            raise
        return readers

    def _discard_unfinished(self, task: Task) -> None:
        """Remove what a lost worker has left behind."""
        file_system, directory = self._workshop.file_system, self._workshop.directory
        for name in file_system.list_directory(directory):
            if is_unfinished(name, task.token):
                discard(file_system, join(directory, name))


def _flush_messages(task: Task, memtable: Memtable) -> Iterator[Message]:
    yield FLUSH, task.encode() + encode_flush(memtable)
    for piece in encode_records(memtable):
        yield RECORDS, piece
    yield RECORDS_END, b""
