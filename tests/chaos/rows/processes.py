"""P: processes that are killed, paused and starved."""

from tests.chaos.arena import Arena
from tests.chaos.expectations import ended_with, few_elections, terms
from tests.chaos.scenario import scenario


@scenario("P1-kill-leader")
def kill_leader(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("P1-kill-leader", [arena.others(victim)]):
        arena.kill(victim)
        arena.hold(6)


@scenario("P2-kill-follower")
def kill_follower(arena: Arena) -> None:
    victim = arena.follower()
    with arena.fault("P2-kill-follower", [arena.others(victim)]):
        arena.kill(victim)
        arena.hold(6)


@scenario("P3-kill-all")
def kill_all(arena: Arena) -> None:
    with arena.fault("P3-kill-all", []):
        arena.kill(*arena.names)
        arena.start(*arena.rng.sample(arena.names, len(arena.names)))


@scenario("P4-power-cut-all")
def power_cut_all(arena: Arena) -> None:
    with arena.fault("P4-power-cut-all", []):
        arena.cut_power(*arena.names)


@scenario("P4-power-cut-one")
def power_cut_one(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("P4-power-cut-one", [arena.others(victim)]):
        arena.cut_power(victim)
        arena.hold(6)


@scenario("P5-crash-points", altered="small-tables", big_share=0.5)
def crash_points(arena: Arena) -> None:
    """Killed by a tracer at some call of each kind that changes the disk: of an append, a flush, a compaction."""
    for call in ("fdatasync", "write", "fsync", "unlink", "openat"):
        victim = arena.leader()
        with arena.fault(f"P5-crash-at-{call}", [arena.others(victim)]), arena.killed_at(victim, call, arena.rng):
            arena.forced()
            ended_with(arena, victim, -9)


@scenario("P7-pause-leader")
def pause_leader(arena: Arena) -> None:
    """With readers on the paused node: what they asked before is answered when it goes on."""
    for seconds in (1.0, 6.0):
        victim = arena.leader()
        with arena.fault(f"P7-pause-leader-{seconds:g}s", [arena.others(victim)]):
            arena.pause(victim)
            arena.hold(seconds)


@scenario("P7-pause-leader-10s")
def pause_leader_long(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("P7-pause-leader-10s", [arena.others(victim)]):
        arena.pause(victim)
        arena.hold(10)


@scenario("P8-pause-majority")
def pause_majority(arena: Arena) -> None:
    count = len(arena.names) - arena.minority
    victims = arena.choose(count)
    with arena.fault("P8-pause-majority", [arena.others(*victims)]):
        arena.pause(*victims)
        # A link is silent for a while before its node counts as gone; what was sent before may still be answered.
        arena.hold(6)


@scenario("P9-starved")
def starved(arena: Arena) -> None:
    """A fifth of a processor for one node must not make it fight for leadership."""
    victim = arena.leader()
    before = terms(arena)
    with arena.fault("P9-starved", None), arena.throttled(victim, 0.2):
        arena.hold(8)
    few_elections(arena, before, "P9-starved")


@scenario("P10-kill-often")
def kill_often(arena: Arena) -> None:
    for _ in range(5):
        victim = arena.rng.choice(arena.names)
        with arena.fault("P10-kill-often", [arena.others(victim)]):
            arena.kill(victim)
            arena.hold(arena.rng.uniform(0.2, 2.0))
