"""The judges of a simulation: each watches one promise, at every step, and raises a Violation when it is broken."""

from app.simulation.judges.bench import Bench
from app.simulation.judges.promptness import Waiting
from app.simulation.judges.readings import Answer

__all__ = ["Answer", "Bench", "Waiting"]
