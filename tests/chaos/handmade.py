"""Records made by hand, for the tests of those who judge and count."""

from app.simulation.history import Operation
from tests.chaos.record import SECOND, Fault, Record, Seen, View

NODES = ("n1", "n2", "n3")
EVERYBODY = frozenset(NODES)
BEGAN, FORCED, ENDED = 10 * SECOND, 11 * SECOND, 20 * SECOND


def seen(
    node: str, at: float, ok: bool | None = True, key: str = "k", status: int = 204, seconds: float = 0.01
) -> Seen:
    """A put through a node, called at a second."""
    called = int(at * SECOND)
    finished = called + int(seconds * SECOND)
    return Seen(node, Operation(1, "put", key, f"{node}-{at}", None, ok, called, finished), status, finished)


def fault(*sides: str, live_seconds: float = 5.0) -> Fault:
    """From second 10 to 20, in force from 11, with sides as "n1" and "n2 n3"."""
    groups = tuple(frozenset(side.split()) for side in sides) if sides else None
    return Fault("F", BEGAN, groups, live_seconds, {"k": EVERYBODY}, FORCED, ENDED, ENDED + SECOND)


def record(*operations: Seen, faults: tuple[Fault, ...] = (), views: tuple[View, ...] = ()) -> Record:
    return Record(list(operations), list(views), list(faults))


def view(node: str, at: float, leader: str | None, term: int) -> View:
    return View(node, int(at * SECOND), 0, leader, term, 0, 0)
