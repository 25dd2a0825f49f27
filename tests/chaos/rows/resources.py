"""R: what a process may have is used up."""

from tests.chaos.arena import Arena
from tests.chaos.scenario import scenario


@scenario("R1-few-files")
def few_files(arena: Arena) -> None:
    """No descriptor is left on one node: it refuses, and takes up its work when there are some again."""
    victim = arena.follower()
    with arena.fault("R1-few-files", [arena.others(victim)]), arena.file_limit(victim, 24):
        # Its links are there already; the reset makes it want new ones.
        arena.network.reset_connections(victim)
        arena.hold(6)
