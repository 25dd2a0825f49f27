"""Machine: what a Host has of the machine it runs on.

All that differs between a run and the next with the same arguments comes from here: disk, chance,
clock and threads. A simulator gives another one; the event loop gives network and timers.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from engine import FileSystem, OsFileSystem
from raftgroups.syncer import Syncer
from raftgroups.synctimes import SyncTimes

ENGINE_THREADS = 2
WORKER_THREADS = 4

Sync = Callable[[], object]
Synced = Callable[[int, Exception | None], None]


class NodeLogSyncer(Protocol):
    """Syncs the node log, one sync at a time: see Syncer."""

    @property
    def is_inline(self) -> bool: ...

    @property
    def times(self) -> SyncTimes: ...

    def sync_inline(self) -> None: ...

    def ask(self, generation: int) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of a machine; one Host uses them, and shuts the executors down.

    rng             for what must differ between nodes, such as how long each waits
    clock_ms        milliseconds since the epoch; it may jump
    monotonic       the loop's clock in seconds, as it is now and not as it was when the turn began
    workers         runs what waits for a disk: reads, checkpoints
    engine_workers  runs flush and compaction; apart from the workers, because a checkpoint waits for a flush
    make_syncer     given what syncs the node log, whom to tell, and the loop's clock in seconds
    """

    file_system: FileSystem
    rng: random.Random
    clock_ms: Callable[[], int]
    monotonic: Callable[[], float]
    workers: Executor
    engine_workers: Executor
    make_syncer: Callable[[Sync, Synced, Callable[[], float]], NodeLogSyncer]

    @classmethod
    def real(cls, file_system: FileSystem | None = None) -> "Machine":
        """The one this process runs on, if need be with another disk."""
        return cls(
            file_system or OsFileSystem(),
            # Nobody can guess what comes of it, as the nonces of links must not be.
            random.SystemRandom(),
            _clock_ms,
            time.monotonic,
            ThreadPoolExecutor(WORKER_THREADS, thread_name_prefix="storage"),
            ThreadPoolExecutor(ENGINE_THREADS, thread_name_prefix="engine"),
            Syncer,
        )


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
