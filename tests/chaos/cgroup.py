"""A bound on the processor time of a process, where control groups of version 1 or 2 can be made."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def missing() -> str:
    """Why there can be no bound; empty when there can."""
    if _is_version_1() or _is_version_2():
        return ""
    return "no control group of the processor can be made here"


def _is_version_1() -> bool:
    return os.access(ROOT / "cpu" / "cpu.cfs_quota_us", os.F_OK) or os.access(ROOT / "cpu" / "cpu.shares", os.W_OK)


def _is_version_2() -> bool:
    control = ROOT / "cgroup.subtree_control"
    return os.access(control, os.W_OK) and "cpu" in control.read_text().split()


def new_group() -> Path:
    """The name of a control group that is not there yet."""
    return _parent() / f"ringkv-chaos-{uuid4().hex[:8]}"


def _parent() -> Path:
    return ROOT / "cpu" if _is_version_1() else ROOT


@contextlib.contextmanager
def throttled(pid: int, share: float, group: Path) -> Iterator[None]:
    """So much of one processor for a process and all its threads, by way of a new group."""
    before = _group_of(pid, _parent())
    group.mkdir()
    try:
        quota = int(PERIOD_US * share)
        if _is_version_1():
            (group / "cpu.cfs_period_us").write_text(f"{PERIOD_US}")
            (group / "cpu.cfs_quota_us").write_text(f"{quota}")
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (group / "cgroup.procs").write_text(f"{pid}")
        yield
    finally:
        # Whoever is still in it goes back, for a group that is not empty cannot be removed.
        for member in (group / "cgroup.procs").read_text().split():
            (before / "cgroup.procs").write_text(member)
        group.rmdir()


def _group_of(pid: int, parent: Path) -> Path:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (controllers == "" and parent == ROOT) or "cpu" in controllers.split(","):
            return parent / path.lstrip("/")
    return parent
