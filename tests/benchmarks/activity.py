"""What a process and its children use: processor time, bytes written, memory."""

import os
import time
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_POLL_SECONDS = 0.1
_QUIET_SECONDS = 0.8
_BUSY_SECONDS = 0.012  # in one poll; to look takes 0.004 itself


def children() -> list[int]:
    """The processes this one has started, and theirs."""
    parents: dict[int, int] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(directory.name)] = int(fields[1])
    found = {os.getpid()}
    while more := {child for child, above in parents.items() if above in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def processor_seconds() -> float:
    """Of this process and those it has started."""
    total = time.process_time()
    for child in children():
        try:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) * _TICK_SECONDS
    return total


def settle() -> float:
    """Wait until a store has nothing left to do in the background; when it began to rest (perf_counter)."""
    rest = time.perf_counter()
    used = processor_seconds()
    while time.perf_counter() - rest < _QUIET_SECONDS:
        time.sleep(_POLL_SECONDS)
        now = processor_seconds()
        if now - used > _BUSY_SECONDS:
            rest = time.perf_counter()
        used = now
    return rest


def written_bytes() -> int:
    """Of files, as handed to the kernel, by this process and those it has started."""
    total = 0
    for process in (os.getpid(), *children()):
        try:
            lines = Path(f"/proc/{process}/io").read_text().splitlines()
        except OSError:
            continue
        total += int(dict(line.split(": ") for line in lines)["wchar"])
    return total


def peak_bytes() -> int:
    """The most memory that was resident, of this process and those it has started."""
    total = 0
    for process in (os.getpid(), *children()):
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in lines)
        if "VmHWM" in fields:
            total += int(fields["VmHWM"].split()[0]) << 10
    return total


def disk_bytes(directory: Path) -> int:
    """What its files take on disk."""
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())
