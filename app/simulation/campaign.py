"""Campaign: one seed or many, in as many processes as there are to be, told as they go."""

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import islice

from app.simulation.plan import KINDS
from app.simulation.report import describe, describe_violation
from app.simulation.shrink import Shrinker
from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial, command_of, try_out

SHRUNK_MAX = 3


class Campaign:
    """The command `ringkv simulate`.

    jobs        processes; with one seed all happens in this one
    keep_trace  given each line of the trace, where there is one seed
    say         prints a line
    """

    def __init__(
        self,
        options: SimulationOptions,
        seeds: Sequence[int],
        jobs: int,
        keep_trace: Callable[[str], object] | None,
        say: Callable[[str], object],
    ) -> None:
        self._options = options
        self._seeds = seeds
        self._jobs = min(jobs, len(seeds))
        self._keep_trace = keep_trace
        self._say = say

    def run(self, shrink_seconds: float) -> bool:
        """Run all seeds; whether every promise was kept. Up to so long is spent to shrink what failed."""
        say, began = self._say, time.monotonic()
        trials = []
        for trial in self._trials():
            trials.append(trial)
            if trial.violation is not None and len(self._seeds) > 1:
                say(f"{command_of(trial.options)}    # {trial.violation}")
        failed = sorted((trial for trial in trials if trial.violation is not None), key=lambda t: t.options.seed)
        say(describe(trials))
        if len(trials) == 1:
            say(f"trace {trials[0].trace_digest}, {trials[0].steps:,} steps")
        else:
            say(f"{len(trials):,} seeds in {time.monotonic() - began:,.0f} s, {len(failed)} of them failed")
        for trial in failed[:SHRUNK_MAX]:
            say("")
            say(describe_violation(self._shrunk(trial, shrink_seconds)))
        if not failed:
            say("every promise was kept")
        return not failed

    def _trials(self) -> Iterator[Trial]:
        if len(self._seeds) == 1:
            yield try_out(replace(self._options, seed=self._seeds[0]), self._keep_trace)
            return
        yield from run_seeds(self._options, self._seeds, self._jobs)

    @staticmethod
    def _shrunk(trial: Trial, seconds: float) -> Trial:
        end = time.monotonic() + seconds
        return Shrinker(trial, try_out, lambda: time.monotonic() < end).shrink()


def run_seeds(options: SimulationOptions, seeds: Iterable[int], jobs: int) -> Iterator[Trial]:
    """Each seed's trial, as it ends; with one job in this process and in order."""
    each = (replace(options, seed=seed) for seed in seeds)
    if jobs == 1:
        yield from map(try_out, each)
        return
    # Spawned, so that a trial runs in a process as new as that of its repetition.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: set[Future[Trial]] = {pool.submit(try_out, one) for one in islice(each, 2 * jobs)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
            running |= {pool.submit(try_out, one) for one in islice(each, len(ended))}


def options_of(
    seed: int, nodes: int, partitions: int, steps: int, faults: str | None, only: str | None
) -> SimulationOptions:
    """From words of the command line. Raises: ValueError, with a line that says what is wrong."""
    if partitions & (partitions - 1):
        raise ValueError("--partitions is a power of two")
    kinds = KINDS if faults is None else _words(faults)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"--faults knows {', '.join(KINDS)} and none, not {unknown[0]!r}")
    numbers = None
    if only is not None:
        words = _words(only)
        if not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(f"--only-faults is numbers such as 3,7,12, or none; not {only!r}")
        numbers = tuple(map(int, words))
    return SimulationOptions(seed, nodes, partitions, steps, kinds, None, numbers)


def _words(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(word.strip() for word in text.split(","))
