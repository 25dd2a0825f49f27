"""Real input under real faults: a file like UnicodeData.txt is loaded while nodes are killed, and nothing is lost.

python -m tests.cluster.unicode_story /usr/share/unicode/UnicodeData.txt
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.nodes import wait_until
from tests.cluster.supervised import COMMAND, Supervised, has_ended

LAYOUT = ("--format", "lines", "--delimiter", ";", "--key", "1")
LOAD_SECONDS_MAX = 600.0
RESTART_SECONDS_MAX = 30.0
PIPE_BYTES = 4096


def tell(file: Path, directory: Path, say: Callable[[str], None]) -> None:
    """Load half, kill a node, load the rest, kill everything, start again, compare every byte.

    Raises: AssertionError when anything is lost.
    """
    lines = file.read_bytes().splitlines(keepends=True)
    cluster = Supervised(directory)
    try:
        cluster.start_ready()
        say(f"cluster at {cluster.urls}")

        _load_with_a_kill(cluster, lines, say)
        _kill_everything(cluster, say)
        begun = time.monotonic()
        cluster.start_ready()
        say(f"started again, ready after {time.monotonic() - begun:.1f} s")

        compared = cluster.ringkv("load", str(file), *LAYOUT, "--verify-only", timeout=LOAD_SECONDS_MAX)
        say(compared.stdout.strip())
        assert compared.returncode == 0, compared.stderr
        assert compared.stdout.startswith(f"verified {len(lines)}, failed 0, different 0, ")

        cluster.send(signal.SIGTERM)
        assert cluster.wait(15) == 0, cluster.log_text()[-4000:]
        read = subprocess.run([*COMMAND, "verify", str(cluster.data)], capture_output=True, text=True, check=False)
        say(read.stdout.strip())
        assert read.returncode == 0, read.stdout + read.stderr
    finally:
        if cluster.is_running:
            cluster.kill()


def _load_with_a_kill(cluster: Supervised, lines: list[bytes], say: Callable[[str], None]) -> None:
    victim = "n2"
    before = cluster.node_pid(victim)
    loader = subprocess.Popen(
        cluster.command("load", "/dev/stdin", *LAYOUT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert loader.stdin is not None
        # The loader takes in no more than it can store, and the pipe is short: half of the file is nearly in the store.
        fcntl.fcntl(loader.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        loader.stdin.write(b"".join(lines[: len(lines) // 2]))
        loader.stdin.flush()
        os.kill(before, signal.SIGKILL)
        say(f"{victim} killed half-way")
        counts, complaints = loader.communicate(b"".join(lines[len(lines) // 2 :]), LOAD_SECONDS_MAX)
    finally:
        loader.kill()
        loader.wait()
    say(counts.decode().strip())
    assert loader.returncode == 0, complaints.decode()
    assert counts.startswith(b"loaded %d, failed 0, " % len(lines))
    wait_until(lambda: cluster.node_pid(victim) != before, RESTART_SECONDS_MAX, f"{victim} runs again")


def _kill_everything(cluster: Supervised, say: Callable[[str], None]) -> None:
    """The nodes of a supervisor that is killed are killed with it, all at once."""
    pids = [cluster.node_pid(name) for name in cluster.nodes]
    cluster.kill()
    wait_until(lambda: all(map(has_ended, pids)), 5, "all nodes have ended")
    say(f"all {len(pids)} nodes killed")


def main() -> int:
    parser = argparse.ArgumentParser(description="Load a file while nodes are killed, and compare every byte.")
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    with tempfile.TemporaryDirectory(prefix="ringkv-story-") as directory:
        tell(file, Path(directory), print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
