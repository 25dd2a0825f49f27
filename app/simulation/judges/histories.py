"""Histories: what all clients did and saw is linearizable."""

from app.simulation.history import History
from app.simulation.linearizability import check
from app.simulation.violation import Violation


class Histories:
    """Judges the whole history of every key, stale reads left out."""

    name = "linearizable histories"

    def __init__(self, history: History) -> None:
        self.checked = 0
        self._history = history

    def settle(self) -> None:
        """Judge everything so far. Raises: Violation."""
        operations = self._history.operations()
        self.checked = len(operations)
        found = check(operations)
        if found is not None:
            raise Violation(self.name, str(found))
