"""Shrink: a smaller trial that breaks the same promise.

Delta debugging over the faults (Zeller and Hildebrandt 2002), after fewer nodes and partitions and
before fewer steps have been tried. What is found need not be the smallest; it always fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.simulation.simulation import SimulationOptions
from app.simulation.trial import Trial

Try = Callable[[SimulationOptions], Trial]


class Shrinker:
    """Looks for smaller failures, for as long as it may.

    best     the smallest trial that was found to break the promise
    tries    how many were made
    """

    def __init__(self, failed: Trial, try_out: Try, may_go_on: Callable[[], bool]) -> None:
        assert failed.violation is not None, "only what fails is shrunk"
        self.best = failed
        self.tries = 0
        self._rule = failed.violation.rule
        self._try_out = try_out
        self._may_go_on = may_go_on

    def shrink(self) -> Trial:
        options = self.best.options
        for nodes in (3, 4):
            if nodes < options.nodes and self._fails(replace(options, nodes=nodes)):
                break
        for partitions in (1, 2):
            if partitions < options.partitions and self._fails(replace(self.best.options, partitions=partitions)):
                break
        self._drop_faults()
        while self.best.options.steps > 1 and self._fails(
            replace(self.best.options, steps=self.best.options.steps // 2)
        ):
            self._drop_faults()
        return self.best

    def _drop_faults(self) -> None:
        """Keep no fault that is not needed."""
        self._fails(replace(self.best.options, only=self._numbers()))
        pieces = 2
        while len(numbers := self._numbers()) > 1 and self._may_go_on():
            size = -(-len(numbers) // pieces)
            chunks = [numbers[at : at + size] for at in range(0, len(numbers), size)]
            smaller = [_without(numbers, chunk) for chunk in chunks]
            if any(self._fails(replace(self.best.options, only=kept)) for kept in smaller):
                pieces = max(pieces - 1, 2)
            elif size == 1:
                break
            else:
                pieces = min(2 * pieces, len(numbers))
        if len(numbers) == 1:
            self._fails(replace(self.best.options, only=()))

    def _numbers(self) -> tuple[int, ...]:
        return tuple(number for number, _ in self.best.struck)

    def _fails(self, options: SimulationOptions) -> bool:
        """Try it; what breaks the same promise is the best so far."""
        if not self._may_go_on():
            return False
        self.tries += 1
        trial = self._try_out(options)
        if trial.violation is None or trial.violation.rule != self._rule:
            return False
        self.best = trial
        return True


def _without(numbers: Sequence[int], gone: Sequence[int]) -> tuple[int, ...]:
    return tuple(number for number in numbers if number not in gone)
