"""The shim does to a process what its control file says, to files of the path that it names, and says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.shim import Shim, compile_shim, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")

# Performs the words that follow the directory, one after the other, on a file there; an error ends it with its number.
SCRIPT = """
import os, sys, time
file = os.open(sys.argv[1] + "/file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
try:
    for word in sys.argv[2:]:
        if word == "write":
            print(os.write(file, b"x" * 100))
        elif word == "sync":
            os.fdatasync(file)
        elif word == "read":
            print(os.pread(file, 100, 0).count(b"x"))
        elif word == "wall":
            print(round(time.time() - time.clock_gettime(time.CLOCK_TAI), -1))
        elif word == "steady":
            print(round(time.monotonic() - time.clock_gettime(time.CLOCK_MONOTONIC_RAW), -1))
except OSError as error:
    sys.exit(error.errno)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(library: Path, tmp_path: Path) -> Shim:
    return Shim(library, tmp_path, "n1")


def perform(shim: Shim, directory: Path, *words: str) -> tuple[int, list[str]]:
    """The exit code, and what was printed."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, directory, *words],
        env={**os.environ, **shim.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.split()


def test_without_orders_it_does_nothing(shim: Shim, tmp_path: Path) -> None:
    assert perform(shim, tmp_path, "write", "sync", "read") == (0, ["100", "100"])
    assert shim.log_text() == ""


@pytest.mark.parametrize(
    ("faults", "words", "outcome"),
    [
        ({"fsync_errno": 5, "fsync_after": 1, "fsync_times": 1}, "sync sync", 5),
        ({"fsync_errno": 5, "fsync_after": 2}, "sync sync", 0),
        ({"write_errno": 28}, "write", 28),
        ({"read_errno": 5}, "write read", 5),
        ({"write_torn": 30}, "write", -9),
        ({"path": "elsewhere", "write_errno": 28}, "write", 0),
    ],
)
def test_calls_fail_as_ordered(
    shim: Shim, tmp_path: Path, faults: dict[str, str | int], words: str, outcome: int
) -> None:
    shim.set(**{"path": f"{tmp_path}/file", **faults})

    assert perform(shim, tmp_path, *words.split())[0] == outcome


def test_a_torn_write_leaves_a_part(shim: Shim, tmp_path: Path) -> None:
    shim.set(write_torn=30)
    perform(shim, tmp_path, "write")

    assert (tmp_path / "file").stat().st_size == 30
    assert "torn after 30 of 100 bytes" in shim.log_text()


def test_a_short_write_is_told_and_a_flipped_bit_is_not(shim: Shim, tmp_path: Path) -> None:
    shim.set(path=f"{tmp_path}/file", write_short=1, read_flip=1)

    assert perform(shim, tmp_path, "write", "read") == (0, ["50", "49"])


def test_a_power_cut_takes_what_was_never_synced(shim: Shim, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    perform(shim, data, "write", "sync", "write")

    assert shim.cut_power(data) == 100
    assert (data / "file").stat().st_size == 100
    assert shim.cut_power(data) == 0


def test_a_power_cut_takes_what_was_synced_by_a_liar(shim: Shim, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shim.set(fsync_lie=1)
    perform(shim, data, "write", "sync")

    assert shim.cut_power(data) == 100


@pytest.mark.parametrize(("clock", "fault"), [("wall", "clock_ms"), ("steady", "monotonic_ms")])
def test_one_clock_leaps_and_the_other_does_not(shim: Shim, tmp_path: Path, clock: str, fault: str) -> None:
    before = perform(shim, tmp_path, "write", "wall", "steady")[1]
    shim.set(**{fault: 3_600_000})
    after = perform(shim, tmp_path, "write", "wall", "steady")[1]

    leaps = [float(late) - float(early) for early, late in zip(before[1:], after[1:], strict=True)]
    assert leaps == ([3600.0, 0.0] if clock == "wall" else [0.0, 3600.0])


# Writes without end; a signal's handler writes too, as that of an event loop does, into the middle of anything.
SIGNALLED = """
import os, signal, socket, sys, time
ear, mouth = socket.socketpair()
mouth.setblocking(False)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
file = os.open(sys.argv[1] + "/file", os.O_RDWR | os.O_CREAT)
for _ in range(200_000):
    os.pwrite(file, b"x", 0)
    time.time()
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_signal_in_the_middle_of_it_is_no_deadlock(shim: Shim, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", SIGNALLED, tmp_path], env={**os.environ, **shim.environment}, check=True, timeout=60
    )
