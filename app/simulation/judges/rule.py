"""What a rule on replicas is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from app.simulation.judges.facts import Facts
from app.simulation.judges.replica import Change
from app.simulation.violation import Violation


class Rule(ABC):
    """One promise that every step must keep.

    name      as it is printed
    checked   how often it was checked
    """

    name: ClassVar[str]

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.checked = 0

    @abstractmethod
    def changed(self, change: Change) -> None:
        """A step changed a replica. Raises: Violation."""

    def broken(self, text: str) -> Violation:
        """What to raise when it is not kept."""
        return Violation(self.name, text)
