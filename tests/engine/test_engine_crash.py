"""Real processes, really killed: reopening gives what was acknowledged.

A child writes numbered batches and says so on a pipe once each is acknowledged; it is killed
at a random moment. What it acknowledged must be there, and of what follows at most one batch, whole.
"""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine import Engine, Options, verify_engine

CHILD = """
import sys, engine
from tests.engine.test_engine_crash import KEYS, OPTIONS

store = engine.Engine.open(sys.argv[1], OPTIONS)
number = store.applied_sequence
while True:
    number += 1
    batch = engine.WriteBatch()
    for key in range(KEYS):
        batch.put(b"%d" % key, b"%0100d" % number)
    batch.put(b"once %d" % number, b"")
    store.write(batch, sync=number % 3 == 0)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""
KEYS = 20
OPTIONS = Options(memtable_bytes_max=16 << 10, table_bytes_max=16 << 10, level1_bytes_max=32 << 10)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    directory = str(tmp_path / "db")
    for _ in range(3):
        wanted = rng.randint(1, 300)
        with subprocess.Popen([sys.executable, "-c", CHILD, directory], stdout=subprocess.PIPE) as child:
            assert child.stdout
            acknowledged = 0
            for _ in range(wanted):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split(b"\n")
            child.wait()
        # A last line may be cut short, as the pipe is; it is not needed.
        acknowledged = max([acknowledged, *[int(line) for line in rest[:-1]]])

        assert verify_engine(directory) == []
        engine = Engine.open(directory, OPTIONS)
        applied = engine.applied_sequence
        found = dict(engine.scan())
        engine.close()
        assert acknowledged <= applied <= acknowledged + 1
        assert {found[b"%d" % key] for key in range(KEYS)} == {b"%0100d" % applied}
        assert len([key for key in found if key.startswith(b"once")]) == applied
