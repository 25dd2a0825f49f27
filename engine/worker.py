"""The worker process: makes tables for the engines of the process that started it, one thread a job.

It knows no engine, only files: it reads tables by their names, and makes new ones under names that
begin with the token of the task. Those count for nothing until the engine renames them, so it does
not matter when the worker is killed, nor that it may outlive the engine's process by a moment. It
ends as soon as the other end of its socket is closed.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from itertools import count

from engine.cache import BlockCache
from engine.coding import Decoder
from engine.files import FileSystem, OsFileSystem, join, table_name, unfinished_name
from engine.jobs import JobStoppedError, Workshop, compact, flush
from engine.memtable import Memtable
from engine.orders import (
    COMPACTION,
    FAILED,
    FLUSH,
    MADE,
    RECORDS,
    STOP,
    STOPPED,
    Task,
    decode_compaction,
    decode_flush,
    decode_records,
    encode_failure,
    encode_made,
    encode_message,
    read_message,
)
from engine.pace import Pace
from engine.sstable import SSTableReader
from engine.version import NOTHING

# Behind whoever serves requests where processors are scarce, but never without its share.
_NICENESS = 5
# Messages are read, and a flush goes on, within this time, whatever a compaction does.
_SWITCH_SECONDS = 0.0005
_READ_BYTES = 256 << 10
# A step of a compaction takes a third of this: what is left for it keeps level 0 from filling up meanwhile.
GIVE_WAY_SECONDS = 0.05


class Priority:
    """Lets a flush go first, as a writer may already wait for it; a compaction still gets a step in now and then."""

    def __init__(self) -> None:
        self._flushes = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        with self._changed:
            self._flushes += 1

    def end(self) -> None:
        with self._changed:
            self._flushes -= 1
            self._changed.notify_all()

    def give_way(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._flushes, GIVE_WAY_SECONDS)


class _Job:
    """A job that runs, or a flush that still gets its records."""

    def __init__(self, file_system: FileSystem, task: Task, priority: Priority) -> None:
        """The file system knows the directory of the task, whatever it is called by now."""
        self.memtable = Memtable(NOTHING)  # of a flush
        self.stopping = threading.Event()
        self.is_started = False
        self._task = task
        self._priority = priority
        self._file_system = file_system
        self._numbers = count(1)

    def flush(self) -> bytes:
        """The tables made, encoded. Raises: JobStoppedError, EngineError."""
        try:
            self._check()
            readers = flush(self._workshop(self._check, lambda _: None), self.memtable)
        finally:
            self._priority.end()
        return encode_made([reader.table for reader in readers])

    def compact(self, decoder: Decoder) -> bytes:
        """As `flush`."""
        compaction, version = decode_compaction(decoder)
        cache = BlockCache(0)
        readers = {
            table.number: SSTableReader(
                self._file_system, join(self._task.directory, table_name(table.number)), table, cache
            )
            for table in (*compaction.upper, *compaction.lower)
        }
        pace = Pace(self._task.options.compaction_bytes_per_second, time.monotonic, self.stopping.wait)
        workshop = self._workshop(self._check_and_give_way, pace.done)
        made = compact(workshop, compaction, version, readers)
        return encode_made([reader.table for reader in made])

    def _workshop(self, check: Callable[[], None], pace: Callable[[int], object]) -> Workshop:
        task = self._task
        return Workshop(
            self._file_system,
            task.directory,
            task.options,
            BlockCache(0),
            lambda: next(self._numbers),
            check,
            lambda number: unfinished_name(task.token, number),
            pace,
        )

    def _check(self) -> None:
        if self.stopping.is_set():
            raise JobStoppedError

    def _check_and_give_way(self) -> None:
        self._check()
        self._priority.give_way()


class _Stream:
    """What comes through a socket, with the descriptors that come along."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._descriptors: list[int] = []

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end. Never more, or a descriptor would come before its message."""
        pieces = []
        while size:
            piece, descriptors, _, _ = socket.recv_fds(self._connection, min(size, _READ_BYTES), 1)
            self._descriptors += descriptors
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def take_descriptor(self) -> int | None:
        """What came with the message that was read; it is the caller's now."""
        return self._descriptors.pop() if self._descriptors else None


class Worker:
    """Reads orders from a socket, carries them out, and answers."""

    def __init__(self, connection: socket.socket, file_system: FileSystem) -> None:
        self._connection = connection
        self._file_system = file_system
        self._priority = Priority()
        self._jobs: dict[int, _Job] = {}
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Return once the other end is closed; jobs may still run."""
        stream = _Stream(self._connection)
        try:
            while message := read_message(stream):
                self._take(*message, stream.take_descriptor())
        except ConnectionResetError:
            # The other end was killed before it had read every answer.
            pass

    def _take(self, number: int, kind: int, payload: bytes, descriptor: int | None) -> None:
        if kind in {FLUSH, COMPACTION}:
            decoder = Decoder(payload)
            task, file_system = Task.decode(decoder), self._file_system
            if descriptor is not None:
                assert isinstance(file_system, OsFileSystem), "only there directories have descriptors"
                file_system = file_system.hold_open(task.directory, descriptor)
            job = self._jobs[number] = _Job(file_system, task, self._priority)
            if kind == COMPACTION:
                self._start(number, job, lambda: job.compact(decoder))
            else:
                job.memtable = decode_flush(decoder)
                self._priority.begin()
            return
        waiting = self._jobs.get(number)
        if waiting is None:
            # It has ended by now.
            return
        if kind == RECORDS:
            waiting.memtable.records.update(decode_records(payload))
            return
        if kind == STOP:
            waiting.stopping.set()
        if not waiting.is_started:
            # One that is stopped before it has all its records starts only to end.
            self._start(number, waiting, waiting.flush)

    def _start(self, number: int, job: _Job, work: Callable[[], bytes]) -> None:
        job.is_started = True
        threading.Thread(target=self._run, args=(number, work), daemon=True).start()

    def _run(self, number: int, work: Callable[[], bytes]) -> None:
        try:
            kind, payload = MADE, work()
        except JobStoppedError:
            kind, payload = STOPPED, b""
        except Exception as error:  # noqa: BLE001  # whatever it is, the engine must hear of it
            kind, payload = FAILED, encode_failure(error)
        with self._lock:
            del self._jobs[number]
            try:
                self._connection.sendall(encode_message(number, kind, payload))
            except OSError:
                # Nobody is there to hear it, which `serve` will notice, too.
                pass


def main() -> None:
    """The process, on the socket that is its standard input."""
    # These may go to all processes of a service; the one that started this one decides when this one ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    Worker(socket.socket(fileno=0), OsFileSystem()).serve()
    # Without waiting for jobs: what they make is for nobody any more.
    os._exit(0)
