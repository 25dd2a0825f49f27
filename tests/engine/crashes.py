"""Crashes at every moment of a store's life, and at every moment of opening it afterwards.

A crash comes before each change of the disk: of the process, which leaves what was written, or of the machine,
which leaves of what was not synced nothing, everything, names without data, data without names, or anything.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from engine import MemoryFileSystem
from tests.engine.life import Life
from tests.engine.workloads import AFTER, SETTINGS, check_disk, finish, told


@dataclass(frozen=True, slots=True)
class Crash:
    """What is left of what was not synced."""

    name: str
    strike: Callable[[MemoryFileSystem], None]
    has_lost_power: bool = True


def crashes(seeds: Iterable[int]) -> list[Crash]:
    """The systematic ones, and as many by chance."""
    return [
        Crash("killed", MemoryFileSystem.kill, has_lost_power=False),
        Crash("nothing", MemoryFileSystem.restart),
        Crash("everything", partial(MemoryFileSystem.restart, names=True, data=True)),
        Crash("names", partial(MemoryFileSystem.restart, names=True)),
        Crash("data", partial(MemoryFileSystem.restart, data=True)),
        *(Crash(f"some {seed}", partial(_restart_by_chance, seed)) for seed in seeds),
    ]


def _restart_by_chance(seed: int, disk: MemoryFileSystem) -> None:
    disk.restart(random.Random(seed))


@dataclass(slots=True)
class CrashTally:
    """What was tried at the moments of one step.

    points   changes of the disk before which it crashed
    first    crashes there, each followed by opening
    again    crashes while it was opened after those
    disks    of both, how many left a disk that none had left before
    whole    of these, how many had every write that was tried
    """

    points: int = 0
    first: int = 0
    again: int = 0
    disks: int = 0
    whole: int = 0


class CrashMatrix:
    """Takes a life, and lets many others end at each of its moments."""

    def __init__(
        self, first: Sequence[Crash], again: Sequence[Crash], *, share: float = 1.0, again_share: float = 1.0
    ) -> None:
        """Of the moments of a life, and then of those of opening it, it crashes at these shares, by chance."""
        self.tallies: dict[str, CrashTally] = {}
        self._first = first
        self._again = again
        self._share = share
        self._again_share = again_share
        self._rng = random.Random(1)
        self._seen: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}

    def live(self, setting: str, steps: str) -> None:
        """A life with these steps, and all those that end in it."""
        options, self._options_after = SETTINGS[setting]
        self._seen = {True: set(), False: set()}
        life = Life(MemoryFileSystem(), options)

        def before_change(operation: str, path: str) -> None:
            if self._rng.random() < self._share:
                self._crash(life, f"{life.step}, before {operation} {path}")

        with told(f"{setting}: {steps}"):
            with self._watched(life.disk, before_change):
                for step in f"open {steps} close".split():
                    life.take(step)
            self._crash(life, "at the end")

    def _crash(self, life: Life, where: str) -> None:
        tally = self.tallies.setdefault(life.step, CrashTally())
        tally.points += 1
        for crash in self._first:
            tally.first += 1
            with told(f"{where}: {crash.name}"):
                self._recover(life, crash, tally, crashes_again=True)

    @contextmanager
    def _watched(self, disk: MemoryFileSystem, before_change: Callable[[str, str], object]) -> Iterator[None]:
        """Whoever is told of a change may fail; the engine would take that for a failure of its own."""
        failures: list[BaseException] = []

        def watch(operation: str, path: str) -> None:
            if not failures:
                try:
                    before_change(operation, path)
                except BaseException as failure:
                    failures.append(failure)

        disk.on_change = watch
        try:
            yield
        finally:
            disk.on_change = None
            if failures:
                raise failures[0]

    def _recover(self, life: Life, crash: Crash, tally: CrashTally, *, crashes_again: bool) -> None:
        """Open what a crash leaves, let it live on, and let others crash at every change it makes in doing so."""
        life = life.fork()
        life.options = self._options_after
        crash.strike(life.disk)
        life.crash(has_lost_power=crash.has_lost_power)
        state = life.disk.fingerprint(), len(life.changes), life.acknowledged, life.promised
        # What a second crash leaves is opened without a third one: less is tried than after a first.
        if state in self._seen[True] or (state in self._seen[False] and not crashes_again):
            return
        self._seen[crashes_again].add(state)
        tally.disks += 1
        check_disk(life)

        def before_change(operation: str, path: str) -> None:
            if self._rng.random() < self._again_share:
                for following in self._again:
                    tally.again += 1
                    with told(f"then before {operation} {path}: {following.name}"):
                        self._recover(life, following, tally, crashes_again=False)

        with self._watched(life.disk, before_change if crashes_again else lambda *_: None):
            tally.whole += not life.recover()
            for step in AFTER.split():
                life.take(step)
        finish(life)
