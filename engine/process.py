"""The worker process, as those see it who give it work: one for all engines of this process.

It is started for the first order, and ended when the last engine is closed. Should it be lost, which
can do no harm, whoever waits for it hears of that, and the next order starts another. This process
may die in any way it likes: a worker ends when its socket is closed.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from engine.forks import guard, register
from engine.orders import STOP, STOPPED, encode_message, read_message

# How long a worker may take to end, or to stop a job, before it is killed.
END_SECONDS_MAX = 10.0
# So many that were lost in a row, without a single answer, are enough.
_LOSSES_MAX = 3
# The modules of this process, whatever way it found them, and nothing else that was set for it.
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from engine.worker import main; main()"

# The kind and the payload.
Message = tuple[int, bytes]


class WorkerLostError(Exception):
    """The worker process is gone, or could not be started: what it was to do has not been done."""


def start_worker(connection: socket.socket) -> "subprocess.Popen[bytes]":
    """Raises: OSError."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("this program was not started by an interpreter that could start another")
    # In a group of its own, as the signals of a terminal are not for it; in the same session, as Linux may share
    # processors out between sessions, whatever is nice.
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOT, *map(str, sys.path)],
        stdin=connection.fileno(),
        stdout=subprocess.DEVNULL,
        process_group=0,
    )


class _Connection:
    """One worker, from its start to its end, and the jobs it has."""

    def __init__(self, start: Callable[[socket.socket], "subprocess.Popen[bytes]"]) -> None:
        """Raises: OSError."""
        self.is_lost = False
        self.has_answered = False
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._jobs: dict[int, Future[Message]] = {}
        self._last_job = 0
        self.socket, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = start(theirs)
        except BaseException:
            self.socket.close()
            raise
        self._reader = threading.Thread(target=self._read, name="worker process", daemon=True)
        self._reader.start()

    def begin(self) -> tuple[int, "Future[Message]"]:
        """A number for a new job, and its answer to come."""
        with self._lock:
            if self.is_lost:
                raise WorkerLostError("the worker process has ended")
            self._last_job += 1
            answer = self._jobs[self._last_job] = Future()
            return self._last_job, answer

    def drop(self, job: int) -> None:
        """Answer for a job that the worker has not heard of."""
        with self._lock:
            answer = self._jobs.pop(job, None)
        if answer is not None:
            answer.set_result((STOPPED, b""))

    def send(self, job: int, kind: int, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Raises: WorkerLostError."""
        message = memoryview(encode_message(job, kind, payload))
        try:
            with self._send_lock:
                if descriptor is not None:
                    message = message[socket.send_fds(self.socket, [message], [descriptor], socket.MSG_NOSIGNAL) :]
                # Whatever a program wants of SIGPIPE, the end of its worker shall not be its own.
                self._send_all(message)
        except OSError as error:
            # Only when it is gone may another take its place, and what it left behind be removed.
            self._reader.join()
            raise WorkerLostError("the worker process has ended") from error

    def _send_all(self, data: memoryview) -> None:
        while data:
            data = data[self.socket.send(data, socket.MSG_NOSIGNAL) :]

    def _read(self) -> None:
        try:
            with self.socket.makefile("rb") as stream:
                while message := read_message(stream):
                    job, kind, payload = message
                    self.has_answered = True
                    with self._lock:
                        answer = self._jobs.pop(job)
                    answer.set_result((kind, payload))
        except OSError:
            # A connection that breaks has ended, too.
            pass
        finally:
            self.process.kill()
            self.process.wait()
            with self._lock:
                self.is_lost = True
                jobs, self._jobs = list(self._jobs.values()), {}
            self.socket.close()
            for answer in jobs:
                answer.set_exception(WorkerLostError("the worker process has ended"))

    def forget(self) -> None:
        """In the child of a fork: the worker is none of it, and so cannot be waited for."""
        # Not by `close`: the thread that read from it is not here to let go of it.
        os.close(self.socket.detach())
        self.process.returncode = 0

    def kill(self) -> None:
        with self._lock:
            if not self.is_lost:
                self.process.kill()

    def close(self) -> None:
        """Return once the process is gone."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            # It has ended by itself.
            pass
        self._reader.join(END_SECONDS_MAX)
        self.kill()
        self._reader.join()


class Errand:
    """One job for the worker."""

    def __init__(self, connection: _Connection) -> None:
        """Raises: WorkerLostError."""
        self._connection = connection
        self._job, self._answer = connection.begin()
        # Held while a message is sent, as none may follow on a stop.
        self._lock = threading.Lock()
        self._is_begun = False
        self._is_stopped = False

    def send(self, messages: Iterable[Message], directory: int | None = None) -> None:
        """Give the order, with the directory it is about if that is open, and what belongs to it.

        Raises: WorkerLostError.
        """
        for kind, payload in messages:
            with self._lock:
                if self._is_stopped:
                    return
                self._is_begun = True
                self._connection.send(self._job, kind, payload, directory)
                directory = None

    def answer(self) -> Message:
        """Wait for it. Raises: WorkerLostError."""
        return self._answer.result()

    def stop(self) -> None:
        """Have the job end early, and return when it has; a worker that takes too long is killed."""
        killer = threading.Timer(END_SECONDS_MAX, self._connection.kill)
        killer.start()
        try:
            with self._lock:
                self._is_stopped = True
                if not self._is_begun:
                    self._connection.drop(self._job)
                    return
                self._connection.send(self._job, STOP)
            self._answer.exception()
        except WorkerLostError:
            pass
        finally:
            killer.cancel()


class WorkerProcess:
    """The worker, which is there when it is needed."""

    def __init__(self, start: Callable[[socket.socket], "subprocess.Popen[bytes]"] = start_worker) -> None:
        self._start = start
        # One that is taken again by whoever has it: an engine may be collected at any moment.
        self._lock = threading.RLock()
        self._engines = 0
        self._losses = 0
        self._connection: _Connection | None = None
        register(self)

    @property
    def pid(self) -> int | None:
        """Of the process, None if there is none."""
        connection = self._connection
        return None if connection is None or connection.is_lost else connection.process.pid

    @property
    def is_given_up(self) -> bool:
        """Whether it was lost so often that there is no point in another."""
        return self._losses >= _LOSSES_MAX

    def join(self) -> None:
        """An engine is opened that will give it work."""
        with self._lock:
            self._engines += 1

    def leave(self) -> None:
        """The engine is closed; with the last one the process ends."""
        with self._lock:
            self._engines -= 1
            if not self._engines:
                self._losses = 0
                self._end()

    def errand(self) -> Errand:
        """Begin a job. Raises: WorkerLostError."""
        with self._lock:
            connection = self._connection
            if connection is not None and connection.is_lost:
                self._losses = 1 if connection.has_answered else self._losses + 1
                connection = None
            if connection is None:
                try:
                    # No fork comes in between: its child would keep the worker from noticing the end of this process.
                    with guard:
                        connection = self._connection = _Connection(self._start)
                except OSError as error:
                    self._losses += 1
                    raise WorkerLostError(f"no worker process can be started: {error}") from error
        return Errand(connection)

    def end(self) -> None:
        """End the process, if there is one; the next errand starts another."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """Let go, in a process that was forked off, of what belongs to the one it came from."""
        self._lock = threading.RLock()
        self._engines = self._losses = 0
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.forget()


SHARED = WorkerProcess()
atexit.register(SHARED.end)
