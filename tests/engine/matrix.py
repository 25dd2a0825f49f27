"""The crash and fault matrix: short lives of a store, and whatever may go wrong at each of their moments.

    python -m tests.engine.matrix [--quick] [--seeds N] [--lives N] [--processes N]      make crash-matrix

Every line of it is checked, not only counted: whatever was found after a crash or a failure is a prefix of what
was written, with all that was promised. The first that is not ends the run, and says where it was.
"""

import argparse
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import astuple
from functools import partial
from typing import Any, TypeVar

from tests.engine.crashes import CrashMatrix, CrashTally, crashes
from tests.engine.life import STEPS, WRITES
from tests.engine.troubles import CALLS, OUTCOMES, FaultMatrix, troubles
from tests.engine.workloads import SETTINGS, WORKLOADS

LIFE_STEPS = 60
LIFE_SHARE = 0.02
LIVES_TOGETHER = 10

Matrix = TypeVar("Matrix", CrashMatrix, FaultMatrix)


def try_crashes(
    setting: str,
    workloads: Iterable[str] = WORKLOADS,
    *,
    seeds: int = 1,
    share: float = 1.0,
    again_share: float = 1.0,
) -> CrashMatrix:
    """Workloads, with crashes at this share of their moments, and of those of opening the store again."""
    matrix = CrashMatrix(crashes(range(seeds)), crashes(range(1)), share=share, again_share=again_share)
    for name in workloads:
        matrix.live(setting, WORKLOADS[name])
    return matrix


def try_long_lives(lives: Iterable[int]) -> CrashMatrix:
    """Lives of many steps by chance, with a crash at a few of their moments."""
    matrix = CrashMatrix(crashes(range(1)), crashes(range(1)), share=LIFE_SHARE, again_share=LIFE_SHARE)
    for seed in lives:
        rng = random.Random(seed)
        words = [*WRITES, *(f"{name}!" for name in WRITES), *(name for name in STEPS if name not in {"open", "close"})]
        steps = " ".join(rng.choices([*words, "close open"], k=LIFE_STEPS))
        matrix.live(rng.choice(list(SETTINGS)), steps)
    return matrix


def try_troubles(setting: str, workloads: Iterable[str] = WORKLOADS, *, stride: int = 1) -> FaultMatrix:
    """Workloads, with every trouble at each call, or at one of so many."""
    matrix = FaultMatrix()
    for name in workloads:
        for trouble in troubles():
            matrix.live(setting, WORKLOADS[name], trouble, stride=stride)
    return matrix


def table(words: int, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines of text: the first columns are words, the others numbers."""
    lines = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        columns = enumerate(zip(line, widths, strict=True))
        yield "  ".join(
            cell.ljust(width) if at < words else cell.rjust(width) for at, (cell, width) in columns
        ).rstrip()


def crash_table(matrices: Sequence[CrashMatrix]) -> Iterator[str]:
    """A line for each step, and one for all."""
    steps = sorted({step for matrix in matrices for step in matrix.tallies})
    tallies = [[astuple(matrix.tallies.get(step, CrashTally())) for matrix in matrices] for step in steps]
    rows = [(step, *map(sum, zip(*tally, strict=True))) for step, tally in zip(steps, tallies, strict=True)]
    head = ("crash in", "moments", "crashes", "while opening", "disks", "nothing lost")
    yield from table(1, head, [*rows, _total(rows, words=1)])


def outcome_table(matrices: Sequence[FaultMatrix]) -> Iterator[str]:
    """A line for each way for a call to fail, and one for all."""
    rows = []
    for trouble in sorted(troubles(), key=lambda trouble: (trouble.operation, trouble.name)):
        kind = trouble.operation, trouble.name
        counts = sum((matrix.outcomes.get(kind, Counter()) for matrix in matrices), Counter())
        rows.append((*kind, counts.total(), *(counts[outcome] for outcome in OUTCOMES)))
    head = ("failing call", "with", "lives", *OUTCOMES)
    yield from table(2, head, [*rows, _total(rows, words=2)])


def step_table(matrices: Sequence[FaultMatrix]) -> Iterator[str]:
    """How many calls of each operation have failed in each step."""
    counts: dict[str, Counter[str]] = {}
    for matrix in matrices:
        for step, counter in matrix.steps.items():
            counts[step] = counts.get(step, Counter()) + counter
    calls = [call for call in CALLS if any(counter[call] for counter in counts.values())]
    rows = [(step, *(counts[step][call] for call in calls)) for step in sorted(counts)]
    head = ("failing in", *(call.replace("_directory", "_dir") for call in calls))
    yield from table(1, head, [*rows, _total(rows, words=1)])


def _total(rows: Sequence[Sequence[Any]], *, words: int) -> Sequence[Any]:
    return ("all", *[""] * (words - 1), *map(sum, list(zip(*rows, strict=True))[words:]))


def results(tasks: Iterable[Future[Matrix]]) -> list[Matrix]:
    return [task.result() for task in tasks]


def main() -> None:
    parser = argparse.ArgumentParser(description="Try every crash and every failing call of short lives of a store.")
    parser.add_argument("--quick", action="store_true", help="only some of the moments and calls")
    parser.add_argument("--seeds", type=int, default=2, help="crashes by chance at each moment")
    parser.add_argument("--lives", type=int, default=100, help="long lives by chance")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at once; the result is the same")
    given = parser.parse_args()
    share, stride = (0.05, 50) if given.quick else (1.0, 1)
    began = time.monotonic()
    pool = ProcessPoolExecutor(given.processes)
    try:
        how = partial(try_crashes, seeds=given.seeds, share=share, again_share=share)
        crashed = [pool.submit(how, setting, [name]) for setting in SETTINGS for name in WORKLOADS]
        lives = range(given.lives)
        lived = [pool.submit(try_long_lives, lives[at : at + LIVES_TOGETHER]) for at in lives[::LIVES_TOGETHER]]
        settings = "own log", "no log"
        failed = [
            pool.submit(try_troubles, setting, [name], stride=stride) for setting in settings for name in WORKLOADS
        ]
        print("Crashes at every moment of short lives, and at every moment of opening the store again.\n", flush=True)
        print(*crash_table(results(crashed)), "", sep="\n", flush=True)
        print("Crashes at some moments of long lives by chance.\n")
        print(*crash_table(results(lived)), "", sep="\n", flush=True)
        print("Short lives in which a call fails, or all from one on.\n")
        troubled = results(failed)
        print(*outcome_table(troubled), "", *step_table(troubled), sep="\n")
    finally:
        # After the first that is wrong the others need not be tried.
        pool.shutdown(cancel_futures=True)
    print(f"\nEach of them was opened again, and had all that was promised. {time.monotonic() - began:,.0f} s")


if __name__ == "__main__":
    main()
