"""An arena leaves nothing on its host but logs, and that also when its process is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import cgroup
from tests.chaos.run import missing
from tests.cluster.nodes import wait_until
from tests.cluster.supervised import has_ended

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(missing()), reason=missing() or "all is there"),
]

GONE_SECONDS = 30.0
# Every kind of thing that an arena makes: a mount, degraded links, cut ones, a paused node, a control group.
ARENA = """
import contextlib, json, sys
from pathlib import Path
from tests.chaos import cgroup
from tests.chaos.arena import Arena
from tests.chaos.plan import Plan
from tests.chaos.switch import Quality

plan = Plan(small_disks=("n1",))
with Arena(Path(sys.argv[1]), plan) as arena, contextlib.ExitStack() as stack:
    arena.load()
    arena.network.degrade_all(Quality(delay_ms=5))
    arena.network.isolate("n2")
    if not cgroup.missing():
        stack.enter_context(arena.throttled("n3", 0.5))
    arena.pause("n3")
    pids = [arena.janitor.pid, *(process.pid for process in (*arena.nodes.values(), *arena.agents.values()))]
    spaces = [space.inode for space in arena.network.namespaces.values()]
    print(json.dumps({"pids": pids, "spaces": spaces}), flush=True)
    sys.stdin.read()
    arena.nodes["n3"].resume()
"""


def namespaces() -> set[int]:
    """The network namespaces that any process is in."""
    found = set()
    for process in Path("/proc").iterdir():
        try:
            found.add(os.stat(process / "ns" / "net").st_ino)
        except OSError:
            continue  # no process, or one that has just ended
    return found


def mounts(under: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(under) in line]


def groups() -> set[Path]:
    """The control groups of arenas."""
    return set(cgroup.ROOT.glob("**/ringkv-chaos-*"))


@pytest.mark.parametrize("end", ["orderly", "killed"])
def test_nothing_is_left_behind(tmp_path: Path, end: str) -> None:
    groups_before = groups()
    directory = tmp_path / "arena"
    with subprocess.Popen(
        [sys.executable, "-c", ARENA, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        made = json.loads(process.stdout.readline())
        assert mounts(directory)
        assert set(made["spaces"]) <= namespaces()
        if end == "killed":
            process.send_signal(signal.SIGKILL)
        else:
            process.stdin.close()
        process.wait(60)

    wait_until(lambda: all(map(has_ended, made["pids"])), GONE_SECONDS, "all processes have ended")
    wait_until(lambda: not namespaces() & set(made["spaces"]), 5, "the namespaces are gone")
    assert mounts(directory) == []
    assert groups() <= groups_before
    left = {path.suffix for path in directory.iterdir()}
    assert left <= {".log", ".faults"}, left
