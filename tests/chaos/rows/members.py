"""M: replicas move, and snapshots travel, while something else is wrong."""

from collections.abc import Callable

from tests.chaos.arena import Arena
from tests.chaos.expectations import few_elections, received_snapshot, snapshots, terms
from tests.chaos.forgetting import wait_forgotten
from tests.chaos.moves import elsewhere, place, wait_moved
from tests.chaos.scenario import scenario
from tests.cluster.nodes import wait_until

Harm = Callable[[Arena, str], None]


def kill(arena: Arena, victim: str) -> None:
    arena.kill(victim)


def isolate(arena: Arena, victim: str) -> None:
    arena.network.isolate(victim)


def deafen(arena: Arena, victim: str) -> None:
    arena.network.cut((other, victim) for other in arena.others(victim))


def pause(arena: Arena, victim: str) -> None:
    arena.pause(victim)


def move_under(arena: Arena, name: str, harm: Harm) -> None:
    """A partition goes to other nodes and leaves its leader; the leader, and then one that comes, is hurt meanwhile."""
    for role in ("leader", "newcomer"):
        key = arena.rng.choice(arena.keys)
        leader, before = arena.leader(key), arena.replicas[key]
        after = elsewhere(arena.rng, arena.names, sorted(before), leader)
        victim = leader if role == "leader" else arena.rng.choice(sorted(set(after) - before))
        terms_before = terms(arena)
        with arena.fault(f"{name}-{role}", None):
            place(arena, key, after)
            harm(arena, victim)
            arena.hold(5)
        wait_moved(arena, key, after)
        few_elections(arena, terms_before, f"{name}-{role}")


@scenario("M1-move-kill", nodes=5, replicas=3)
def move_kill(arena: Arena) -> None:
    """Fault P1 in the middle of a change of members."""
    move_under(arena, "M1-move-kill", kill)


@scenario("M1-move-cut", nodes=5, replicas=3)
def move_cut(arena: Arena) -> None:
    """Fault N1."""
    move_under(arena, "M1-move-cut", isolate)


@scenario("M1-move-deaf", nodes=5, replicas=3)
def move_deaf(arena: Arena) -> None:
    """Fault N3."""
    move_under(arena, "M1-move-deaf", deafen)


@scenario("M1-move-pause", nodes=5, replicas=3)
def move_pause(arena: Arena) -> None:
    """Fault P7."""
    move_under(arena, "M1-move-pause", pause)


@scenario("M2-snapshot-killed", altered="small-tables", big_share=0.5)
def snapshot_killed(arena: Arena) -> None:
    """Who receives a snapshot is killed as soon as it begins, and then who sends it."""
    victim = arena.follower()
    with arena.fault("M2-snapshot-killed", None):
        arena.kill(victim)
        arena.forced()
        wait_forgotten(arena, victim)
        before = snapshots(arena, victim)
        arena.start(victim)
        wait_until(lambda: snapshots(arena, victim) > before, 20, "a snapshot is on its way")
        arena.kill(victim)
        arena.start(victim)
        wait_until(lambda: snapshots(arena, victim) > before + 1, 20, "a snapshot is on its way again")
        sender = arena.leader()
        arena.kill(sender)


@scenario("M3-tail-and-snapshot", altered="small-tables", big_share=0.5)
def tail_and_snapshot(arena: Arena) -> None:
    """A leader alone goes on taking writes into its log; what it lacks is forgotten meanwhile by those who had it."""
    victim = arena.leader()
    before = snapshots(arena, victim)
    with arena.fault("M3-tail-and-snapshot", [[victim], arena.others(victim)]):
        arena.network.isolate(victim)
        arena.forced()
        wait_forgotten(arena, victim)
    received_snapshot(arena, victim, before)
