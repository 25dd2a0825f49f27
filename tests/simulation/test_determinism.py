"""A run follows from its options alone: whatever process, hash seed and version of Python runs it."""

import builtins
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.simulation.simulation import SimulationOptions
from app.simulation.trial import try_out

ROOT = Path(__file__).resolve().parents[2]
# Made by `make test`, where there is a second version.
OTHER_PYTHON = ROOT / ".venv-other" / "bin" / "python"
SEEDS = (1, 7)
STEPS = 10_000


def trace_here(seed: int) -> bytes:
    lines: list[str] = []
    try_out(SimulationOptions(seed, steps=STEPS), lines.append)
    return "".join(lines).encode()


def trace_there(seed: int, python: Path | str, path: Path, hash_seed: str) -> bytes:
    command = [
        str(python),
        "-m",
        "app.cli",
        "simulate",
        "--seed",
        f"{seed}",
        "--steps",
        f"{STEPS}",
        "--trace",
        str(path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    subprocess.run(command, cwd=path.parent, env=environment, check=True, capture_output=True, timeout=100)
    return path.read_bytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    assert trace_here(seed) == trace_here(seed)


def test_another_seed_gives_another_trace() -> None:
    assert trace_here(1) != trace_here(2)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_gives_the_same_trace(hash_seed: str, tmp_path: Path) -> None:
    assert trace_there(1, sys.executable, tmp_path / "trace", hash_seed) == trace_here(1)


@pytest.mark.skipif(not OTHER_PYTHON.exists(), reason="there is no second version of Python here")
@pytest.mark.parametrize("seed", SEEDS)
def test_another_version_of_python_gives_the_same_trace(seed: int, tmp_path: Path) -> None:
    asked = "import sys; print(sys.version_info[:2])"
    found = subprocess.run([OTHER_PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    assert found != str(sys.version_info[:2])

    assert trace_there(seed, OTHER_PYTHON, tmp_path / "trace", "0") == trace_here(seed)


def test_nothing_real_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, socket, thread, clock or chance of this machine."""

    def touched(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"something real was touched: {args} {kwargs}")

    expected = trace_here(3)
    for owner, names in (
        (os, ("open", "mkdir", "rename", "unlink", "fsync", "fdatasync", "urandom")),
        (builtins, ("open",)),
        (socket, ("socket",)),
        (threading.Thread, ("start",)),
        (time, ("time", "time_ns", "monotonic", "monotonic_ns", "sleep")),
        # Not random.random: PySyncObj's constructor draws a time for a timer that nobody looks at.
        (random, ("SystemRandom",)),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, touched)

    found = trace_here(3)

    monkeypatch.undo()
    assert found == expected
