"""Calls that fail, one after the other, in every way that is known of them, and lives that go on all the same.

What a failing call comes to:

    unnoticed   nobody had to hear of it
    refused     what needed it was refused, and the store goes on
    closed      the store takes no more writes, says why, and can be read, until it is opened again
    unopened    it could not be opened until the trouble was over
"""

import errno
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine import EngineError, Fault, MemoryFileSystem, StorageError, StorageFullError
from tests.engine.life import Life
from tests.engine.workloads import SETTINGS, finish, told

OUTCOMES = ("unnoticed", "refused", "closed", "unopened")
# Made anew for each life: an error that was raised keeps that life in memory.
FAILED = partial(StorageError, "the disk", errno.EIO, "Input/output error")
FULL = partial(StorageFullError, "the disk", errno.ENOSPC, "No space left on device")
LACKING = partial(StorageFullError, "the process", errno.EMFILE, "Too many open files")
CALLS = (
    *("open_append", "create", "open_read", "create_directory", "list_directory", "size", "read", "write"),
    *("rewrite", "truncate", "sync", "sync_directory", "rename", "link", "remove"),
)
# A sync is another matter: if there is no room then, what was written before is lost.
TAKING_ROOM = ("create", "create_directory", "write", "rename", "link")
READING = ("open_read", "read", "size")


@dataclass(slots=True)
class FullDisk(Fault):
    """No room for anything, from one call on."""

    def strikes(self, operation: str, path: str) -> bool:
        return operation in TAKING_ROOM and super(FullDisk, self).strikes(self.operation, path)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What becomes of the n-th call of an operation, n given; the first of the faults is the one."""

    operation: str
    name: str
    faults: Callable[[int], list[Fault]]


def troubles() -> list[Trouble]:
    """All of them."""
    found = [Trouble("all that take room", "disk full", lambda n: [FullDisk("", FULL(), skip=n, times=None)])]
    for operation in CALLS:
        found.append(_trouble("EIO", operation, FAILED))
        found.append(_trouble("EIO for ever", operation, FAILED, times=None))
        if operation in (*TAKING_ROOM, "sync", "sync_directory", "remove"):
            found.append(_trouble("ENOSPC", operation, FULL))
        if operation in {"open_append", "open_read"}:
            found.append(_trouble("EMFILE", operation, LACKING))
        if operation == "write":
            found += [
                _trouble("EIO, nothing written", operation, FAILED, keep=0.0),
                _trouble("EIO, all written", operation, FAILED, keep=1.0),
                _trouble("ENOSPC, nothing written", operation, FULL, keep=0.0),
                _trouble("ENOSPC, all but a byte", operation, FULL, keep=0.999),
                Trouble(operation, "ENOSPC, no truncate", _full_and_stuck),
            ]
        if operation == "sync":
            found.append(_trouble("EIO, and forgotten", operation, FAILED, forgets=True))
    return found


def _trouble(name: str, operation: str, error: Callable[[], StorageError], **how: Any) -> Trouble:
    return Trouble(operation, name, lambda n: [Fault(operation, error(), skip=n, **how)])


def _full_and_stuck(number: int) -> list[Fault]:
    return [Fault("write", FULL(), skip=number, keep=0.999), Fault("truncate", FAILED())]


class Sufferer:
    """A life that goes on as well as it can.

    outcome   the worst that was heard of
    """

    def __init__(self, life: Life, trouble: Trouble, faults: list[Fault]) -> None:
        self.life = life
        self.outcome = OUTCOMES[0]
        self._causes = [fault.error for fault in faults if isinstance(fault.error, StorageError)]
        self._may_be_unreadable = trouble.operation in READING
        life.disk.faults = faults

    def take(self, step: str) -> None:
        life = self.life
        try:
            if life.engine is None:
                life.take("open")
            if step != "open":
                life.take(step)
        except EngineError as error:
            self._hear(error)
            if life.engine is None:
                self._worse("unopened" if life.step == "open" else "closed")
            else:
                self._look_at(life.step)

    def _look_at(self, step: str) -> None:
        """What can be done with a store in which something has failed."""
        life = self.life
        try:
            life.check_reads()
        except StorageError as error:
            assert self._may_be_unreadable
            self._hear(error)
        try:
            life.take("put!")
        except StorageFullError:
            self._worse("refused")
        except EngineError as error:
            self._hear(error)
            self._worse("closed")
            try:
                life.take("close")
            except EngineError as another:
                self._hear(another)
        else:
            self._worse("refused")
        life.step = step

    def _lose_power(self) -> None:
        """If the machine went off now, all that was promised would be there, and that it was opened is a promise."""
        twin = self.life.fork()
        twin.disk.restart()
        twin.crash(has_lost_power=True)
        twin.take("open")
        twin.check_reads()
        twin.take("close")

    def _hear(self, error: EngineError) -> None:
        """An error says what is wrong with the disk."""
        numbers = {cause.number for cause in self._causes}
        is_clear = isinstance(error, StorageError) and error.number in numbers
        assert is_clear or any(cause.reason in str(error) for cause in self._causes), f"that is no clear error: {error}"

    def _worse(self, outcome: str) -> None:
        self.outcome = max(self.outcome, outcome, key=OUTCOMES.index)

    def heal(self) -> None:
        """The trouble is over: whoever is open goes on, others are opened, and nothing was lost."""
        life = self.life
        life.disk.faults = []
        if life.engine is None:
            life.take("open")
        self._lose_power()
        life.take("put!")
        # Before a flush, which lets go of the log.
        self._lose_power()
        for step in ["flush", "compact"]:
            life.take(step)
        life.check_reads()
        life.take("close")
        assert not life.disk.appending, "a file was not closed"
        finish(life)


class FaultMatrix:
    """Lives in which calls fail, one in each, or all from one on.

    outcomes   by operation and trouble
    steps      by the step in which it was, and the operation
    """

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], Counter[str]] = {}
        self.steps: dict[str, Counter[str]] = {}

    def live(self, setting: str, steps: str, trouble: Trouble, *, stride: int = 1) -> None:
        """A life for each call that there is, or for each so many of them."""
        number = zlib.crc32(f"{steps} {trouble.operation} {trouble.name}".encode()) % stride if stride > 1 else 0
        while self._live(setting, steps, trouble, number):
            number += stride

    def _live(self, setting: str, steps: str, trouble: Trouble, number: int) -> bool:
        """Whether there is such a call."""
        faults = trouble.faults(number)
        life = Life(MemoryFileSystem(), SETTINGS[setting][0])
        sufferer = Sufferer(life, trouble, faults)
        where = ""
        with told(f"{setting}: {steps}: {trouble.operation} {number}: {trouble.name}"):
            for step in f"open {steps} close".split():
                sufferer.take(step)
                if faults[0].struck and not where:
                    where = step
            sufferer.heal()
        if not where:
            return False
        self.outcomes.setdefault((trouble.operation, trouble.name), Counter())[sufferer.outcome] += 1
        self.steps.setdefault(where, Counter())[trouble.operation] += 1
        return True
