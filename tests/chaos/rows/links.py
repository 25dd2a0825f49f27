"""N: a network that cuts, loses, delays and repeats."""

import itertools
import time

from tests.chaos.arena import Arena
from tests.chaos.expectations import few_elections, in_doubt, snapshots_to, somebody_is_served, terms
from tests.chaos.forgetting import wait_forgotten
from tests.chaos.node import HTTP_PORT
from tests.chaos.scenario import scenario
from tests.chaos.switch import Quality
from tests.cluster.nodes import wait_until


@scenario("N1-symmetric")
def symmetric(arena: Arena) -> None:
    """A minority that led, and the rest."""
    leader = arena.leader()
    few = [leader, *arena.others(leader)[: arena.minority - 1]]
    with arena.fault("N1-symmetric", [few, arena.others(*few)]):
        arena.network.split(few, arena.others(*few))
        arena.hold(7)


@scenario("N2-leader-alone")
def leader_alone(arena: Arena) -> None:
    """Its own clients go on asking it."""
    victim = arena.leader()
    with arena.fault("N2-leader-alone", [[victim], arena.others(victim)]):
        arena.network.isolate(victim)
        arena.hold(7)


@scenario("N3-deaf-leader")
def deaf_leader(arena: Arena) -> None:
    """It sends and hears nothing; nobody's link is whole, but the others reach each other."""
    victim = arena.leader()
    with arena.fault("N3-deaf-leader", [[victim], arena.others(victim)], live_seconds=10):
        arena.network.cut((other, victim) for other in arena.others(victim))
        arena.hold(11)


@scenario("N3-mute-leader")
def mute_leader(arena: Arena) -> None:
    """It hears and cannot be heard."""
    victim = arena.leader()
    with arena.fault("N3-mute-leader", [[victim], arena.others(victim)], live_seconds=10):
        arena.network.cut((victim, other) for other in arena.others(victim))
        arena.hold(11)


@scenario("N4-bridge")
def bridge(arena: Arena) -> None:
    """Two sides, one common node: whoever reaches it may be served, and elections end."""
    common = arena.rng.choice(arena.names)
    rest = arena.others(common)
    half = len(rest) // 2
    before = terms(arena)
    with arena.fault("N4-bridge", None):
        arena.network.split(rest[:half], rest[half:])
        arena.hold(9)
        somebody_is_served(arena, "N4-bridge")
    few_elections(arena, before, "N4-bridge")


@scenario("N4-ring", nodes=5)
def ring(arena: Arena) -> None:
    """Each node reaches its two neighbours, so each sees a majority, and no two see the same."""
    names = arena.names
    before = terms(arena)
    count = len(names)
    with arena.fault("N4-ring", None):
        far = [
            (names[a], names[b])
            for a, b in itertools.combinations(range(count), 2)
            if (b - a) % count not in (1, count - 1)
        ]
        arena.network.cut_both(far)
        arena.hold(9)
        somebody_is_served(arena, "N4-ring")
    few_elections(arena, before, "N4-ring")


@scenario("N5-flapping")
def flapping(arena: Arena) -> None:
    """A cut that comes and goes at about the pace of elections."""
    victim = arena.leader()
    with arena.fault("N5-flapping", None):
        arena.forced()
        until = time.monotonic() + 9
        while time.monotonic() < until:
            arena.network.isolate(victim)
            time.sleep(arena.rng.uniform(0.2, 1.5))
            arena.network.heal()
            time.sleep(arena.rng.uniform(0.2, 1.5))


@scenario("N6-loss-5")
def loss(arena: Arena) -> None:
    with arena.fault("N6-loss-5", [arena.names]):
        arena.network.degrade_all(Quality(loss=0.05))
        arena.hold(8)


@scenario("N6-loss-30")
def heavy_loss(arena: Arena) -> None:
    """So much that TCP itself stands still for seconds: safety alone is expected."""
    with arena.fault("N6-loss-30", None):
        arena.network.degrade_all(Quality(loss=0.3))
        arena.hold(8)


@scenario("N6-delay")
def delay(arena: Arena) -> None:
    with arena.fault("N6-delay", [arena.names]):
        arena.network.degrade_all(Quality(delay_ms=100, jitter_ms=50))
        arena.hold(8)


@scenario("N6-reorder-duplicate")
def reorder(arena: Arena) -> None:
    with arena.fault("N6-reorder-duplicate", [arena.names]):
        arena.network.degrade_all(Quality(delay_ms=5, jitter_ms=5, reorder=0.3, duplicate=0.2))
        arena.hold(8)


@scenario("N6-lossy-leader")
def lossy_leader(arena: Arena) -> None:
    """Everything at once, one way only."""
    leader = arena.leader()
    lanes = {
        (leader, other): Quality(delay_ms=50, jitter_ms=30, loss=0.1, reorder=0.1) for other in arena.others(leader)
    }
    with arena.fault("N6-lossy-leader", None):
        arena.network.degrade(lanes)
        arena.hold(8)


@scenario("N7-big-blocked", big_share=0.3)
def big_blocked(arena: Arena) -> None:
    """Heartbeats pass, entries do not: a leader that gets nothing done must not stay for ever."""
    victim = arena.leader()
    with arena.fault("N7-big-blocked", [arena.others(victim)], 15):
        arena.network.cut(((victim, other) for other in arena.others(victim)), "meta length gt 300 drop")
        arena.hold(16)


@scenario("N8-slow-link", big_share=0.3)
def slow_link(arena: Arena) -> None:
    """A node behind a thin link catches up, and the leader stays."""
    leader, victim = arena.leader(), arena.follower()
    before = terms(arena)
    with arena.fault("N8-slow-link", [[*arena.others(victim)]]):
        arena.network.degrade(dict.fromkeys([(leader, victim), (victim, leader)], Quality(kbit=200)))
        arena.hold(8)
    few_elections(arena, before, "N8-slow-link")


@scenario("N9-reset")
def reset(arena: Arena) -> None:
    """Connections of the leader are reset in the middle of what they say."""
    for _ in range(6):
        victim = arena.leader()
        with arena.fault("N9-reset", None):
            arena.network.reset_connections(victim)
            arena.hold(0.5)


@scenario("N9-refused")
def refused(arena: Arena) -> None:
    """A firewall that answers with resets, in place of silence."""
    victim = arena.leader()
    with arena.fault("N9-refused", [[victim], arena.others(victim)]):
        rule = "tcp flags & rst == 0 reject with tcp reset"
        arena.network.cut_both(((victim, other) for other in arena.others(victim)), rule)
        arena.hold(7)


@scenario("N9-half-open")
def half_open(arena: Arena) -> None:
    """One end of every connection of a node is gone without a word; the other finds out when it speaks."""
    victim = arena.follower()
    with arena.fault("N9-half-open", [arena.others(victim)]):
        arena.network.isolate(victim)
        arena.kill(victim)
        arena.network.heal()
        arena.start(victim)
        arena.hold(6)


@scenario("N10-swizzle")
def swizzle(arena: Arena) -> None:
    """Nodes are cut off one by one and come back in another order."""
    with arena.fault("N10-swizzle", None):
        arena.forced()
        for name in arena.rng.sample(arena.names, len(arena.names)):
            arena.network.isolate(name)
            time.sleep(arena.rng.uniform(0.3, 1.0))
        for name in arena.rng.sample(arena.names, len(arena.names)):
            arena.network.mend((name, other) for other in arena.network.others(name))
            time.sleep(arena.rng.uniform(0.3, 1.0))


@scenario("N8-slow-snapshot", altered="small-tables", big_share=0.5)
def slow_snapshot(arena: Arena) -> None:
    """A snapshot through a thin link starves no heartbeat."""
    victim = arena.follower()
    before = snapshots_to(arena, victim)
    with arena.fault("N8-slow-snapshot", [arena.others(victim)]):
        arena.kill(victim)
        arena.forced()
        wait_forgotten(arena, victim)
        arena.network.degrade({(other, victim): Quality(kbit=200) for other in arena.others(victim)})
        arena.start(victim)
        wait_until(lambda: snapshots_to(arena, victim) > before, 20, "a snapshot is on its way")
        terms_before = terms(arena)
        arena.hold(8)
    few_elections(arena, terms_before, "N8-slow-snapshot")


@scenario("N11-answers-lost")
def answers_lost(arena: Arena) -> None:
    """What a node answers never arrives, so its clients know nothing: each request happens once or not at all."""
    victim = arena.leader()
    with arena.fault("N11-answers-lost", None):
        arena.network.mute(victim, HTTP_PORT)
        arena.hold(6)
    in_doubt(arena, victim)
