"""Health: a replica stops for a broken disk, and for nothing else."""

from collections.abc import Callable

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change
from app.simulation.judges.rule import Rule
from engine import EngineError


class Health(Rule):
    """No replica is quarantined for a bug of ours: an assert that failed, an entry that contradicts another.

    may_be_damaged  whether a node's disk was made to fail
    """

    name = "no replica stops without a broken disk"

    def __init__(self, facts: Facts, may_be_damaged: Callable[[str], bool]) -> None:
        super().__init__(facts)
        self._may_be_damaged = may_be_damaged

    def changed(self, change: Change) -> None:
        failure, replica = change.now.failure, change.replica
        self.checked += 1
        is_excused = failure is None or (isinstance(failure, EngineError) and self._may_be_damaged(replica.node))
        if not is_excused:
            raise self.broken(f"{replica} stopped: {type(failure).__name__}: {failure}")
