"""S: disks that are full, fail, lie and forget."""

import contextlib
import time
from errno import EIO, ENOSPC
from pathlib import Path

from tests.chaos.arena import Arena
from tests.chaos.damage import cut_tail, files, flipped, full_disk, missing, swapped
from tests.chaos.expectations import ended_with, few_elections, injected, refuses_to_start, terms
from tests.chaos.scenario import scenario
from tests.cluster.nodes import wait_until


@scenario("S1-disk-full", small_disks=("n1",))
def disk_full(arena: Arena) -> None:
    """A whole file system without room: refused, not lost; and it goes on by itself when there is room."""
    victim = arena.plan.small_disks[0]
    with arena.fault("S1-disk-full", None), full_disk(arena.nodes[victim].data):
        arena.hold(6)


@scenario("S1-no-space")
def no_space(arena: Arena) -> None:
    """As the disk being full, told by the file system of any node: what it led, others lead soon."""
    victim = arena.leader()
    with arena.fault("S1-no-space", [arena.names]):
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


@scenario("S5-tail-lost")
def tail_lost(arena: Arena) -> None:
    """The disk of one node has lost the end of its log, which it had promised: it fetches that again."""
    victim = arena.follower()
    with arena.fault("S5-tail-lost", [arena.others(victim)]):
        arena.kill(victim)
        cut_tail(files(arena.nodes[victim].data, "log/*.log")[-1], 4_000)
        arena.start(victim)
        arena.hold(6)


@scenario("S6-flip-at-rest", altered="small-tables", big_share=0.3)
def flip_at_rest(arena: Arena) -> None:
    """One bit in a file of a stopped node: it says which file that is, and does not start. The others go on."""
    victim = arena.follower()
    for pattern in ("log/*.log", "p*/MANIFEST-*", "p*/CURRENT", "identity"):
        with arena.fault("S6-flip-at-rest", [arena.others(victim)]):
            arena.kill(victim)
            path = arena.rng.choice(files(arena.nodes[victim].data, pattern))
            # Behind the last part of a log nothing testifies that it was whole once.
            with flipped(path, arena.rng, until=0.5):
                refuses_to_start(arena, victim)


@scenario("S6-table-flip-at-rest", altered="small-tables", big_share=0.3)
def table_flip_at_rest(arena: Arena) -> None:
    """One bit in a table: found when it is read, and answered by nobody."""
    victim = arena.follower()
    with arena.fault("S6-table-flip-at-rest", None):
        arena.kill(victim)
        arena.may_end(victim)
        with flipped(arena.rng.choice(files(arena.nodes[victim].data, "p*/*.sst")), arena.rng):
            arena.nodes[victim].start()
            arena.hold(6)
            arena.kill(victim)


@scenario("S7-flips-on-two")
def flips_on_two(arena: Arena) -> None:
    """Two nodes have damage, each elsewhere in its log: neither starts, the third promises nothing, nothing is lost."""
    victims = arena.choose(2)
    with arena.fault("S7-flips-on-two", [arena.others(*victims)]), contextlib.ExitStack() as damage:
        arena.kill(*victims)
        for number, name in enumerate(victims):
            path = files(arena.nodes[name].data, "log/*.log")[0]
            damage.enter_context(flipped(path, arena.rng, until=0.2 * (number + 1)))
            refuses_to_start(arena, name)
        arena.hold(6)


@scenario("S8-file-missing", altered="small-tables", big_share=0.3)
def file_missing(arena: Arena) -> None:
    """A file of a stopped node is gone: it is missed, and the node does not start as if there had never been one."""
    victim = arena.follower()
    data = arena.nodes[victim].data
    for name in ("*.sst", "MANIFEST-*", "CURRENT", "*.log", "identity"):
        # One that joined later, and lacks CURRENT, is taken for one whose making, or removal, was cut short.
        replica = next(iter(founding_replicas(data)), None)
        if name == "CURRENT" and replica is None:
            continue
        folder = {"*.log": data / "log", "identity": data}.get(name, replica or files(data, "p*/*.sst")[0].parent)
        wait_until(lambda: len(files(data, "log/*.log")) > 2, 20, f"{victim} has three logs")
        with arena.fault("S8-file-missing", [arena.others(victim)]):
            arena.kill(victim)
            # Of several logs one in the middle: the oldest may be needless, and the newest is a tail (S5).
            found = files(folder, name)
            with missing(max(found[1:-1] or found, key=lambda path: path.stat().st_size)):
                refuses_to_start(arena, victim)


def founding_replicas(data: Path) -> list[Path]:
    """The replicas with tables that the node has had from the beginning."""
    replicas = sorted({table.parent for table in files(data, "p*/*.sst")})
    return [path for path in replicas if not (data / f"{path.name[:5]}.joined").exists()]


@scenario("S9-directories-swapped")
def directories_swapped(arena: Arena) -> None:
    """Each of two nodes finds the other's directory, and refuses it."""
    one, other = arena.rng.sample(arena.others(*arena.plan.small_disks), 2)
    with arena.fault("S9-directories-swapped", [arena.others(one, other)]):
        arena.kill(one, other)
        with swapped(arena.nodes[one].data, arena.nodes[other].data):
            refuses_to_start(arena, one, other)
            refuses_to_start(arena, other, one)


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
    """The leader's disk takes half a second a sync: others lead instead, without a storm of elections."""
    victim = arena.leader()
    before = terms(arena)
    with arena.fault("S11-slow-syncs", [arena.names], live_seconds=8):
        arena.harm(victim, path=f"/{victim}/log/", fsync_delay_ms=500)
        arena.hold(9)
    few_elections(arena, before, "S11-slow-syncs")
