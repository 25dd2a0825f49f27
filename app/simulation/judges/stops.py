"""Stops: a node stops by itself, or refuses to start, for a broken disk, and for nothing else."""

from app.simulation.node import SimulatedNode
from app.simulation.violation import Violation

# What a disk says that was made to fail; one that was not has no reason to say so.
TROUBLES = ("Input/output error", "No space left on device")


class Stops:
    """Every node runs until somebody ends it; `Health` is about its replicas."""

    name = "no node stops without a broken disk"

    def __init__(self, nodes: dict[str, SimulatedNode]) -> None:
        self.checked = 0
        self._nodes = nodes

    def settle(self) -> None:
        """Ask every node why it stopped, if it did. Raises: Violation."""
        self.checked += 1
        for node in self._nodes.values():
            failure = node.failure
            if failure is None or node.disk.is_damaged:
                continue
            if not any(trouble in failure for trouble in TROUBLES):
                raise Violation(self.name, f"{node.name} stopped: {failure}")
