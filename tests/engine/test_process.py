"""The worker process is there when it is needed, and gone when it is not."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import Options, process
from engine.memtable import Memtable
from engine.orders import COMPACTION, FLUSH, MADE, RECORDS_END, STOPPED, Task, encode_flush
from engine.process import WorkerLostError, WorkerProcess, start_worker
from engine.version import NOTHING

EMPTY_FLUSH = Task("0" * 16, "/nowhere", Options()).encode() + encode_flush(Memtable(NOTHING))
DIES = [sys.executable, "-c", "pass"]
# Reads what it is told, and never answers.
DEAF = [sys.executable, "-c", "import socket\nwhile socket.socket(fileno=0).recv(1 << 16): pass"]


def starter(command: list[str]) -> Callable[[socket.socket], "subprocess.Popen[bytes]"]:
    return lambda connection: subprocess.Popen(command, stdin=connection.fileno())


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    worker = WorkerProcess()
    worker.join()
    yield worker
    worker.leave()


def is_there(pid: int) -> bool:
    """Whether there is such a process; one that was waited for is gone altogether."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def flush_of_nothing(worker: WorkerProcess) -> None:
    """The least that a worker can be asked to do."""
    errand = worker.errand()
    errand.send([(FLUSH, EMPTY_FLUSH), (RECORDS_END, b"")])
    assert errand.answer() == (MADE, b"")


def pid(worker: WorkerProcess) -> int:
    assert worker.pid is not None
    return worker.pid


def test_it_is_started_for_the_first_order_and_ends_with_the_last_engine(worker: WorkerProcess) -> None:
    worker.join()
    before = worker.pid
    flush_of_nothing(worker)
    first = pid(worker)
    worker.leave()

    flush_of_nothing(worker)

    assert (before, worker.pid) == (None, first)
    worker.leave()
    assert not is_there(first)
    worker.join()


def test_a_worker_that_was_killed_is_replaced(worker: WorkerProcess) -> None:
    flush_of_nothing(worker)
    first = pid(worker)
    os.kill(first, signal.SIGSTOP)
    errand = worker.errand()
    errand.send([(FLUSH, b"whatever")])

    os.kill(first, signal.SIGKILL)

    with pytest.raises(WorkerLostError):
        errand.answer()
    flush_of_nothing(worker)
    assert worker.pid != first
    assert not is_there(first)


def test_an_order_that_makes_no_sense_ends_the_worker(worker: WorkerProcess, capfd: pytest.CaptureFixture[str]) -> None:
    """And tells whoever looks at its standard error why."""
    errand = worker.errand()
    errand.send([(COMPACTION, b"\xff")])

    with pytest.raises(WorkerLostError):
        errand.answer()

    assert "DecodeError" in capfd.readouterr().err
    flush_of_nothing(worker)


def ask(worker: WorkerProcess) -> None:
    errand = worker.errand()
    errand.send([(FLUSH, b"")])
    errand.answer()


def test_a_worker_that_always_dies_is_given_up() -> None:
    worker = WorkerProcess(starter(DIES))
    worker.join()
    losses = 0
    while not worker.is_given_up:
        with pytest.raises(WorkerLostError):
            ask(worker)
        losses += 1

    assert losses > 1
    worker.leave()
    assert not worker.is_given_up


def test_a_worker_that_cannot_be_started_is_lost() -> None:
    worker = WorkerProcess(starter(["/nowhere"]))
    worker.join()

    with pytest.raises(WorkerLostError, match="started"):
        worker.errand()

    worker.leave()


@pytest.mark.parametrize(("name", "value"), [("frozen", True), ("executable", "")])
def test_a_program_that_is_no_interpreter_starts_none(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    """It would start itself again."""
    monkeypatch.setattr(sys, name, value, raising=False)
    ours, theirs = socket.socketpair()

    with ours, theirs, pytest.raises(OSError, match="interpreter"):
        start_worker(theirs)


def test_a_worker_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_SECONDS_MAX", 0.1)
    worker = WorkerProcess()
    worker.join()
    flush_of_nothing(worker)
    stuck = pid(worker)
    os.kill(stuck, signal.SIGSTOP)

    worker.leave()

    assert not is_there(stuck)


def test_a_job_that_does_not_stop_is_killed_with_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "END_SECONDS_MAX", 0.1)
    worker = WorkerProcess(starter(DEAF))
    worker.join()
    errand = worker.errand()
    errand.send([(FLUSH, b"")])

    errand.stop()

    with pytest.raises(WorkerLostError):
        errand.answer()
    worker.leave()


def test_a_job_that_was_not_begun_is_stopped_at_once(worker: WorkerProcess) -> None:
    errand = worker.errand()

    errand.stop()
    errand.send([(FLUSH, b"this would end the worker")])

    assert errand.answer() == (STOPPED, b"")
    flush_of_nothing(worker)


def test_a_stop_after_the_answer_changes_nothing(worker: WorkerProcess) -> None:
    errand = worker.errand()
    errand.send([(FLUSH, EMPTY_FLUSH), (RECORDS_END, b"")])
    assert errand.answer() == (MADE, b"")

    errand.stop()

    flush_of_nothing(worker)


IN_A_FORK = """
import os, sys
from engine.process import SHARED
from tests.engine.test_process import flush_of_nothing

SHARED.join()
flush_of_nothing(SHARED)
parents = SHARED.pid
child = os.fork()
if not child:
    assert SHARED.pid is None
    flush_of_nothing(SHARED)
    assert SHARED.pid != parents
    SHARED.end()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
flush_of_nothing(SHARED)
assert SHARED.pid == parents
"""


def test_a_fork_has_a_worker_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", IN_A_FORK], check=True)


FORKED_AND_KILLED = """
import os, sys
from engine.process import SHARED
from tests.engine.test_process import flush_of_nothing

SHARED.join()
flush_of_nothing(SHARED)
worker = SHARED.pid
if os.fork():
    print(worker, flush=True)
sys.stdin.read()
"""


def test_a_fork_does_not_keep_the_worker_of_its_parent(child: "subprocess.Popen[bytes]") -> None:
    """Its socket must be closed there, too, or a worker would outlive whom it works for."""
    assert child.stdout is not None
    worker = int(child.stdout.readline())

    child.kill()

    while is_running(worker):
        time.sleep(0.005)


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED_AND_KILLED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def is_running(pid: int) -> bool:
    """One that nobody waits for stays as a zombie, but has ended."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_service_does_not_end_the_worker(worker: WorkerProcess, number: int) -> None:
    flush_of_nothing(worker)
    first = pid(worker)

    os.kill(first, number)

    flush_of_nothing(worker)
    assert worker.pid == first


WITH_OWN_MAIN = """
import sys
assert __name__ == "__main__", "a worker must not run this again"
from engine.process import SHARED
from tests.engine.test_process import flush_of_nothing

if __name__ == "__main__":
    SHARED.join()
    flush_of_nothing(SHARED)
"""


def test_whoever_never_closes_leaves_no_worker_behind() -> None:
    """The worker inherits standard error: that it ends here means that nobody has it any more."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", WITH_OWN_MAIN], check=True, stderr=subprocess.PIPE)

    assert done.stderr == b""
