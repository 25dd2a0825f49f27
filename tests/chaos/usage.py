"""What a process takes of its machine."""

import os
from dataclasses import dataclass
from pathlib import Path

# Connections and worker threads come and go with the load; memory grows until the memtables are full.
FILES_MORE = 40
THREADS_MORE = 6
MEMORY_MORE = 128 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    files: int
    threads: int
    memory_bytes: int

    def grown_since(self, before: "Usage") -> list[str]:
        """What grew by more than can be explained."""
        grown = []
        if self.files > before.files + FILES_MORE:
            grown.append(f"{before.files} open files became {self.files}")
        if self.threads > before.threads + THREADS_MORE:
            grown.append(f"{before.threads} threads became {self.threads}")
        if self.memory_bytes > before.memory_bytes + MEMORY_MORE:
            grown.append(f"{before.memory_bytes >> 20} MiB of memory became {self.memory_bytes >> 20}")
        return grown


def measure(pid: int) -> Usage:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    memory = int(fields["VmRSS"].split()[0]) * 1024
    return Usage(len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"]), memory)
