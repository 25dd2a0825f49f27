"""The fault matrix on real processes: every scenario has the name of its row.

P processes, N network, C clocks, S disks, M membership, U upgrades. A scenario is a function of an
arena (arena.py) that is under load when it is called, and is again when it returns: so one may follow the
other in a long run. What it needs of the arena stands in its decorator.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.chaos.arena import Arena, Plan, full_disk
from tests.chaos.cgroup import throttled
from tests.chaos.record import Fault
from tests.chaos.swarm import now
from tests.chaos.switch import Quality

EIO, ENOSPC = 5, 28


@dataclass(frozen=True, slots=True)
class Scenario:
    """nodes: what it needs at least; plan: what its arena is when it is alone in it."""

    name: str
    run: Callable[[Arena], None]
    nodes: int
    plan: Plan

    @property
    def row(self) -> str:
        return self.name.partition("-")[0]


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, nodes: int = 3, **plan: object) -> Callable[[Callable[[Arena], None]], Callable[[Arena], None]]:
    """Enters a function as the scenario `name`."""

    def enter(run: Callable[[Arena], None]) -> Callable[[Arena], None]:
        SCENARIOS[name] = Scenario(name, run, nodes, replace(Plan(nodes=nodes), **plan))  # type: ignore[arg-type]
        return run

    return enter


# P: processes.


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
    with arena.fault("P9-starved", None), throttled(arena.nodes[victim].pid, 0.2):
        arena.hold(8)
    few_elections(arena, before, "P9-starved")


@scenario("P10-kill-often")
def kill_often(arena: Arena) -> None:
    for _ in range(5):
        victim = arena.rng.choice(arena.names)
        with arena.fault("P10-kill-often", [arena.others(victim)]):
            arena.kill(victim)
            arena.hold(arena.rng.uniform(0.2, 2.0))


# N: the network.


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
        begun = now()
        arena.hold(9)
        somebody_is_served(arena, begun, "N4-bridge")
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
        begun = now()
        arena.hold(9)
        somebody_is_served(arena, begun, "N4-ring")
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


# C: clocks.


@scenario("C1-clock-jumps")
def clock_jumps(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("C1-clock-jumps", [arena.names]):
        arena.forced()
        for jump in (3_600_000, -3_600_000, 3_600_000):
            arena.harm(victim, clock_ms=jump)
            time.sleep(2)


@scenario("C1-clock-strobe")
def clock_strobe(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("C1-clock-strobe", [arena.names]):
        arena.forced()
        for step in range(40):
            arena.harm(victim, clock_ms=100 if step % 2 else -100)
            time.sleep(0.1)


@scenario("C1-clock-drift")
def clock_drift(arena: Arena) -> None:
    """One clock runs half as fast again, another half as fast."""
    quick, slow = arena.choose(2)
    with arena.fault("C1-clock-drift", [arena.names]):
        arena.harm(quick, clock_rate_ppm=500_000)
        arena.harm(slow, clock_rate_ppm=-500_000)
        arena.hold(6)


# S: disks.


@scenario("S1-disk-full", small_disks=("n1",))
def disk_full(arena: Arena) -> None:
    """A whole file system without room: refused, not lost; and it goes on by itself when there is room."""
    victim = arena.plan.small_disks[0]
    with arena.fault("S1-disk-full", None), full_disk(arena.nodes[victim].data):
        arena.hold(6)


@scenario("S1-no-space")
def no_space(arena: Arena) -> None:
    """As the disk being full, told by the file system of any node."""
    victim = arena.leader()
    with arena.fault("S1-no-space", None):
        arena.harm(victim, path=f"/{victim}/", write_errno=ENOSPC)
        arena.hold(6)


@scenario("S2-sync-fails-once")
def sync_fails(arena: Arena) -> None:
    """The node stops: what its disk holds is not known any more. The others go on, and so does it after a restart."""
    victim = arena.leader()
    with arena.fault("S2-sync-fails-once", [arena.others(victim)]):
        arena.harm(victim, path=f"/{victim}/log/", fsync_errno=EIO, fsync_after=arena.rng.randrange(20), fsync_times=1)
        arena.forced()
        ended_with(arena, victim, 1)
        arena.hold(6)


@scenario("S2-write-fails")
def write_fails(arena: Arena) -> None:
    victim = arena.leader()
    with arena.fault("S2-write-fails", [arena.others(victim)]):
        arena.harm(victim, path=f"/{victim}/log/", write_errno=EIO, write_after=arena.rng.randrange(20), write_times=1)
        arena.forced()
        ended_with(arena, victim, 1)
        arena.hold(6)


@scenario("S2-short-write")
def short_write(arena: Arena) -> None:
    """Half a write is no error: the rest is written after it."""
    victim = arena.leader()
    with arena.fault("S2-short-write", [arena.names]):
        arena.harm(victim, path=f"/{victim}/log/", write_short=1)
        arena.hold(6)
    injected(arena, victim, "short")


@scenario("S3-read-fails", altered="small-tables", big_share=0.3)
def read_fails(arena: Arena) -> None:
    """A table that cannot be read: refused or answered by another, never 'not found'."""
    victim = arena.leader()
    with arena.fault("S3-read-fails", None):
        arena.harm(victim, path=".sst", read_errno=EIO)
        arena.hold(6)
        arena.harm(victim)
        arena.revive(victim)
    injected(arena, victim, "errno")


@scenario("S4-torn-write")
def torn_write(arena: Arena) -> None:
    """The node dies in the middle of a write to its log."""
    victim = arena.leader()
    with arena.fault("S4-torn-write", [arena.others(victim)]):
        arena.harm(
            victim, path=f"/{victim}/log/", write_torn=arena.rng.randrange(1, 200), write_after=arena.rng.randrange(20)
        )
        arena.forced()
        ended_with(arena, victim, -9)
        arena.hold(6)


@scenario("S6-bit-flips", altered="small-tables", big_share=0.3)
def bit_flips(arena: Arena) -> None:
    """What one node reads from its tables is damaged, now and then, while it runs."""
    victim = arena.leader()
    with arena.fault("S6-bit-flips", None):
        arena.forced()
        for count in (1, 2, 3, 5, 8):
            arena.harm(victim, path=".sst", read_flip=count)
            time.sleep(1)
        arena.harm(victim)
        arena.revive(victim)
    injected(arena, victim, "flipped")


@scenario("S11-slow-syncs")
def slow_syncs(arena: Arena) -> None:
    """The leader's disk takes half a second a sync: slower, but no change of leader for it."""
    victim = arena.leader()
    before = terms(arena)
    with arena.fault("S11-slow-syncs", [arena.names], live_seconds=8):
        arena.harm(victim, path=f"/{victim}/log/", fsync_delay_ms=500)
        arena.hold(9)
    few_elections(arena, before, "S11-slow-syncs")


@scenario("R1-few-files")
def few_files(arena: Arena) -> None:
    """No descriptor is left on one node: it refuses, and takes up its work when there are some again."""
    victim = arena.follower()
    with arena.fault("R1-few-files", [arena.others(victim)]), arena.file_limit(victim, 24):
        # Its links are there already; the reset makes it want new ones.
        arena.network.reset_connections(victim)
        arena.hold(6)


# U: upgrades.


@scenario("U1-rolling-restart")
def rolling_restart(arena: Arena) -> None:
    for name in arena.names:
        with arena.fault("U1-rolling-restart", [arena.others(name)]) as fault:
            arena.terminate(name)
            arena.forced()
        nobody_else_refused(arena, fault)


# What a scenario expects beyond what the judges do.


def terms(arena: Arena) -> int:
    """The sum of the terms of all partitions."""
    newest = {view.partition: view.term for view in sorted(arena.record.views, key=lambda view: view.term)}
    return sum(newest.values())


def few_elections(arena: Arena, before: int, name: str) -> None:
    partitions = len(set(arena.partition.values()))
    if (risen := terms(arena) - before) > 5 * partitions:
        arena.failures.append(f"{name}: terms rose by {risen} in {partitions} partitions")


def somebody_is_served(arena: Arena, since: int, name: str) -> None:
    """After what is hard on elections, every key can be written through some node."""
    late = since + 5_000_000_000
    good = {seen.operation.key for seen in arena.record.tail(late) if seen.is_good and seen.operation.kind == "put"}
    if dead := sorted(set(arena.keys) - good):
        arena.failures.append(f"{name}: no writes of {dead} from 5 s on")


def nobody_else_refused(arena: Arena, fault: Fault) -> None:
    """A graceful stop costs the clients of the other nodes nothing."""
    hurt = [
        seen
        for seen in arena.record.tail(fault.began)
        if not seen.is_good and seen.called <= fault.ended and fault.side_of(seen.node)
    ]
    if hurt:
        arena.failures.append(f"{fault.name}: {len(hurt)} failures elsewhere, as {hurt[0].operation.to_json()}")


def ended_with(arena: Arena, name: str, code: int) -> None:
    found = arena.await_exit(name)
    if found != code:
        arena.failures.append(f"{arena.record.faults[-1].name}: {name} ended with {found}, not {code}")


def injected(arena: Arena, name: str, what: str) -> None:
    """A fault that never happened proves nothing."""
    if what not in arena.nodes[name].shim.log_text():
        arena.failures.append(f"{arena.record.faults[-1].name}: the shim never did it to {name}")
