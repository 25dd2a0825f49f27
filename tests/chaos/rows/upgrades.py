"""U: restarts that nobody should notice."""

from tests.chaos.arena import Arena
from tests.chaos.expectations import nobody_else_refused, nothing_in_doubt
from tests.chaos.scenario import scenario


@scenario("U1-rolling-restart")
def rolling_restart(arena: Arena) -> None:
    """One node after the other: a client that goes to another node when one refuses never fails."""
    for name in arena.names:
        with arena.fault("U1-rolling-restart", [arena.others(name)]) as fault:
            arena.terminate(name)
            arena.forced()
        nobody_else_refused(arena, fault)
        nothing_in_doubt(arena, fault, name)
