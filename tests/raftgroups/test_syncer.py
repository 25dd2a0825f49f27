import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from engine import StorageError
from raftgroups.syncer import QUICK_SYNCS_NEEDED, SLOW_SECONDS, Syncer
from tests.raftgroups.peers import Changes


class Disk:
    """Syncs as quickly as the test says, by a clock that it turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.error: Exception | None = None
        self.threads: list[threading.Thread] = []
        self.told: list[tuple[int, Exception | None]] = []
        self.changes = Changes()
        self.syncer = Syncer(self._sync, self._synced, lambda: self.now)

    def _sync(self) -> None:
        self.threads.append(threading.current_thread())
        self.now += self.takes
        if self.error is not None:
            raise self.error

    def _synced(self, generation: int, error: Exception | None) -> None:
        self.told.append((generation, error))
        self.changes.note()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_a_quick_disk_is_waited_for() -> None:
    async def scenario() -> None:
        disk = Disk()
        for _ in range(3):
            disk.syncer.sync_inline()

        assert disk.syncer.is_inline
        assert disk.threads == [threading.current_thread()] * 3
        disk.syncer.close()

    run(scenario())


def test_a_slow_sync_moves_the_next_ones_to_a_thread() -> None:
    async def scenario() -> None:
        disk = Disk()
        disk.takes = SLOW_SECONDS
        disk.syncer.sync_inline()
        inline = [disk.syncer.is_inline]

        disk.syncer.ask(7)
        assert disk.told == [], "not before ask has returned"
        await disk.changes.until(lambda: disk.told == [(7, None)])
        inline.append(disk.syncer.is_inline)

        assert inline == [False, False]
        assert disk.threads[1] is not threading.current_thread()
        disk.syncer.close()

    run(scenario())


def test_a_disk_that_has_been_quick_for_a_while_is_waited_for_again() -> None:
    async def scenario() -> None:
        disk = Disk()
        disk.takes = SLOW_SECONDS
        disk.syncer.sync_inline()
        disk.takes = 0.0
        for generation in range(QUICK_SYNCS_NEEDED):
            assert not disk.syncer.is_inline
            disk.syncer.ask(generation)
            await disk.changes.until(lambda: len(disk.told) == generation + 1)  # noqa: B023  # awaited here

        assert disk.syncer.is_inline
        disk.syncer.close()

    run(scenario())


def test_a_failure_reaches_the_loop() -> None:
    async def scenario() -> None:
        disk = Disk()
        disk.error = StorageError("log", 5, "input/output error")

        disk.syncer.ask(1)
        await disk.changes.until(lambda: disk.told == [(1, disk.error)])
        with pytest.raises(StorageError):
            disk.syncer.sync_inline()

        disk.syncer.close()

    run(scenario())


def test_closing_finishes_what_was_asked_for() -> None:
    async def scenario() -> None:
        disk = Disk()
        for generation in range(5):
            disk.syncer.ask(generation)

        disk.syncer.close()

        assert len(disk.threads) == 5
        await disk.changes.until(lambda: [generation for generation, _ in disk.told] == [0, 1, 2, 3, 4])

    run(scenario())
